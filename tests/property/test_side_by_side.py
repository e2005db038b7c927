"""The oracle and a real engine give the same answers, write the same stream, and keep every invariant."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from earmark.engine.operations import ConfirmFlush, Operation, ReadBalance, RenewLease
from earmark.engine.redis.store import RedisStore, StoreOptions
from earmark.engine.results import Again, BalanceRead, Result
from tests.property.counters import counters_of_engine, counters_of_oracle
from tests.property.intents import ACCOUNTS, HOUR, MINUTE, TryReserve
from tests.property.machine import MACHINES, Driver, Everything
from tests.support.engine import SharedEngine
from tests.support.partition import open_test_store

OPTIONS = StoreOptions(replay_window=HOUR)
EXAMPLES = settings(max_examples=60, stateful_step_count=40)


def side_by_side(machine: type[Driver], engine: SharedEngine, runner: asyncio.Runner) -> type[Driver]:
    """Return a machine that sends every batch to both stores, at the engine's time, and compares."""

    class SideBySide(machine):  # type: ignore[valid-type, misc]  # the same machine, on two stores
        def __init__(self) -> None:
            super().__init__()
            engine.empty()
            self.redis: RedisStore = runner.run(open_test_store(engine.url, options=OPTIONS))
            self.redis.set_policy(
                horizon=OPTIONS.horizon, low_balance=self.low_balance, critical_balance=self.critical_balance
            )
            self.seq = 0

        def execute(self, operations: Sequence[Operation], pause: int) -> tuple[Result, ...]:
            results: tuple[Result, ...] = runner.run(self.compare(operations, pause))
            return results

        async def compare(self, operations: Sequence[Operation], pause: int) -> tuple[Result, ...]:
            if pause:
                await self.redis.move_clock(pause)
            reply = await self.redis.execute(0, operations)
            before = len(self.store.stream)
            results: tuple[Result, ...] = self.store.execute(operations, reply.now)
            for operation, oracle, actual in zip(operations, results, reply.results, strict=True):
                assert actual == oracle, f"\n{operation}\n  oracle {oracle}\n  engine {actual}"
            elements = await self.redis.read_stream(0, self.seq, 10)
            streamed = [record for _, element in elements for record in element.records]
            assert streamed == self.store.stream[before:], "the streams differ"
            self.seq = len(self.store.stream)
            assert (reply.seq, reply.due_left) == (self.seq, self.store.due_left)
            assert reply.flushed == self.store.partition.flushed
            assert await counters_of_engine(self.redis) == counters_of_oracle(self.store), "the counters differ"
            return results

        def teardown(self) -> None:
            runner.run(self.redis.close())

    return SideBySide


@pytest.mark.timeout(900)  # a failure is shrunk before it is told
@pytest.mark.parametrize("machine", MACHINES)
def test_the_engine_does_what_the_oracle_does(machine: type[Driver], engine: SharedEngine) -> None:
    with asyncio.Runner() as runner:
        run_state_machine_as_test(side_by_side(machine, engine, runner), settings=EXAMPLES)


def test_they_agree_on_more_due_events_than_one_call_settles(engine: SharedEngine) -> None:
    with asyncio.Runner() as runner:
        both = side_by_side(Everything, engine, runner)()
        both.begin()
        for first in range(0, 600, 60):
            numbers = range(first, first + 60)
            both.attempt([_hold(number) for number in numbers], pause=0)
        lease = RenewLease("flush", "one", MINUTE)
        reading = ReadBalance(ACCOUNTS[0])
        for _ in range(2):
            results = both.execute([reading, lease, ConfirmFlush(1, 0)], pause=MINUTE)
            assert results[0] == Again()
            assert Again() not in results[1:], "what concerns the partition goes on"
        (last,) = both.execute([reading], pause=0)
        assert isinstance(last, BalanceRead)
        assert last.balance.reserved == 0
        both.teardown()


def _hold(number: int) -> TryReserve:
    return TryReserve(
        account=0,
        request=number,
        amount=number % 2,
        minimum=0,
        ttl=MINUTE,
        user="",
        wait=0,
        owner="",
        validate_only=False,
    )
