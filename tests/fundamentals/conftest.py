"""An empty account on an engine whose clock the tests move, and the same on the reference store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from earmark.engine.redis.store import StoreOptions
from tests.fundamentals.bank import CRITICAL, HOUR, LOW, Bank, EngineBank
from tests.fundamentals.oracle import OracleStore
from tests.support.partition import open_test_store

OPTIONS = StoreOptions(replay_window=HOUR)


@pytest.fixture(params=["engine", "oracle"])
def bank(request: pytest.FixtureRequest) -> Bank:
    """The account "acme", without any credits, on a store whose replay window is an hour."""
    found: Bank = request.getfixturevalue(f"{request.param}_bank")
    return found


@pytest_asyncio.fixture
async def engine_bank(redis_url: str) -> AsyncIterator[EngineBank]:
    """The account on a real engine."""
    store = await open_test_store(redis_url, options=OPTIONS)
    bank = EngineBank(store)
    await bank.do(bank.loading())
    yield bank
    await store.close()


@pytest_asyncio.fixture
async def oracle_bank() -> Bank:
    """The account on the reference store."""
    bank = Bank(OracleStore())
    await bank.do(bank.loading())
    return bank


@pytest.fixture
def warned(bank: Bank) -> Bank:
    """The account, in a system that warns at LOW and CRITICAL."""
    bank.store.set_policy(horizon=OPTIONS.horizon, low_balance=LOW, critical_balance=CRITICAL)
    return bank
