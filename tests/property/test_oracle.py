"""The reference store keeps every invariant, whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.machine import MACHINES, Driver


@pytest.mark.parametrize("machine", MACHINES)
def test_every_invariant_holds_after_every_batch(machine: type[Driver]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30))
