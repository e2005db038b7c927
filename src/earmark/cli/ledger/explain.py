"""`earmark ledger explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from earmark.cli.connection import Connection, connected
from earmark.cli.ledger.group import commands
from earmark.cli.ledger.lookup import (
    entries_of_reservation,
    entry_by_number,
    followers_of,
    grants_of,
    reservation_by_id,
)
from earmark.cli.ledger.narrative import Story, tell_entry, tell_reservation
from earmark.cli.options import Json, TimeZone
from earmark.cli.output import message_fields, print_json, print_line
from earmark.cli.values import UTC_ZONE

__all__: list[str] = []


@commands.add(
    "earmark ledger explain AQxy...     why a reservation was charged, or was not",
    "earmark ledger explain acme/17     the same for entry 17 of account acme",
)
@connected
def explain(
    connection: Connection,
    subject: Annotated[
        str,
        typer.Argument(metavar="ID", help="A reservation's id, or ACCOUNT/NUMBER for an entry.", show_default=False),
    ],
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """Tell in words why something was charged.

    What was reserved, what was really used, which grants paid how much, in which order and why, what was returned,
    what came late, what could not be collected, what became debt.
    """
    account_id, slash, number = subject.rpartition("/")  # No reservation id has a slash; account ids may.
    reservation_id = subject
    entry = None
    if slash:
        if not account_id or not number.isascii() or not number.isdigit() or len(number) > 15:
            raise typer.BadParameter("write a reservation's id, or ACCOUNT/NUMBER", param_hint="'ID'")
        entry = entry_by_number(connection, account_id, int(number))
        reservation_id = entry.reservation_id
    if entry is None or (entry.outcome and reservation_id):
        reservation = reservation_by_id(connection, reservation_id)
        entries = entries_of_reservation(connection, reservation)
        settled = [one for one in entries if one.outcome]
        story = Story(
            reservation=reservation,
            entries=entries,
            followers=followers_of(connection, settled[-1]) if settled else (),
            grants=grants_of(connection, reservation.account_id),
            zone=time_zone,
        )
        lines = list(tell_reservation(story))
    else:
        story = Story(entries=[entry], grants=grants_of(connection, entry.account_id), zone=time_zone)
        lines = list(tell_entry(story))
    if as_json:
        print_json(
            {
                "text": lines,
                "reservation": message_fields(story.reservation) if story.reservation else None,
                "entries": [message_fields(one) for one in (*story.entries, *story.followers)],
            }
        )
        return
    for line in lines:
        print_line(line)
