"""The ledger on PostgreSQL, through asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from earmark.ledger.connections import Database, Query, Snapshot, lost_as_unavailable
from earmark.ledger.threads import background_thread

__all__ = ["PostgresDatabase", "postgres_engine"]

T = TypeVar("T")

_CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 60.0
_IDLE_MILLISECONDS = 60_000


def postgres_engine(url: URL, *, statement_seconds: float | None = _STATEMENT_SECONDS) -> AsyncEngine:
    """Return an engine; `statement_seconds` None lets a statement take any time, for migrations."""
    query = dict(url.query)
    # libpq's name, in URLs that people copy, is sslmode; asyncpg takes the same values as ssl.
    if "sslmode" in query and "ssl" not in query:
        query["ssl"] = query.pop("sslmode")
    return create_async_engine(
        url.set(query=query),
        pool_size=8,
        max_overflow=8,
        pool_timeout=_CONNECT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "command_timeout": statement_seconds,
            # Statements here are short: compiling them costs more than it gains.
            "server_settings": {
                "application_name": "earmark",
                "jit": "off",
                # A flusher that is stopped in the middle must not keep its partition's row from its successor for ever.
                "idle_in_transaction_session_timeout": str(_IDLE_MILLISECONDS),
            },
        },
    )


class PostgresDatabase(Database):
    """A PostgreSQL database."""

    def __init__(self, url: URL) -> None:
        self._engine = postgres_engine(url)
        self.worker = background_thread("ledger-flush")
        """Where rows are packed for COPY, beside the event loop."""
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    async def read(self, query: Query[T]) -> T:
        """Run a query on one snapshot."""
        with lost_as_unavailable():
            async with self._snapshots.begin() as connection:
                return await connection.run_sync(query)

    async def write(self, query: Query[T]) -> T:
        """Run a query in one transaction."""
        with lost_as_unavailable():
            async with self._engine.begin() as connection:
                return await connection.run_sync(query)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Keep one snapshot over several queries."""
        with lost_as_unavailable():
            async with self._snapshots.begin() as connection:
                # A slow reader of an export may take its time; the snapshot begins with the first query.
                await connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
                await connection.exec_driver_sql("SELECT 1")
                yield _PostgresSnapshot(connection)

    @asynccontextmanager
    async def driver_connection(self) -> AsyncIterator[Any]:
        """Lend asyncpg's own connection, outside any transaction: for COPY, which SQLAlchemy does not offer."""
        with lost_as_unavailable():
            async with self._engine.connect() as connection:
                raw = await connection.get_raw_connection()
                try:
                    yield raw.driver_connection
                except BaseException:
                    # Cancelled or lost in the middle, it may be inside a transaction: nobody else may get it.
                    await connection.invalidate()
                    raise

    async def close(self) -> None:
        """Give all connections back."""
        await self._engine.dispose()
        await asyncio.to_thread(self.worker.shutdown)


class _PostgresSnapshot(Snapshot):
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def run(self, query: Query[T]) -> T:
        with lost_as_unavailable():
            return await self._connection.run_sync(query)
