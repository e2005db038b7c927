"""The flush on SQLite: one transaction, in the writer's thread, through the driver itself.

Measured: SQLAlchemy's `executemany` costs 20 µs a row more than the driver's, which gives the interpreter free at each
of them. Statements of several rows were tried: SQLite copies every value once more, and they take as long or longer.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from earmark.engine.records import StreamElement
from earmark.ledger.flush.alerts import DELIVERY_COLUMNS, NOTIFICATION_COLUMNS, deliveries
from earmark.ledger.flush.plan import FlushPlan, Standing, account_ids_of, plan_flush
from earmark.ledger.flush.rows import ALLOCATION_COLUMNS, ENTRY_COLUMNS, allocation_rows, entry_rows
from earmark.ledger.flush.shared import (
    CONFIGURATION,
    ROWS_A_BREATH,
    breathe,
    breathing,
    configuration,
    contradiction,
    first_difference,
)
from earmark.ledger.flush.usage import UsageDeltas
from earmark.ledger.models import Conflict, Fenced, FlushOutcome, Written
from earmark.ledger.sqlite import SqliteDatabase
from earmark.ledger.stores import read_position

__all__ = ["SqliteFlush"]

_MOVE = "UPDATE partitions SET flushed_seq = ? WHERE partition = ? AND epoch = ? AND flushed_seq = ?"
_STANDINGS = """
    SELECT account_id, account_key, partition, entry_number, admin_seq, applied_admin_seq
    FROM accounts JOIN account_totals USING (account_key)
    WHERE account_id IN (SELECT value FROM json_each(?))
"""
_KNOWN_ENTRIES = f"""
    SELECT {", ".join(ENTRY_COLUMNS)} FROM entries WHERE (account_key, entry_number) IN
    (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))
"""  # noqa: S608  constant names
_KNOWN_ALLOCATIONS = f"""
    SELECT {", ".join(ALLOCATION_COLUMNS)} FROM entry_allocations WHERE (account_key, entry_number) IN
    (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))
"""  # noqa: S608  constant names
_INSERT_ENTRIES = f"INSERT INTO entries ({', '.join(ENTRY_COLUMNS)}) VALUES ({', '.join('?' * len(ENTRY_COLUMNS))})"  # noqa: S608
_INSERT_ALLOCATIONS = f"INSERT INTO entry_allocations ({', '.join(ALLOCATION_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
_UPDATE_TOTALS = """
    UPDATE account_totals SET entry_number = ?, applied_admin_seq = ?, granted = granted + ?, charged = charged + ?,
        expired = expired + ?, voided = voided + ?, borrowed = borrowed + ?, repaid = repaid + ?,
        uncollected = uncollected + ?
    WHERE account_key = ?
"""
_UPDATE_GRANTS = """
    UPDATE grants SET state = max(state, ?2), void = void OR ?3, charged = charged + ?4, expired = expired + ?5,
        voided = voided + ?6, repaid = repaid + ?7,
        open = max(state, ?2) = 1 AND amount > charged + ?4 + expired + ?5 + voided + ?6 + repaid + ?7
    WHERE account_key = ?1 AND grant_number = ?8
"""
# Without a column of the partial indexes: SQLite would write both anew for each grant, changed or not.
_USE_GRANTS = """
    UPDATE grants SET charged = charged + ?3, expired = expired + ?4, voided = voided + ?5, repaid = repaid + ?6
    WHERE account_key = ?1 AND grant_number = ?2
"""
_CLOSE_GRANTS = """
    UPDATE grants SET open = 0
    WHERE account_key = ?1 AND grant_number = ?2 AND open AND amount = charged + expired + voided + repaid
"""
_APPLIED = "UPDATE admin_operations SET state = 1 WHERE account_key = ? AND admin_seq = ?"
_REFUSED = "UPDATE admin_operations SET state = 2, refusal = ?3 WHERE account_key = ?1 AND admin_seq = ?2"
_REFUSED_GRANTS = "UPDATE grants SET state = 2 WHERE account_key = ?1 AND grant_number = ?2"
_OPERATION = "SELECT operation FROM admin_operations WHERE account_key = ? AND admin_seq = ?"
_CONFIGURE = f"""
    UPDATE account_totals SET {", ".join(f"{column} = coalesce(?, {column})" for column in CONFIGURATION)}
    WHERE account_key = ?
"""  # noqa: S608  constant names
_CARRY = "UPDATE account_totals SET carry_room = ?2 WHERE account_key = ?1"
_COUNT = """
    INSERT INTO limit_counters (account_key, key, start_time, end_time, used) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (account_key, key, start_time) DO UPDATE SET used = used + excluded.used
"""
_CONTACTS = "SELECT account_key, contacts FROM accounts WHERE account_key IN (SELECT value FROM json_each(?))"
_NOTIFY = f"""
    INSERT INTO notifications ({", ".join(NOTIFICATION_COLUMNS)}) VALUES ({", ".join("?" * len(NOTIFICATION_COLUMNS))})
    ON CONFLICT (notification_id) DO NOTHING
"""  # noqa: S608  constant names
_DELIVER = f"""
    INSERT INTO notification_deliveries (notification_key, {", ".join(DELIVERY_COLUMNS)})
    SELECT notification_key, {", ".join("?" * len(DELIVERY_COLUMNS))} FROM notifications WHERE notification_id = ?
    ON CONFLICT (notification_key, position) DO NOTHING
"""  # noqa: S608  constant names


class _NothingWrittenError(Exception):
    """Rolls the transaction back with an answer."""

    def __init__(self, outcome: Fenced | Conflict) -> None:
        super().__init__()
        self.outcome = outcome


class SqliteFlush:
    """See `Ledger.flush`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def __call__(
        self,
        partition: int,
        epoch: int,
        expected_flushed_seq: int,
        elements: Sequence[tuple[int, StreamElement]],
    ) -> FlushOutcome:
        """Write the elements, or nothing."""
        try:
            return await self._database.write(
                lambda connection: _flush(connection, partition, epoch, expected_flushed_seq, elements)
            )
        except _NothingWrittenError as nothing:
            return nothing.outcome
        except sqlite3.IntegrityError as problem:
            return contradiction(problem)


def _flush(
    connection: Connection,
    partition: int,
    epoch: int,
    expected_flushed_seq: int,
    elements: Sequence[tuple[int, StreamElement]],
) -> Written:
    driver: Any = connection.connection.driver_connection
    flushed_seq = elements[-1][0] if elements else expected_flushed_seq
    moved = driver.execute(_MOVE, (flushed_seq, partition, epoch, expected_flushed_seq))
    if moved.rowcount != 1:
        raise _NothingWrittenError(Fenced(read_position(connection, partition)))
    rows = driver.execute(_STANDINGS, (json.dumps(account_ids_of(elements)),))
    standings = {account_id: Standing(*row) for account_id, *row in rows}
    plan = plan_flush(partition, expected_flushed_seq, elements, standings, breathe)
    if isinstance(plan, Conflict):
        raise _NothingWrittenError(plan)
    if plan.known:
        numbers = json.dumps([(key, record.entry_number) for key, _, _, record in plan.known])
        known = driver.execute(_KNOWN_ENTRIES, (numbers,)), driver.execute(_KNOWN_ALLOCATIONS, (numbers,))
        difference = first_difference(partition, plan, *known)
        if difference is not None:
            raise _NothingWrittenError(difference)
    usage = UsageDeltas()
    # Account by account, each by its numbers: rows that follow each other meet the same pages of the indexes. As lists,
    # so that the driver runs no Python between two of them.
    entries = sorted(plan.entries, key=itemgetter(0))
    for start in range(0, len(entries), ROWS_A_BREATH):
        some = entries[start : start + ROWS_A_BREATH]
        driver.executemany(_INSERT_ENTRIES, list(usage.counting(some, entry_rows(partition, some))))
        driver.executemany(_INSERT_ALLOCATIONS, list(allocation_rows(some)))
        breathe()
    _project(driver, plan)
    for rollup, rows in usage.rows():
        values = f"VALUES ({', '.join('?' * len(rollup.types))})"
        driver.executemany(rollup.addition(values, "min"), breathing(rows))
    return Written(plan.flushed_seq, len(plan.entries), len(plan.known) + plan.passed_over)


def _project(driver: Any, plan: FlushPlan) -> None:
    driver.executemany(
        _UPDATE_TOTALS,
        breathing(
            (
                total.entry_number,
                total.applied_admin_seq,
                total.granted,
                total.charged,
                total.expired,
                total.voided,
                total.borrowed,
                total.repaid,
                total.uncollected,
                total.account_key,
            )
            for total in plan.changed_accounts
        ),
    )
    grants = plan.changed_grants
    opened = [
        (
            grant.account_key,
            int(grant.applied),
            grant.void,
            grant.charged,
            grant.expired,
            grant.voided,
            grant.repaid,
            grant.grant_number,
        )
        for grant in grants
        if grant.applied or grant.void
    ]
    used = [
        (grant.account_key, grant.grant_number, grant.charged, grant.expired, grant.voided, grant.repaid)
        for grant in grants
        if not (grant.applied or grant.void)
    ]
    updated = driver.executemany(_UPDATE_GRANTS, opened).rowcount if opened else 0
    updated += driver.executemany(_USE_GRANTS, breathing(used)).rowcount if used else 0
    if updated != len(grants):
        raise _NothingWrittenError(Conflict("", 0, "the records name a grant that the ledger does not know"))
    driver.executemany(_CLOSE_GRANTS, breathing(row[:2] for row in used))
    driver.executemany(_APPLIED, plan.applied)
    driver.executemany(_REFUSED, plan.refused)
    driver.executemany(_REFUSED_GRANTS, [(key, admin_seq) for key, admin_seq, _ in plan.refused])
    for key, admin_seq in plan.configuring:
        (packed,) = driver.execute(_OPERATION, (key, admin_seq)).fetchone()
        changed = configuration(packed)
        if changed is not None:
            driver.execute(_CONFIGURE, (*changed, key))
    # After the renewals: what an ending left of the room is later.
    driver.executemany(_CARRY, plan.carry_rooms.items())
    driver.executemany(_COUNT, plan.changed_counters)
    if plan.notifications:
        _notify(driver, plan)


def _notify(driver: Any, plan: FlushPlan) -> None:
    driver.executemany(_NOTIFY, plan.notifications)
    keys = json.dumps([notification[1] for notification in plan.notifications])
    contacts = dict(driver.execute(_CONTACTS, (keys,)).fetchall())
    driver.executemany(
        _DELIVER,
        [
            (*delivery, notification[0])
            for notification in plan.notifications
            for delivery in deliveries(contacts[notification[1]])
        ],
    )
