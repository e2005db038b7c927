"""The test clock: moves the time of a store that was initialised for tests, and waits for what falls due meanwhile.

A long way is walked from one end of a billing cycle to the next, so that what happens at each of them finds the store
as it would have been at that moment: credits of a cycle are carried over before the next cycle's expire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from earmark.credits import MAX_MICROS
from earmark.engine.engine import Engine
from earmark.engine.operations import ReadBalance, RetireReservations
from earmark.engine.redis.store import RedisStore
from earmark.errors import Reason, error
from earmark.jobs.relay import relay_account
from earmark.ledger.database import Ledger

__all__ = ["ClockOptions", "TestClock"]


@dataclass(frozen=True, slots=True)
class ClockOptions:
    """Bounds of the test clock."""

    steps: int = 400
    """Ends of cycles at which one move stops; what is left of the way is one step."""
    accounts: int = 500
    """That one look at SQL brings."""
    retire_limit: int = 1_000
    """Records that one call removes."""
    rounds: int = 1_000
    """Until everything that is due has happened: what falls due can make other things fall due."""
    flush_seconds: float = 10.0
    """How long the flusher, wherever it runs, may take for what one round settled."""


class TestClock:
    """Moves the clock of a test store. What it does besides, any process may do at any time."""

    __test__ = False  # its name is no test's

    def __init__(
        self,
        store: RedisStore,
        engine: Engine,
        ledger: Ledger,
        *,
        movable: bool,
        jobs: Sequence[Callable[[], Awaitable[int]]] = (),
        next_event: Callable[[int], Awaitable[int | None]] | None = None,
        hurry: Callable[[], None] = lambda: None,
        options: ClockOptions | None = None,
    ) -> None:
        """`movable` says whether the store was initialised for tests; `jobs` do what is due and return how much.

        `next_event` returns the first moment after a time at which a long way is to stop, in microseconds, or None;
        `hurry` tells the flusher of this process that somebody waits for it.
        """
        self._store = store
        self._engine = engine
        self._ledger = ledger
        self.movable = movable
        self._jobs = jobs
        self._next_event = next_event
        self._hurry = hurry
        self._options = options or ClockOptions()
        self._moving = asyncio.Lock()

    def now(self) -> int:
        """Return the store's time, in microseconds since 1970."""
        return self._store.now()

    async def move(self, by: int | None = None, to: int | None = None) -> int:
        """Move the clock forward, by a duration or to a moment; return the time when everything due has happened.

        Raises:
            FailedPrecondition: NOT_A_TEST_STORE.
            InvalidRequest: it would go backward, or beyond what Lua's numbers hold.
            Unavailable: a store is away; the clock may have moved a part of the way.
        """
        if not self.movable:
            raise error(
                Reason.NOT_A_TEST_STORE, "only the clock of a store that was initialised for tests can be moved"
            )
        async with self._moving:
            target = self.now() + by if by is not None else to
            assert target is not None, "either by or to"
            if not self.now() <= target <= MAX_MICROS:
                raise error(Reason.INVALID_ARGUMENT, "time: the clock only moves forward, until 2255", field="time")
            await self._settle()
            for _ in range(self._options.steps):
                stop = await self._next_event(self.now()) if self._next_event is not None else None
                if stop is None or stop >= target:
                    break
                await self._go(stop)
                await self._do_what_is_due()
            await self._go(target)
            await self._settle()
            return self.now()

    async def _go(self, moment: int) -> None:
        distance = moment - self.now()
        if distance > 0:
            await self._store.move_clock(distance)

    async def _settle(self) -> None:
        """Return when nothing is due any more and all of it is in SQL."""
        for _ in range(self._options.rounds):
            before = [self._store.seen_seq(number) for number in range(self._store.partitions)]
            done = await self._do_what_is_due()
            await self._wait_flushed()
            after = [self._store.seen_seq(number) for number in range(self._store.partitions)]
            if not done and before == after:
                return
        raise error(Reason.STORE_UNAVAILABLE, "what is due does not come to an end: move the clock in smaller steps")

    async def _do_what_is_due(self) -> int:
        await asyncio.gather(*(self._sweep(number) for number in range(self._store.partitions)))
        done = 0
        for job in self._jobs:
            done += await job()
        done += await self._relay()
        await self._touch_due_accounts()
        return done

    async def _sweep(self, partition: int) -> None:
        while True:
            reply = await self._store.execute(partition, [RetireReservations(self._options.retire_limit)])
            if not reply.due_left:
                return

    async def _relay(self) -> int:
        applied = 0
        for account_id in await self._ledger.accounts.accounts_with_pending_administration(self._options.accounts):
            record = await self._ledger.accounts.get(account_id)
            applied += await relay_account(self._engine, self._ledger.archive, account_id, record.admin_seq)
        return applied

    async def _touch_due_accounts(self) -> None:
        for account_id in await self._ledger.accounts.accounts_with_due_grants(self.now(), self._options.accounts):
            await self._engine.execute(ReadBalance(account_id))

    async def _wait_flushed(self) -> None:
        patience = monotonic() + self._options.flush_seconds
        wanted = {number: self._store.seen_seq(number) for number in range(self._store.partitions)}
        self._hurry()
        while True:
            positions = await self._ledger.partitions.read_all()
            if all(number in positions and positions[number].flushed_seq >= seq for number, seq in wanted.items()):
                return
            if monotonic() > patience:
                raise error(
                    Reason.STORE_UNAVAILABLE,
                    "the clock was moved, but not everything is in SQL yet: see why the flusher waits, and repeat",
                )
            await asyncio.sleep(0.005)
