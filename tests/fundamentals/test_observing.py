"""Accounts that only observe: they count everything and refuse nothing for the balance."""

from __future__ import annotations

import pytest_asyncio

from earmark.domain.states import Enforcement, EntryKind, OveragePolicy
from earmark.engine.results import RefusalCode
from tests.fundamentals.bank import HOUR, MINUTE, Bank, done, refusal


@pytest_asyncio.fixture
async def observer(bank: Bank) -> Bank:
    """Observes, and has 40."""
    await bank.configure(enforcement=Enforcement.OBSERVE, overdraft_limit=100)
    await bank.grant(40)
    return bank


async def test_a_reserve_beyond_the_balance_says_what_enforcement_would_have_done(observer: Bank) -> None:
    answer = done(await observer.reserve("image-1", 100))
    assert (answer.reservation.reserved, answer.reservation.uncollected) == (40, 60)
    assert answer.would_refuse


async def test_within_the_balance_nothing_is_said(observer: Bank) -> None:
    assert not done(await observer.reserve("image-1", 40)).would_refuse


async def test_without_an_actual_it_means_all_of_what_was_asked(observer: Bank) -> None:
    await observer.reserve("image-1", 100)
    await observer.grant(25)
    answer = done(await observer.commit("image-1"))
    assert (answer.reservation.charged, answer.reservation.uncollected) == (65, 35)


async def test_and_that_commit_can_be_repeated(observer: Bank) -> None:
    await observer.reserve("image-1", 100)
    await observer.grant(25)
    await observer.commit("image-1")
    assert done(await observer.commit("image-1")).replayed


async def test_a_commit_never_makes_debt(observer: Bank) -> None:
    await observer.reserve("image-1", 10)
    answer = done(await observer.commit("image-1", 90, OveragePolicy.ALLOW_WITH_OVERDRAFT))
    assert (answer.reservation.charged, answer.reservation.uncollected, answer.balance.debt) == (40, 50, 0)


async def test_and_is_never_rejected(observer: Bank) -> None:
    await observer.reserve("image-1", 10)
    answer = done(await observer.commit("image-1", 30, OveragePolicy.REJECT))
    assert (answer.reservation.charged, answer.would_refuse) == (30, True)


async def test_a_late_commit_charges_what_it_can(observer: Bank) -> None:
    await observer.reserve("image-1", 30, ttl=MINUTE)
    await observer.pass_time(HOUR)
    await observer.charge("image-2", 25)
    answer = done(await observer.commit("image-1"))
    assert (answer.reservation.charged, answer.reservation.uncollected, answer.reservation.late) == (15, 15, 1)


async def test_an_addition_beyond_the_balance_is_counted(observer: Bank) -> None:
    await observer.reserve("video-1", 30)
    answer = done(await observer.extend("video-1", "more", additional=30))
    assert (answer.reservation.reserved, answer.reservation.uncollected, answer.would_refuse) == (40, 20, True)


async def test_what_failed_leaves_nothing_uncollected(observer: Bank) -> None:
    await observer.reserve("image-1", 100)
    await observer.release("image-1")
    (entry,) = await observer.entries(EntryKind.RELEASE)
    assert (entry.reserved, entry.uncollected) == (40, 0)


async def test_it_never_waits(observer: Bank) -> None:
    done(await observer.reserve("image-1", 100, wait=MINUTE))


async def test_suspension_still_refuses(observer: Bank) -> None:
    await observer.configure(suspended=True, enforcement=Enforcement.OBSERVE)
    assert refusal(await observer.reserve("image-1", 1)) is RefusalCode.ACCOUNT_SUSPENDED
