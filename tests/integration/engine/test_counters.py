"""What the counters of limits leave in Redis, and what they cost an account without limits: nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from earmark.credits import MAX_MICROS
from earmark.domain.ids import reservation_digest
from earmark.domain.limits import FOREVER
from earmark.domain.states import Enforcement
from earmark.engine.operations import (
    ABSENT,
    Charge,
    Commit,
    Configure,
    ConfirmFlush,
    Counter,
    Evict,
    LimitClaim,
    Operation,
    RebuildAccount,
    Release,
    Reserve,
)
from earmark.engine.redis.packed import PackedCounter, counter_field, decode_account, decode_counter, decode_reservation
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import Applied, Done, RefusalCode, Refused, Result
from tests.support.partition import ONE_GRANT, open_test_store

HOUR = 3_600_000_000
KEY = "hourly:0:account:"


class Rig:
    """A store of one partition with one account, and its clock."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store

    async def do(self, operation: Operation) -> Result:
        """Execute one operation."""
        return (await self.store.execute(0, [operation])).results[0]

    async def field(self, start: int, key: str = KEY) -> PackedCounter | None:
        """Read a counter."""
        packed = await self.store.command("HGET", self.store.keys(0).counters, counter_field("acme", key, start))
        return decode_counter(packed) if packed else None

    async def size(self) -> int:
        """Return how many counters there are."""
        return int(await self.store.command("HLEN", self.store.keys(0).counters))

    async def due(self) -> set[bytes]:
        """Return the members of the deadlines that belong to counters."""
        members = await self.store.command("ZRANGE", self.store.keys(0).deadlines, "0", "-1")
        return {member for member in members if member.startswith(b"3")}

    def claim(self, *, start: int = 0, end: int = FOREVER) -> LimitClaim:
        """Make a claim of a blocking limit of 100."""
        return LimitClaim(KEY, 100, near=80, blocks=True, windows=(start, end))

    def reserving(self, request_id: str, amount: int, *claims: LimitClaim) -> Reserve:
        """Make a Reserve for a minute."""
        return Reserve(
            account_id="acme",
            digest=reservation_digest("acme", request_id),
            content=request_id,
            amount=amount,
            min_amount=amount,
            ttl=60_000_000,
            price_version=0,
            details="{}",
            user_id="",
            limits=claims,
        )

    async def commit(self, request_id: str, actual: int = ABSENT) -> Result:
        """Commit."""
        return await self.do(Commit("acme", reservation_digest("acme", request_id), actual, 2, "{}"))

    async def flushed(self) -> None:
        """Pretend that SQL holds everything."""
        seq = (await self.store.execute(0, ())).seq
        await self.do(ConfirmFlush(seq, 0))

    async def evict(self, *counters: tuple[str, int]) -> int:
        """Drop the account; return the generation under which it may be loaded."""
        await self.flushed()
        answer = await self.do(Evict("acme", idle_before=FOREVER, admin_seq=1, members=(), counters=counters))
        assert isinstance(answer, Applied), answer
        return int(await self.store.command("HGET", self.store.keys(0).meta, "evict_generation"))


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    store = await open_test_store(redis_url)
    rig = Rig(store)
    await rig.do(ONE_GRANT)
    yield rig
    await store.close()


async def test_accounts_without_limits_have_no_counters_and_no_longer_records(rig: Rig) -> None:
    assert isinstance(await rig.do(rig.reserving("r", 10)), Done)
    keys = rig.store.keys(0)
    assert await rig.store.command("EXISTS", keys.counters) == 0
    raw = await rig.store.command("HGET", keys.reservations, reservation_digest("acme", "r"))
    assert raw[:3] == b"\xdc\x00\x12", "18 fields: neither windows nor silence"
    assert decode_reservation(raw).windows == ()
    account = await rig.store.command("HGET", keys.accounts, "acme")
    assert account[:3] == b"\xdc\x00\x1b", "27 fields: no configuration, thresholds or rollover"
    assert decode_account(account).low_balance == ABSENT


async def test_a_counter_goes_at_the_end_of_its_window(rig: Rig) -> None:
    now = rig.store.now()
    claim = rig.claim(start=now - HOUR, end=now + HOUR)
    assert isinstance(await rig.do(rig.reserving("r", 10, claim)), Done)
    await rig.commit("r", 7)
    counter = await rig.field(now - HOUR)
    assert counter is not None
    assert (counter.used, counter.charged, counter.refs, counter.end) == (7, 7, 0, now + HOUR)
    assert (counter.amount, counter.near, counter.blocks) == (100, 80, 1)
    assert len(await rig.due()) == 1
    await rig.store.move_clock(HOUR)
    await rig.store.execute(0, ())
    assert await rig.size() == 0
    assert await rig.due() == set()


async def test_a_counter_stays_while_a_reservation_counts_in_it(rig: Rig) -> None:
    now = rig.store.now()
    claim = rig.claim(start=now - HOUR, end=now + 10_000_000)
    await rig.do(rig.reserving("r", 10, claim))
    await rig.store.move_clock(20_000_000)
    await rig.store.execute(0, ())
    assert await rig.size() == 1
    assert await rig.due() == set(), "its end is no event any more"
    await rig.do(Release("acme", reservation_digest("acme", "r"), "{}"))
    assert await rig.size() == 0


async def test_a_lifetime_counter_has_no_end_to_wait_for(rig: Rig) -> None:
    await rig.do(rig.reserving("r", 10, rig.claim()))
    assert await rig.due() == set()
    assert await rig.size() == 1


async def test_an_eviction_takes_the_counters_that_sql_knows(rig: Rig) -> None:
    await rig.do(rig.reserving("r", 10, rig.claim()))
    await rig.commit("r")
    await rig.evict((KEY, 0))
    assert await rig.size() == 0


async def test_a_counter_that_an_eviction_left_behind_means_nothing(rig: Rig) -> None:
    now = rig.store.now()
    claim = rig.claim(start=now - HOUR, end=now + HOUR)
    await rig.do(rig.reserving("r", 90, claim))
    await rig.commit("r")
    generation = await rig.evict()
    assert await rig.size() == 1
    await rig.do(replace(ONE_GRANT, generation=generation))
    assert isinstance(await rig.do(rig.reserving("again", 90, claim)), Done)
    counter = await rig.field(now - HOUR)
    assert counter is not None
    assert counter.used == 90

    await rig.commit("again")
    await rig.evict()
    await rig.store.move_clock(2 * HOUR)
    await rig.store.execute(0, ())
    assert await rig.size() == 0, "left behind for ever"


async def test_a_load_brings_the_counters_of_windows_that_have_not_ended(rig: Rig) -> None:
    now = rig.store.now()
    generation = await rig.evict()
    counters = (Counter(KEY, 0, now, 50), Counter(KEY, now - HOUR, now + HOUR, 95))
    await rig.do(replace(ONE_GRANT, generation=generation, counters=counters))
    assert await rig.size() == 1
    refused = await rig.do(rig.reserving("r", 10, rig.claim(start=now - HOUR, end=now + HOUR)))
    assert refused == Refused(RefusalCode.LIMIT_EXCEEDED, (100, 95, 10, now + HOUR), KEY)


async def test_a_rebuilt_account_counts_what_its_holds_hold(rig: Rig) -> None:
    claim = rig.claim()
    await rig.do(rig.reserving("kept", 30, claim))
    await rig.do(rig.reserving("gone", 20, claim))
    load = replace(ONE_GRANT, counters=(Counter(KEY, 0, FOREVER, 40),))
    await rig.do(RebuildAccount("acme", load, (reservation_digest("acme", "kept"),), ()))
    counter = await rig.field(0)
    assert counter is not None
    assert (counter.used, counter.charged, counter.refs, counter.blocks) == (70, 40, 1, 0)


async def test_a_charge_and_its_counter_are_written_together(rig: Rig) -> None:
    charge = Charge(
        account_id="acme",
        digest=reservation_digest("acme", "c"),
        content="c",
        amount=10,
        min_amount=10,
        policy=2,
        price_version=0,
        details="{}",
        settlement="{}",
        user_id="",
        limits=(rig.claim(),),
    )
    await rig.store.execute(0, [charge, replace(charge, digest=reservation_digest("acme", "d"))])
    counter = await rig.field(0)
    assert counter is not None
    assert (counter.used, counter.charged, counter.refs) == (20, 20, 0)


async def test_the_largest_overage_is_counted_exactly(rig: Rig) -> None:
    await rig.do(Configure("acme", 2, suspended=False, enforcement=Enforcement.OBSERVE, overdraft_limit=0))
    await rig.do(rig.reserving("r", 81, rig.claim()))
    assert isinstance(await rig.commit("r", MAX_MICROS - 1), Done)
    counter = await rig.field(0)
    assert counter is not None
    assert (counter.used, counter.charged) == (MAX_MICROS - 1, MAX_MICROS - 1)
    assert await rig.do(rig.reserving("more", 2, rig.claim())) == Refused(RefusalCode.INVALID_AMOUNT, ())


async def test_the_store_tells_the_time_of_its_clock(rig: Rig) -> None:
    before = (await rig.store.execute(0, ())).now
    assert 0 <= rig.store.now() - before < HOUR
    await rig.store.move_clock(30 * 24 * HOUR)
    moved = rig.store.now()
    assert moved >= before + 30 * 24 * HOUR
    assert abs((await rig.store.execute(0, ())).now - moved) < HOUR
    assert rig.store.now() >= moved


async def test_a_store_that_was_just_opened_tells_the_time(rig: Rig) -> None:
    await rig.store.move_clock(30 * 24 * HOUR)
    other = RedisStore(rig.store.url, "test-store", 1)
    await other.open()
    try:
        assert abs(other.now() - rig.store.now()) < HOUR
    finally:
        await other.close()


async def test_a_policy_holds_from_the_next_call_on(rig: Rig) -> None:
    quiet = await rig.do(rig.reserving("a", 10))
    assert isinstance(quiet, Done)
    assert quiet.notices == ()
    rig.store.set_policy(horizon=HOUR, low_balance=1_000, critical_balance=10)
    loud = await rig.do(rig.reserving("b", 10))
    assert isinstance(loud, Done)
    assert [(notice.kind, notice.threshold) for notice in loud.notices] == [(1, 1_000)]
