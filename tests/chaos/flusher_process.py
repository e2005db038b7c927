"""A process that runs the background jobs until it is killed. Arguments: URL of Redis, URL of the ledger."""

from __future__ import annotations

import asyncio
import sys

from earmark.engine.engine import Engine
from earmark.engine.redis.store import RedisStore
from earmark.jobs.flusher import FlusherOptions
from earmark.jobs.recovery import Recovery
from earmark.jobs.runner import Jobs, JobsOptions
from earmark.ledger import open_ledger


async def main(redis_url: str, database_url: str) -> None:
    ledger = await open_ledger(database_url)
    identity = await ledger.stores.read()
    assert identity is not None
    store = RedisStore(redis_url, identity.store_id, identity.partitions)
    await store.open()
    recovery = Recovery(store, ledger)
    recovery.start()
    await recovery.wait_admitted()
    engine = Engine(store, ledger.archive)
    # Small steps: whenever it is killed, something is half done.
    flusher = FlusherOptions(max_records=20, read_records=5, rest_seconds=0.0, lease_micros=300_000)
    Jobs(store, engine, ledger, JobsOptions(flusher=flusher)).start()
    print("running", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
