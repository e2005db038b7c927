"""The schema's version: upgrading it, and refusing to work on another one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from earmark.errors import FailedPrecondition
from earmark.ledger.connections import lost_as_unavailable, parse_url
from earmark.ledger.postgres import postgres_engine
from earmark.ledger.sqlite import SqliteDatabase

__all__ = ["NEWEST_REVISION", "SchemaMismatch", "check_file", "check_revision", "upgrade"]

NEWEST_REVISION = "0006"
"""Revisions are numbered, so that older and newer can be told without loading Alembic."""

_LOCK_ID = 0x6561726D61726B  # "earmark": any number, the same for all who upgrade.


class SchemaMismatch(FailedPrecondition):
    """The database's schema is missing, older or newer than this release."""

    def __init__(self, message: str) -> None:
        super().__init__("SCHEMA_MISMATCH", message)


async def upgrade(url: str) -> None:
    """Bring the schema to this release's version; creates it, and a SQLite file, where missing. Idempotent.

    Raises:
        Unavailable: STORE_UNAVAILABLE.
        InvalidRequest: for a URL that is neither SQLite nor PostgreSQL.
        SchemaMismatch: if a newer release has upgraded it already.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        await _upgrade_sqlite(parsed)
        return
    engine = postgres_engine(parsed, statement_seconds=None)
    try:
        with lost_as_unavailable():
            async with engine.begin() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
                await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


async def _upgrade_sqlite(url: URL) -> None:
    assert url.database is not None
    try:
        await asyncio.to_thread(Path(url.database).parent.mkdir, parents=True, exist_ok=True)
    except OSError as problem:
        raise SchemaMismatch(f"the ledger's directory cannot be created: {problem}") from problem
    database = SqliteDatabase(url)
    try:
        await database.write(_migrate)
    finally:
        await database.close()


def check_file(url: URL) -> None:
    """Refuse a SQLite file that is not there, before opening it would create an empty one."""
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise SchemaMismatch(f"there is no ledger at {url.database}: run: earmark db upgrade")


def check_revision(connection: Connection) -> None:
    """Refuse a schema of another version.

    Raises:
        SchemaMismatch: with what to do about it.
    """
    revision = _revision(connection)
    if revision is None:
        raise SchemaMismatch("the ledger database has no tables yet: run: earmark db upgrade")
    if revision > NEWEST_REVISION:
        raise _too_new(revision)
    if revision < NEWEST_REVISION:
        raise SchemaMismatch(
            f"the ledger's schema {revision} is older than this release's {NEWEST_REVISION}: run: earmark db upgrade"
        )


def _too_new(revision: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"the ledger's schema {revision} is newer than this release's {NEWEST_REVISION}: install a newer earmark"
    )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if revision is None else str(revision)


def _migrate(connection: Connection) -> None:
    revision = _revision(connection)
    if revision is not None and revision > NEWEST_REVISION:
        raise _too_new(revision)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
