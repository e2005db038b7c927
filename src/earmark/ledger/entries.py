"""Reading ledger entries: pages, exports, ended reservations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    Connection,
    Row,
    Select,
    exists,
    or_,
    select,
    tuple_,
)

from earmark.domain.ids import ReservationDigest
from earmark.domain.states import EntryKind, GrantKind, ReservationState
from earmark.engine.operations import Details, Settlement
from earmark.ledger.administration import account_key_of
from earmark.ledger.connections import Database
from earmark.ledger.counters import decode_windows
from earmark.ledger.history import read_rows
from earmark.ledger.models import Allocation, EndedReservation, EntryFilter, EntryPage, EntryPosition, EntryRecord
from earmark.ledger.tables import accounts, entries, entry_allocations

__all__ = ["Entries"]

# Inside the class, `list` is its method.
_Entries = list[EntryRecord]
_EndedPage = list[EndedReservation]

T = TypeVar("T")

_STATE_OF_KIND = {
    EntryKind.CHARGE: ReservationState.COMMITTED,
    EntryKind.RELEASE: ReservationState.RELEASED,
    EntryKind.EXPIRED_HOLD: ReservationState.EXPIRED,
}

# Each takes two parameters, and SQLite takes 32,766 of them.
_ALLOCATIONS_OF_AT_ONCE = 1000

_details_of = msgspec.json.Decoder(Details).decode
_settlement_of = msgspec.json.Decoder(Settlement).decode


class Entries:
    """Settled entries. They never change; new ones appear about a second after their event."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: EntryFilter, limit: int, before: EntryPosition | None = None) -> EntryPage:
        """Return a page, newest first.

        Args:
            wanted: An unknown account has no entries.
            limit: At most so many.
            before: Where to go on: `next` of the page before, or the position of any entry.
        """
        return await self._database.read(lambda connection: _page(connection, wanted, limit, before))

    async def list(self, wanted: EntryFilter, limit: int, before: EntryPosition | None = None) -> _Entries:
        """Return the newest entries that pass, however far they are apart; takes what `page` takes."""
        found: _Entries = []
        while len(found) < limit:
            page = await self.page(wanted, limit - len(found), before)
            found += page.entries
            before = page.next
            if before is None:
                break
        return found

    async def export(self, wanted: EntryFilter, chunk: int = 500) -> AsyncIterator[Sequence[EntryRecord]]:
        """Yield all entries that pass, oldest first, in lists of up to `chunk`, from one moment of the ledger.

        Holds one chunk in memory, and one connection until the iterator is exhausted or closed.
        """
        async with self._database.snapshot() as snapshot:
            after: EntryPosition | None = None
            while True:
                start = after
                page = await snapshot.run(lambda connection: _page(connection, wanted, chunk, start, oldest=True))  # noqa: B023
                if page.entries:
                    yield page.entries
                after = page.next
                if after is None:
                    return

    async def get(self, account_id: str, entry_number: int) -> EntryRecord | None:
        """Return one entry, or None."""
        query = _entries_of(account_id).where(entries.c.entry_number == entry_number)
        found = await self._database.read(lambda connection: _read(connection, query))
        return found[0] if found else None

    async def last_entry(self, account_id: str) -> EntryRecord | None:
        """Return an account's last entry, or None if it has none."""
        query = _entries_of(account_id).order_by(entries.c.entry_number.desc()).limit(1)
        found = await self._database.read(lambda connection: _read(connection, query))
        return found[0] if found else None

    async def by_reservation(self, account_id: str, digest: ReservationDigest) -> _Entries:
        """Return the entries about a reservation, oldest first: how it ended, and adjustments of it."""
        # By the digest alone, which no two accounts share: SQLite would rather read the account's whole history.
        query = select(entries).where(entries.c.digest == digest)
        found = await self._database.read(lambda connection: _read(connection, query))
        return sorted(
            (entry for entry in found if entry.account_id == account_id), key=lambda entry: entry.entry_number
        )

    async def ended_since(self, account_id: str, entry_number: int) -> Sequence[ReservationDigest]:
        """Return the reservations that entries after this one are about, in the order of their first such entry."""
        query = (
            _entries_of(account_id)
            .with_only_columns(entries.c.digest)
            .where(entries.c.entry_number > entry_number, entries.c.kind.in_([kind.value for kind in _STATE_OF_KIND]))
            .order_by(entries.c.entry_number)
        )
        found = await self._database.read(lambda connection: connection.execute(query).scalars().all())
        return tuple(dict.fromkeys(ReservationDigest(digest) for digest in found if digest is not None))

    async def ended_reservations(
        self, account_id: str, state: ReservationState | None, limit: int, before: int | None = None
    ) -> _EndedPage:
        """Return a page of ended reservations, the last ended first.

        Args:
            account_id: Of this account.
            state: Only those that ended so; ACTIVE gives none.
            limit: At most so many.
            before: The `entry_number` of the last reservation of the page before.

        Raises:
            NotFound: ACCOUNT_NOT_FOUND.
        """
        return await self._database.read(lambda connection: _ended(connection, account_id, state, limit, before))


def _page(
    connection: Connection, wanted: EntryFilter, limit: int, start: EntryPosition | None, *, oldest: bool = False
) -> EntryPage:
    rows, following = read_rows(connection, wanted, limit, start, oldest=oldest)
    return EntryPage(tuple(_records(connection, rows, wanted.account_id)), following)


def _ended(
    connection: Connection, account_id: str, state: ReservationState | None, limit: int, before: int | None
) -> list[EndedReservation]:
    account_key = account_key_of(connection, account_id)
    kinds = [kind.value for kind, ended in _STATE_OF_KIND.items() if state in {None, ended}]
    later = entries.alias("later")
    committed_late = exists().where(
        later.c.digest == entries.c.digest,
        later.c.entry_number > entries.c.entry_number,
        later.c.kind == EntryKind.CHARGE.value,
    )
    query = (
        select(entries)
        .where(
            entries.c.account_key == account_key,
            entries.c.kind.in_(kinds),
            or_(entries.c.kind != EntryKind.EXPIRED_HOLD.value, ~committed_late),
        )
        .order_by(entries.c.entry_number.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(entries.c.entry_number < before)
    return [_ended_reservation(record) for record in _read(connection, query)]


def _ended_reservation(entry: EntryRecord) -> EndedReservation:
    assert entry.digest is not None
    return EndedReservation(
        account_id=entry.account_id,
        digest=entry.digest,
        state=_STATE_OF_KIND[entry.kind],
        reserved=entry.reserved,
        charged=entry.amount,
        uncollected=entry.uncollected,
        late=entry.late,
        create_time=entry.reservation_create_time,
        expire_time=entry.expire_time,
        settle_time=entry.time,
        price_version=entry.price_version,
        entry_number=entry.entry_number,
        allocations=entry.allocations,
        details=entry.details,
        settlement=entry.settlement,
    )


def _entries_of(account_id: str) -> Select[Any]:
    # The key first: then the primary key's index gives the order, whatever the planner thinks of a join.
    key = select(accounts.c.account_key).where(accounts.c.account_id == account_id).scalar_subquery()
    return select(entries).where(entries.c.account_key == key)


def _read(connection: Connection, query: Select[Any]) -> list[EntryRecord]:
    return _records(connection, connection.execute(query).all())


def _records(connection: Connection, rows: Sequence[Row[Any]], account_id: str | None = None) -> list[EntryRecord]:
    """Return rows of `entries` as records; `account_id` where all are of one account."""
    allocations = _allocations(connection, rows)
    of_key: dict[int, str] = {}
    if account_id is None and rows:
        keys = {row.account_key for row in rows}
        owners = select(accounts.c.account_key, accounts.c.account_id).where(accounts.c.account_key.in_(keys))
        of_key = {row.account_key: row.account_id for row in connection.execute(owners)}
    return [
        _record(row, account_id or of_key[row.account_key], allocations.get((row.account_key, row.entry_number), ()))
        for row in rows
    ]


def _allocations(connection: Connection, rows: Sequence[Row[Any]]) -> dict[tuple[int, int], tuple[Allocation, ...]]:
    table = entry_allocations
    found: dict[tuple[int, int], tuple[Allocation, ...]] = {}
    for start in range(0, len(rows), _ALLOCATIONS_OF_AT_ONCE):
        numbers = [(row.account_key, row.entry_number) for row in rows[start : start + _ALLOCATIONS_OF_AT_ONCE]]
        query = (
            select(table)
            .where(tuple_(table.c.account_key, table.c.entry_number).in_(numbers))
            .order_by(table.c.account_key, table.c.entry_number, table.c.position)
        )
        for row in connection.execute(query):
            number = (row.account_key, row.entry_number)
            allocation = Allocation(row.grant_number, GrantKind(row.kind), row.amount)
            found[number] = (*found.get(number, ()), allocation)
    return found


def _record(row: Row[Any], account_id: str, allocations: tuple[Allocation, ...]) -> EntryRecord:
    return EntryRecord(
        position=EntryPosition(row.time, row.account_key, row.entry_number),
        account_id=account_id,
        entry_number=row.entry_number,
        kind=EntryKind(row.kind),
        amount=row.amount,
        available_after=row.available_after,
        debt=row.debt,
        time=row.time,
        allocations=allocations,
        digest=row.digest,
        reserved=row.reserved,
        uncollected=row.uncollected,
        late=bool(row.late),
        reservation_create_time=row.reservation_create_time,
        expire_time=row.expire_time,
        price_version=row.price_version,
        content=row.content,
        request_id=row.request_id,
        admin_seq=row.admin_seq,
        grant=row.grant_number,
        grant_kind=row.grant_kind,
        details=_decode(_details_of, row.details, Details()),
        settlement=_decode(_settlement_of, row.settlement, Settlement()),
        partition=row.partition,
        seq=row.seq,
        epoch=row.epoch,
        windows=_decode(decode_windows, row.windows, ()),
    )


def _decode(decode: Callable[[str], T], packed: str, default: T) -> T:
    if not packed:
        return default
    try:
        return decode(packed)
    except (msgspec.ValidationError, msgspec.DecodeError):
        # One entry that a later release wrote differently must not make the whole history unreadable.
        return default
