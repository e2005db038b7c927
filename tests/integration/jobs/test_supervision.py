"""A job that fails is started again; leases go from hand to hand; lists that never shrink hide nothing."""

from __future__ import annotations

import asyncio
from time import monotonic

from prometheus_client import CollectorRegistry

from earmark.jobs import attempts
from earmark.jobs.attempts import Attempts
from earmark.jobs.leases import Leases
from earmark.jobs.memory import MemoryState
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.supervision import supervise
from earmark.jobs.trimming import TrimLag, Trimmer
from tests.support.stack import Stack
from tests.support.waiting import wait_until

SECOND = 1_000_000


async def test_job_that_fails_or_ends_is_started_again(registry: CollectorRegistry, metrics: JobMetrics) -> None:
    runs = 0

    async def job() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("broken")
        if runs > 2:
            await asyncio.Event().wait()

    task = asyncio.create_task(supervise("job", job, metrics))
    await wait_until(lambda: runs == 3)
    assert registry.get_sample_value("earmark_job_restarts_total", {"job": "job"}) == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_lease_has_one_holder_and_goes_to_the_next(stack: Stack) -> None:
    changes: list[tuple[str, int, bool]] = []

    def lease_of(owner: str) -> Leases:
        def changed(partition: int, held: bool) -> None:
            changes.append((owner, partition, held))

        return Leases(stack.engine, stack.store, "test", owner, 300_000, changed)

    one, two = lease_of("one"), lease_of("two")
    first = asyncio.create_task(one.keep())
    await wait_until(lambda: one.held_partitions() == [0, 1])
    second = asyncio.create_task(two.keep())
    longer_than_a_lease = monotonic() + 0.5

    def stays_where_it_is() -> bool:
        assert one.held_partitions() == [0, 1]
        assert two.held_partitions() == []
        return monotonic() > longer_than_a_lease

    await wait_until(stays_where_it_is)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await one.release()
    await wait_until(lambda: two.held_partitions() == [0, 1])
    assert one.held_partitions() == []
    assert ("one", 0, False) in changes
    assert ("two", 0, True) in changes
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


def test_accounts_that_stay_on_a_list_are_tried_less_and_less_often(monkeypatch) -> None:
    now = 0.0
    monkeypatch.setattr(attempts, "monotonic", lambda: now)
    tried = Attempts()
    times = []
    for second in range(40):
        now = float(second)
        if tried.due(["stuck"]):
            times.append(second)
    assert times == [0, 2, 6, 14, 30]
    assert tried.due(["stuck", "new"]) == ["new"]
    assert tried.due([]) == []
    assert tried.due(["stuck"]) == ["stuck"]


def test_patient_attempts_leave_the_first_seconds_to_others(monkeypatch) -> None:
    now = 0.0
    monkeypatch.setattr(attempts, "monotonic", lambda: now)
    tried = Attempts(patience_seconds=2.0)
    assert tried.due(["account"]) == []
    now = 1.9
    assert tried.due(["account"]) == []
    now = 2.0
    assert tried.due(["account"]) == ["account"]


def test_trimming_lags_behind_and_goes_in_steps() -> None:
    trimmer = Trimmer()
    trimmer.begin(1)
    trimmer.flushed(0, 10)
    trimmer.flushed(SECOND // 2, 15)  # too soon for a checkpoint of its own
    trimmer.flushed(2 * SECOND, 50_000)
    assert trimmer.trim_before(59 * SECOND, 60 * SECOND) == 0
    assert trimmer.trim_before(60 * SECOND, 60 * SECOND) == 10
    trimmer.done(10)
    assert trimmer.trim_before(61 * SECOND, 60 * SECOND) == 0
    steps = []
    while step := trimmer.trim_before(62 * SECOND, 60 * SECOND):
        trimmer.done(step)
        steps.append(step)
    assert steps == [20_010, 40_010, 50_000]


def test_trim_lag_gives_way_to_memory_and_comes_back() -> None:
    lag = TrimLag(longest=900 * SECOND, percent=20)
    lag.look(100, 0)
    lag.look(20, 100)
    assert lag.current == 900 * SECOND
    seen = []
    for _ in range(20):
        lag.look(21, 100)
        seen.append(lag.current)
    assert seen[0] == 450 * SECOND
    assert seen[-1] == 0
    lag.look(15, 100)
    assert lag.current == 0
    for _ in range(20):
        lag.look(5, 100)
    assert lag.current == 900 * SECOND


def test_memory_without_a_limit_is_never_full() -> None:
    assert not MemoryState(10**12, 0).above(80)
    assert not MemoryState(80, 100).above(80)
    assert MemoryState(81, 100).above(80)
