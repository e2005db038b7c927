"""All background jobs of a process, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

import structlog

from earmark.domain.catalog import CurrentCatalog
from earmark.engine.engine import Engine
from earmark.engine.redis.store import RedisStore
from earmark.jobs.alerts import Deliverer, DeliveryOptions, ExpiringSoon, ExpiringSoonOptions
from earmark.jobs.counters import CounterCleaner, CounterCleanerOptions
from earmark.jobs.cycles import CycleJob, CycleOptions
from earmark.jobs.eviction import Evictor, EvictorOptions
from earmark.jobs.flusher import Flusher, FlusherOptions, FlushState, FlushStatus
from earmark.jobs.memory import MemoryOptions, MemoryWatch
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.relay import Relay, RelayOptions
from earmark.jobs.supervision import supervise
from earmark.jobs.sweeper import Sweeper, SweeperOptions
from earmark.ledger.database import Ledger

__all__ = ["Jobs", "JobsOptions"]

_log = structlog.get_logger("earmark.jobs")


@dataclass(frozen=True, slots=True)
class JobsOptions:
    """Bounds of the jobs."""

    background: bool = True
    """False leaves everything but the memory watch to other processes."""
    flusher: FlusherOptions = field(default_factory=FlusherOptions)
    sweeper: SweeperOptions = field(default_factory=SweeperOptions)
    relay: RelayOptions = field(default_factory=RelayOptions)
    evictor: EvictorOptions = field(default_factory=EvictorOptions)
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    cycles: CycleOptions = field(default_factory=CycleOptions)
    expiring: ExpiringSoonOptions = field(default_factory=ExpiringSoonOptions)
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    counters: CounterCleanerOptions = field(default_factory=CounterCleanerOptions)


class Jobs:
    """The background jobs of one process. `start` once, `stop` once."""

    def __init__(
        self,
        store: RedisStore,
        engine: Engine,
        ledger: Ledger,
        options: JobsOptions | None = None,
        metrics: JobMetrics | None = None,
        catalogs: CurrentCatalog | None = None,
    ) -> None:
        """Without `metrics`, they are registered in Prometheus's own registry: once in a process.

        Without `catalogs` no billing cycle is begun here.
        """
        options = options or JobsOptions()
        metrics = metrics or JobMetrics()
        owner = uuid4().hex
        self._background = options.background
        self._metrics = metrics
        self.memory = MemoryWatch(store, engine, metrics, options.memory)
        self.flusher = Flusher(store, engine, ledger, owner, metrics, options.flusher)
        self.sweeper = Sweeper(store, engine, ledger, owner, metrics, options.sweeper)
        self.relay = Relay(engine, ledger, self.sweeper.leases, metrics, options.relay)
        self.evictor = Evictor(store, engine, ledger, self.sweeper.leases, self.memory, metrics, options.evictor)
        self.cycles: CycleJob | None = None
        if catalogs is not None:
            held = self.sweeper.leases.held_partitions
            self.cycles = CycleJob(engine, ledger, catalogs, store.now, metrics, held, options.cycles)
        # What is one job for the whole store is the first partition's.
        leading = partial(self.sweeper.leases.held, 0)
        self.expiring = ExpiringSoon(ledger.notifications, leading, metrics, options.expiring)
        self.deliverer = Deliverer(ledger.notifications, leading, metrics, options.delivery)
        self.counters = CounterCleaner(ledger.counters, leading, options.counters)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start what this process does in the background."""
        jobs: dict[str, Callable[[], Awaitable[None]]] = {"memory": self.memory.run}
        if self._background:
            jobs |= {
                "flush": self.flusher.run,
                "sweep": self.sweeper.run,
                "relay": self.relay.run,
                "evict": self.evictor.run,
                "expiring-soon": self.expiring.run,
                "deliver": self.deliverer.run,
                "counters": self.counters.run,
            }
            if self.cycles is not None:
                jobs["cycles"] = self.cycles.run
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(supervise(name, job, self._metrics), name=f"job-{name}") for name, job in jobs.items()
        ]

    async def stop(self, seconds: float = 10.0) -> None:
        """Flush what is there, for at most `seconds`, give the leases back, and end. Engine and ledger must be open."""
        try:
            if self._background and self._tasks and not await self.flusher.drain(seconds):
                waiting = sum(status.backlog for status in self.status())
                _log.warning("not everything could be flushed; it stays in redis", records=waiting)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks = []
        if self._background:
            await asyncio.gather(self.flusher.release(), self.sweeper.leases.release())

    def status(self) -> list[FlushStatus]:
        """Return where the flush of every partition stands."""
        return self.flusher.status()

    @property
    def alarm(self) -> str:
        """What somebody must look at: the problem of a partition that is not flushed any more; "" if all is well."""
        stopped = (status.problem for status in self.status() if status.state is FlushState.STOPPED)
        return next(stopped, "")
