"""The schema: created from nothing, refused when it is of another release, and the URLs that lead to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import earmark.ledger
from earmark.errors import InvalidRequest, Reason, Unavailable
from earmark.ledger import SchemaMismatch, open_ledger, upgrade
from earmark.ledger.connections import Database, parse_url
from earmark.ledger.postgres import PostgresDatabase
from earmark.ledger.schema import NEWEST_REVISION
from earmark.ledger.sqlite import SqliteDatabase
from earmark.ledger.tables import metadata
from tests.support.postgres import PostgresServer


async def run(url: str, statement: str) -> None:
    parsed = parse_url(url)
    database: Database = SqliteDatabase(parsed) if url.startswith("sqlite") else PostgresDatabase(parsed)
    await database.write(lambda connection: connection.exec_driver_sql(statement).close())
    await database.close()


async def test_migrations_from_empty_make_the_tables_that_the_code_expects(empty_url: str) -> None:
    await upgrade(empty_url)
    parsed = parse_url(empty_url)
    database: Database = SqliteDatabase(parsed) if empty_url.startswith("sqlite") else PostgresDatabase(parsed)

    def differences(connection: sqlalchemy.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    assert await database.read(differences) == []
    await database.close()


def test_the_newest_revision_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(earmark.ledger.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST_REVISION]


async def test_upgrading_twice_keeps_what_is_there(empty_url: str) -> None:
    await upgrade(empty_url)
    ledger = await open_ledger(empty_url)
    store = await ledger.stores.initialise(3, for_tests=True)
    await ledger.close()
    await upgrade(empty_url)
    ledger = await open_ledger(empty_url)
    assert await ledger.stores.read() == store
    await ledger.close()


async def test_upgrades_at_the_same_moment_do_not_disturb_each_other(empty_url: str) -> None:
    await asyncio.gather(*(upgrade(empty_url) for _ in range(3)))
    await (await open_ledger(empty_url)).close()


async def test_a_database_without_tables_says_what_to_run(empty_url: str) -> None:
    with pytest.raises(SchemaMismatch, match=r"run: earmark db upgrade$"):
        await open_ledger(empty_url)


async def test_a_missing_sqlite_file_is_not_created_by_looking_for_it(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"run: earmark db upgrade$"):
        await open_ledger(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []


async def test_an_older_schema_says_what_to_run(ledger_url: str) -> None:
    await run(ledger_url, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(SchemaMismatch, match=r"schema 0000 is older .*: run: earmark db upgrade$"):
        await open_ledger(ledger_url)


async def test_a_newer_schema_is_refused_and_never_downgraded(ledger_url: str) -> None:
    await run(ledger_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match=r"schema 9999 is newer .*: install a newer earmark$"):
        await open_ledger(ledger_url)
    with pytest.raises(SchemaMismatch, match="newer"):
        await upgrade(ledger_url)


@pytest.mark.parametrize(
    "url",
    ["", "ledger.db", "mysql://root:secret@host/name", "sqlite://", "sqlite:///:memory:"],
)
async def test_a_url_that_is_no_ledger_is_refused_without_telling_secrets(url: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await open_ledger(url)
    assert "secret" not in str(refusal.value)


async def test_the_drivers_of_a_url_are_replaced_by_ours(ledger_url: str) -> None:
    scheme, rest = ledger_url.split(":", 1)
    other = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgres"}[scheme]
    await (await open_ledger(f"{other}:{rest}")).close()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("this is not a database at all, but a text that is longer than its header would be" * 20)
    with pytest.raises(Unavailable, match="the ledger database cannot be reached: file is not a database"):
        await open_ledger(f"sqlite:///{path}")


async def test_a_database_that_is_away_is_unavailable_and_comes_back(postgres_server: PostgresServer) -> None:
    url = postgres_server.fresh_database()
    ledger = await open_ledger(url)
    await ledger.stores.initialise(1, for_tests=False)
    await asyncio.to_thread(postgres_server.stop)
    try:
        for call in (
            ledger.partitions.read_all,
            lambda: ledger.partitions.raise_epoch(0, 0, 1),
            lambda: ledger.flush(0, 0, 0, []),
            lambda: open_ledger(url),
        ):
            with pytest.raises(Unavailable, match="the ledger database cannot be reached: ") as refusal:
                await call()
            assert refusal.value.reason is Reason.STORE_UNAVAILABLE
            assert "\n" not in str(refusal.value)
    finally:
        await asyncio.to_thread(postgres_server.start)
    assert await ledger.partitions.raise_epoch(0, 0, 1)
    await ledger.close()
