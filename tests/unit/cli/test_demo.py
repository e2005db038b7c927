"""The demo's plan and its arithmetic."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.cli.demo.figures import AccountFigures, disagreements
from earmark.cli.demo.simulation import Ending, Tally
from earmark.cli.demo.workload import Fate, plan_workload


@given(st.integers(1, 500), st.integers(0, 2**32))
def test_the_rich_can_always_pay(generations: int, seed: int) -> None:
    workload = plan_workload(generations, seed)
    assert len(workload.generations) == generations
    *rich, poor = workload.accounts
    for plan in rich:
        lasting = sum(grant.amount for grant in plan.grants if grant.seconds is None)
        asked = sum(max(g.reserved, g.actual) for g in workload.generations if g.account_id == plan.account_id)
        assert asked <= lasting
    for generation in workload.generations:
        assert generation.actual >= 0
        assert generation.reserved > 0
        if generation.account_id == poor.account_id:
            assert generation.actual <= generation.reserved


def test_the_same_seed_plans_the_same() -> None:
    assert plan_workload(300, 7) == plan_workload(300, 7)
    assert plan_workload(300, 7) != plan_workload(300, 8)


def test_the_default_size_shows_every_fate() -> None:
    generations = plan_workload(400, 1).generations
    assert {generation.fate for generation in generations} == set(Fate)
    assert any(g.actual < g.reserved for g in generations)
    assert any(g.actual > g.reserved for g in generations)
    assert any(g.actual == 0 for g in generations)


def figures() -> AccountFigures:
    return AccountFigures(
        "acme",
        available=60,
        reserved=0,
        lifetime_charged=30,
        sums=Counter({"grant": 100, "charge": 30, "grant-expired": 10}),
        endings=Counter({Ending.SUCCEEDED: 2, Ending.FAILED: 1}),
    )


def tally() -> Tally:
    return Tally(granted=100, charged=30, endings=Counter({Ending.SUCCEEDED: 2, Ending.FAILED: 1, Ending.REFUSED: 5}))


def test_figures_that_agree() -> None:
    assert list(disagreements({"acme": figures()}, {"acme": tally()})) == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("available", 61, "available + reserved + charged + expired"),
        ("reserved", 1, "still reserved"),
        ("lifetime_charged", 29, "charged in the balance"),
        ("sums", Counter({"grant": 100, "charge": 31, "grant-expired": 9}), "charged in the ledger"),
        ("sums", Counter({"grant": 100, "charge": 30, "grant-expired": 10, "release": 1}), "for failed generations"),
        ("endings", Counter({Ending.SUCCEEDED: 2, Ending.FAILED: 1, Ending.CRASHED: 1}), "crashed: 1 instead of 0"),
        ("numbers_have_gaps", True, "have a gap"),
    ],
)
def test_one_microcredit_is_enough(field: str, value: object, words: str) -> None:
    seen = figures()
    setattr(seen, field, value)
    assert any(words in line for line in disagreements({"acme": seen}, {"acme": tally()}))
