"""Makes accounts leave Redis beside a running sidecar, as they do when its memory runs short."""

from __future__ import annotations

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from earmark.engine.operations import ConfirmFlush
from earmark.jobs.eviction import EvictorOptions
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.runner import Jobs, JobsOptions
from earmark.ledger import open_ledger
from tests.support.stack import open_engine_of

__all__ = ["evict_accounts"]

_DAY = 86_400_000_000


async def evict_accounts(redis_url: str, database_url: str) -> int:
    """Evict every account without open reservations whose entries are all in SQL; return how many went."""
    async with AsyncExitStack() as stack:
        ledger = await open_ledger(database_url)
        stack.push_async_callback(ledger.close)
        identity = await ledger.stores.read()
        assert identity is not None
        store, _, engine = await stack.enter_async_context(open_engine_of(ledger, redis_url, identity))
        options = JobsOptions(background=False, evictor=EvictorOptions(idle_micros=-_DAY))
        jobs = Jobs(store, engine, ledger, options, JobMetrics(CollectorRegistry()))
        evicted = 0
        for partition in range(identity.partitions):
            position = await ledger.partitions.read(partition)
            await engine.execute_on(partition, ConfirmFlush(position.flushed_seq, 0))
            evicted += await jobs.evictor.evict(partition)
        return evicted
