"""Every test of the ledger runs on a real SQLite file and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from earmark.ledger import Ledger, open_ledger, upgrade
from tests.support.postgres import PostgresServer, shared_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of a worker."""
    with shared_postgres() as server:
        server.make_template()
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables; of SQLite the file does not exist."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.empty_database()


@pytest.fixture(params=["sqlite", "postgresql"])
async def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with the newest schema and no rows."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/ledger.db"
        await upgrade(url)
        return url
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.fresh_database()


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    """An initialised ledger with four partitions, in which every account of `accounts_of` has a place."""
    opened = await open_ledger(ledger_url)
    await opened.stores.initialise(4, for_tests=False)
    yield opened
    await opened.close()
