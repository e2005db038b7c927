"""The engine's front: loads, the queue, watchers, overload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from earmark.domain.ids import reservation_digest
from earmark.domain.limits import FOREVER
from earmark.engine.engine import EngineOptions
from earmark.engine.operations import ConfirmFlush, Evict, LimitClaim, ReadReservation
from earmark.engine.redis.keys import partition_keys
from earmark.engine.results import Applied, Done, RefusalCode, Refused, ReservationRead
from earmark.errors import NotFound, Reason, Unavailable
from tests.support.stack import CREDIT, PATIENT, Stack, done, open_stack, reservation
from tests.support.waiting import wait_until


@pytest.fixture
async def stack(tmp_path: Path, database_url: str) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path / "data", database_url) as opened:
        yield opened


async def test_twenty_reservations_of_75_on_500_at_once(stack: Stack) -> None:
    await stack.account("acme", 500)
    answers = await asyncio.gather(*(stack.reserve("acme", f"r{number}", 75) for number in range(20)))
    assert sum(isinstance(answer, Done) for answer in answers) == 6
    assert {answer.numbers for answer in answers if isinstance(answer, Refused)} == {
        (50 * CREDIT, 75 * CREDIT, 25 * CREDIT)
    }
    assert (await stack.balance("acme")).available == 50 * CREDIT


async def test_an_account_that_does_not_exist_is_not_found_and_leaves_nothing(stack: Stack) -> None:
    before = await stack.store.command("DBSIZE")
    for number in range(20):
        with pytest.raises(NotFound) as missing:
            await stack.reserve(f"nobody-{number}", "r", 1)
        assert missing.value.reason is Reason.ACCOUNT_NOT_FOUND
    assert await stack.store.command("DBSIZE") == before


async def test_many_calls_on_a_cold_account_share_one_load(stack: Stack) -> None:
    await stack.account("acme", 500)
    await stack.flush()
    await stack.store.command("FLUSHALL")
    with pytest.raises(Unavailable):
        await stack.balance("acme")
    await wait_until(lambda: stack.recovery.serving)
    answers = await asyncio.gather(*(stack.reserve("acme", f"r{number}", 75) for number in range(20)))
    assert sum(isinstance(answer, Done) for answer in answers) == 6


async def test_an_evicted_account_comes_back_with_every_number(stack: Stack) -> None:
    await stack.account("acme", 500)
    done(await stack.reserve("acme", "paid", 75))
    done(await stack.commit("acme", "paid", 20))
    before = await stack.balance("acme")
    evict = Evict("acme", idle_before=2**53 - 1, admin_seq=1, members=())
    assert await stack.engine.execute(evict) == Refused(RefusalCode.STALE, ()), "its entries are not flushed"
    await stack.flush()
    partition = stack.engine.partition_of("acme")
    position = await stack.ledger.partitions.read(partition)
    await stack.engine.execute_on(partition, ConfirmFlush(position.flushed_seq, 0))

    assert isinstance(await stack.engine.execute(evict), Applied)
    key = partition_keys(partition).accounts
    assert await stack.store.command("HEXISTS", key, "acme") == 0
    after = await stack.balance("acme")
    assert (after.available, after.charged, after.entry_number) == (before.available, before.charged, 2)
    assert after.version > before.version


async def test_waiters_go_on_in_order_of_arrival(stack: Stack) -> None:
    await stack.account("acme", 10)
    done(await stack.reserve("acme", "first", 10))
    order: list[str] = []

    async def wait_for(name: str) -> None:
        done(await stack.reserve("acme", name, 4, wait=30, owner=f"owner-{name}"))
        order.append(name)

    waiters = partition_keys(stack.engine.partition_of("acme")).waiters
    tasks = []
    for number, name in enumerate(("a", "b", "c"), 1):
        tasks.append(asyncio.create_task(wait_for(name)))

        async def queued(count: int = number) -> bool:
            return int(await stack.store.command("ZCARD", waiters)) == count

        await wait_until(queued)
    done(await stack.commit("acme", "first", 6))
    await wait_until(lambda: order == ["a"])
    await stack.grant("acme", 8, request_id="more")
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    assert await stack.store.command("ZCARD", waiters) == 0


async def test_a_waiter_whose_time_is_over_is_refused(stack: Stack) -> None:
    await stack.account("acme", 10)
    answer = await stack.reserve("acme", "r", 11, wait=0.05, owner="o")
    assert answer == Refused(RefusalCode.INSUFFICIENT_CREDITS, (10 * CREDIT, 11 * CREDIT, CREDIT))


async def test_a_cancelled_waiter_leaves_the_queue(stack: Stack) -> None:
    await stack.account("acme", 10)
    waiters = partition_keys(stack.engine.partition_of("acme")).waiters
    task = asyncio.create_task(stack.engine.execute(reservation("acme", "r", 11, wait=30, owner="o")))

    async def queued(count: int) -> bool:
        return int(await stack.store.command("ZCARD", waiters)) == count

    await wait_until(lambda: queued(1))
    task.cancel()
    await wait_until(lambda: queued(0))
    await stack.grant("acme", 5, request_id="more")
    assert (await stack.balance("acme")).reserved == 0


async def test_watchers_see_the_balance_at_once_and_after_every_change(stack: Stack) -> None:
    await stack.account("acme", 10)
    watch = stack.engine.watch("acme")
    assert (await anext(watch)).available == 10 * CREDIT
    changed = asyncio.ensure_future(anext(watch))
    done(await stack.reserve("acme", "r", 4))
    assert (await changed).available == 6 * CREDIT
    await watch.aclose()


async def test_a_backlog_beyond_its_bound_refuses_new_reservations_only(tmp_path: Path, database_url: str) -> None:
    options = EngineOptions(batcher=PATIENT.batcher, max_backlog=3)
    async with open_stack(tmp_path / "data", database_url, partitions=1, options=options) as stack:
        await stack.account("acme", 100)
        done(await stack.reserve("acme", "open", 5))
        for number in range(3):
            done(await stack.reserve("acme", f"r{number}", 1))
            done(await stack.commit("acme", f"r{number}"))
        with pytest.raises(Unavailable) as refused:
            await stack.reserve("acme", "more", 1)
        assert refused.value.reason is Reason.OVERLOADED
        done(await stack.commit("acme", "open"))


async def test_an_ended_reservation_is_read_from_sql_when_redis_has_forgotten_it(stack: Stack) -> None:
    await stack.account("acme", 100)
    done(await stack.reserve("acme", "r", 5))
    done(await stack.commit("acme", "r", 3))
    await stack.flush()
    digest = reservation_digest("acme", "r")
    partition = stack.engine.partition_of("acme")
    await stack.store.command("HDEL", partition_keys(partition).reservations, digest)
    answer = await stack.engine.execute(ReadReservation("acme", digest))
    assert isinstance(answer, ReservationRead)
    assert answer.reservation.charged == 3 * CREDIT
    assert answer.reservation.details == '{"r":"r"}'


async def test_every_key_belongs_to_the_fixed_set_of_a_partition(stack: Stack) -> None:
    await stack.account("acme{x}", 10)
    done(await stack.reserve("acme{x}", "r", 4))
    done(await stack.commit("acme{x}", "r", 1))
    claim = LimitClaim("l:0:user:{y}", CREDIT, near=CREDIT, blocks=True, windows=(0, FOREVER))
    done(await stack.engine.execute(replace(reservation("acme{x}", "limited", 1), limits=(claim,))))
    task = asyncio.create_task(stack.engine.execute(reservation("acme{x}", "w", 100, wait=0.05, owner="o")))
    allowed = {key for number in range(stack.store.partitions) for key in partition_keys(number).all()}

    async def keys() -> set[str]:
        return {key.decode() for key in await stack.store.command("KEYS", "*")}

    assert await keys() <= allowed
    await task
    assert await keys() <= allowed
    assert partition_keys(stack.engine.partition_of("acme{x}")).counters in await keys()


async def test_a_flushed_function_library_is_loaded_again_and_nothing_is_done_twice(stack: Stack) -> None:
    await stack.account("acme", 10)
    await stack.store.command("FUNCTION", "FLUSH")
    assert not done(await stack.reserve("acme", "r", 4)).replayed
    assert (await stack.balance("acme")).reserved == 4 * CREDIT
