"""The ledger on SQLite: one writer, a few readers, each in its thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from earmark.ledger.connections import Database, Query, Snapshot, lost_as_unavailable
from earmark.ledger.threads import background_thread

__all__ = ["SqliteDatabase"]

T = TypeVar("T")
P = ParamSpec("P")

_READERS = 3
_BUSY_SECONDS = 5.0


class SqliteDatabase(Database):
    """A SQLite file in WAL mode; a commit is durable when it returns."""

    def __init__(self, url: URL) -> None:
        self._write_engine = _engine(url, begin="BEGIN IMMEDIATE", connections=1)
        self._read_engine = _engine(url, begin="BEGIN", connections=_READERS)
        self._writer = background_thread("ledger-writer")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="ledger-reader")
        self._locked_at = 0.0
        """When the writer last gave up because another process held the file."""

    async def read(self, query: Query[T]) -> T:
        """Run a query on one snapshot."""
        return await self._run(self._readers, _in_transaction, self._read_engine, query)

    async def write(self, query: Query[T]) -> T:
        """Run a query in one transaction."""
        return await self._run(self._writer, self._write, monotonic(), query)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Keep one snapshot over several queries."""
        # A thread of its own: a long export must not keep the readers of the server waiting.
        with background_thread("ledger-snapshot") as thread:
            connection = await self._run(thread, _open_snapshot, self._read_engine)
            try:
                yield _SqliteSnapshot(self, thread, connection)
            finally:
                await asyncio.shield(self._run(thread, connection.close))

    async def close(self) -> None:
        """Give all connections back."""
        for thread in (self._writer, self._readers):
            await asyncio.to_thread(thread.shutdown)
        self._write_engine.dispose()
        self._read_engine.dispose()

    def _write(self, queued_at: float, query: Query[T]) -> T:
        """Write; while another process holds the file, nobody waits for longer than the first in the queue."""
        if queued_at <= self._locked_at:
            raise sqlite3.OperationalError("database is locked")
        try:
            return _in_transaction(self._write_engine, query)
        except OperationalError as failure:
            if getattr(failure.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                self._locked_at = monotonic()
            raise

    async def _run(
        self, threads: ThreadPoolExecutor, function: Callable[P, T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        with lost_as_unavailable():
            call = partial(function, *arguments, **named)
            return await asyncio.get_running_loop().run_in_executor(threads, call)


class _SqliteSnapshot(Snapshot):
    def __init__(self, database: SqliteDatabase, thread: ThreadPoolExecutor, connection: Connection) -> None:
        self._database = database
        self._thread = thread
        self._connection = connection

    async def run(self, query: Query[T]) -> T:
        return await self._database._run(self._thread, query, self._connection)  # noqa: SLF001  its own module


def _in_transaction(engine: Engine, query: Query[T]) -> T:
    with engine.begin() as connection:
        return query(connection)


def _open_snapshot(engine: Engine) -> Connection:
    connection = engine.connect()
    try:
        connection.begin()
        # SQLite takes its snapshot with the first read, not with BEGIN.
        connection.exec_driver_sql("SELECT count(*) FROM stores")
    except BaseException:
        connection.close()
        raise
    return connection


def _engine(url: URL, *, begin: str, connections: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=connections,
        # Exports hold their connection for long: they are opened beyond the readers' ones.
        max_overflow=-1 if connections > 1 else 0,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # Python's driver would begin transactions by its own rules, and none before DDL or a SELECT.
        connection.isolation_level = None
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "cache_size = -65536",
            # Fewer, larger checkpoints: 64 MB of pages that many flushes touch again are written once.
            "wal_autocheckpoint = 16000",
            f"query_only = {'OFF' if connections == 1 else 'ON'}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin_explicitly(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
