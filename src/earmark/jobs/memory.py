"""The memory watch: refuses new reservations before Redis has to refuse everything.

Runs in every process that serves, also where the other jobs are left to others: each process has its own
`Engine.memory_full`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from earmark.engine.engine import Engine
from earmark.engine.redis.store import RedisStore
from earmark.errors import EarmarkError
from earmark.jobs.metrics import JobMetrics

__all__ = ["MemoryOptions", "MemoryState", "MemoryWatch"]

_log = structlog.get_logger("earmark.memory")


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """Marks, in per cent of `maxmemory`."""

    full_percent: int = 80
    """Above it new reservations get OVERLOADED."""
    relief_percent: int = 75
    """Below it they pass again."""
    interval_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class MemoryState:
    """What Redis last said. Bytes; `limit` 0 if `maxmemory` is not set."""

    used: int = 0
    limit: int = 0

    def above(self, percent: int) -> bool:
        """Whether more than this share of the limit is in use; never without a limit."""
        return self.limit > 0 and self.used * 100 > self.limit * percent


class MemoryWatch:
    """Reads `INFO memory` once in a while."""

    def __init__(
        self, store: RedisStore, engine: Engine, metrics: JobMetrics, options: MemoryOptions | None = None
    ) -> None:
        self._store = store
        self._engine = engine
        self._metrics = metrics
        self._options = options or MemoryOptions()
        self.state = MemoryState()
        """What Redis last said."""

    async def run(self) -> None:
        """Watch until cancelled."""
        warned = False
        while True:
            try:
                await self.look()
            except EarmarkError:
                pass  # Redis is away: calls say so by themselves.
            else:
                if self.state.limit == 0 and not warned:
                    warned = True
                    _log.warning("maxmemory of Redis is not set: it must be, with maxmemory-policy noeviction")
            await asyncio.sleep(self._options.interval_seconds)

    async def look(self) -> None:
        """Ask Redis now, and draw the consequence.

        Raises:
            Unavailable: Redis is away; what was known stays.
        """
        info: bytes = await self._store.command("INFO", "memory")
        fields = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
        self.state = MemoryState(int(fields[b"used_memory"]), int(fields[b"maxmemory"]))
        full = self.state.above(
            self._options.relief_percent if self._engine.memory_full else self._options.full_percent
        )
        if full is not self._engine.memory_full:
            self._engine.memory_full = full
            log = _log.error if full else _log.info
            log("redis is full: new reservations are refused" if full else "redis has room again", **self._numbers())
        self._metrics.memory_used.set(self.state.used)
        self._metrics.memory_limit.set(self.state.limit)
        self._metrics.memory_full.set(full)

    def _numbers(self) -> dict[str, int]:
        return {"used_bytes": self.state.used, "limit_bytes": self.state.limit}
