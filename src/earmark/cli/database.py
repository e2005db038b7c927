"""`earmark db`: the schema of the ledger's database."""

from __future__ import annotations

from earmark.cli.groups import CommandGroup
from earmark.cli.output import note
from earmark.cli.stores import DatabaseUrl, DataDir, database_url_of, store_settings

__all__ = ["commands"]

commands = CommandGroup("Take care of the ledger's database.")


@commands.callback()
def root() -> None:
    """Keep `db` a group, though it has one command."""


@commands.add(
    "earmark db upgrade --database-url postgresql://earmark@db/earmark",
    "earmark db upgrade --data-dir /var/lib/earmark",
)
def upgrade(database_url: DatabaseUrl = None, data_dir: DataDir = None) -> None:
    """Create the ledger's tables, or bring them to this release; does nothing where they are.

    Without --database-url it is the SQLite ledger of the data directory, which `earmark serve` upgrades by itself.
    """
    import asyncio

    from earmark.ledger import upgrade as upgrade_schema

    settings = store_settings(database_url=database_url, data_dir=data_dir)
    url = database_url_of(settings)
    asyncio.run(upgrade_schema(url))
    note("The ledger's schema is that of this release.")
