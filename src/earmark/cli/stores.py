"""Which stores a command opens by itself, without a sidecar between."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earmark.cli.exits import CommandError, ExitStatus

if TYPE_CHECKING:
    from earmark.settings import Settings

__all__ = ["DataDir", "DatabaseUrl", "RedisUrl", "database_url_of", "store_settings"]

RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url",
        metavar="URL",
        help="The Redis of the sidecars; without it the embedded engine of the data directory. (EARMARK_REDIS_URL)",
        show_default=False,
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="SQLAlchemy URL; without it the SQLite ledger of the data directory. (EARMARK_DATABASE_URL)",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where the embedded engine and SQLite keep their files. (EARMARK_DATA_DIR)",
        show_default="earmark-data",
    ),
]


def store_settings(**flags: Any) -> Settings:
    """Return the settings of the sidecar, with these flags above its variables.

    Raises:
        CommandError: one of them is wrong.
    """
    from earmark.settings import Settings, SettingsError

    try:
        return Settings.load(**flags)
    except SettingsError as error:
        raise CommandError(str(error), ExitStatus.USAGE) from None


def database_url_of(settings: Settings) -> str:
    """Return where the ledger is: the URL, or the SQLite file of the data directory."""
    return settings.database_url or f"sqlite:///{settings.data_dir.absolute() / LEDGER_FILE}"


LEDGER_FILE = "ledger.db"
