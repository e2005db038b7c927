"""A process that races others: `python reserver.py URL FIRST COUNT AMOUNT` reserves and prints the answers."""

from __future__ import annotations

import asyncio
import sys

from earmark.domain.ids import content_digest, reservation_digest
from earmark.engine.operations import Reserve
from earmark.engine.redis.store import Admission, RedisStore

MINUTE = 60_000_000


def reserving(number: int, amount: int) -> Reserve:
    """Make the Reserve that this number stands for."""
    return Reserve(
        account_id="acme",
        digest=reservation_digest("acme", f"image-{number}"),
        content=content_digest(f"image-{number}".encode()),
        amount=amount,
        min_amount=amount,
        ttl=MINUTE,
        price_version=0,
        details="{}",
        user_id="",
    )


async def connect(url: str) -> RedisStore:
    """Open one more connection to the test's store."""
    store = RedisStore(url, "test-store", 1)
    await store.open()
    assert await store.admit(0, 0, 1) is Admission.ADMITTED
    return store


async def race(url: str, first: int, count: int, amount: int) -> None:
    """Reserve each on its own, all in flight at once, as soon as the parent says so."""
    store = await connect(url)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    numbers = range(first, first + count)
    replies = await asyncio.gather(*(store.execute(0, [reserving(number, amount)]) for number in numbers))
    print(*(type(reply.results[0]).__name__ for reply in replies), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(race(sys.argv[1], *map(int, sys.argv[2:5])))
