"""Redis dies, loses, forgets: the partition serves only after it has caught up from SQL."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from earmark.domain.ids import reservation_digest
from earmark.domain.states import ReservationState
from earmark.engine.engine import EngineOptions
from earmark.engine.operations import TOMBSTONE_WANTED, Release
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import RefusalCode, Refused
from earmark.errors import EarmarkError, NotFound, Reason, Unavailable
from earmark.jobs.recovery import Recovery, StoreMismatchError
from tests.support.stack import CONTENT, CREDIT, Stack, done, open_stack
from tests.support.waiting import wait_until


@pytest.fixture
async def stack(tmp_path: Path, database_url: str) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path / "data", database_url) as opened:
        yield opened


async def epochs(stack: Stack) -> list[int]:
    metas = [await stack.store.read_meta(number) for number in range(stack.store.partitions)]
    return [meta.epoch for meta in metas if meta is not None]


async def test_a_killed_redis_loses_nothing_that_was_acknowledged(stack: Stack) -> None:
    await stack.account("acme", 500)
    done(await stack.reserve("acme", "open", 75))
    done(await stack.reserve("acme", "paid", 75))
    done(await stack.commit("acme", "paid", 20))
    before = await stack.balance("acme")
    raised = await epochs(stack)

    await stack.kill_redis()
    await stack.start_redis()

    assert await stack.balance("acme") == before
    assert await epochs(stack) == [epoch + 1 for epoch in raised]
    assert done(await stack.commit("acme", "open")).reservation.charged == 75 * CREDIT


async def test_without_redis_calls_are_refused_at_once_and_served_again_by_itself(stack: Stack) -> None:
    await stack.account("acme", 500)
    await stack.kill_redis()
    with pytest.raises(Unavailable) as refused:
        await stack.balance("acme")
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    await stack.start_redis()
    assert (await stack.balance("acme")).available == 500 * CREDIT


async def test_a_redis_that_stands_still_answers_within_the_time_out_and_goes_on(
    tmp_path: Path, database_url: str
) -> None:
    async with open_stack(tmp_path / "data", database_url, options=EngineOptions()) as stack:
        await stack.account("acme", 500)
        pid = stack.redis.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            answers = await asyncio.gather(
                *(stack.reserve("acme", f"r{number}", 1) for number in range(50)), return_exceptions=True
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        assert {getattr(answer, "reason", None) for answer in answers} == {Reason.STORE_UNAVAILABLE}
        assert stack.store.connected

        async def served() -> bool:
            try:
                return (await stack.balance("acme")).available >= 0
            except EarmarkError:
                return False

        await wait_until(served)
        # The fate of the calls was unknown; their repeats settle it, once each.
        for number in range(50):
            done(await stack.reserve("acme", f"r{number}", 1))
        assert (await stack.balance("acme")).reserved == 50 * CREDIT


async def test_a_flushed_redis_comes_back_from_the_ledger(stack: Stack) -> None:
    await stack.account("acme", 500)
    done(await stack.reserve("acme", "paid", 75))
    done(await stack.commit("acme", "paid", 20))
    done(await stack.reserve("acme", "open", 75))
    await stack.flush()

    await stack.store.command("FLUSHALL")
    with pytest.raises(Unavailable) as refused:
        await stack.balance("acme")
    assert refused.value.reason is Reason.RECOVERING
    await wait_until(lambda: stack.recovery.serving)

    balance = await stack.balance("acme")
    assert (balance.available, balance.reserved, balance.charged) == (480 * CREDIT, 0, 20 * CREDIT)
    # The commit was repeated: its answer had been lost.
    again = done(await stack.commit("acme", "paid", 20))
    assert again.replayed
    assert again.balance.charged == 20 * CREDIT
    # An open hold is not in SQL: it has dissolved.
    with pytest.raises(NotFound) as lost:
        await stack.commit("acme", "open")
    assert lost.value.reason is Reason.RESERVATION_NOT_FOUND


async def test_ids_of_the_lost_history_are_looked_up_in_sql(stack: Stack) -> None:
    await stack.account("acme", 500)
    done(await stack.reserve("acme", "paid", 75))
    done(await stack.commit("acme", "paid", 20))
    await stack.flush()
    await stack.store.command("FLUSHALL")
    with pytest.raises(Unavailable):
        await stack.balance("acme")
    await wait_until(lambda: stack.recovery.serving)
    await stack.balance("acme")

    again = done(await stack.reserve("acme", "paid", 75))
    assert again.replayed
    assert again.reservation.state == ReservationState.COMMITTED
    fresh = done(await stack.reserve("acme", "new", 75))
    assert not fresh.replayed


async def test_an_older_snapshot_catches_up_and_charges_nothing_twice(stack: Stack, tmp_path: Path) -> None:
    await stack.account("acme", 500)
    await stack.account("other", 100)
    done(await stack.reserve("acme", "before", 75))
    done(await stack.reserve("acme", "kept", 10))
    done(await stack.reserve("other", "untouched", 10))
    await stack.kill_redis()
    stack.save_redis(tmp_path / "data", "older")
    await stack.start_redis()

    done(await stack.commit("acme", "before", 7))
    done(await stack.reserve("acme", "after", 75))
    done(await stack.commit("acme", "after", 9))
    done(await stack.reserve("acme", "lost", 75))
    await stack.flush()
    await stack.kill_redis()
    stack.restore_redis(tmp_path / "data", "older")
    await stack.start_redis()

    balance = await stack.balance("acme")
    assert balance.charged == 16 * CREDIT
    assert balance.reserved == 10 * CREDIT, "the hold that Redis still has is kept, the one it lost has dissolved"
    assert balance.available == (500 - 16 - 10) * CREDIT
    assert done(await stack.commit("acme", "before", 7)).replayed
    assert done(await stack.reserve("acme", "after", 75)).replayed
    assert done(await stack.commit("acme", "kept")).reservation.charged == 10 * CREDIT
    assert (await stack.balance("other")).reserved == 10 * CREDIT
    assert await stack.flush() == 1


async def test_a_grant_and_a_suspension_of_the_lost_history_are_there_again(stack: Stack, tmp_path: Path) -> None:
    await stack.account("acme", 100)
    await stack.balance("acme")
    await stack.kill_redis()
    stack.save_redis(tmp_path / "data", "older")
    await stack.start_redis()
    await stack.grant("acme", 50, request_id="second")
    ticket = await stack.ledger.accounts.set_suspended("acme", "suspend", CONTENT, suspended=True)
    await stack.engine.execute(ticket.operation)
    await stack.flush()
    await stack.kill_redis()
    stack.restore_redis(tmp_path / "data", "older")
    await stack.start_redis()

    assert (await stack.balance("acme")).available == 150 * CREDIT
    assert await stack.reserve("acme", "r", 1) == Refused(RefusalCode.ACCOUNT_SUSPENDED, ())


async def test_a_recovery_that_died_halfway_is_done_again(stack: Stack, tmp_path: Path) -> None:
    await stack.account("acme", 500)
    await stack.balance("acme")
    await stack.kill_redis()
    stack.save_redis(tmp_path / "data", "older")
    await stack.start_redis()
    done(await stack.reserve("acme", "paid", 75))
    done(await stack.commit("acme", "paid", 20))
    await stack.flush()
    await stack.kill_redis()
    stack.restore_redis(tmp_path / "data", "older")
    await stack.recovery.close()
    await stack.redis.start()
    await wait_until(lambda: stack.store.connected)
    # Both fences are up and nothing was caught up: what a death in the middle leaves.
    for partition in range(stack.store.partitions):
        position = await stack.ledger.partitions.read(partition)
        epoch = position.epoch + 1
        assert await stack.ledger.partitions.raise_epoch(partition, position.epoch, epoch)
        assert await stack.store.begin_recovery(partition, epoch, wipe=False, flushed=position.flushed_seq)

    recovery = Recovery(stack.store, stack.ledger)
    recovery.start()
    await recovery.wait_admitted()
    try:
        balance = await stack.balance("acme")
        assert (balance.available, balance.charged) == (480 * CREDIT, 20 * CREDIT)
    finally:
        await recovery.close()


async def test_two_sidecars_recover_one_partition_once_each_in_turn(stack: Stack) -> None:
    await stack.account("acme", 500)
    other_store = RedisStore(stack.redis.url, stack.store.store_id, stack.store.partitions)
    await other_store.open()
    other = Recovery(other_store, stack.ledger)
    other.start()
    try:
        await other.wait_admitted()
        await stack.kill_redis()
        await stack.start_redis()
        await wait_until(lambda: other_store.connected and other.serving)
        await wait_until(lambda: stack.recovery.serving)
        metas = [await stack.store.read_meta(number) for number in range(stack.store.partitions)]
        for number, meta in enumerate(metas):
            assert meta is not None
            assert stack.store.epoch(number) == other_store.epoch(number) == meta.epoch
            assert (await stack.ledger.partitions.read(number)).epoch == meta.epoch
    finally:
        await other.close()
        await other_store.close()


async def test_a_redis_of_another_store_is_refused_and_not_touched(stack: Stack) -> None:
    await stack.account("acme", 500)
    foreign = RedisStore(stack.redis.url, "another-store", stack.store.partitions)
    await foreign.open()
    recovery = Recovery(foreign, stack.ledger)
    recovery.start()
    try:
        with pytest.raises(StoreMismatchError, match="belongs to the store"):
            await recovery.wait_admitted()
        assert (await stack.balance("acme")).available == 500 * CREDIT
    finally:
        await recovery.close()
        await foreign.close()


async def test_a_release_by_request_id_of_something_unknown_meets_the_reserve_on_its_way(stack: Stack) -> None:
    await stack.account("acme", 500)
    digest = reservation_digest("acme", "late")
    released = done(await stack.engine.execute(Release("acme", digest, "{}", TOMBSTONE_WANTED)))
    assert (released.reservation.state, released.reservation.reserved) == (ReservationState.RELEASED, 0)
    arrived = done(await stack.reserve("acme", "late", 75))
    assert arrived.replayed
    assert arrived.reservation.state == ReservationState.RELEASED
    assert arrived.balance.reserved == 0
