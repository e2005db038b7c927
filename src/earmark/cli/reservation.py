"""`earmark reservation`: open and ended reservations, over gRPC."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer

from earmark.cli.cards import allocations_text, balance_rows, reservation_rows, time_of
from earmark.cli.connection import Connection, connected
from earmark.cli.groups import CommandGroup
from earmark.cli.options import AccountId, Json, Limit, TimeZone
from earmark.cli.output import (
    Column,
    credits_or_dash,
    enum_word,
    message_fields,
    note,
    print_card,
    print_json,
    print_table,
)
from earmark.cli.paging import pages
from earmark.cli.values import UTC_ZONE, parse_request_id
from earmark.credits import format_credits

__all__ = ["commands"]

commands = CommandGroup("See reservations, and give one back.")


class State(StrEnum):
    """Where a reservation stands."""

    ACTIVE = "active"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


ReservationId = Annotated[str, typer.Argument(metavar="RESERVATION", help="The reservation's id.", show_default=False)]


@commands.add(
    "earmark reservation list acme --state active",
    "earmark reservation list acme --json | jq -r '.[] | [.reservation_id, .charged_micros] | @tsv'",
    name="list",
)
@connected
def list_reservations(
    connection: Connection,
    account_id: AccountId,
    state: Annotated[State | None, typer.Option("--state", help="Only those.", show_default="all")] = None,
    limit: Limit = 50,
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """List an account's reservations: active ones by expiry, then ended ones, newest first."""
    from earmark.v1.metering_service_pb2 import ListReservationsRequest

    request = ListReservationsRequest(
        account_id=account_id,
        state=f"STATE_{state.upper()}" if state else None,
        page_size=min(limit + 1, 1_000),
    )
    found = list(islice(pages(connection, connection.metering.ListReservations, request, "reservations"), limit + 1))
    if as_json:
        print_json([message_fields(reservation) for reservation in found[:limit]])
    else:
        columns = [Column("reservation"), Column("state"), Column("operation"), Column("user")]
        columns += [Column("reserved", number=True), Column("charged", number=True), Column("grants")]
        columns += [Column("created"), Column("expires"), Column("settled")]
        rows = (
            [
                reservation.reservation_id,
                enum_word(reservation, "state") + (", late" if reservation.late else ""),
                reservation.operation,
                reservation.user_id,
                format_credits(reservation.reserved_micros),
                credits_or_dash(reservation.charged_micros),
                allocations_text(reservation.allocations),
                *(time_of(reservation, f"{name}_time", time_zone) for name in ("create", "expire", "settle")),
            ]
            for reservation in found[:limit]
        )
        print_table(columns, rows, empty="No reservation.")
    if len(found) > limit:
        note(f"There are more: these are the first {limit}; --limit shows more.")


@commands.add("earmark reservation show AQxy...", "earmark ledger explain AQxy...")
@connected
def show(
    connection: Connection,
    reservation_id: ReservationId,
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """Show a reservation, an ended one too."""
    from earmark.v1.metering_service_pb2 import GetReservationRequest

    request = GetReservationRequest(reservation_id=reservation_id)
    reservation = connection.call(connection.metering.GetReservation, request).reservation
    if as_json:
        print_json(message_fields(reservation))
    else:
        print_card(reservation_rows(reservation, time_zone))


@commands.add(
    "earmark reservation release AQxy... --reason 'the worker is gone'",
    "earmark reservation release --account acme --request-id job-17    the Reserve whose answer was lost",
)
@connected
def release(
    connection: Connection,
    reservation_id: Annotated[
        str | None, typer.Argument(metavar="RESERVATION", help="The reservation's id.", show_default=False)
    ] = None,
    account: Annotated[
        str, typer.Option("--account", metavar="ACCOUNT", help="Instead of the id: its account.", show_default=False)
    ] = "",
    request_id: Annotated[
        str | None,
        typer.Option(
            "--request-id",
            parser=parse_request_id,
            metavar="ID",
            help="Instead of the id: the request id of its Reserve.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Kept in the ledger entry.", show_default=False)
    ] = "",
    as_json: Json = False,
) -> None:
    """Give a reservation back: the generation failed, and nothing is charged."""
    from earmark.v1.metering_service_pb2 import ReleaseRequest

    if reservation_id is not None and (account or request_id):
        raise typer.BadParameter("name the reservation by its id, or by --account and --request-id, not by both")
    if reservation_id is None and not (account and request_id):
        raise typer.BadParameter("name the reservation by its id, or by --account and --request-id")
    request = ReleaseRequest(reservation_id=reservation_id, account_id=account, request_id=request_id, reason=reason)
    response = connection.call(connection.metering.Release, request)
    if as_json:
        print_json(message_fields(response))
        return
    if response.replayed:
        note("It had been released before.")
    elif enum_word(response.reservation, "state") == "expired":
        note("It had expired before: nothing was left to give back.")
    print_card([*reservation_rows(response.reservation, UTC_ZONE), *balance_rows(response.balance, UTC_ZONE)])
