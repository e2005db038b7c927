"""Grants: where credits come from, in which order they are spent, and what becomes of the rest."""

from __future__ import annotations

import pytest

from earmark.credits import MAX_MICROS
from earmark.domain.states import EntryKind, GrantKind
from earmark.engine.results import RefusalCode
from tests.fundamentals.bank import DAY, HOUR, MINUTE, Bank, done, numbers, refusal


async def test_the_lowest_priority_is_spent_first(bank: Bank) -> None:
    later = await bank.grant(10, priority=200)
    first = await bank.grant(10, priority=50)
    assert list(await bank.remainders()) == [first, later]


async def test_then_what_expires_first_and_what_never_expires_last(bank: Bank) -> None:
    now = await bank.now()
    never = await bank.grant(10)
    in_two_days = await bank.grant(10, expire_time=now + 2 * DAY)
    tomorrow = await bank.grant(10, expire_time=now + DAY)
    assert list(await bank.remainders()) == [tomorrow, in_two_days, never]


async def test_then_free_before_paid(bank: Bank) -> None:
    numbers = {kind: await bank.grant(10, kind=kind) for kind in reversed(GrantKind)}
    kind_of = {number: kind for kind, number in numbers.items()}
    assert [kind_of[number] for number in await bank.remainders()] == [
        GrantKind.FREE,
        GrantKind.PROMOTION,
        GrantKind.SUBSCRIPTION,
        GrantKind.ADJUSTMENT,
        GrantKind.PURCHASE,
    ]


async def test_then_what_was_acquired_first(bank: Bank) -> None:
    newer = await bank.grant(10, acquire_time=2000)
    older = await bank.grant(10, acquire_time=1000)
    assert list(await bank.remainders()) == [older, newer]


async def test_the_allocation_is_fixed_when_reserved(bank: Bank) -> None:
    first = await bank.grant(10)
    await bank.reserve("image-1", 10)
    await bank.grant(10, priority=1)
    assert done(await bank.commit("image-1")).reservation.allocations == (first, GrantKind.FREE, 10)


async def test_what_is_not_used_returns_to_the_grants_that_come_last(bank: Bank) -> None:
    free = await bank.grant(10)
    paid = await bank.grant(10, kind=GrantKind.PURCHASE)
    await bank.reserve("image-1", 20)
    await bank.commit("image-1", 12)
    assert await bank.remainders() == {paid: (8, 0)}
    assert free not in await bank.remainders()


async def test_spending_from_many_grants_is_exact(bank: Bank) -> None:
    """More than a document keeps in front: the order and the sums stay."""
    for number in range(40):
        await bank.grant(number + 1, priority=40 - number)
    total = 40 * 41 // 2
    assert await bank.available() == total
    order = list(await bank.remainders())
    assert order == list(range(40, 0, -1))
    answer = done(await bank.reserve("image-1", total))
    assert answer.reservation.allocations[0::3] == tuple(order)
    assert done(await bank.commit("image-1", 41)).balance.available == total - 41
    assert next(iter(await bank.remainders())) == 39


async def test_a_grant_of_which_all_is_spent_is_gone(bank: Bank) -> None:
    await bank.grant(10)
    await bank.charge("image-1", 10)
    assert await bank.remainders() == {}


async def test_voiding_takes_what_is_not_reserved(bank: Bank) -> None:
    grant = await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.void(grant)
    assert await bank.remainders() == {grant: (0, 30)}
    (entry,) = await bank.entries(EntryKind.GRANT_VOIDED)
    assert (entry.amount, entry.grant, entry.available_after) == (70, grant, 0)


async def test_open_allocations_of_a_voided_grant_still_pay(bank: Bank) -> None:
    grant = await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.void(grant)
    assert done(await bank.commit("image-1")).reservation.charged == 30


async def test_what_returns_to_a_voided_grant_is_voided(bank: Bank) -> None:
    grant = await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.void(grant)
    assert done(await bank.release("image-1")).balance.available == 0
    assert [entry.amount for entry in await bank.entries(EntryKind.GRANT_VOIDED)] == [70, 30]


async def test_a_grant_that_is_gone_cannot_be_voided(bank: Bank) -> None:
    grant = await bank.grant(10)
    await bank.charge("image-1", 10)
    assert refusal(await bank.void(grant)) is RefusalCode.GRANT_NOT_FOUND


async def test_there_may_be_so_many_grants(bank: Bank) -> None:
    await bank.grant(10, max_grants=2)
    await bank.grant(10, max_grants=2)
    answer = await bank.try_grant(10, max_grants=2)
    assert refusal(answer) is RefusalCode.TOO_MANY_GRANTS
    assert numbers(answer) == {"max_grants": 2}


async def test_grants_whose_sum_passes_the_largest_amount_are_refused(bank: Bank) -> None:
    await bank.grant(MAX_MICROS)
    assert refusal(await bank.try_grant(1)) is RefusalCode.INVALID_AMOUNT
    assert await bank.available() == MAX_MICROS


async def test_a_grant_that_comes_after_its_expiry_expires_at_once(bank: Bank) -> None:
    await bank.grant(10, expire_time=await bank.now() - HOUR)
    assert await bank.available() == 0
    assert [entry.kind for entry in await bank.entries()] == [EntryKind.GRANT, EntryKind.GRANT_EXPIRED]


@pytest.mark.parametrize("amount", [0, 1])
async def test_a_grant_of_nothing_leaves_an_entry_and_no_grant(bank: Bank, amount: int) -> None:
    await bank.grant(amount, expire_time=await bank.now() - MINUTE)
    assert await bank.remainders() == {}
    kinds = [entry.kind for entry in await bank.entries()]
    assert kinds == [EntryKind.GRANT, EntryKind.GRANT_EXPIRED][: amount + 1]


async def test_entries_are_numbered_without_a_gap(bank: Bank) -> None:
    grant = await bank.grant(100)
    await bank.charge("image-1", 10)
    await bank.configure()
    await bank.void(grant)
    assert [entry.entry_number for entry in await bank.entries()] == [1, 2, 0, 3]
    assert (await bank.balance()).entry_number == 3
