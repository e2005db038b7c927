"""Many at once on one account: through many connections, through many processes, and against each other."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

import earmark
from earmark.domain.states import EntryKind, ReservationState
from earmark.engine.operations import ABSENT, ApplyGrant, Commit, Release, Reserve
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import Done, RefusalCode, Refused, Result
from earmark.errors import Unavailable
from tests.chaos.reserver import connect, reserving
from tests.fundamentals.bank import MINUTE, EngineBank, done
from tests.support.partition import open_test_store
from tests.support.waiting import wait_until

RESERVER = Path(__file__).with_name("reserver.py")


@pytest_asyncio.fixture
async def bank(redis_url: str) -> AsyncIterator[EngineBank]:
    """The account "acme" with 500 credits."""
    store = await open_test_store(redis_url)
    bank = EngineBank(store)
    await bank.do(bank.loading())
    await bank.grant(500)
    yield bank
    await store.close()


@pytest_asyncio.fixture
async def stores(bank: EngineBank, redis_url: str) -> AsyncIterator[list[RedisStore]]:
    """Twenty more connections."""
    async with AsyncExitStack() as stack:
        opened = [await connect(redis_url) for _ in range(20)]
        for store in opened:
            stack.push_async_callback(store.close)
        yield opened


async def one(store: RedisStore, operation: Reserve | Commit | Release) -> Result:
    """Send one operation alone."""
    reply = await store.execute(0, [operation])
    return reply.results[0]


async def test_twenty_reservations_of_75_on_500_through_20_connections(
    bank: EngineBank, stores: list[RedisStore]
) -> None:
    answers = await asyncio.gather(*(one(store, reserving(number, 75)) for number, store in enumerate(stores)))
    assert Counter(type(answer).__name__ for answer in answers) == {"Done": 6, "Refused": 14}
    assert await bank.available() == 50


async def test_the_same_through_many_processes(bank: EngineBank, redis_url: str) -> None:
    source = Path(earmark.__path__[0]).parent
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(RESERVER),
            redis_url,
            str(first),
            "5",
            "75",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(source)},
        )
        for first in (0, 5, 10, 15)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    names = [name for output, _ in outputs for name in output.decode().split()]
    assert Counter(names) == {"Done": 6, "Refused": 14}
    assert await bank.available() == 50


async def test_one_request_sent_through_20_connections_holds_once(bank: EngineBank, stores: list[RedisStore]) -> None:
    answers = await asyncio.gather(*(one(store, reserving(1, 75)) for store in stores))
    assert sorted(done(answer).replayed for answer in answers) == [False] + [True] * 19
    assert await bank.available() == 425


@pytest.mark.parametrize("attempt", range(5))
async def test_two_commits_at_the_same_moment(bank: EngineBank, stores: list[RedisStore], attempt: int) -> None:
    await bank.do(reserving(1, 75))
    digest = reserving(1, 75).digest
    actuals = [10, 20]
    random.Random(attempt).shuffle(actuals)
    commits = [Commit("acme", digest, actual, 2, "{}") for actual in actuals]
    answers = await asyncio.gather(*(one(store, commit) for store, commit in zip(stores, commits, strict=False)))
    (winner,) = [answer for answer in answers if isinstance(answer, Done)]
    (loser,) = [answer for answer in answers if isinstance(answer, Refused)]
    assert loser == Refused(RefusalCode.ALREADY_COMMITTED, (winner.reservation.charged,))
    assert await bank.available() == 500 - winner.reservation.charged


@pytest.mark.parametrize("attempt", range(5))
async def test_a_commit_racing_a_release(bank: EngineBank, stores: list[RedisStore], attempt: int) -> None:
    await bank.do(reserving(1, 75))
    digest = reserving(1, 75).digest
    contenders: list[Commit | Release] = [Commit("acme", digest, ABSENT, 2, "{}"), Release("acme", digest, "{}")]
    random.Random(attempt).shuffle(contenders)
    answers = await asyncio.gather(*(one(store, call) for store, call in zip(stores, contenders, strict=False)))
    (winner,) = [answer for answer in answers if isinstance(answer, Done)]
    (loser,) = [answer for answer in answers if isinstance(answer, Refused)]
    if winner.reservation.state == ReservationState.COMMITTED:
        assert loser == Refused(RefusalCode.ALREADY_COMMITTED, (75,))
        assert await bank.available() == 425
    else:
        assert loser == Refused(RefusalCode.ALREADY_RELEASED, ())
        assert await bank.available() == 500
    assert len(await bank.entries(EntryKind.CHARGE, EntryKind.RELEASE)) == 1


async def test_a_release_racing_the_expiry_gives_back_once(bank: EngineBank, stores: list[RedisStore]) -> None:
    for number in range(20):
        await bank.do(reserving(number, 25))
    releases = [Release("acme", reserving(number, 25).digest, "{}") for number in range(20)]
    moved = asyncio.create_task(bank.pass_time(MINUTE))
    answers = await asyncio.gather(*(one(store, call) for store, call in zip(stores, releases, strict=True)))
    await moved
    balance = await bank.balance()
    assert (balance.available, balance.reserved) == (500, 0)
    states = Counter(ReservationState(done(answer).reservation.state) for answer in answers)
    assert set(states) <= {ReservationState.RELEASED, ReservationState.EXPIRED}
    assert len(await bank.entries(EntryKind.RELEASE, EntryKind.EXPIRED_HOLD)) == 20


@pytest.mark.parametrize("operation", ["reserve", "commit"])
async def test_a_reply_that_was_lost_is_given_to_the_repeat(bank: EngineBank, redis_url: str, operation: str) -> None:
    """The connection is cut after the script ran and before its answer was read."""
    call: Reserve | Commit = reserving(1, 75)
    if operation == "commit":
        await bank.do(call)
        call = Commit("acme", call.digest, 30, 2, "{}")
    left = 425 if operation == "reserve" else 470
    doomed = await connect(redis_url)
    pending = asyncio.ensure_future(doomed.execute(0, [call]))
    await asyncio.sleep(0)  # one turn of the loop: the command is on its way, nothing was read
    await doomed.close()
    with pytest.raises(Unavailable):
        await pending

    async def ran() -> bool:
        return await bank.available() == left

    await wait_until(ran)
    assert done(await bank.do(call)).replayed
    assert await bank.available() == left


async def test_a_storm_of_everything_keeps_the_sum(bank: EngineBank, stores: list[RedisStore]) -> None:
    """Reserve, commit, release and grant at random from every connection: every credit is where the stream says."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choices = random.Random(seed)
    admin = iter(range(2, 1000))

    async def worker(store: RedisStore, base: int) -> None:
        for step in range(30):
            number = base * 1000 + step
            amount = choices.randrange(40)
            if not isinstance(await one(store, reserving(number, amount)), Done):
                grant = ApplyGrant("acme", next(admin), 1, 100, 50, 0, 0, 256, "{}")
                await store.execute(0, [grant])
                continue
            digest = reserving(number, amount).digest
            if choices.random() < 0.6:
                await one(store, Commit("acme", digest, choices.randrange(60), 2, "{}"))
            elif choices.random() < 0.8:
                await one(store, Release("acme", digest, "{}"))

    await asyncio.gather(*(worker(store, base) for base, store in enumerate(stores)))
    await bank.pass_time(2 * MINUTE)
    balance = await bank.balance()
    entries = await bank.entries()
    granted = sum(entry.amount for entry in entries if entry.kind == EntryKind.GRANT)
    charged = sum(entry.amount for entry in entries if entry.kind == EntryKind.CHARGE)
    assert (balance.reserved, balance.charged, balance.available) == (0, charged, granted - charged)
    assert [entry.entry_number for entry in entries] == list(range(1, len(entries) + 1))
    assert {key.decode() for key in await bank.store.command("KEYS", "*")} <= set(bank.store.keys(0).all())
