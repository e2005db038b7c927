"""The oracle and a real engine give the same answers, write the same stream, and keep every invariant."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from earmark.engine.operations import Operation
from earmark.engine.redis.store import RedisStore, StoreOptions
from earmark.engine.results import Result
from tests.property.intents import HOUR
from tests.property.machine import MACHINES, Driver
from tests.support.engine import SharedEngine
from tests.support.partition import open_test_store

OPTIONS = StoreOptions(replay_window=HOUR)
EXAMPLES = settings(max_examples=60, stateful_step_count=40)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_engine_does_what_the_oracle_does(machine: type[Driver], engine: SharedEngine) -> None:
    with asyncio.Runner() as runner:

        class SideBySide(machine):  # type: ignore[valid-type, misc]  # the same machine, on two stores
            """Sends every batch to both, at the engine's time."""

            def __init__(self) -> None:
                super().__init__()
                engine.empty()
                self.redis: RedisStore = runner.run(
                    open_test_store(engine.url, options=StoreOptions(replay_window=HOUR))
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
                return results

            def teardown(self) -> None:
                runner.run(self.redis.close())

        run_state_machine_as_test(SideBySide, settings=EXAMPLES)
