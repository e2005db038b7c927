"""Why a call cannot be made an operation at once. Raised where nothing waits; `Deferral` knows how it goes on."""

from __future__ import annotations

from earmark.domain.ids import ReservationDigest
from earmark.engine.operations import Charge, Reserve
from earmark.errors import EarmarkError

__all__ = ["CatalogWanted", "Deferred", "ReservationWanted", "Unpriced"]


class Deferred(Exception):
    """A call takes more than a look into memory."""


class ReservationWanted(Deferred):
    """How a reservation was priced is not known here: another sidecar gave it out, or it was long ago."""

    def __init__(self, reservation_id: str, account_id: str, digest: ReservationDigest) -> None:
        super().__init__(reservation_id)
        self.reservation_id = reservation_id
        self.account_id = account_id
        self.digest = digest


class CatalogWanted(Deferred):
    """A reservation was priced by a version of the catalog that is not in memory."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class Unpriced(Deferred):
    """A Reserve or Charge has no price: it fails, unless it repeats one that took effect."""

    def __init__(self, probe: Reserve | Charge, failure: EarmarkError) -> None:
        """`probe` is the same call, so that it stores nothing."""
        super().__init__(failure.message)
        self.probe = probe
        self.failure = failure
