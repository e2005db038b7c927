"""A process that runs the background jobs until it is killed. Arguments: URL of Redis, URL of the ledger."""

from __future__ import annotations

import asyncio
import sys

from earmark.jobs.flusher import FlusherOptions
from earmark.jobs.runner import Jobs, JobsOptions
from earmark.ledger import open_ledger
from tests.support.stack import open_engine_of


async def main(redis_url: str, database_url: str) -> None:
    ledger = await open_ledger(database_url)
    identity = await ledger.stores.read()
    assert identity is not None
    async with open_engine_of(ledger, redis_url, identity) as (store, _, engine):
        # Small steps: whenever it is killed, something is half done.
        flusher = FlusherOptions(max_records=20, read_records=5, rest_seconds=0.0, lease_micros=300_000)
        Jobs(store, engine, ledger, JobsOptions(flusher=flusher)).start()
        print("running", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
