"""Release: the generation failed, and is not charged."""

from __future__ import annotations

import pytest

from earmark.domain.states import EntryKind, ReservationState
from earmark.engine.operations import ABSENT, Commit, Extend, Operation, ReadReservation, Release
from earmark.engine.results import RefusalCode, ReservationMissing
from tests.fundamentals.bank import HOUR, MINUTE, Bank, done, numbers, refusal


async def test_everything_is_available_again(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    answer = done(await bank.release("image-1"))
    assert answer.reservation.state == ReservationState.RELEASED
    assert (answer.balance.available, answer.balance.reserved, answer.balance.charged) == (100, 0, 0)


async def test_users_see_the_failed_generation_not_charged(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.release("image-1")
    (entry,) = await bank.entries(EntryKind.RELEASE)
    assert (entry.amount, entry.reserved, entry.available_after) == (0, 30, 100)
    assert entry.settlement == '{"m":"failed"}'


async def test_a_repeat_after_a_lost_answer_gives_back_once(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.release("image-1")
    again = done(await bank.release("image-1"))
    assert again.replayed
    assert again.balance.available == 100
    assert len(await bank.entries(EntryKind.RELEASE)) == 1


async def test_what_was_committed_stays_charged(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.commit("image-1", 12)
    answer = await bank.release("image-1")
    assert refusal(answer) is RefusalCode.ALREADY_COMMITTED
    assert numbers(answer) == {"charged_micros": 12}


async def test_what_expired_is_back_already(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.pass_time(MINUTE)
    answer = done(await bank.release("image-1"))
    assert answer.reservation.state == ReservationState.EXPIRED
    assert answer.balance.available == 100
    assert await bank.entries(EntryKind.RELEASE) == []


async def test_an_unknown_reservation_is_looked_up_first(bank: Bank) -> None:
    answer = await bank.release("on-its-way")
    assert answer == ReservationMissing(generation=0, flushed=0)


async def test_a_release_that_came_before_its_reserve_wins(bank: Bank) -> None:
    await bank.grant(100)
    given_up = done(await bank.release("on-its-way", tombstone=0))
    assert given_up.reservation.state == ReservationState.RELEASED
    late = done(await bank.reserve("on-its-way", 30))
    assert late.replayed
    assert late.reservation.state == ReservationState.RELEASED
    assert late.balance.available == 100


async def test_it_leaves_no_entry_and_goes_after_one_replay_window(bank: Bank) -> None:
    await bank.release("on-its-way", tombstone=0)
    assert await bank.entries() == []
    await bank.pass_time(HOUR)
    assert await bank.retire() == 1


async def test_not_if_a_record_was_retired_since_the_look_up(bank: Bank) -> None:
    await bank.release("something", tombstone=0)
    await bank.pass_time(HOUR)
    await bank.retire()
    assert await bank.release("on-its-way", tombstone=0) == ReservationMissing(generation=1, flushed=0)


async def test_suspension_does_not_stop_a_release(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.configure(suspended=True)
    assert done(await bank.release("image-1")).balance.available == 100


@pytest.mark.parametrize("operation", ["commit", "release", "extend", "read", "tombstone"])
async def test_nobody_ends_the_reservation_of_another_account(bank: Bank, operation: str) -> None:
    """A forged reservation id: one account's name, another's reservation."""
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    digest = bank.digest("image-1")
    mallory = Bank(bank.store, "mallory")
    await mallory.do(mallory.loading())
    attacks: dict[str, Operation] = {
        "commit": Commit("mallory", digest, ABSENT, 2, "{}"),
        "release": Release("mallory", digest, "{}"),
        "tombstone": Release("mallory", digest, "{}", 0),
        "extend": Extend("mallory", digest, "e" * 22, "c" * 11, MINUTE, 0),
        "read": ReadReservation("mallory", digest),
    }
    assert isinstance(await mallory.do(attacks[operation]), ReservationMissing)
    assert (await bank.reservation("image-1")).state == ReservationState.ACTIVE
    assert await bank.available() == 70
