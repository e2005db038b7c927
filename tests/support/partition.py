"""A store of one partition that serves at once, with a clock that tests move."""

from __future__ import annotations

from earmark.engine.operations import LoadAccount
from earmark.engine.redis.store import Admission, RedisStore, StoreOptions

__all__ = ["ONE_GRANT", "open_test_store"]

ONE_GRANT = LoadAccount(
    account_id="acme",
    generation=0,
    entry_number=1,
    charged=0,
    granted=1_000,
    expired=0,
    voided=0,
    debt=0,
    suspended=False,
    enforcement=1,
    overdraft_limit=0,
    admin_seq=1,
    members=(),
    grants=(1, 1, 100, 0, 0, 1_000, 0),
)
"""Loads `acme`, with 1,000 microcredits that never expire."""


async def open_test_store(url: str, *, partitions: int = 1, options: StoreOptions | None = None) -> RedisStore:
    """Initialise an empty engine and return a store that is admitted to all of its partitions."""
    store = RedisStore(url, "test-store", partitions, options)
    await store.open()
    for partition in range(partitions):
        assert await store.begin_recovery(partition, 1, wipe=True)
        assert await store.finish_recovery(partition, 1, store.run_id)
        assert await store.admit(partition, 0, 1) is Admission.ADMITTED
    return store
