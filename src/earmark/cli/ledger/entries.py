"""`earmark ledger list`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from earmark.cli.cards import allocations_text
from earmark.cli.connection import Connection, connected
from earmark.cli.ledger.filters import EntryFilter, filtered
from earmark.cli.ledger.group import commands
from earmark.cli.options import Json, Limit, TimeZone
from earmark.cli.output import (
    Column,
    enum_word,
    format_time,
    message_fields,
    note,
    print_json,
    print_table,
    timestamp_micros,
)
from earmark.cli.paging import pages
from earmark.cli.values import UTC_ZONE
from earmark.credits import format_credits

if TYPE_CHECKING:
    from earmark.v1.ledger_pb2 import LedgerEntry

__all__: list[str] = []

_OUT = frozenset({"charge", "grant-expired", "grant-voided"})


@commands.add(
    "earmark ledger list acme",
    "earmark ledger list acme --kind charge --since 7d --user alice",
    "earmark ledger list --outcome failed --since 2026-07-01 --until 2026-07-31 --time-zone Europe/Paris",
    "earmark ledger list acme --min-amount 0.5 --label team=red --json",
    name="list",
)
@connected
@filtered
def list_entries(
    connection: Connection,
    account_id: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="The account; all if absent.", show_default=False)
    ] = "",
    *,
    entries: EntryFilter,
    limit: Limit = 50,
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """List ledger entries, newest first. The sign of an amount says whether credits came or went."""
    from earmark.v1.ledger_service_pb2 import ListLedgerEntriesRequest

    request = ListLedgerEntriesRequest(
        account_id=account_id, filter=entries.message(time_zone), page_size=min(limit + 1, 1_000)
    )
    found = list(islice(pages(connection, connection.ledger.ListLedgerEntries, request, "entries"), limit + 1))
    if as_json:
        print_json([message_fields(entry) for entry in found[:limit]])
    else:
        columns = [] if account_id else [Column("account")]
        columns += [Column("number", number=True), Column("time"), Column("kind"), Column("operation"), Column("user")]
        columns += [Column("amount", number=True), Column("grants"), Column("available after", number=True)]
        columns += [Column("outcome"), Column("comment")]
        rows = (_row(entry, time_zone) for entry in found[:limit])
        print_table(columns, ([*([] if account_id else [row[0]]), *row[1:]] for row in rows), empty="No entry.")
    if len(found) > limit:
        note(f"There are more: these are the newest {limit}; --limit shows more, `earmark ledger export` all.")


def _row(entry: LedgerEntry, zone: ZoneInfo) -> list[str]:
    kind, outcome = enum_word(entry, "kind"), enum_word(entry, "outcome")
    sign = "-" if kind in _OUT and entry.amount_micros else ""
    return [
        entry.account_id,
        str(entry.entry_number),
        format_time(timestamp_micros(entry.create_time), zone),
        kind,
        entry.operation,
        entry.user_id,
        f"{sign}{format_credits(entry.amount_micros)}",
        allocations_text(entry.allocations),
        format_credits(entry.available_after_micros),
        f"{outcome}, late" if entry.late else outcome,
        entry.comment,
    ]
