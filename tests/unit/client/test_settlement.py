"""A hold is entered once and settled once; the first settling call stands."""

from itertools import product

import pytest

from earmark import HoldStateError
from earmark.client.settlement import HoldState, begin, settle

SETTLED = (HoldState.COMMITTING, HoldState.RELEASING, HoldState.DETACHED)


def test_a_new_hold_is_entered():
    assert begin(HoldState.NEW) is HoldState.OPENING


@pytest.mark.parametrize("state", [state for state in HoldState if state is not HoldState.NEW])
def test_a_hold_is_entered_once(state):
    with pytest.raises(HoldStateError, match="entered once"):
        begin(state)


@pytest.mark.parametrize("target", SETTLED)
def test_an_open_hold_is_settled(target):
    assert settle(HoldState.OPEN, target) is target


@pytest.mark.parametrize(("state", "target"), list(product(SETTLED, SETTLED)))
def test_a_second_settling_call_is_refused(state, target):
    with pytest.raises(HoldStateError, match=r"already|detached"):
        settle(state, target)


@pytest.mark.parametrize(("state", "target"), list(product((HoldState.NEW, HoldState.OPENING), SETTLED)))
def test_nothing_is_settled_outside_the_block(state, target):
    with pytest.raises(HoldStateError, match="not open yet"):
        settle(state, target)
