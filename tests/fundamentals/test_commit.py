"""Commit: charge what a generation really used."""

from __future__ import annotations

import pytest

from earmark.domain.states import EntryKind, GrantKind, OveragePolicy, ReservationState
from earmark.engine.results import RefusalCode, ReservationMissing
from tests.fundamentals.bank import Bank, done, numbers, refusal

REJECT, IF_AVAILABLE, OVERDRAFT = OveragePolicy


async def test_without_an_actual_the_whole_reserved_amount_is_charged(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    answer = done(await bank.commit("image-1"))
    assert answer.reservation.state == ReservationState.COMMITTED
    assert answer.reservation.charged == 30
    assert (answer.balance.available, answer.balance.reserved, answer.balance.charged) == (70, 0, 30)


async def test_what_was_not_used_is_available_again_at_once(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    answer = done(await bank.commit("image-1", 12))
    assert answer.reservation.charged == 12
    assert answer.balance.available == 88


async def test_an_explicit_zero_charges_zero_not_the_estimate(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    answer = done(await bank.commit("image-1", 0))
    assert answer.reservation.charged == 0
    assert answer.balance.available == 100


async def test_the_ledger_tells_who_paid(bank: Bank) -> None:
    free = await bank.grant(20)
    paid = await bank.grant(50, kind=GrantKind.PURCHASE)
    await bank.reserve("image-1", 60)
    await bank.commit("image-1", 25)
    (charge,) = await bank.entries(EntryKind.CHARGE)
    assert (charge.amount, charge.reserved, charge.available_after) == (25, 60, 45)
    assert charge.allocations == (free, GrantKind.FREE, 20, paid, GrantKind.PURCHASE, 5)
    assert charge.details == '{"r":"image-1"}'
    assert charge.settlement == '{"m":"done"}'


async def test_more_than_reserved_may_be_rejected_and_the_hold_stays(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    answer = await bank.commit("image-1", 40, REJECT)
    assert refusal(answer) is RefusalCode.OVERAGE_REJECTED
    assert numbers(answer) == {"reserved_micros": 30, "required_micros": 40, "shortfall_micros": 10}
    assert (await bank.reservation("image-1")).state == ReservationState.ACTIVE


async def test_more_than_reserved_is_taken_as_far_as_it_is_available(bank: Bank) -> None:
    await bank.grant(40)
    await bank.reserve("image-1", 30)
    answer = done(await bank.commit("image-1", 55, IF_AVAILABLE))
    assert (answer.reservation.charged, answer.reservation.uncollected) == (40, 15)
    assert (answer.balance.available, answer.balance.debt) == (0, 0)


async def test_more_than_reserved_may_go_into_debt_up_to_the_limit(bank: Bank) -> None:
    await bank.configure(overdraft_limit=20)
    await bank.grant(40)
    await bank.reserve("image-1", 30)
    answer = done(await bank.commit("image-1", 75, OVERDRAFT))
    assert (answer.reservation.charged, answer.reservation.uncollected) == (60, 15)
    assert (answer.balance.available, answer.balance.debt) == (0, 20)


async def test_the_part_of_a_charge_that_is_debt_is_what_no_grant_paid(bank: Bank) -> None:
    await bank.configure(overdraft_limit=20)
    grant = await bank.grant(40)
    await bank.reserve("image-1", 30)
    await bank.commit("image-1", 55, OVERDRAFT)
    (charge,) = await bank.entries(EntryKind.CHARGE)
    assert charge.amount == 55
    assert charge.allocations == (grant, GrantKind.FREE, 40)


async def test_the_same_commit_again_changes_nothing(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    first = done(await bank.commit("image-1", 12))
    again = done(await bank.commit("image-1", 12))
    assert again.replayed
    assert again.balance == first.balance
    assert len(await bank.entries(EntryKind.CHARGE)) == 1


async def test_the_same_overage_again_is_a_replay_too(bank: Bank) -> None:
    await bank.grant(40)
    await bank.reserve("image-1", 30)
    await bank.commit("image-1", 55)
    assert done(await bank.commit("image-1", 55)).replayed


@pytest.mark.parametrize("actual", [0, 13, -1])
async def test_another_commit_learns_what_was_charged(bank: Bank, actual: int) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.commit("image-1", 12)
    answer = await bank.commit("image-1", actual)
    assert refusal(answer) is RefusalCode.ALREADY_COMMITTED
    assert numbers(answer) == {"charged_micros": 12}


async def test_what_was_released_cannot_be_committed(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.release("image-1")
    assert refusal(await bank.commit("image-1")) is RefusalCode.ALREADY_RELEASED


async def test_an_unknown_reservation_is_for_sql_to_know(bank: Bank) -> None:
    assert isinstance(await bank.commit("never"), ReservationMissing)


async def test_suspension_does_not_stop_a_commit(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.configure(suspended=True)
    assert done(await bank.commit("image-1")).reservation.charged == 30


async def test_an_absurd_actual_takes_what_there_is_and_breaks_nothing(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.charge("image-2", 50)
    answer = done(await bank.commit("image-1", 2**53 - 1))
    assert (answer.reservation.charged, answer.balance.available, answer.balance.charged) == (50, 0, 100)


async def test_charge_reserves_and_commits_in_one_step(bank: Bank) -> None:
    await bank.grant(100)
    answer = done(await bank.charge("image-1", 30))
    assert answer.reservation.state == ReservationState.COMMITTED
    assert (answer.balance.available, answer.balance.charged) == (70, 30)


async def test_charge_is_all_or_nothing(bank: Bank) -> None:
    await bank.grant(20)
    assert refusal(await bank.charge("image-1", 30)) is RefusalCode.INSUFFICIENT_CREDITS
    assert await bank.available() == 20


async def test_unless_a_minimum_is_accepted(bank: Bank) -> None:
    await bank.grant(20)
    assert done(await bank.charge("image-1", 30, minimum=5)).reservation.charged == 20


async def test_or_the_overdraft_allowed(bank: Bank) -> None:
    await bank.configure(overdraft_limit=50)
    await bank.grant(20)
    answer = done(await bank.charge("image-1", 30, policy=OVERDRAFT))
    assert (answer.reservation.charged, answer.balance.debt) == (30, 10)


async def test_never_beyond_the_overdraft_limit(bank: Bank) -> None:
    await bank.configure(overdraft_limit=5)
    await bank.grant(20)
    answer = await bank.charge("image-1", 30, policy=OVERDRAFT)
    assert numbers(answer) == {"available_micros": 25, "required_micros": 30, "shortfall_micros": 5}
