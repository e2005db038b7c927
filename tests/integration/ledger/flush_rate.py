"""How fast the flush writes: `python -m tests.integration.ledger.flush_rate sqlite 100 2000 50`.

Arguments: `sqlite` or `postgresql` (durable, as they would run for real), accounts, records a flush, flushes.
Every record is a charge of one grant, with its allocation and a JSON of details.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from typing import Any

import uvloop

from earmark.engine.operations import Details
from earmark.ledger import Ledger, open_ledger, upgrade
from earmark.ledger.models import Written
from tests.integration.ledger.stream import NOW, Element, charged, create, element, grant, granted
from tests.support.postgres import shared_postgres

AMOUNT = 380_000
A_SCRIPT_CALL = 50


def batches(accounts: int, records: int, flushes: int) -> list[list[Element]]:
    """What a busy partition's stream holds: elements of fifty charges of random accounts."""
    chance = random.Random(1)
    numbers = dict.fromkeys((f"account-{at}" for at in range(accounts)), 1)
    names = list(numbers)
    seq, made = accounts, []
    for _ in range(flushes):
        batch = []
        for _ in range(records // A_SCRIPT_CALL):
            charges = []
            for at in range(A_SCRIPT_CALL):
                name = chance.choice(names)
                numbers[name] += 1
                details = Details(operation="image.generate", user_id=f"user-{at}", project_id="project-1")
                what: dict[str, Any] = {
                    "request_id": f"request-{seq + at:012d}",
                    "details": details,
                    "time": NOW + seq + at,
                }
                charges.append(charged(name, numbers[name], AMOUNT, **what))
            batch.append(element(seq + 1, *charges))
            seq += A_SCRIPT_CALL
        made.append(batch)
    return made


async def loop_lag(lags: list[float]) -> None:
    """Note by how much a timer of a millisecond is late, again and again."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        lags.append(time.perf_counter() - start - 0.001)


async def measure(ledger: Ledger, accounts: int, records: int, flushes: int) -> None:
    """Fill the ledger and say how long that took."""
    await ledger.stores.initialise(1, for_tests=True)
    first = []
    for at in range(accounts):
        await create(ledger, f"account-{at}")
        first.append(granted(await grant(ledger, f"account-{at}", amount=10**15), 1, 10**15))
    assert isinstance(await ledger.flush(0, 0, 0, [element(1, *first)]), Written)
    work, position = batches(accounts, records, flushes), accounts
    lags: list[float] = []
    lag = asyncio.create_task(loop_lag(lags))
    start, cpu = time.perf_counter(), time.process_time()
    for batch in work:
        outcome = await ledger.flush(0, 0, position, batch)
        assert isinstance(outcome, Written), outcome
        position = outcome.flushed_seq
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    lag.cancel()
    written, lags = position - accounts, sorted(lags)
    print(
        f"{accounts} accounts, {records} records a flush: {written / seconds:,.0f} entries/s, "
        f"{cpu / written * 1e6:.0f} µs of this process an entry, "
        f"event loop late by {lags[len(lags) * 99 // 100] * 1e3:.1f} ms (p99)"
    )


async def main(database: str, accounts: int, records: int, flushes: int) -> None:
    """Run on a fresh database."""
    if database == "sqlite":
        with tempfile.TemporaryDirectory() as directory:
            await run(f"sqlite:///{directory}/ledger.db", accounts, records, flushes)
    else:
        with shared_postgres("shared_buffers=256MB", "max_wal_size=2GB", durable=True) as server:
            await run(server.empty_database(), accounts, records, flushes)


async def run(url: str, accounts: int, records: int, flushes: int) -> None:
    """Open, measure, close."""
    await upgrade(url)
    ledger = await open_ledger(url)
    await measure(ledger, accounts, records, flushes)
    await ledger.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], *map(int, sys.argv[2:])))
