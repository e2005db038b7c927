"""Leases: of all processes that would do a partition's background work, one does it.

A lease lives in the partition's meta key and runs by Redis's clock. It saves work and keeps flushers out of each
other's way; it protects nothing by itself: what must not happen twice is guarded where it is written (the
compare-and-set of the flush, the transitions in Lua).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import structlog

from earmark.engine.engine import Engine
from earmark.engine.operations import RenewLease
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import LeaseRenewed
from earmark.errors import EarmarkError

__all__ = ["Leases"]

_TICK_SECONDS = 0.05
_RETRY_SECONDS = 0.25
_PARTITIONS_AT_EASE = 256
"""With more, leases live longer, so that keeping them costs Redis no more calls a second."""

_log = structlog.get_logger("earmark.leases")


class Leases:
    """Takes and keeps one lease, by name, in every partition that it can get."""

    def __init__(
        self,
        engine: Engine,
        store: RedisStore,
        name: str,
        owner: str,
        ttl_micros: int,
        on_change: Callable[[int, bool], None] = lambda _partition, _held: None,
    ) -> None:
        """`owner` is a token of this process; `on_change` hears of every lease that was gained or lost."""
        self._engine = engine
        self._store = store
        self._name = name
        self._owner = owner
        self._ttl = ttl_micros * max(1, store.partitions // _PARTITIONS_AT_EASE)
        self._on_change = on_change
        self._until = [0.0] * store.partitions
        self._next = [0.0] * store.partitions
        self._told = [False] * store.partitions

    def held(self, partition: int) -> bool:
        """Whether this process has the lease now, as far as it can know."""
        return self._until[partition] > monotonic() and self._store.admitted(partition)

    def held_partitions(self) -> list[int]:
        """Return the partitions whose lease this process has."""
        return [number for number in range(self._store.partitions) if self.held(number)]

    async def keep(self) -> None:
        """Take and renew leases until cancelled."""
        while True:
            now = monotonic()
            due = [
                number
                for number in range(self._store.partitions)
                if now >= self._next[number] and self._store.admitted(number)
            ]
            if due:
                await asyncio.gather(*(self._renew(number) for number in due))
            for number in range(self._store.partitions):
                self._tell(number)
            await asyncio.sleep(_TICK_SECONDS)

    async def release(self) -> None:
        """Give back what is held, so that another process need not wait. Never raises: leases lapse by themselves."""
        held = self.held_partitions()
        give_back = RenewLease(self._name, self._owner, 0)
        answers = await asyncio.gather(
            *(self._engine.execute_on(number, give_back) for number in held), return_exceptions=True
        )
        for number, answer in zip(held, answers, strict=True):
            self._until[number] = 0.0
            if isinstance(answer, EarmarkError):
                _log.debug("a lease was not given back", lease=self._name, partition=number, cause=answer.message)
            self._tell(number)

    async def _renew(self, partition: int) -> None:
        asked = monotonic()
        try:
            answer = await self._engine.execute_on(partition, RenewLease(self._name, self._owner, self._ttl))
        except EarmarkError:
            self._next[partition] = asked + _RETRY_SECONDS
            return
        if not isinstance(answer, LeaseRenewed):
            _log.error("a lease was not answered", lease=self._name, partition=partition, answer=answer)
            self._next[partition] = asked + _RETRY_SECONDS
            return
        if answer.held:
            # Counted from before the call: the lease in Redis ends a little later.
            self._until[partition] = asked + self._ttl / 1e6
            self._next[partition] = asked + self._ttl / 3e6
            self._tell(partition)
            return
        self._until[partition] = 0.0
        left = (answer.until - self._engine.now(partition)) / 1e6
        self._next[partition] = asked + min(max(left, _RETRY_SECONDS), self._ttl / 1e6)

    def _tell(self, partition: int) -> None:
        held = self.held(partition)
        if held is not self._told[partition]:
            self._told[partition] = held
            self._on_change(partition, held)
