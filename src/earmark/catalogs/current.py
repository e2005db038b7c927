"""The catalog in force, and every other version by its number."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from earmark.catalogs.parser import parse_catalog
from earmark.catalogs.problems import InvalidCatalog
from earmark.domain.catalog import Catalog
from earmark.errors import EarmarkError, Reason, error

__all__ = ["NO_CATALOG", "Applied", "CatalogVersion", "CatalogVersions", "Catalogs"]

_log = structlog.get_logger(__name__)

NO_CATALOG = Catalog(0)
"""In force until one is applied: nothing has a price, a plan or a limit."""

_REFRESH_SECONDS = 2.0
_KEPT_VERSIONS = 64


class CatalogVersion(Protocol):
    """One installed version."""

    @property
    def version(self) -> int:
        """From 1 on."""

    @property
    def document(self) -> str:
        """To the letter."""

    @property
    def name(self) -> str:
        """The document's."""

    @property
    def actor(self) -> str:
        """Who applied it."""

    @property
    def create_time(self) -> int:
        """When, in microseconds since 1970."""


class CatalogVersions(Protocol):
    """Where versions are kept: SQL."""

    async def latest_version(self) -> int:
        """Return the newest number; 0 for none."""
        ...

    async def get(self, version: int) -> CatalogVersion | None:
        """Return one version, if there is such a one."""
        ...

    async def install(self, document: str, name: str, request_id: str, actor: str) -> tuple[CatalogVersion, bool]:
        """Install a document as the next version, once; return the version that holds it, and whether it is new."""
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """A document that was applied."""

    catalog: Catalog
    record: CatalogVersion | None
    """None when it was only checked."""
    unchanged: bool
    """Whether it was installed already."""


class Catalogs:
    """The catalog in force here. `current` is a plain attribute, made for the hot path."""

    def __init__(
        self,
        versions: CatalogVersions,
        on_change: Callable[[Catalog], None] = lambda _: None,
        refresh_seconds: float = _REFRESH_SECONDS,
    ) -> None:
        """`on_change` is called whenever `current` has become another, and must not fail."""
        self.current: Catalog = NO_CATALOG
        self._versions = versions
        self._on_change = on_change
        self._refresh_seconds = refresh_seconds
        self._kept: OrderedDict[int, Catalog] = OrderedDict({0: NO_CATALOG})
        self._unreadable = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the version in force, and follow it from now on.

        Raises:
            Unavailable: STORE_UNAVAILABLE.
            InvalidRequest: INVALID_CATALOG: this release cannot read it: a newer one has applied it.
        """
        latest = await self._versions.latest_version()
        if latest:
            try:
                catalog = await self.require(latest)
            except InvalidCatalog as problem:
                # To start without prices would be worse than not to start.
                message = f"this release cannot read version {latest} of the catalog: {problem}"
                raise error(Reason.INVALID_CATALOG, message, {"version": latest}) from None
            self._put_in_force(catalog)
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def kept(self, version: int) -> Catalog | None:
        """Return a version if it is at hand: without SQL, for the hot path."""
        return self.current if version == self.current.version else self._kept.get(version)

    async def get(self, version: int) -> Catalog | None:
        """Return a version, from SQL if it is not at hand; None if there is no such one.

        Raises:
            Unavailable: STORE_UNAVAILABLE.
            InvalidCatalog: this release cannot read it.
        """
        found = self.kept(version)
        if found is not None:
            return found
        record = await self._versions.get(version)
        return None if record is None else await self._keep(record)

    async def require(self, version: int) -> Catalog:
        """Return a version.

        Raises:
            NotFound: CATALOG_NOT_FOUND.
            Unavailable: STORE_UNAVAILABLE.
        """
        found = await self.get(version)
        if found is None:
            raise error(Reason.CATALOG_NOT_FOUND, f"there is no version {version} of the catalog", {"version": version})
        return found

    async def check(self, document: str) -> Applied:
        """Read a document and install nothing; the catalog has the number that it would get.

        Raises:
            InvalidCatalog: with every problem.
        """
        catalog = await asyncio.to_thread(parse_catalog, document)
        latest = await self._versions.latest_version()
        record = await self._versions.get(latest) if latest else None
        if record is not None and record.document == document:
            return Applied(replace(catalog, version=latest), record, unchanged=True)
        return Applied(replace(catalog, version=latest + 1), None, unchanged=False)

    async def apply(self, document: str, request_id: str = "", actor: str = "") -> Applied:
        """Install a document as the next version, unless it is the latest already; it is in force here at once.

        Of several at once each takes a number of its own. A repeated `request_id` installs nothing.

        Args:
            document: YAML.
            request_id: Of the call; "" for none.
            actor: Who applies it.

        Raises:
            InvalidCatalog: with every problem.
            AlreadyExists: REQUEST_ID_REUSED.
            Unavailable: STORE_UNAVAILABLE; repeat it with the same request_id.
        """
        catalog = await asyncio.to_thread(parse_catalog, document)
        record, is_new = await self._versions.install(document, catalog.name, request_id, actor)
        if record.document == document:
            catalog = replace(catalog, version=record.version)
            self._remember(catalog)
        else:
            catalog = await self.require(record.version)
        await self.refresh()
        return Applied(catalog, record, unchanged=not is_new)

    async def refresh(self) -> None:
        """Ask SQL which version is in force, and take it over.

        Raises:
            Unavailable: STORE_UNAVAILABLE.
        """
        latest = await self._versions.latest_version()
        if latest <= self.current.version or latest == self._unreadable:
            return
        try:
            catalog = await self.get(latest)
        except InvalidCatalog as problem:
            # A newer release has applied it. This one goes on with what it understands.
            self._unreadable = latest
            _log.error("this release cannot read the new catalog", version=latest, cause=str(problem))
            return
        if catalog is not None and catalog.version > self.current.version:
            self._put_in_force(catalog)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_seconds)
            try:
                await self.refresh()
            except EarmarkError as problem:
                _log.warning("the catalog could not be read; the last one stays in force", cause=str(problem))

    async def _keep(self, record: CatalogVersion) -> Catalog:
        catalog = await asyncio.to_thread(parse_catalog, record.document, record.version)
        self._remember(catalog)
        return catalog

    def _remember(self, catalog: Catalog) -> None:
        self._kept[catalog.version] = catalog
        if len(self._kept) > _KEPT_VERSIONS:
            self._kept.popitem(last=False)

    def _put_in_force(self, catalog: Catalog) -> None:
        self.current = catalog
        self._on_change(catalog)
        _log.info("catalog in force", version=catalog.version, name=catalog.name)
