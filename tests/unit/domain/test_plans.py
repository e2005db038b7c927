"""What a subscription has, what a change of plan does, and when two identities are one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import CycleKind, Plan, Rollover
from earmark.domain.plans import (
    Change,
    Overrides,
    carried,
    change_of_plan,
    difference,
    effective_plan,
    normalise_identity,
)
from earmark.domain.states import GrantKind

BASIC = Plan("basic", 20, rank=1, rollover=Rollover(40), seats=1, entitlements={"api": "false"})
PRO = Plan("pro", 50, rank=2, rollover=Rollover(100), seats=3)
FREE = Plan("free", 5, rank=0, cycle=CycleKind.ONCE, grant_kind=GrantKind.FREE)


def test_overrides_replace_what_the_plan_says() -> None:
    own = effective_plan(BASIC, Overrides(credits=77, rollover_cap=9, seats=0, entitlements={"beta": "true"}))
    assert (own.credits, own.rollover, own.seats) == (77, Rollover(9), 0)
    assert own.entitlements == {"api": "false", "beta": "true"}
    assert effective_plan(BASIC, Overrides()) == BASIC


def test_a_cap_of_its_own_counts_the_plans_kind() -> None:
    assert effective_plan(FREE, Overrides(rollover_cap=3)).rollover == Rollover(3, (GrantKind.FREE,))


@pytest.mark.parametrize(
    ("current", "new", "change"),
    [
        (BASIC, PRO, Change.NOW),
        (PRO, BASIC, Change.LATER),
        (PRO, FREE, Change.LATER),
        (FREE, PRO, Change.ANEW),
        (BASIC, BASIC, Change.NONE),
        (BASIC, effective_plan(BASIC, Overrides(credits=30)), Change.NOW),
        (BASIC, effective_plan(BASIC, Overrides(credits=10)), Change.LATER),
    ],
)
def test_changes(current: Plan, new: Plan, change: Change) -> None:
    assert change_of_plan(current, new) is change


def test_the_difference_is_never_negative() -> None:
    assert difference(20, PRO) == 30
    assert difference(80, PRO) == 0


def test_what_is_carried_over() -> None:
    kinds = (GrantKind.FREE, GrantKind.PROMOTION)
    assert carried(BASIC) == (40, (GrantKind.SUBSCRIPTION,))
    assert carried(Plan("p", 1, rollover=Rollover(None, kinds))) == (MAX_MICROS, kinds)
    assert carried(FREE) == (None, ())


def test_identities_of_one_wallet() -> None:
    assert normalise_identity(" 0xABCdef\t") == normalise_identity("0xabcDEF") == "0xabcdef"
    assert normalise_identity("STRASSE") == normalise_identity("straße")
    assert normalise_identity("\uff21") == "a"  # full width


@given(st.text(max_size=20))
def test_normalising_twice_changes_nothing(identity: str) -> None:
    once = normalise_identity(identity)
    assert normalise_identity(once) == once
