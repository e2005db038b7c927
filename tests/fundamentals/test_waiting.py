"""Waiting for credits: first come, first served among those who wait."""

from __future__ import annotations

from earmark.engine.results import RefusalCode, Waiting
from tests.fundamentals.bank import MINUTE, SECOND, Bank, EngineBank, done, numbers, refusal


async def test_a_reserve_may_wait_until_there_is_enough(bank: Bank) -> None:
    assert await bank.reserve("image-1", 30, wait=MINUTE) == Waiting(available=0, required=30)
    await bank.grant(100)
    assert done(await bank.reserve("image-1", 30, wait=MINUTE)).reservation.reserved == 30


async def test_it_waits_only_while_less_than_its_minimum_is_there(bank: Bank) -> None:
    await bank.grant(20)
    assert done(await bank.reserve("text-1", 100, minimum=20, wait=MINUTE)).reservation.reserved == 20


async def test_who_came_first_takes_first(bank: Bank) -> None:
    await bank.reserve("first", 30, wait=MINUTE)
    await bank.reserve("second", 30, wait=MINUTE)
    await bank.grant(30)
    assert isinstance(await bank.reserve("second", 30, wait=MINUTE), Waiting)
    done(await bank.reserve("first", 30, wait=MINUTE))


async def test_a_small_wish_does_not_pass_a_big_one(bank: Bank) -> None:
    await bank.reserve("big", 100, wait=MINUTE)
    await bank.grant(50)
    assert await bank.reserve("small", 10, wait=MINUTE) == Waiting(available=50, required=10)


async def test_those_who_do_not_wait_may_overtake(bank: Bank) -> None:
    await bank.reserve("big", 100, wait=MINUTE)
    await bank.grant(50)
    done(await bank.reserve("in-a-hurry", 10))


async def test_a_remainder_is_for_the_next(bank: Bank) -> None:
    await bank.reserve("first", 30, wait=MINUTE)
    await bank.reserve("second", 30, wait=MINUTE)
    await bank.grant(60)
    done(await bank.reserve("first", 30, wait=MINUTE))
    done(await bank.reserve("second", 30, wait=MINUTE))


async def test_a_wait_ends_at_its_deadline(bank: Bank) -> None:
    await bank.reserve("image-1", 30, wait=4 * SECOND)
    await bank.pass_time(4 * SECOND)
    answer = await bank.reserve("image-1", 30, wait=4 * SECOND)
    assert refusal(answer) is RefusalCode.INSUFFICIENT_CREDITS
    assert numbers(answer) == {"available_micros": 0, "required_micros": 30, "shortfall_micros": 30}


async def test_the_deadline_is_that_of_the_first_attempt(bank: Bank) -> None:
    await bank.reserve("image-1", 30, wait=8 * SECOND)
    await bank.pass_time(4 * SECOND)
    assert isinstance(await bank.reserve("image-1", 30, wait=8 * SECOND), Waiting)
    await bank.pass_time(4 * SECOND)
    assert refusal(await bank.reserve("image-1", 30, wait=8 * SECOND)) is RefusalCode.INSUFFICIENT_CREDITS


async def test_not_even_when_another_waiter_came_by_meanwhile(bank: Bank) -> None:
    await bank.reserve("image-1", 30, wait=2 * SECOND)
    await bank.reserve("image-2", 30, wait=MINUTE)
    await bank.pass_time(2 * SECOND)
    assert isinstance(await bank.reserve("image-2", 30, wait=MINUTE), Waiting)
    assert refusal(await bank.reserve("image-1", 30, wait=2 * SECOND)) is RefusalCode.INSUFFICIENT_CREDITS


async def test_what_is_there_at_the_deadline_is_taken(bank: Bank) -> None:
    await bank.reserve("image-1", 30, wait=2 * SECOND)
    await bank.grant(30)
    await bank.pass_time(2 * SECOND)
    done(await bank.reserve("image-1", 30, wait=2 * SECOND))


async def test_the_place_of_a_dead_sidecar_lapses_in_seconds(bank: Bank) -> None:
    await bank.reserve("of-the-dead", 30, wait=MINUTE)
    await bank.reserve("image-1", 30, wait=MINUTE)
    await bank.grant(30)
    await bank.pass_time(4 * SECOND)
    assert isinstance(await bank.reserve("image-1", 30, wait=MINUTE), Waiting)
    await bank.pass_time(SECOND)
    done(await bank.reserve("image-1", 30, wait=MINUTE))


async def test_a_repeat_long_after_begins_to_wait_anew(bank: Bank) -> None:
    await bank.reserve("image-1", 30, wait=MINUTE)
    await bank.pass_time(10 * MINUTE)
    assert isinstance(await bank.reserve("image-1", 30, wait=MINUTE), Waiting)


async def test_cancelling_leaves_the_place_to_the_next(bank: Bank) -> None:
    await bank.reserve("first", 30, wait=MINUTE)
    await bank.reserve("second", 30, wait=MINUTE)
    await bank.grant(30)
    assert await bank.cancel_wait("first")
    done(await bank.reserve("second", 30, wait=MINUTE))


async def test_a_repeat_takes_the_place_over_and_only_the_owner_gives_it_up(bank: Bank) -> None:
    await bank.reserve("image-1", 30, wait=MINUTE, owner="first attempt")
    await bank.reserve("image-1", 30, wait=MINUTE, owner="second attempt")
    assert not await bank.cancel_wait("image-1", "first attempt")
    assert await bank.cancel_wait("image-1", "second attempt")


async def test_a_refusal_for_another_reason_ends_the_wait(bank: Bank) -> None:
    await bank.reserve("image-1", 30, wait=MINUTE)
    await bank.configure(suspended=True)
    assert refusal(await bank.reserve("image-1", 30, wait=MINUTE)) is RefusalCode.ACCOUNT_SUSPENDED
    assert not await bank.cancel_wait("image-1")


async def test_a_repeat_that_does_not_wait_takes_the_place_with_it(bank: Bank) -> None:
    await bank.reserve("first", 30, wait=MINUTE)
    await bank.reserve("second", 30, wait=MINUTE)
    await bank.grant(60)
    done(await bank.reserve("first", 30))
    done(await bank.reserve("second", 30, wait=MINUTE))


async def test_a_hold_does_not_expire_while_its_extend_waits(bank: Bank) -> None:
    await bank.grant(30)
    await bank.reserve("video-1", 30, ttl=SECOND)
    assert isinstance(await bank.extend("video-1", "more", additional=20, wait=4 * SECOND), Waiting)
    await bank.pass_time(3 * SECOND)
    await bank.grant(20)
    answer = done(await bank.extend("video-1", "more", additional=20, wait=4 * SECOND))
    assert answer.reservation.reserved == 50


async def test_who_waits_leaves_nothing_behind(engine_bank: EngineBank) -> None:
    await engine_bank.reserve("first", 30, wait=MINUTE)
    await engine_bank.reserve("second", 30, wait=MINUTE)
    await engine_bank.cancel_wait("first")
    await engine_bank.grant(30)
    await engine_bank.reserve("second", 30, wait=MINUTE)
    keys = engine_bank.store.keys(0)
    assert await engine_bank.store.command("EXISTS", keys.waiters, keys.tickets) == 0
