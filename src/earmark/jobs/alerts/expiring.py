"""What expires soon: asks SQL, which knows every open grant, whether Redis holds its account or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from earmark.domain.catalog import DEFAULT_HORIZON
from earmark.errors import EarmarkError
from earmark.jobs.metrics import JobMetrics
from earmark.ledger.notifications import Notifications

__all__ = ["ExpiringSoon", "ExpiringSoonOptions"]

_log = structlog.get_logger("earmark.alerts")


@dataclass(frozen=True, slots=True)
class ExpiringSoonOptions:
    """When to look, and how far ahead."""

    horizon: Callable[[], int] = lambda: DEFAULT_HORIZON
    """The catalog's, in microseconds, for accounts without their own."""
    interval_seconds: float = 5.0
    step: int = 500
    """Grants that one transaction looks after."""


class ExpiringSoon:
    """Warns of grants that expire soon while `leading`, each once."""

    def __init__(
        self,
        notifications: Notifications,
        leading: Callable[[], bool],
        metrics: JobMetrics,
        options: ExpiringSoonOptions | None = None,
    ) -> None:
        self._notifications = notifications
        self._leading = leading
        self._metrics = metrics
        self._options = options or ExpiringSoonOptions()

    async def run(self) -> None:
        """Warn until cancelled."""
        while True:
            if self._leading():
                try:
                    await self.warn()
                except EarmarkError as failure:
                    _log.debug("what expires soon cannot be asked for", cause=failure.message)
            await asyncio.sleep(self._options.interval_seconds)

    async def warn(self) -> int:
        """Warn of everything that expires soon now; returns of how many grants.

        Raises:
            Unavailable: SQL is away.
        """
        warned = 0
        while True:
            step = await self._notifications.warn_expiring(self._options.horizon(), self._options.step)
            warned += step
            self._metrics.warned.inc(step)
            if step < self._options.step:
                return warned
