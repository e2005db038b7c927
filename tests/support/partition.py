"""A store of one partition that serves at once, with a clock that tests move."""

from __future__ import annotations

from earmark.engine.redis.store import Admission, RedisStore, StoreOptions

__all__ = ["open_test_store"]


async def open_test_store(url: str, *, partitions: int = 1, options: StoreOptions | None = None) -> RedisStore:
    """Initialise an empty engine and return a store that is admitted to all of its partitions."""
    store = RedisStore(url, "test-store", partitions, options)
    await store.open()
    for partition in range(partitions):
        assert await store.begin_recovery(partition, 1, wipe=True)
        assert await store.finish_recovery(partition, 1, store.run_id)
        assert await store.admit(partition, 0, 1) is Admission.ADMITTED
    return store
