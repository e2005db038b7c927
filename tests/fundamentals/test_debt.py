"""Debt: whatever would become available repays it first."""

from __future__ import annotations

import pytest_asyncio

from earmark.domain.states import EntryKind, GrantKind, OveragePolicy
from tests.fundamentals.bank import HOUR, Bank, done

OVERDRAFT = OveragePolicy.ALLOW_WITH_OVERDRAFT


@pytest_asyncio.fixture
async def debtor(bank: Bank) -> Bank:
    """Owes 100, and holds 40 of its only grant, number 2, for image-1."""
    await bank.configure(overdraft_limit=100)
    await bank.grant(40)
    await bank.reserve("image-1", 40)
    await bank.charge("image-2", 100, policy=OVERDRAFT)
    return bank


async def test_a_released_hold_repays_debt_and_does_not_become_available(debtor: Bank) -> None:
    balance = done(await debtor.release("image-1")).balance
    assert (balance.available, balance.reserved, balance.debt) == (0, 0, 60)


async def test_the_entry_names_the_grant_that_repaid(debtor: Bank) -> None:
    await debtor.release("image-1")
    release, repaid = (await debtor.entries())[-2:]
    assert (release.kind, release.available_after) == (EntryKind.RELEASE, 0)
    assert (repaid.kind, repaid.amount, repaid.available_after) == (EntryKind.DEBT_REPAID, 40, 0)
    assert repaid.allocations == (2, GrantKind.FREE, 40)


async def test_so_does_an_expired_hold(debtor: Bank) -> None:
    await debtor.pass_time(HOUR)
    assert (await debtor.balance()).debt == 60


async def test_so_does_what_a_commit_did_not_use(debtor: Bank) -> None:
    balance = done(await debtor.commit("image-1", 30)).balance
    assert (balance.available, balance.debt, balance.charged) == (0, 90, 130)


async def test_so_does_a_new_grant(debtor: Bank) -> None:
    await debtor.grant(130)
    balance = await debtor.balance()
    assert (balance.available, balance.debt) == (30, 0)


async def test_the_overdraft_limit_counts_what_is_owed_already(debtor: Bank) -> None:
    answer = done(await debtor.commit("image-1", 60, OVERDRAFT))
    assert (answer.reservation.charged, answer.reservation.uncollected, answer.balance.debt) == (40, 20, 100)


async def test_a_lower_limit_leaves_the_debt_as_it_is(debtor: Bank) -> None:
    await debtor.configure(overdraft_limit=10)
    assert (await debtor.balance()).debt == 100


async def test_debt_that_was_repaid_stays_repaid_when_the_grant_is_voided(debtor: Bank) -> None:
    grant = await debtor.grant(130)
    await debtor.void(grant)
    balance = await debtor.balance()
    assert (balance.available, balance.debt) == (0, 0)


async def test_the_sum_of_the_grants_is_the_sum_of_all_else(debtor: Bank) -> None:
    await debtor.grant(130)
    entries = await debtor.entries()
    total = {kind: sum(entry.amount for entry in entries if entry.kind == kind) for kind in EntryKind}
    balance = await debtor.balance()
    granted = total[EntryKind.GRANT]
    assert granted == balance.available + balance.reserved + balance.charged - balance.debt
