"""Accounts under plans of the four systems live through months, whatever happens in whatever order: the books agree."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.billing.machine import Lifetimes, Stores
from tests.support.engine import SharedEngine


@pytest.fixture
def stores(engine: SharedEngine, sqlite_template: Path) -> Iterator[Stores]:
    """Stores that are made empty for every example, and one loop for all of them."""
    numbers = itertools.count(1)
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory(prefix="em") as name:
        directory = Path(name)

        def fresh() -> tuple[str, str, str]:
            engine.empty()
            number = next(numbers)
            shutil.copyfile(sqlite_template, directory / f"{number}.db")
            return engine.url, f"sqlite:///{directory}/{number}.db", f"unix:{directory}/{number}"

        yield Stores(runner, fresh)


@pytest.mark.timeout(300)
def test_lives_of_accounts(stores: Stores) -> None:
    run_state_machine_as_test(
        lambda: Lifetimes(stores),  # type: ignore[arg-type]  # It takes any callable that makes a machine.
        settings=settings(
            max_examples=12, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
