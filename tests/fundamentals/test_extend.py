"""Extend: a long generation keeps its hold, or takes more."""

from __future__ import annotations

from earmark.domain.states import ReservationState
from earmark.engine.results import RefusalCode
from tests.fundamentals.bank import DAY, HOUR, MINUTE, Bank, done, numbers, refusal


async def test_it_moves_the_expiry_from_now(bank: Bank) -> None:
    await bank.reserve("video-1", 0, ttl=MINUTE)
    await bank.pass_time(MINUTE // 2)
    answer = done(await bank.extend("video-1", "keep-alive", ttl=MINUTE))
    assert answer.reservation.expire_time >= answer.reservation.create_time + 3 * MINUTE // 2


async def test_it_never_shortens(bank: Bank) -> None:
    first = done(await bank.reserve("video-1", 0, ttl=HOUR))
    answer = done(await bank.extend("video-1", "keep-alive", ttl=MINUTE))
    assert answer.reservation.expire_time == first.reservation.expire_time


async def test_no_hold_lives_longer_than_a_day(bank: Bank) -> None:
    first = done(await bank.reserve("video-1", 0, ttl=20 * HOUR))
    await bank.pass_time(10 * HOUR)
    answer = done(await bank.extend("video-1", "keep-alive", ttl=20 * HOUR))
    assert answer.reservation.expire_time == first.reservation.create_time + DAY


async def test_keeping_alive_is_no_change_of_the_account(bank: Bank) -> None:
    await bank.grant(100)
    before = done(await bank.reserve("video-1", 10)).balance
    assert done(await bank.extend("video-1", "keep-alive", ttl=HOUR)).balance == before


async def test_it_adds_credits(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("video-1", 30)
    answer = done(await bank.extend("video-1", "more", additional=20))
    assert answer.reservation.reserved == 50
    assert (answer.balance.available, answer.balance.reserved) == (50, 50)


async def test_when_they_are_missing_the_reservation_stays_as_it_was(bank: Bank) -> None:
    await bank.grant(40)
    before = done(await bank.reserve("video-1", 30)).reservation
    answer = await bank.extend("video-1", "more", ttl=HOUR, additional=20)
    assert numbers(answer) == {"available_micros": 10, "required_micros": 20, "shortfall_micros": 10}
    assert await bank.reservation("video-1") == before


async def test_an_extension_repeated_adds_once(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("video-1", 30)
    await bank.extend("video-1", "more", additional=20)
    again = done(await bank.extend("video-1", "more", additional=20))
    assert again.replayed
    assert again.reservation.reserved == 50


async def test_its_replay_comes_before_the_state(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("video-1", 30)
    await bank.extend("video-1", "more", additional=20)
    await bank.commit("video-1")
    again = done(await bank.extend("video-1", "more", additional=20))
    assert (again.replayed, again.reservation.state) == (True, ReservationState.COMMITTED)


async def test_the_same_extension_for_another_amount_is_refused(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("video-1", 30)
    await bank.extend("video-1", "more", additional=20)
    assert refusal(await bank.extend("video-1", "more", additional=21)) is RefusalCode.REQUEST_ID_REUSED


async def test_64_additions_are_remembered_and_no_more_are_taken(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("video-1", 0)
    for number in range(64):
        done(await bank.extend("video-1", f"more-{number}", additional=1))
    answer = await bank.extend("video-1", "one-too-many", additional=1)
    assert refusal(answer) is RefusalCode.TOO_MANY_EXTENSIONS
    assert numbers(answer) == {"max_extensions": 64}
    assert done(await bank.extend("video-1", "more-0", additional=1)).replayed


async def test_what_has_ended_cannot_be_extended(bank: Bank) -> None:
    await bank.grant(100)
    for request_id in ("committed", "released", "expired"):
        await bank.reserve(request_id, 10, ttl=MINUTE)
    await bank.commit("committed", 4)
    await bank.release("released")
    await bank.pass_time(HOUR)
    assert numbers(await bank.extend("committed", "more", ttl=HOUR)) == {"charged_micros": 4}
    assert refusal(await bank.extend("released", "more", ttl=HOUR)) is RefusalCode.ALREADY_RELEASED
    assert refusal(await bank.extend("expired", "more", ttl=HOUR)) is RefusalCode.RESERVATION_EXPIRED


async def test_suspension_blocks_additions_only(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("video-1", 10)
    await bank.configure(suspended=True)
    assert refusal(await bank.extend("video-1", "more", additional=1)) is RefusalCode.ACCOUNT_SUSPENDED
    done(await bank.extend("video-1", "longer", ttl=HOUR))
