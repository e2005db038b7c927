"""The ledger: one object that carries everything that is read from and written to SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import time_ns

from earmark.engine.records import StreamElement
from earmark.ledger.accounts import Accounts
from earmark.ledger.archive import SqlArchive
from earmark.ledger.audit import Audit
from earmark.ledger.billing import Billing
from earmark.ledger.catalogs import CatalogTable
from earmark.ledger.connections import Database, parse_url
from earmark.ledger.counters import LimitCounters
from earmark.ledger.entries import Entries
from earmark.ledger.flush import Flush, flush_writer
from earmark.ledger.imports import Imports
from earmark.ledger.models import FlushOutcome
from earmark.ledger.notifications import Notifications
from earmark.ledger.postgres import PostgresDatabase
from earmark.ledger.projections import Projections
from earmark.ledger.reports import Reports
from earmark.ledger.schema import check_file, check_revision
from earmark.ledger.sqlite import SqliteDatabase
from earmark.ledger.stores import Partitions, Stores

__all__ = ["Ledger", "open_ledger"]


def _system_clock() -> int:
    return time_ns() // 1000


async def open_ledger(url: str, *, clock: Callable[[], int] = _system_clock) -> Ledger:
    """Open the ledger of record.

    Args:
        url: `sqlite:///path`, `postgres://…` or `postgresql://…`; any driver that it names is replaced by ours.
        clock: Now, in microseconds since 1970, for what SQL dates by itself (`create_time`, `update_time`).

    Raises:
        Unavailable: STORE_UNAVAILABLE.
        InvalidRequest: for a URL of something else.
        SchemaMismatch: if the schema is missing, older or newer; the message says what to do.
    """
    parsed = parse_url(url)
    await asyncio.to_thread(check_file, parsed)
    database: Database
    database = SqliteDatabase(parsed) if parsed.get_backend_name() == "sqlite" else PostgresDatabase(parsed)
    flush = flush_writer(database)
    try:
        await database.read(check_revision)
    except BaseException:
        await database.close()
        raise
    return Ledger(database, flush, clock)


class Ledger:
    """The ledger of record. Safe to use from any number of tasks of one event loop.

    Every method raises `Unavailable` with STORE_UNAVAILABLE when the database is lost; a write may then have taken
    effect, and repeating it with the same ids is safe.
    """

    def __init__(self, database: Database, flush: Flush, clock: Callable[[], int]) -> None:
        self._database = database
        self._flush = flush
        self.stores = Stores(database, clock)
        self.partitions = Partitions(database)
        self.accounts = Accounts(database, clock)
        self.billing = Billing(database, clock)
        self.imports = Imports(database, clock)
        self.entries = Entries(database)
        self.catalogs = CatalogTable(database, clock)
        self.projections = Projections(database, clock)
        self.archive = SqlArchive(database, clock)
        self.audit = Audit(database, clock)
        self.reports = Reports(database)
        self.notifications = Notifications(database, clock)
        self.counters = LimitCounters(database, clock)

    async def flush(
        self,
        partition: int,
        epoch: int,
        expected_flushed_seq: int,
        elements: Sequence[tuple[int, StreamElement]],
    ) -> FlushOutcome:
        """Write settled records, in one transaction that also moves the partition's position.

        Args:
            partition: Whose stream it is.
            epoch: The flusher's; another one in SQL fences it.
            expected_flushed_seq: Where the flusher believes the partition to be; another one in SQL fences it.
            elements: The stream's next elements in order, each with the seq of its last record. At best 500 to
                10,000 records together.

        Returns:
            `Written`; `Fenced` or `Conflict` if nothing was written. A record that the ledger holds already, with
            the same content, is passed over and counted once only.
        """
        return await self._flush(partition, epoch, expected_flushed_seq, elements)

    async def close(self) -> None:
        """Close all connections. On SQLite, what is on its way ends first."""
        await self._database.close()
