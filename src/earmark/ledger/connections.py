"""How the ledger reaches its database: every query is a plain function of one SQLAlchemy connection.

SQLite runs such a function as a whole in a thread of its own: one hop for a transaction instead of one for each
statement, and the rows are converted there as well. PostgreSQL runs it on asyncpg.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from earmark.errors import EarmarkError, Reason, error

__all__ = ["Database", "Query", "Snapshot", "lost_as_unavailable", "parse_url"]

T = TypeVar("T")
Query = Callable[[Connection], T]

# SQLSTATE classes: no connection, wrong credentials, no such database, rolled back, out of resources, operator.
_LOST_CLASSES = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58"})


class Snapshot(ABC):
    """One moment of the ledger; whatever is run on it sees no later write."""

    @abstractmethod
    async def run(self, query: Query[T]) -> T:
        """Run a query on this moment."""


class Database(ABC):
    """A database that holds a ledger. Every method raises `Unavailable` when it is lost."""

    @abstractmethod
    async def read(self, query: Query[T]) -> T:
        """Run a query on one snapshot."""

    @abstractmethod
    async def write(self, query: Query[T]) -> T:
        """Run a query in one transaction; an exception of the query rolls it back.

        A cancelled caller does not know whether the transaction took effect.
        """

    @abstractmethod
    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Keep one snapshot over several queries, for exports; holds a connection meanwhile."""

    @abstractmethod
    async def close(self) -> None:
        """Give all connections back; the ledger is useless afterwards."""


def parse_url(url: str) -> URL:
    """Return the URL with the driver that the ledger uses.

    Raises:
        InvalidRequest: for anything but `sqlite:///path`, `postgres://…` and `postgresql://…`.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise error(
            Reason.INVALID_ARGUMENT,
            "the database URL is malformed: it looks like sqlite:///path or postgresql://user:password@host/name",
            field="database_url",
        ) from None
    match parsed.drivername.partition("+")[0]:
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return parsed.set(drivername="sqlite")
        case "sqlite":
            raise error(
                Reason.INVALID_ARGUMENT,
                "the ledger needs a SQLite file: sqlite:///path",
                field="database_url",
            )
        case "postgres" | "postgresql":
            return parsed.set(drivername="postgresql+asyncpg")
        case other:
            raise error(
                Reason.INVALID_ARGUMENT,
                f"the ledger runs on SQLite and PostgreSQL, not on {other!r}",
                field="database_url",
            )


@contextmanager
def lost_as_unavailable() -> Iterator[None]:
    """Turn the loss of the database into STORE_UNAVAILABLE; what is a bug passes as it is."""
    try:
        yield
    except EarmarkError:
        raise
    except (DBAPIError, PoolTimeout, sqlite3.Error, OSError, TimeoutError, EOFError) as problem:
        if not _is_loss(problem):
            raise
        raise _unavailable(problem) from problem
    except Exception as problem:
        # asyncpg's own exceptions, without importing it where only SQLite is installed.
        state = getattr(problem, "sqlstate", None)
        foreign = not type(problem).__module__.startswith("asyncpg.")
        if foreign or (isinstance(state, str) and state[:2] not in _LOST_CLASSES):
            raise
        raise _unavailable(problem) from problem


def _is_loss(problem: BaseException) -> bool:
    match problem:
        case DatabaseError() | sqlite3.DatabaseError() if type(problem) in {DatabaseError, sqlite3.DatabaseError}:
            # SQLite says it so when the file is damaged, or is none of its own.
            return True
        case OperationalError() | InterfaceError() | sqlite3.OperationalError() | sqlite3.InterfaceError():
            return True
        case DBAPIError():
            state = getattr(problem.orig, "sqlstate", None)
            return problem.connection_invalidated or (isinstance(state, str) and state[:2] in _LOST_CLASSES)
        case sqlite3.Error():
            return False
        case _:
            return True


def _unavailable(problem: BaseException) -> EarmarkError:
    cause = problem.orig if isinstance(problem, DBAPIError) and problem.orig is not None else problem
    lines = str(cause).splitlines()
    why = lines[0] if lines else type(cause).__name__
    return error(Reason.STORE_UNAVAILABLE, f"the ledger database cannot be reached: {why}")
