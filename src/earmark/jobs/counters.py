"""Limit counters whose window ended days ago leave SQL: one that is opened daily would stay for ever otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from earmark.errors import EarmarkError
from earmark.ledger.counters import LimitCounters

__all__ = ["CounterCleaner", "CounterCleanerOptions"]

_log = structlog.get_logger("earmark.counters")


@dataclass(frozen=True, slots=True)
class CounterCleanerOptions:
    """When to look, and how gently."""

    interval_seconds: float = 3_600.0
    step: int = 500
    """Counters that one transaction removes."""


class CounterCleaner:
    """Removes ended counters while `leading`."""

    def __init__(
        self, counters: LimitCounters, leading: Callable[[], bool], options: CounterCleanerOptions | None = None
    ) -> None:
        self._counters = counters
        self._leading = leading
        self._options = options or CounterCleanerOptions()

    async def run(self) -> None:
        """Remove until cancelled."""
        while True:
            if self._leading():
                try:
                    await self.remove_ended()
                except EarmarkError as failure:
                    _log.debug("ended counters stay for now", cause=failure.message)
            await asyncio.sleep(self._options.interval_seconds)

    async def remove_ended(self) -> int:
        """Remove every counter that ended days ago; returns how many.

        Raises:
            Unavailable: SQL is away.
        """
        removed = 0
        while True:
            step = await self._counters.remove_ended(self._options.step)
            removed += step
            if step < self._options.step:
                return removed
