"""Finding ledger entries: those about a reservation, and the one with a number."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from earmark.cli.connection import Connection
from earmark.cli.exits import CommandError
from earmark.cli.output import timestamp_micros
from earmark.cli.paging import pages

if TYPE_CHECKING:
    from earmark.v1.grant_pb2 import Grant
    from earmark.v1.ledger_pb2 import LedgerEntry
    from earmark.v1.reservation_pb2 import Reservation

__all__ = ["entries_of_reservation", "entry_by_number", "followers_of", "grants_of", "reservation_by_id"]

_PAGE = 1_000


def reservation_by_id(connection: Connection, reservation_id: str) -> Reservation:
    """Return a reservation.

    Raises:
        EarmarkError: RESERVATION_NOT_FOUND.
    """
    from earmark.v1.metering_service_pb2 import GetReservationRequest

    request = GetReservationRequest(reservation_id=reservation_id)
    found: Reservation = connection.call(connection.metering.GetReservation, request).reservation
    return found


def entries_of_reservation(connection: Connection, reservation: Reservation) -> list[LedgerEntry]:
    """Return the entries about a reservation, oldest first; adjustments of its charge are among them."""
    from earmark.v1.ledger_service_pb2 import LedgerFilter, ListLedgerEntriesRequest

    request = ListLedgerEntriesRequest(
        account_id=reservation.account_id,
        filter=LedgerFilter(reservation_id=reservation.reservation_id),
        page_size=_PAGE,
    )
    return list(pages(connection, connection.ledger.ListLedgerEntries, request, "entries"))[::-1]


def grants_of(connection: Connection, account_id: str) -> dict[str, Grant]:
    """Return an account's grants by id."""
    from earmark.v1.account_service_pb2 import ListGrantsRequest

    request = ListGrantsRequest(account_id=account_id, page_size=_PAGE)
    return {grant.grant_id: grant for grant in pages(connection, connection.accounts.ListGrants, request, "grants")}


def followers_of(connection: Connection, entry: LedgerEntry) -> list[LedgerEntry]:
    """Return the entries that follow at the same instant, up to the next one about a reservation.

    What a reservation gives back may expire, be voided, or repay debt at once; that stands right behind its entry.
    """
    from earmark.v1.ledger_pb2 import LedgerEntry
    from earmark.v1.ledger_service_pb2 import LedgerFilter, ListLedgerEntriesRequest

    moment = timestamp_micros(entry.create_time)
    wanted = LedgerFilter()
    wanted.start_time.FromMicroseconds(moment)
    wanted.end_time.FromMicroseconds(moment + 1)
    request = ListLedgerEntriesRequest(account_id=entry.account_id, filter=wanted, page_size=_PAGE)
    later = takewhile(
        lambda other: other.entry_number > entry.entry_number,
        pages(connection, connection.ledger.ListLedgerEntries, request, "entries"),
    )
    consequences = {LedgerEntry.KIND_GRANT_EXPIRED, LedgerEntry.KIND_GRANT_VOIDED, LedgerEntry.KIND_DEBT_REPAID}
    return list(takewhile(lambda other: other.kind in consequences, list(later)[::-1]))


def entry_by_number(connection: Connection, account_id: str, number: int) -> LedgerEntry:
    """Return an entry by its number.

    Raises:
        CommandError: the account has no such entry, or it is not in SQL yet.
        EarmarkError: the server's refusal.
    """
    from earmark.v1.ledger_service_pb2 import LedgerFilter, ListLedgerEntriesRequest

    request = ListLedgerEntriesRequest(account_id=account_id, filter=LedgerFilter(entry_number=number))
    found: LedgerEntry | None = next(pages(connection, connection.ledger.ListLedgerEntries, request, "entries"), None)
    if found is None:
        raise CommandError(f"account {account_id} has no entry {number}")
    return found
