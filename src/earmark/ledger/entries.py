"""Reading ledger entries: pages, exports, ended reservations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from earmark.domain.ids import ReservationDigest
from earmark.domain.states import EntryKind, GrantKind, Outcome, ReservationState
from earmark.engine.operations import Details, Settlement
from earmark.ledger.administration import account_key_of
from earmark.ledger.connections import Database
from earmark.ledger.models import Allocation, EndedReservation, EntryFilter, EntryPosition, EntryRecord
from earmark.ledger.tables import accounts, entries, entry_allocations

__all__ = ["Entries"]

# Inside the class, `list` is its method.
_EntryPage = list[EntryRecord]
_EndedPage = list[EndedReservation]

T = TypeVar("T")

_ENTRY = select(entries, accounts.c.account_id).join_from(
    entries, accounts, entries.c.account_key == accounts.c.account_key
)
_POSITION = tuple_(entries.c.time, entries.c.account_key, entries.c.entry_number)

_KIND_OF_OUTCOME = {
    Outcome.SUCCEEDED: EntryKind.CHARGE,
    Outcome.FAILED: EntryKind.RELEASE,
    Outcome.EXPIRED: EntryKind.EXPIRED_HOLD,
}
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

    async def list(self, wanted: EntryFilter, limit: int, before: EntryPosition | None = None) -> _EntryPage:
        """Return a page, newest first: of one account by entry number, of all by time.

        Args:
            wanted: An unknown account has no entries.
            limit: At most so many.
            before: The position of the last entry of the page before.
        """
        return await self._database.read(lambda connection: _page(connection, wanted, limit, before))

    async def export(self, wanted: EntryFilter, chunk: int = 500) -> AsyncIterator[_EntryPage]:
        """Yield all entries that pass, oldest first, in lists of up to `chunk`, from one moment of the ledger.

        Holds one chunk in memory, and one connection until the iterator is exhausted or closed.
        """
        async with self._database.snapshot() as snapshot:
            after: EntryPosition | None = None
            while True:
                start = after
                page = await snapshot.run(lambda connection: _page(connection, wanted, chunk, start, oldest=True))  # noqa: B023
                if page:
                    yield page
                    after = page[-1].position
                if len(page) < chunk:
                    return

    async def get(self, account_id: str, entry_number: int) -> EntryRecord | None:
        """Return one entry, or None."""
        query = _ENTRY.where(accounts.c.account_id == account_id, entries.c.entry_number == entry_number)
        found = await self._database.read(lambda connection: _records(connection, query))
        return found[0] if found else None

    async def last_entry(self, account_id: str) -> EntryRecord | None:
        """Return an account's last entry, or None if it has none."""
        query = _ENTRY.where(accounts.c.account_id == account_id).order_by(entries.c.entry_number.desc()).limit(1)
        found = await self._database.read(lambda connection: _records(connection, query))
        return found[0] if found else None

    async def by_reservation(self, account_id: str, digest: ReservationDigest) -> _EntryPage:
        """Return the entries about a reservation, oldest first: how it ended, and adjustments of it."""
        # By the digest alone, which no two accounts share: SQLite would rather read the account's whole history.
        query = _ENTRY.where(entries.c.digest == digest)
        found = await self._database.read(lambda connection: _records(connection, query))
        return sorted(
            (entry for entry in found if entry.account_id == account_id), key=lambda entry: entry.entry_number
        )

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
    connection: Connection,
    wanted: EntryFilter,
    limit: int,
    start: EntryPosition | None,
    *,
    oldest: bool = False,
) -> list[EntryRecord]:
    query = _ENTRY.where(*_conditions(connection, wanted)).limit(limit)
    if wanted.account_id is not None:
        order: Sequence[ColumnElement[Any]] = [entries.c.entry_number]
        if start is not None:
            number = start.entry_number
            query = query.where(entries.c.entry_number > number if oldest else entries.c.entry_number < number)
    else:
        order = [entries.c.time, entries.c.account_key, entries.c.entry_number]
        if start is not None:
            position = tuple_(
                *(literal(number, BigInteger()) for number in (start.time, start.account_key, start.entry_number))
            )
            query = query.where(position < _POSITION if oldest else position > _POSITION)
    return _records(connection, query.order_by(*(column if oldest else column.desc() for column in order)))


def _conditions(connection: Connection, wanted: EntryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.account_id is not None:
        # The key first: then the primary key's index gives the order, whatever the planner thinks of the join.
        account = select(accounts.c.account_key).where(accounts.c.account_id == wanted.account_id)
        key = connection.execute(account).scalar_one_or_none()
        conditions.append(false() if key is None else entries.c.account_key == key)
    if wanted.start_time is not None:
        conditions.append(entries.c.time >= wanted.start_time)
    if wanted.end_time is not None:
        conditions.append(entries.c.time < wanted.end_time)
    if wanted.kinds:
        conditions.append(entries.c.kind.in_([kind.value for kind in wanted.kinds]))
    if wanted.outcome is not None:
        conditions.append(entries.c.kind == _KIND_OF_OUTCOME[wanted.outcome].value)
    for column, value in (
        (entries.c.operation, wanted.operation),
        (entries.c.user_id, wanted.user_id),
        (entries.c.project_id, wanted.project_id),
        (entries.c.request_id, wanted.request_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.digest is not None:
        # By the digest alone, see `by_reservation`: a handful of entries.
        query = select(entries.c.account_key, entries.c.entry_number).where(entries.c.digest == wanted.digest)
        found = [(row.account_key, row.entry_number) for row in connection.execute(query)]
        conditions.append(tuple_(entries.c.account_key, entries.c.entry_number).in_(found))
    if wanted.min_amount is not None:
        conditions.append(entries.c.amount >= wanted.min_amount)
    if wanted.max_amount is not None:
        conditions.append(entries.c.amount <= wanted.max_amount)
    conditions += [_has_label(connection.dialect.name, key, value) for key, value in wanted.labels.items()]
    return conditions


def _has_label(dialect: str, key: str, value: str) -> ColumnElement[bool]:
    # Entries without a reservation have no details: the empty text is no JSON, and must not be read as such.
    if dialect == "postgresql":
        details = func.nullif(entries.c.details, "").cast(JSONB)
        return details["l"].contains({key: value})
    label = func.json_each(func.nullif(entries.c.details, ""), "$.l").table_valued("key", "value")
    return exists(select(1).select_from(label).where(label.c.key == key, label.c.value == value))


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
        _ENTRY.where(
            entries.c.account_key == account_key,
            entries.c.kind.in_(kinds),
            or_(entries.c.kind != EntryKind.EXPIRED_HOLD.value, ~committed_late),
        )
        .order_by(entries.c.entry_number.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(entries.c.entry_number < before)
    return [_ended_reservation(record) for record in _records(connection, query)]


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


def _records(connection: Connection, query: Select[Any]) -> list[EntryRecord]:
    rows = connection.execute(query).all()
    allocations = _allocations(connection, rows)
    return [_record(row, allocations.get((row.account_key, row.entry_number), ())) for row in rows]


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


def _record(row: Row[Any], allocations: tuple[Allocation, ...]) -> EntryRecord:
    return EntryRecord(
        position=EntryPosition(row.time, row.account_key, row.entry_number),
        account_id=row.account_id,
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
    )


def _decode(decode: Callable[[str], T], packed: str, default: T) -> T:
    if not packed:
        return default
    try:
        return decode(packed)
    except (msgspec.ValidationError, msgspec.DecodeError):
        # One entry that a later release wrote differently must not make the whole history unreadable.
        return default
