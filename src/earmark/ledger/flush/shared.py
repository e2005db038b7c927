"""What the flushes of both databases share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from earmark.engine.operations import ABSENT, Configure, Renew
from earmark.ledger.administration import decode_operation
from earmark.ledger.flush.plan import FlushPlan
from earmark.ledger.flush.rows import EPOCH, SEQ, allocation_rows, entry_rows
from earmark.ledger.models import Conflict

__all__ = [
    "CONFIGURATION",
    "ROWS_A_BREATH",
    "breathe",
    "breathing",
    "configuration",
    "contradiction",
    "first_difference",
]

CONFIGURATION = (
    "suspended",
    "enforcement",
    "overdraft_limit",
    "config_seq",
    "low_balance",
    "critical_balance",
    "cycle_seq",
    "carry_kinds",
)
"""Columns of an account's totals that administrative operations set."""

T = TypeVar("T")

_BREATH_SECONDS = 0.00005
ROWS_A_BREATH = 64
"""About a millisecond."""


def breathe() -> None:
    """Let the event loop have the interpreter: without this it waits 5 ms for a thread that computes."""
    time.sleep(_BREATH_SECONDS)


def breathing(rows: Iterable[T]) -> Iterator[T]:
    """Yield the rows, and let the event loop have the interpreter about every millisecond."""
    for count, row in enumerate(rows, 1):
        yield row
        if count % ROWS_A_BREATH == 0:
            breathe()


def configuration(packed: bytes) -> tuple[int | None, ...] | None:
    """Return what a recorded operation sets, in the order of CONFIGURATION; None where it leaves what is there."""
    match decode_operation(packed):
        case Configure() as change:
            return (
                change.suspended,
                change.enforcement,
                change.overdraft_limit,
                _or_none(change.config_seq),
                change.low_balance,
                change.critical_balance,
                None,
                None,
            )
        case Renew() as renewal:
            cycle = (None, None) if renewal.cap == ABSENT else (renewal.admin_seq, renewal.kinds)
            return (None, None, None, _or_none(renewal.config_seq), None, None, *cycle)
        case _:
            return None


def first_difference(
    partition: int,
    plan: FlushPlan,
    stored_entries: Iterable[tuple[Any, ...]],
    stored_allocations: Iterable[tuple[Any, ...]],
) -> Conflict | None:
    """Compare the plan's known entries with what the ledger holds under their numbers.

    Seq and epoch do not count: they say how an entry came here, not what it says.
    """
    entries: dict[tuple[Any, ...], tuple[Any, ...]] = {row[:2]: _content(row) for row in stored_entries}
    allocations: dict[tuple[Any, ...], set[tuple[Any, ...]]] = {}
    for row in stored_allocations:
        allocations.setdefault(row[:2], set()).add(row)
    for planned, row in zip(plan.known, entry_rows(partition, plan.known), strict=True):
        record, number = planned[3], row[:2]
        same_allocations = set(allocation_rows([planned])) == allocations.get(number, set())
        if entries.get(number) != _content(row) or not same_allocations:
            return Conflict(
                record.account_id,
                record.entry_number,
                f"account {record.account_id!r}, entry {record.entry_number}: the ledger holds another content",
            )
    return None


def contradiction(problem: object) -> Conflict:
    """Return the conflict for totals that the database's checks refuse."""
    return Conflict("", 0, f"the records contradict the ledger's totals: {str(problem).splitlines()[0]}")


def _or_none(number: int) -> int | None:
    return None if number == ABSENT else number


def _content(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:SEQ], *row[EPOCH + 1 :])
