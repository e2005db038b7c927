"""The sweeper: what becomes due happens within a second, also for accounts that nobody touches.

Every script settles whatever is due in its partition, so a call is all that is needed; the one that is sent also
removes ended records whose replay window is over and whose entry is in SQL. Accounts that Redis does not hold are asked
for in SQL: those with a due grant are read once, which loads them, and the script expires the grant.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

import structlog

from earmark.engine.engine import Engine
from earmark.engine.operations import ReadBalance, RetireReservations
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import Swept
from earmark.errors import EarmarkError
from earmark.jobs.attempts import Attempts
from earmark.jobs.leases import Leases
from earmark.jobs.metrics import JobMetrics
from earmark.ledger.database import Ledger

__all__ = ["Sweeper", "SweeperOptions"]

_log = structlog.get_logger("earmark.sweeper")


@dataclass(frozen=True, slots=True)
class SweeperOptions:
    """Bounds of the sweeper."""

    interval_seconds: float = 0.8
    """Between two sweeps of a partition: what is due is settled within a second."""
    retire_limit: int = 200
    """Records that one call removes: the script's time is the hot path's."""
    due_grants_limit: int = 500
    """Cold accounts that one look at SQL brings."""
    answer_seconds: float = 5.0
    """How long Redis may take to answer."""
    lease_micros: int = 5_000_000


class Sweeper:
    """Sweeps every partition whose lease it gets."""

    def __init__(
        self,
        store: RedisStore,
        engine: Engine,
        ledger: Ledger,
        owner: str,
        metrics: JobMetrics,
        options: SweeperOptions | None = None,
    ) -> None:
        """`owner` is a token of this process, new for each start."""
        self._store = store
        self._engine = engine
        self._ledger = ledger
        self._metrics = metrics
        self._options = options or SweeperOptions()
        self.leases = Leases(engine, store, "sweep", owner, self._options.lease_micros)
        """Who sweeps a partition also relays and evicts there."""
        self._due = Attempts()
        self._now = 0

    async def run(self) -> None:
        """Sweep until cancelled. Leases stay: call `leases.release` to end in good order."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.leases.keep())
            tasks.create_task(self._sweep_all())
            tasks.create_task(self._expire_cold_grants())

    async def _sweep_all(self) -> None:
        while True:
            begun = monotonic()
            for partition in self.leases.held_partitions():
                try:
                    await self._sweep(partition)
                except EarmarkError as failure:
                    _log.debug("sweep waits", partition=partition, cause=failure.message)
            await asyncio.sleep(max(0.05, self._options.interval_seconds - (monotonic() - begun)))

    async def _sweep(self, partition: int) -> None:
        limit = self._options.retire_limit
        while True:
            begun = monotonic()
            try:
                async with asyncio.timeout(self._options.answer_seconds):
                    reply = await self._store.execute(partition, [RetireReservations(limit)])
            except TimeoutError:
                return
            self._now = max(self._now, reply.now)
            (result,) = reply.results
            if not isinstance(result, Swept):
                _log.error("a sweep failed", partition=partition, answer=result)
                return
            self._metrics.retired.inc(result.count)
            if not reply.due_left and result.count < limit:
                return
            await asyncio.sleep(monotonic() - begun)  # as long as it took: half of the time is the hot path's

    # Accounts that only SQL knows

    async def _expire_cold_grants(self) -> None:
        while True:
            await asyncio.sleep(self._options.interval_seconds)
            if not self.leases.held_partitions() or self._now == 0:
                continue
            try:
                await self._touch_due_accounts()
            except EarmarkError as failure:
                _log.debug("due grants cannot be asked for", cause=failure.message)

    async def _touch_due_accounts(self) -> None:
        # Accounts stay in the list until the expiry is flushed, or while a reservation holds such a grant: they must
        # not hide those behind them.
        limit = self._options.due_grants_limit + len(self._due)
        found = await self._ledger.accounts.accounts_with_due_grants(self._now, limit)
        for account_id in self._due.due(found):
            if not self.leases.held(self._engine.partition_of(account_id)):
                continue
            try:
                await self._engine.execute(ReadBalance(account_id))
            except EarmarkError as failure:  # it is tried again, later; the others now
                _log.info("the due grants of an account wait", account_id=account_id, cause=failure.message)
            else:
                self._metrics.touched.inc()
