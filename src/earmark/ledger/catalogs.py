"""Every version of the catalog, to the letter: charges name the one that priced them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from msgspec import Struct
from sqlalchemy import Connection, func, insert, select, text

from earmark.errors import Reason, error
from earmark.ledger.administration import request_reused
from earmark.ledger.connections import Database
from earmark.ledger.tables.catalogs import catalogs

__all__ = ["CatalogRecord", "CatalogTable"]


class CatalogRecord(Struct, frozen=True):
    """One installed version."""

    version: int
    document: str
    digest: str
    """Of the document: SHA-256 in hex."""
    name: str
    actor: str
    request_id: str
    create_time: int


class CatalogTable:
    """The versions in SQL."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def latest_version(self) -> int:
        """Return the newest number; 0 for none."""
        return await self._database.read(_latest_version)

    async def get(self, version: int) -> CatalogRecord | None:
        """Return one version, if there is such a one."""
        if not 0 < version < 2**31:
            return None
        return await self._database.read(lambda connection: _get(connection, version))

    async def install(self, document: str, name: str, request_id: str, actor: str) -> tuple[CatalogRecord, bool]:
        """Install a document as the next version, unless it is the latest, or this request has installed it before.

        Args:
            document: Valid already.
            name: The document's.
            request_id: Of the call; "" for none.
            actor: Who installs it.

        Returns:
            The version that holds it, and whether this call made it. Of several callers at once each gets its own.

        Raises:
            AlreadyExists: REQUEST_ID_REUSED, if the request had installed another document.
        """
        digest = hashlib.sha256(document.encode()).hexdigest()
        now = self._clock()
        return await self._database.write(
            lambda connection: _install(connection, CatalogRecord(0, document, digest, name, actor, request_id, now))
        )


def _latest_version(connection: Connection) -> int:
    return int(connection.execute(select(func.max(catalogs.c.version))).scalar_one_or_none() or 0)


def _get(connection: Connection, version: int) -> CatalogRecord | None:
    row = connection.execute(select(catalogs).where(catalogs.c.version == version)).mappings().one_or_none()
    return None if row is None else CatalogRecord(**row)


def _install(connection: Connection, wanted: CatalogRecord) -> tuple[CatalogRecord, bool]:
    if connection.dialect.name == "postgresql":
        # One after the other: the number is the last one's + 1. Readers pass.
        connection.execute(text("LOCK TABLE catalogs IN EXCLUSIVE MODE"))
    if wanted.request_id:
        query = select(catalogs).where(catalogs.c.request_id == wanted.request_id, text("request_id <> ''"))
        row = connection.execute(query).mappings().one_or_none()
        if row is not None:
            if row["digest"] != wanted.digest:
                raise request_reused(wanted.request_id)
            return CatalogRecord(**row), False
    latest = _get(connection, _latest_version(connection))
    if latest is not None and latest.digest == wanted.digest:
        return latest, False
    version = latest.version + 1 if latest is not None else 1
    if version >= 2**31:
        raise error(Reason.INTERNAL, "there are no numbers left for catalogs")
    values = {name: getattr(wanted, name) for name in CatalogRecord.__struct_fields__} | {"version": version}
    connection.execute(insert(catalogs).values(**values))
    return CatalogRecord(**values), True
