"""The flush on PostgreSQL: COPY in the binary format for the rows, arrays for the totals, on asyncpg itself.

Measured: COPY takes a third of the server's time of a multi-row INSERT. Its bytes are made here, in a thread, because
asyncpg's `copy_records_to_table` would encode them on the event loop, field by field.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from struct import Struct
from typing import Any

from earmark.engine.records import StreamElement
from earmark.ledger.flush.alerts import DELIVERY_COLUMNS, NOTIFICATION_COLUMNS, deliveries
from earmark.ledger.flush.plan import FlushPlan, Standing, account_ids_of, plan_flush
from earmark.ledger.flush.rows import ALLOCATION_COLUMNS, ENTRY_COLUMNS, NUMBERS, allocation_rows, entry_rows
from earmark.ledger.flush.shared import CONFIGURATION, breathe, configuration, contradiction, first_difference
from earmark.ledger.flush.usage import UsageDeltas
from earmark.ledger.models import Conflict, Fenced, FlushOutcome, PartitionPosition, Written
from earmark.ledger.postgres import PostgresDatabase

__all__ = ["PostgresFlush"]

_MOVE = "UPDATE partitions SET flushed_seq = $1 WHERE partition = $2 AND epoch = $3 AND flushed_seq = $4"
_POSITION = "SELECT epoch, flushed_seq FROM partitions WHERE partition = $1"
_STANDINGS = """
    SELECT account_id, account_key, partition, entry_number, admin_seq, applied_admin_seq
    FROM accounts JOIN account_totals USING (account_key)
    WHERE account_id = ANY($1::text[])
"""
_KNOWN_ENTRIES = f"""
    SELECT {", ".join(ENTRY_COLUMNS)} FROM entries
    WHERE (account_key, entry_number) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
"""  # noqa: S608  constant names
_KNOWN_ALLOCATIONS = f"""
    SELECT {", ".join(ALLOCATION_COLUMNS)} FROM entry_allocations
    WHERE (account_key, entry_number) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
"""  # noqa: S608  constant names
_UPDATE_TOTALS = """
    UPDATE account_totals AS t SET
        entry_number = d.entry_number, applied_admin_seq = d.applied_admin_seq, granted = t.granted + d.granted,
        charged = t.charged + d.charged, expired = t.expired + d.expired, voided = t.voided + d.voided,
        borrowed = t.borrowed + d.borrowed, repaid = t.repaid + d.repaid, uncollected = t.uncollected + d.uncollected
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::bigint[])
        AS d (account_key, entry_number, applied_admin_seq, granted, charged, expired, voided, borrowed, repaid,
        uncollected)
    WHERE t.account_key = d.account_key
"""
_UPDATE_GRANTS = """
    UPDATE grants AS g SET
        state = greatest(g.state, d.state), void = g.void OR d.void, charged = g.charged + d.charged,
        expired = g.expired + d.expired, voided = g.voided + d.voided, repaid = g.repaid + d.repaid,
        open = greatest(g.state, d.state) = 1 AND g.amount > g.charged + d.charged + g.expired + d.expired
            + g.voided + d.voided + g.repaid + d.repaid
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[])
        AS d (account_key, grant_number, state, void, charged, expired, voided, repaid)
    WHERE g.account_key = d.account_key AND g.grant_number = d.grant_number
"""
_APPLIED = "UPDATE admin_operations SET state = 1 WHERE account_key = $1 AND admin_seq = $2"
_REFUSED = "UPDATE admin_operations SET state = 2, refusal = $3 WHERE account_key = $1 AND admin_seq = $2"
_REFUSED_GRANTS = "UPDATE grants SET state = 2 WHERE account_key = $1 AND grant_number = $2"
_OPERATIONS = """
    SELECT account_key, admin_seq, operation FROM admin_operations
    WHERE (account_key, admin_seq) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
"""
_CONFIGURE = f"""
    UPDATE account_totals SET
        {", ".join(f"{column} = coalesce(${at}, {column})" for at, column in enumerate(CONFIGURATION, 2))}
    WHERE account_key = $1
"""  # noqa: S608  constant names
_CARRY = "UPDATE account_totals SET carry_room = $2 WHERE account_key = $1"
_COUNT = """
    INSERT INTO limit_counters AS c (account_key, key, start_time, end_time, used)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    ON CONFLICT (account_key, key, start_time) DO UPDATE SET used = c.used + excluded.used
"""
_CONTACTS = "SELECT account_key, contacts FROM accounts WHERE account_key = ANY($1::bigint[])"
_NOTIFY = f"""
    INSERT INTO notifications ({", ".join(NOTIFICATION_COLUMNS)})
    VALUES ({", ".join(f"${at}" for at in range(1, len(NOTIFICATION_COLUMNS) + 1))})
    ON CONFLICT (notification_id) DO NOTHING
"""  # noqa: S608  constant names
_DELIVER = f"""
    INSERT INTO notification_deliveries (notification_key, {", ".join(DELIVERY_COLUMNS)})
    SELECT notification_key, $2::smallint, $3, $4, $5::smallint, $6::integer, $7, $8::bigint, $9::bigint
    FROM notifications WHERE notification_id = $1
    ON CONFLICT (notification_key, position) DO NOTHING
"""  # noqa: S608  constant names

# COPY's binary format: a signature, then for each row the number of fields and each field with its length in bytes.
_COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_SMALL = frozenset({"partition", "kind", "grant_kind", "late", "position"})
_MIDDLE = frozenset({"price_version"})
_LENGTH = Struct(">i")
# About a millisecond of packing: between two chunks the event loop has the interpreter.
_ROWS_A_CHUNK = 128


class _NumberPacker:
    """Packs the integer columns of a row in one call."""

    def __init__(self, columns: Sequence[str], fields: int) -> None:
        layout, self._template = ">h", [fields]
        for column in columns:
            letter, size = ("h", 2) if column in _SMALL else ("i", 4) if column in _MIDDLE else ("q", 8)
            layout += "i" + letter
            self._template += (size, 0)
        self._pack = Struct(layout).pack

    def __call__(self, numbers: Sequence[Any]) -> bytes:
        fields = self._template.copy()
        fields[2::2] = numbers
        return self._pack(*fields)


_pack_entry = _NumberPacker(ENTRY_COLUMNS[:NUMBERS], len(ENTRY_COLUMNS))
_pack_allocation = _NumberPacker(ALLOCATION_COLUMNS, len(ALLOCATION_COLUMNS))


class _NothingWrittenError(Exception):
    """Rolls the transaction back with an answer."""

    def __init__(self, outcome: Fenced | Conflict) -> None:
        super().__init__()
        self.outcome = outcome


class PostgresFlush:
    """See `Ledger.flush`."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def __call__(
        self,
        partition: int,
        epoch: int,
        expected_flushed_seq: int,
        elements: Sequence[tuple[int, StreamElement]],
    ) -> FlushOutcome:
        """Write the elements, or nothing."""
        # asyncpg is installed only where PostgreSQL is used.
        from asyncpg.exceptions import IntegrityConstraintViolationError

        async with self._database.driver_connection() as driver:
            try:
                async with driver.transaction():
                    return await self._flush(driver, partition, epoch, expected_flushed_seq, elements)
            except _NothingWrittenError as nothing:
                return nothing.outcome
            except IntegrityConstraintViolationError as problem:
                return contradiction(problem)

    async def _flush(
        self,
        driver: Any,
        partition: int,
        epoch: int,
        expected_flushed_seq: int,
        elements: Sequence[tuple[int, StreamElement]],
    ) -> Written:
        loop = asyncio.get_running_loop()
        flushed_seq = elements[-1][0] if elements else expected_flushed_seq
        if await driver.execute(_MOVE, flushed_seq, partition, epoch, expected_flushed_seq) != "UPDATE 1":
            position = await driver.fetchrow(_POSITION, partition)
            raise _NothingWrittenError(Fenced(position and PartitionPosition(*position)))
        account_ids = await loop.run_in_executor(self._database.worker, account_ids_of, elements)
        rows = await driver.fetch(_STANDINGS, account_ids)
        standings = {account_id: Standing(*standing) for account_id, *standing in rows}
        plan = await loop.run_in_executor(
            self._database.worker, plan_flush, partition, expected_flushed_seq, elements, standings, breathe
        )
        if isinstance(plan, Conflict):
            raise _NothingWrittenError(plan)
        if plan.known:
            await _compare(driver, partition, plan)
        usage = UsageDeltas()
        if plan.entries:
            entries = map(_entry_bytes, usage.counting(plan.entries, entry_rows(partition, plan.entries)))
            await self._copy(driver, "entries", ENTRY_COLUMNS, entries)
            allocations = map(_pack_allocation, allocation_rows(plan.entries))
            await self._copy(driver, "entry_allocations", ALLOCATION_COLUMNS, allocations)
        await _project(driver, plan)
        for rollup, rows in await loop.run_in_executor(self._database.worker, list, usage.rows()):
            arrays = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(rollup.types, 1))
            addition = rollup.addition(f"SELECT * FROM unnest({arrays})", "least")  # noqa: S608  constant names
            await driver.execute(addition, *map(list, zip(*rows, strict=True)))
        return Written(plan.flushed_seq, len(plan.entries), len(plan.known) + plan.passed_over)

    async def _copy(self, driver: Any, table: str, columns: Sequence[str], rows: Iterable[bytes]) -> None:
        """Send rows; the server takes one chunk while the thread packs the next."""

        async def source() -> AsyncIterator[bytes]:
            chunks = _chunks(rows)
            while chunk := await asyncio.get_running_loop().run_in_executor(self._database.worker, next, chunks, b""):
                yield chunk

        await driver.copy_to_table(table, source=source(), columns=columns, format="binary")


async def _compare(driver: Any, partition: int, plan: FlushPlan) -> None:
    keys = [key for key, _, _, _ in plan.known]
    numbers = [record.entry_number for _, _, _, record in plan.known]
    difference = first_difference(
        partition,
        plan,
        map(tuple, await driver.fetch(_KNOWN_ENTRIES, keys, numbers)),
        map(tuple, await driver.fetch(_KNOWN_ALLOCATIONS, keys, numbers)),
    )
    if difference is not None:
        raise _NothingWrittenError(difference)


async def _project(driver: Any, plan: FlushPlan) -> None:
    totals = plan.changed_accounts
    if totals:
        await driver.execute(
            _UPDATE_TOTALS,
            [total.account_key for total in totals],
            [total.entry_number for total in totals],
            [total.applied_admin_seq for total in totals],
            [total.granted for total in totals],
            [total.charged for total in totals],
            [total.expired for total in totals],
            [total.voided for total in totals],
            [total.borrowed for total in totals],
            [total.repaid for total in totals],
            [total.uncollected for total in totals],
        )
    grants = plan.changed_grants
    if grants:
        updated = await driver.execute(
            _UPDATE_GRANTS,
            [grant.account_key for grant in grants],
            [grant.grant_number for grant in grants],
            [int(grant.applied) for grant in grants],
            [grant.void for grant in grants],
            [grant.charged for grant in grants],
            [grant.expired for grant in grants],
            [grant.voided for grant in grants],
            [grant.repaid for grant in grants],
        )
        if updated != f"UPDATE {len(grants)}":
            raise _NothingWrittenError(Conflict("", 0, "the records name a grant that the ledger does not know"))
    if plan.applied:
        await driver.executemany(_APPLIED, plan.applied)
    if plan.refused:
        await driver.executemany(_REFUSED, plan.refused)
        await driver.executemany(_REFUSED_GRANTS, [(key, admin_seq) for key, admin_seq, _ in plan.refused])
    if plan.configuring:
        await _configure(driver, plan)
    if plan.carry_rooms:
        # After the renewals: what an ending left of the room is later.
        await driver.executemany(_CARRY, list(plan.carry_rooms.items()))
    if plan.counters:
        await driver.execute(_COUNT, *map(list, zip(*plan.changed_counters, strict=True)))
    if plan.notifications:
        await _notify(driver, plan)


async def _configure(driver: Any, plan: FlushPlan) -> None:
    keys, numbers = map(list, zip(*plan.configuring, strict=True))
    packed = {(key, number): operation for key, number, operation in await driver.fetch(_OPERATIONS, keys, numbers)}
    for key, number in plan.configuring:
        changed = configuration(packed[key, number])
        if changed is not None:
            await driver.execute(_CONFIGURE, key, *changed)


async def _notify(driver: Any, plan: FlushPlan) -> None:
    await driver.executemany(_NOTIFY, plan.notifications)
    keys = [notification[1] for notification in plan.notifications]
    contacts = dict(map(tuple, await driver.fetch(_CONTACTS, keys)))
    rows = [
        (notification[0], *delivery)
        for notification in plan.notifications
        for delivery in deliveries(contacts[notification[1]])
    ]
    if rows:
        await driver.executemany(_DELIVER, rows)


def _entry_bytes(row: Sequence[Any]) -> bytes:
    packed = bytearray(_pack_entry(row[:NUMBERS]))
    for text in row[NUMBERS:]:
        if text is None:
            packed += _NULL
        else:
            raw = text.encode()
            packed += _LENGTH.pack(len(raw)) + raw
    return bytes(packed)


def _chunks(rows: Iterable[bytes]) -> Iterator[bytes]:
    chunk = bytearray(_COPY_BEGIN)
    for count, row in enumerate(rows, 1):
        chunk += row
        if count % _ROWS_A_CHUNK == 0:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk + _COPY_END)
