"""`earmark clock`: the time of a store that was initialised for tests, over gRPC."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from earmark.cli.cards import time_of
from earmark.cli.connection import Connection, connected, connected_for
from earmark.cli.groups import CommandGroup
from earmark.cli.options import Json, TimeZone
from earmark.cli.output import message_fields, print_card, print_json
from earmark.cli.values import UTC_ZONE, Moment, parse_moment

__all__ = ["commands"]

_MOVE_SECONDS = 600.0  # Months of renewals happen meanwhile, and stand in SQL when it answers.

commands = CommandGroup("See the store's time, and move it: only on a store that was initialised for tests.")


@commands.add("earmark clock show")
@connected
def show(connection: Connection, time_zone: TimeZone = UTC_ZONE, as_json: Json = False) -> None:
    """Show the store's time, and whether it can be moved."""
    from earmark.v1.admin_service_pb2 import GetClockRequest

    response = connection.call(connection.administration.GetClock, GetClockRequest())
    if as_json:
        print_json(message_fields(response))
        return
    movable = "yes" if response.movable else "no: the store was not initialised for tests"
    print_card([("time", time_of(response, "time", time_zone)), ("movable", movable)])


@commands.add("earmark clock move 31d", "earmark clock move 2027-01-01 --time-zone Europe/Paris")
@connected_for(_MOVE_SECONDS)
def move(
    connection: Connection,
    to: Annotated[
        Moment,
        typer.Argument(
            parser=parse_moment,
            metavar="TIME",
            help="How far: 90s, 24h, 31d; or where to: the beginning of a day, or a time. Never back.",
            show_default=False,
        ),
    ],
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """Move the store's time, and answer when everything that fell due has happened and stands in SQL.

    A store is initialised for tests by EARMARK_TEST_STORE=on at its first start.
    """
    from earmark.v1.admin_service_pb2 import MoveClockRequest

    request = MoveClockRequest()
    if isinstance(to.value, timedelta):
        request.by.FromTimedelta(to.value)
    else:
        request.time.FromMicroseconds(to.since(time_zone))
    response = connection.call(connection.administration.MoveClock, request)
    if as_json:
        print_json(message_fields(response))
    else:
        print_card([("time", time_of(response, "time", time_zone))])
