"""The flusher dies, stalls, meets another, loses SQL, finds it restored: every entry is in SQL exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from earmark.engine.records import StreamElement
from earmark.errors import Unavailable
from earmark.jobs.flusher import Flusher, FlusherOptions, FlushState
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.reconciler import reconcile
from earmark.ledger.models import EntryFilter, FlushOutcome
from tests.support.postgres import PostgresServer, shared_postgres
from tests.support.stack import CREDIT, Stack, done, open_stack
from tests.support.waiting import wait_until

BRISK = FlusherOptions(
    rest_seconds=0.02, longest_rest_seconds=0.02, lease_micros=400_000, look_seconds=0.2, retry_stopped_seconds=0.2
)


@pytest.fixture
async def stack(tmp_path: Path, database_url: str) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path / "data", database_url) as opened:
        yield opened


@pytest.fixture
async def sqlite_stack(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[tuple[Stack, Path]]:
    """On a SQLite file that the test may change under it."""
    path = tmp_path / "ledger.db"
    path.write_bytes(sqlite_template.read_bytes())
    async with open_stack(tmp_path / "data", f"sqlite:///{path}") as opened:
        yield opened, path


def flusher_of(
    stack: Stack, owner: str, options: FlusherOptions = BRISK, registry: CollectorRegistry | None = None
) -> Flusher:
    metrics = JobMetrics(registry or CollectorRegistry())
    return Flusher(stack.store, stack.engine, stack.ledger, owner, metrics, options)


def value_of(registry: CollectorRegistry, name: str) -> float | None:
    return registry.get_sample_value(name)


@contextlib.asynccontextmanager
async def running(flusher: Flusher) -> AsyncIterator[Flusher]:
    """Run a flusher until the end of the block, where it dies without a word."""
    task = asyncio.create_task(flusher.run())
    try:
        yield flusher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def charge(stack: Stack, account_id: str, first: int, last: int) -> None:
    for number in range(first, last + 1):
        done(await stack.reserve(account_id, f"r{number}", 1))
        done(await stack.commit(account_id, f"r{number}"))


async def in_sql_once(stack: Stack, account_id: str, count: int, seconds: float = 20) -> None:
    async def all_there() -> bool:
        page = await stack.ledger.entries.list(EntryFilter(account_id=account_id), 1000)
        numbers = sorted(entry.entry_number for entry in page)
        assert len(numbers) <= count
        return numbers == list(range(1, count + 1))

    await wait_until(all_there, seconds=seconds, what=f"{count} entries of {account_id}")
    report = await reconcile(stack.store, stack.ledger)
    assert not report.drift, report


class Hook:
    """Stands before and behind the real flush of a ledger."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before, self.after = asyncio.Event(), asyncio.Event()
        self.before.set()
        self.after.set()
        self.arrived, self.written = asyncio.Event(), asyncio.Event()
        self._flush = stack.ledger.flush
        monkeypatch.setattr(stack.ledger, "flush", self)

    async def __call__(
        self, partition: int, epoch: int, expected: int, elements: Sequence[tuple[int, StreamElement]]
    ) -> FlushOutcome:
        self.arrived.set()
        await self.before.wait()
        outcome = await self._flush(partition, epoch, expected, elements)
        self.written.set()
        await self.after.wait()
        return outcome


async def test_dies_between_the_transaction_and_the_confirmation(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await stack.account("acme", 100)
    await charge(stack, "acme", 1, 10)
    hook = Hook(stack, monkeypatch)
    hook.after.clear()
    async with running(flusher_of(stack, "dies")):
        async with asyncio.timeout(10):
            await hook.written.wait()
    partition = stack.engine.partition_of("acme")
    meta = await stack.store.read_meta(partition)
    assert meta is not None
    assert meta.flushed == 0  # Redis has not heard of it
    hook.after.set()
    await charge(stack, "acme", 11, 15)
    async with running(flusher_of(stack, "next")):
        await in_sql_once(stack, "acme", 16)

        async def confirmed() -> bool:
            meta = await stack.store.read_meta(partition)
            return meta is not None and meta.flushed == meta.seq

        await wait_until(confirmed)


async def test_stalls_with_entries_in_hand_and_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await stack.account("acme", 100)
    await charge(stack, "acme", 1, 5)
    registry = CollectorRegistry()
    stalled = flusher_of(stack, "stalled", registry=registry)
    with monkeypatch.context() as patch:
        hook = Hook(stack, patch)
        hook.before.clear()
        stall = asyncio.create_task(stalled.run())
        async with asyncio.timeout(10):
            await hook.arrived.wait()
    # Nor does it renew its lease: as far as Redis knows, it is gone.
    monkeypatch.setattr(stalled._leases, "_renew", lambda _: asyncio.sleep(0))
    async with running(flusher_of(stack, "next")):
        await in_sql_once(stack, "acme", 6)
        hook.before.set()
        await wait_until(lambda: value_of(registry, "earmark_flush_fenced_total") == 1)
        await charge(stack, "acme", 6, 10)
        await in_sql_once(stack, "acme", 11)
    stall.cancel()
    await asyncio.gather(stall, return_exceptions=True)


async def test_two_with_the_same_lease_write_everything_once(stack: Stack) -> None:
    await stack.account("acme", 200)
    await stack.account("other", 200)
    small = replace(BRISK, max_records=4, read_records=2, rest_seconds=0.0)
    # The same token: both believe that they are the holder.
    async with running(flusher_of(stack, "same", small)), running(flusher_of(stack, "same", small)):
        await asyncio.gather(charge(stack, "acme", 1, 60), charge(stack, "other", 1, 60))
        await in_sql_once(stack, "acme", 61)
        await in_sql_once(stack, "other", 61)


async def test_takes_over_from_one_that_was_killed(stack: Stack) -> None:
    await stack.account("acme", 100)
    async with running(flusher_of(stack, "killed")):
        await in_sql_once(stack, "acme", 1)
    async with running(flusher_of(stack, "next")) as successor:
        await charge(stack, "acme", 1, 5)
        await in_sql_once(stack, "acme", 6)
        assert all(status.state is FlushState.FLUSHING for status in successor.status() if status.flushed_seq)


async def test_killed_again_and_again_in_processes_of_their_own(tmp_path: Path, database_url: str) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    dice = random.Random(seed)
    async with open_stack(tmp_path / "data", database_url) as stack:
        await stack.account("acme", 1000)
        await stack.account("other", 1000)
        for start in range(0, 120, 40):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.flusher_process", stack.redis.url, database_url),
                stdout=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            async with asyncio.timeout(30):
                assert await process.stdout.readline() == b"running\n"
            for number in range(start + 1, start + 41):
                await charge(stack, "acme", number, number)
                await charge(stack, "other", number, number)
            await asyncio.sleep(dice.random() * 0.4)  # the moment of death is what is random here
            process.kill()
            await process.wait()
        async with running(flusher_of(stack, "last")):
            await in_sql_once(stack, "acme", 121)
            await in_sql_once(stack, "other", 121)


async def test_goes_on_after_redis_was_emptied_with_entries_that_were_not_flushed(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.account("acme", 100)
    partition = stack.engine.partition_of("acme")
    async with running(flusher_of(stack, "one")) as flusher:
        await charge(stack, "acme", 1, 5)
        await in_sql_once(stack, "acme", 6)
        with monkeypatch.context() as patch:
            hook = Hook(stack, patch)
            hook.before.clear()
            await charge(stack, "acme", 6, 8)
            await stack.store.command("FLUSHALL")

            async def recovered() -> bool:
                with contextlib.suppress(Unavailable):
                    return (await stack.balance("acme")).charged == 5 * CREDIT
                return False

            await wait_until(recovered)
            hook.before.set()  # what it had in hand belongs to a history that is no more: refused by the epoch
        # Numbers 7 to 9 were acknowledged and are lost, as recovery says; those that come are numbered after SQL's.
        await charge(stack, "acme", 9, 12)
        await in_sql_once(stack, "acme", 10)
        assert flusher.status()[partition].state is FlushState.FLUSHING


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    with shared_postgres() as server:
        server.make_template()
        yield server


async def test_sql_is_away_for_a_while_and_the_backlog_drains_in_order(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    async with open_stack(tmp_path / "data", own_postgres.fresh_database()) as stack:
        await stack.account("acme", 500)
        async with running(flusher_of(stack, "patient")) as flusher:
            await in_sql_once(stack, "acme", 1)
            await asyncio.to_thread(own_postgres.stop)
            await charge(stack, "acme", 1, 50)
            partition = stack.engine.partition_of("acme")

            def waits() -> bool:
                status = flusher.status()[partition]
                return status.state is FlushState.WAITING and status.backlog >= 50 and status.lag_seconds > 0

            await wait_until(waits)
            await asyncio.to_thread(own_postgres.start)
            await charge(stack, "acme", 51, 60)
            await in_sql_once(stack, "acme", 61)
            await wait_until(lambda: flusher.status()[partition].state is FlushState.FLUSHING)


async def test_sql_restored_a_little_behind_is_flushed_again(sqlite_stack: tuple[Stack, Path], tmp_path: Path) -> None:
    stack, path = sqlite_stack
    await stack.account("acme", 100)
    async with running(flusher_of(stack, "one")):
        await charge(stack, "acme", 1, 5)
        await in_sql_once(stack, "acme", 6)
        copy(path, tmp_path / "backup.db")
        await charge(stack, "acme", 6, 12)
        await in_sql_once(stack, "acme", 13)
        copy(tmp_path / "backup.db", path)
        await in_sql_once(stack, "acme", 13)  # nobody touches it: the flusher notices by itself
        await charge(stack, "acme", 13, 14)
        await in_sql_once(stack, "acme", 15)


async def test_sql_restored_to_before_the_stream_begins_names_the_loss(
    sqlite_stack: tuple[Stack, Path], tmp_path: Path
) -> None:
    stack, path = sqlite_stack
    await stack.account("acme", 100)
    partition = stack.engine.partition_of("acme")
    other = next(name for name in map(str, range(99)) if stack.engine.partition_of(name) != partition)
    await stack.account(other, 100)
    forgetful = replace(BRISK, trim_lag_micros=0)
    async with running(flusher_of(stack, "one", forgetful)) as flusher:
        await charge(stack, "acme", 1, 5)
        await in_sql_once(stack, "acme", 6)
        copy(path, tmp_path / "backup.db")
        await charge(stack, "acme", 6, 12)
        await in_sql_once(stack, "acme", 13)

        async def trimmed() -> bool:
            await stack.store.move_clock(2_000_000)
            length: int = await stack.store.command("XLEN", stack.store.keys(partition).stream)
            return length == 1

        await wait_until(trimmed)
        copy(tmp_path / "backup.db", path)
        await wait_until(lambda: flusher.status()[partition].state is FlushState.STOPPED)
        assert "the records 7 to 12 are lost" in flusher.status()[partition].problem
        # The others go on.
        await charge(stack, other, 1, 3)
        page = await wait_until(lambda: entries_of(stack, other, 4))
        assert len(page) == 4


async def entries_of(stack: Stack, account_id: str, count: int) -> list[object]:
    page = await stack.ledger.entries.list(EntryFilter(account_id=account_id), 100)
    return list(page) if len(page) == count else []


async def test_another_content_under_a_number_stops_the_partition_until_it_is_repaired(
    sqlite_stack: tuple[Stack, Path], tmp_path: Path
) -> None:
    stack, path = sqlite_stack
    await stack.account("acme", 100)
    async with running(flusher_of(stack, "one")) as flusher:
        await charge(stack, "acme", 1, 5)
        await in_sql_once(stack, "acme", 6)
        partition = stack.engine.partition_of("acme")
        change(path, "UPDATE entries SET amount = amount + 1 WHERE entry_number = 3")
        change(path, "UPDATE partitions SET flushed_seq = 0")
        await wait_until(lambda: flusher.status()[partition].state is FlushState.STOPPED)
        assert "entry 3: the ledger holds another content" in flusher.status()[partition].problem
        await charge(stack, "acme", 6, 7)
        change(path, "UPDATE entries SET amount = amount - 1 WHERE entry_number = 3")
        await in_sql_once(stack, "acme", 8)
        await wait_until(lambda: flusher.status()[partition].state is FlushState.FLUSHING)
        projections = await stack.ledger.projections.account_projections(["acme"])
        assert projections["acme"].charged == 7 * CREDIT


def copy(source: Path, target: Path) -> None:
    """Copy a database in one moment, under whoever uses it."""
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        connection.execute(statement)
