"""What the flushes of both databases share, and which one a database takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from earmark.engine.records import StreamElement
from earmark.ledger.connections import Database
from earmark.ledger.flush.postgres import PostgresFlush
from earmark.ledger.flush.sqlite import SqliteFlush
from earmark.ledger.models import FlushOutcome
from earmark.ledger.postgres import PostgresDatabase
from earmark.ledger.sqlite import SqliteDatabase

__all__ = ["Flush", "flush_writer"]


class Flush(Protocol):
    """Writes settled records; see `Ledger.flush`."""

    async def __call__(
        self,
        partition: int,
        epoch: int,
        expected_flushed_seq: int,
        elements: Sequence[tuple[int, StreamElement]],
    ) -> FlushOutcome:
        """Write the elements, or nothing."""
        ...


def flush_writer(database: Database) -> Flush:
    """Return the flush for a database."""
    match database:
        case SqliteDatabase():
            return SqliteFlush(database)
        case PostgresDatabase():
            return PostgresFlush(database)
        case _:
            raise TypeError(f"no flush for {type(database).__name__}")
