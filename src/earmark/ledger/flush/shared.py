"""What the flushes of both databases share."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from earmark.engine.operations import Configure
from earmark.ledger.flush.plan import FlushPlan
from earmark.ledger.flush.rows import EPOCH, SEQ, allocation_rows, entry_rows
from earmark.ledger.models import Conflict

__all__ = ["breathe", "contradiction", "decode_configure", "first_difference"]

decode_configure = msgspec.msgpack.Decoder(Configure).decode

_BREATH_SECONDS = 0.00005


def breathe() -> None:
    """Let the event loop have the interpreter: without this it waits 5 ms for a thread that computes."""
    time.sleep(_BREATH_SECONDS)


def first_difference(
    partition: int,
    plan: FlushPlan,
    stored_entries: Iterable[tuple[Any, ...]],
    stored_allocations: Iterable[tuple[Any, ...]],
) -> Conflict | None:
    """Compare the plan's known entries with what the ledger holds under their numbers.

    Seq and epoch do not count: they say how an entry came here, not what it says.
    """
    entries = {(row[0], row[1]): _content(row) for row in stored_entries}
    allocations = set(map(tuple, stored_allocations))
    for planned, row in zip(plan.known, entry_rows(partition, plan.known), strict=True):
        key, record = planned[0], planned[3]
        expected = set(allocation_rows([planned]))
        held = {row for row in allocations if row[0] == key and row[1] == record.entry_number}
        if entries.get((key, record.entry_number)) != _content(row) or expected != held:
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
