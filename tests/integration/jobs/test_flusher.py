"""The flusher brings the stream to SQL in order, once, soon, and lets the stream forget."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from prometheus_client import CollectorRegistry

from earmark.domain.states import EntryKind
from earmark.jobs.flusher import Flusher, FlusherOptions, FlushState
from earmark.jobs.metrics import JobMetrics
from earmark.ledger.models import EntryFilter
from tests.support.stack import CREDIT, Stack, done
from tests.support.waiting import wait_until

BRISK = FlusherOptions(
    rest_seconds=0.02, longest_rest_seconds=0.02, lease_micros=600_000, look_seconds=0.2, retry_stopped_seconds=0.2
)


@contextlib.asynccontextmanager
async def running(flusher: Flusher) -> AsyncIterator[Flusher]:
    """Run a flusher until the end of the block; its leases lapse, as if its process had been killed."""
    task = asyncio.create_task(flusher.run())
    try:
        yield flusher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def flusher_of(stack: Stack, metrics: JobMetrics, owner: str = "one", options: FlusherOptions = BRISK) -> Flusher:
    return Flusher(stack.store, stack.engine, stack.ledger, owner, metrics, options)


async def charged(stack: Stack, account_id: str, count: int, credits: int = 1, begin: int = 0) -> None:
    for number in range(begin, begin + count):
        done(await stack.reserve(account_id, f"r{number}", credits))
        done(await stack.commit(account_id, f"r{number}"))


async def numbers(stack: Stack, account_id: str) -> list[int]:
    """The account's entry numbers in SQL, oldest first."""
    page = await stack.ledger.entries.list(EntryFilter(account_id=account_id), 1000)
    return sorted(entry.entry_number for entry in page)


async def entries_are(stack: Stack, account_id: str, count: int, seconds: float = 10) -> None:
    async def all_there() -> bool:
        return await numbers(stack, account_id) == list(range(1, count + 1))

    await wait_until(all_there, seconds=seconds, what=f"{count} entries of {account_id} in SQL")


async def all_flushed(stack: Stack) -> bool:
    for partition in range(stack.store.partitions):
        meta = await stack.store.read_meta(partition)
        if meta is None or meta.flushed != meta.seq:
            return False
    return True


async def test_entries_reach_sql_and_redis_hears_of_it(stack: Stack, metrics: JobMetrics) -> None:
    async with running(flusher_of(stack, metrics)) as flusher:
        await stack.account("acme", 100)
        await charged(stack, "acme", 20)
        await entries_are(stack, "acme", 21)
        await wait_until(lambda: all_flushed(stack))
        projections = await stack.ledger.projections.account_projections(["acme"])
        assert projections["acme"].charged == 20 * CREDIT
        assert {status.state for status in flusher.status()} == {FlushState.FLUSHING}
        await wait_until(lambda: all(status.backlog == 0 for status in flusher.status()))


async def test_large_backlog_is_written_in_bounded_transactions(
    stack: Stack, metrics: JobMetrics, registry: CollectorRegistry
) -> None:
    await stack.account("acme", 1000)
    await charged(stack, "acme", 120)
    await stack.account("other", 1000)
    async with running(flusher_of(stack, metrics, options=replace(BRISK, max_records=16, read_records=4))):
        await entries_are(stack, "acme", 121)
        await entries_are(stack, "other", 1)
    count = registry.get_sample_value("earmark_flush_batch_bucket", {"le": "+Inf"})
    assert count is not None
    assert count >= 8
    assert registry.get_sample_value("earmark_flush_batch_bucket", {"le": "64.0"}) == count


async def test_drain_flushes_what_is_there_and_gives_the_lease_back(stack: Stack, metrics: JobMetrics) -> None:
    lazy = replace(BRISK, rest_seconds=30.0, lease_micros=60_000_000)
    first = flusher_of(stack, metrics, "one", lazy)
    async with running(first):
        await stack.account("acme", 100)
        await entries_are(stack, "acme", 1)
        await charged(stack, "acme", 5)
        assert await first.drain(10)
        assert await numbers(stack, "acme") == [1, 2, 3, 4, 5, 6]
    await first.release()
    # A lease of a minute that was not given back would keep the next one out.
    async with running(flusher_of(stack, metrics, "two", BRISK)):
        await charged(stack, "acme", 1, begin=5)
        await entries_are(stack, "acme", 7)


async def test_streams_forget_what_is_old_and_flushed_but_keep_the_last(stack: Stack, metrics: JobMetrics) -> None:
    async with running(flusher_of(stack, metrics, options=replace(BRISK, trim_lag_micros=60_000_000))):
        await stack.account("acme", 100)
        await charged(stack, "acme", 10)
        await entries_are(stack, "acme", 11)
        await wait_until(lambda: all_flushed(stack))
        stream = stack.store.keys(stack.engine.partition_of("acme")).stream
        assert await stack.store.command("XLEN", stream) == 11
        for number in (10, 11):
            await stack.store.move_clock(61_000_000)
            await charged(stack, "acme", 1, begin=number)
            await entries_are(stack, "acme", number + 2)
            await wait_until(lambda: all_flushed(stack))

        async def left() -> int:
            return int(await stack.store.command("XLEN", stream))

        async def trimmed() -> bool:
            return await left() <= 2

        await wait_until(trimmed)
        await stack.store.move_clock(3_600_000_000)
        await charged(stack, "acme", 1, begin=12)
        await entries_are(stack, "acme", 14)
        await wait_until(lambda: all_flushed(stack))
        assert await left() >= 1


async def test_late_ones_follow_their_kinds(stack: Stack, metrics: JobMetrics) -> None:
    async with running(flusher_of(stack, metrics)):
        await stack.account("acme", 100)
        done(await stack.reserve("acme", "kept", 5))
        done(await stack.release("acme", "kept"))
        done(await stack.reserve("acme", "lapsed", 5))
        await stack.store.move_clock(61_000_000)
        assert (await stack.balance("acme")).available == 100 * CREDIT
        done(await stack.commit("acme", "lapsed", 3))
        await entries_are(stack, "acme", 4)
        page = await stack.ledger.entries.list(EntryFilter(account_id="acme"), 10)
        kinds = [entry.kind for entry in sorted(page, key=lambda entry: entry.entry_number)]
        assert kinds == [EntryKind.GRANT, EntryKind.RELEASE, EntryKind.EXPIRED_HOLD, EntryKind.CHARGE]
        assert page[0].late
