"""What the flushes of both databases share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from earmark.engine.operations import Configure
from earmark.ledger.flush.plan import FlushPlan
from earmark.ledger.flush.rows import EPOCH, SEQ, allocation_rows, entry_rows
from earmark.ledger.models import Conflict

__all__ = ["breathe", "breathing", "contradiction", "decode_configure", "first_difference"]

decode_configure = msgspec.msgpack.Decoder(Configure).decode

T = TypeVar("T")

_BREATH_SECONDS = 0.00005
_ROWS_A_BREATH = 64


def breathe() -> None:
    """Let the event loop have the interpreter: without this it waits 5 ms for a thread that computes."""
    time.sleep(_BREATH_SECONDS)


def breathing(rows: Iterable[T]) -> Iterator[T]:
    """Yield the rows, and let the event loop have the interpreter about every millisecond."""
    for count, row in enumerate(rows, 1):
        yield row
        if count % _ROWS_A_BREATH == 0:
            breathe()


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


def _content(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:SEQ], *row[EPOCH + 1 :])
