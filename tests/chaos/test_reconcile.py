"""Everything dies in the middle of traffic: afterwards the two stores agree, and so does the arithmetic."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from prometheus_client import CollectorRegistry

from earmark.domain.ids import reservation_digest
from earmark.engine.operations import ABSENT, AccountOperation, Commit, Release
from earmark.engine.results import Done, Refused
from earmark.errors import Unavailable
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.reconciler import reconcile
from earmark.jobs.runner import Jobs
from tests.support.stack import CREDIT, Stack, open_stack, reservation
from tests.support.waiting import wait_until

ACCOUNTS = [f"account-{number}" for number in range(6)]


class Worker:
    """Repeats every call until it is definitive, as the rules for clients say; knows what it was charged."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self._stack = stack
        self._dice = random.Random(seed)
        self._seed = seed
        self.charged = dict.fromkeys(ACCOUNTS, 0)

    async def run(self, generations: int) -> None:
        for number in range(generations):
            account_id, request_id = self._dice.choice(ACCOUNTS), f"{self._seed}-{number}"
            held = await self._until_definitive(reservation(account_id, request_id, self._dice.randint(0, 5)))
            if isinstance(held, Refused):
                continue
            digest = reservation_digest(account_id, request_id)
            if self._dice.random() < 0.7:
                settled = await self._until_definitive(Commit(account_id, digest, ABSENT, 2, "{}"))
            else:
                settled = await self._until_definitive(Release(account_id, digest, "{}"))
            assert isinstance(settled, Done)
            self.charged[account_id] += settled.reservation.charged

    async def _until_definitive(self, operation: AccountOperation) -> object:
        while True:
            try:
                return await self._stack.engine.execute(operation)
            except Unavailable:
                await asyncio.sleep(0.02)


async def test_redis_is_killed_in_the_middle_of_traffic(tmp_path: Path, database_url: str) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    async with open_stack(tmp_path / "data", database_url) as stack:
        jobs = Jobs(stack.store, stack.engine, stack.ledger, metrics=JobMetrics(CollectorRegistry()))
        jobs.start()
        for account_id in ACCOUNTS:
            await stack.account(account_id, 500)
        workers = [Worker(stack, seed + number) for number in range(8)]
        work = asyncio.gather(*(worker.run(40) for worker in workers))
        for target in (50, 150):
            await settled_or_done(stack, target, work)
            await stack.kill_redis()
            await stack.start_redis()
        async with asyncio.timeout(60):
            await work
        assert not (await reconcile(stack.store, stack.ledger)).drift
        await jobs.stop()
        report = await reconcile(stack.store, stack.ledger)
        assert not report.drift, report
        projections = await stack.ledger.projections.account_projections(ACCOUNTS)
        for account_id in ACCOUNTS:
            own = sum(worker.charged[account_id] for worker in workers)
            assert projections[account_id].charged == own
            assert projections[account_id].granted == 500 * CREDIT


async def settled_or_done(stack: Stack, target: int, work: asyncio.Future[list[None]]) -> None:
    """Wait until this process saw so many records settle."""

    def settled() -> bool:
        seen = sum(stack.store.seen_seq(number) for number in range(stack.store.partitions))
        return work.done() or seen > target

    await wait_until(settled, seconds=30)
