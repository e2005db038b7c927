"""An empty account on an engine whose clock the tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from earmark.engine.redis.store import StoreOptions
from tests.fundamentals.bank import HOUR, Bank
from tests.support.partition import open_test_store


@pytest_asyncio.fixture
async def bank(redis_url: str) -> AsyncIterator[Bank]:
    """The account "acme", without any credits, on a store whose replay window is an hour."""
    store = await open_test_store(redis_url, options=StoreOptions(replay_window=HOUR))
    bank = Bank(store)
    await bank.do(bank.loading())
    yield bank
    await store.close()
