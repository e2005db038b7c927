"""A server's catalogs and configurations without stores: values that a test sets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from earmark.domain.catalog import Catalog
from earmark.errors import Reason, Unavailable, error
from earmark.server.claims import AccountClaims, Configuration
from earmark.server.pricing import Pricing
from earmark.server.validation import Requests

__all__ = ["Installed", "Recorded", "requests_with"]


@dataclass
class Recorded:
    """Answers what it is told, and counts how often it was asked."""

    answers: dict[str, Configuration] = field(default_factory=dict)
    reads: int = 0
    away: bool = False

    async def read(self, account_id: str) -> Configuration:
        self.reads += 1
        answer = self.answers[account_id]
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable(Reason.STORE_UNAVAILABLE, "away")
        return answer


@dataclass
class Installed:
    current: Catalog = field(default_factory=lambda: Catalog(0))
    earlier: dict[int, Catalog] = field(default_factory=dict)

    def kept(self, version: int) -> Catalog | None:
        return self.current if version == self.current.version else self.earlier.get(version)

    async def require(self, version: int) -> Catalog:
        found = self.kept(version)
        if found is None:
            raise error(Reason.CATALOG_NOT_FOUND, "none")
        return found


def requests_with(catalog: Catalog | None = None) -> Requests:
    """Return what checks requests by a catalog; none knows an account."""
    installed = Installed(catalog or Catalog(0))
    return Requests(Pricing(installed), AccountClaims(Recorded(), installed))
