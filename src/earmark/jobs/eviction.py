"""Eviction: idle accounts leave Redis when its memory runs short.

Only then: an account that is there costs a few hundred bytes and saves a load. The number of accounts is no reason by
itself, because it says nothing of what runs out. What may go is for the script to decide: nothing reserved, nobody
waiting, everything flushed, untouched for long enough.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from earmark.engine.engine import Engine
from earmark.engine.operations import Evict
from earmark.engine.redis.packed import decode_account
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import Applied
from earmark.errors import EarmarkError
from earmark.jobs.leases import Leases
from earmark.jobs.memory import MemoryWatch
from earmark.jobs.metrics import JobMetrics
from earmark.ledger.database import Ledger

__all__ = ["Evictor", "EvictorOptions"]

_log = structlog.get_logger("earmark.eviction")


@dataclass(frozen=True, slots=True)
class EvictorOptions:
    """When accounts go, and how gently."""

    idle_micros: int = 3_600_000_000
    """Untouched for so long."""
    above_percent: int = 60
    """Of `maxmemory` in use: below it nothing is evicted."""
    step: int = 100
    """Accounts that one scan brings."""
    pause_seconds: float = 0.01
    """Between two scans."""
    interval_seconds: float = 10.0


class Evictor:
    """Evicts in the partitions that this process sweeps."""

    def __init__(
        self,
        store: RedisStore,
        engine: Engine,
        ledger: Ledger,
        leases: Leases,
        memory: MemoryWatch,
        metrics: JobMetrics,
        options: EvictorOptions | None = None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._ledger = ledger
        self._leases = leases
        self._memory = memory
        self._metrics = metrics
        self._options = options or EvictorOptions()

    async def run(self) -> None:
        """Evict until cancelled."""
        while True:
            await asyncio.sleep(self._options.interval_seconds)
            for partition in self._leases.held_partitions():
                if not self._memory.state.above(self._options.above_percent):
                    break
                try:
                    await self.evict(partition)
                except EarmarkError as failure:
                    _log.debug("eviction waits", partition=partition, cause=failure.message)

    async def evict(self, partition: int) -> int:
        """Evict the idle accounts of one partition; returns how many went.

        Raises:
            Unavailable: a store is away; what went stays away.
        """
        key, cursor, evicted = self._store.keys(partition).accounts, b"0", 0
        while True:
            cursor, flat = await self._store.command("HSCAN", key, cursor, "COUNT", str(self._options.step))
            idle_before = self._engine.now(partition) - self._options.idle_micros
            for field, packed in zip(flat[::2], flat[1::2], strict=True):
                if b"\0" in field:  # a tail or a member of an account
                    continue
                document = decode_account(packed)
                if document.touched <= idle_before and document.open == 0:
                    evicted += await self._evict(partition, field.decode(), idle_before)
            if cursor == b"0":
                break
            await asyncio.sleep(self._options.pause_seconds)
        if evicted:
            self._metrics.evicted.inc(evicted)
            _log.info("idle accounts left redis", partition=partition, accounts=evicted)
        return evicted

    async def _evict(self, partition: int, account_id: str, idle_before: int) -> bool:
        # Fields of members and of limit counters are known by name only, and the names are in SQL.
        _, load = await self._ledger.archive.read_account(account_id, partition)
        if load is None:
            return False
        counters = tuple((counter.key, counter.start) for counter in load.counters)
        answer = await self._engine.execute_once(Evict(account_id, idle_before, load.admin_seq, load.members, counters))
        return isinstance(answer, Applied) and answer.fresh
