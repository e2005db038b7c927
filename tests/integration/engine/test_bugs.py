"""A transition that fails in Redis: its account stays as it was, every other operation of the call takes effect."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from earmark.engine.operations import Operation, Reserve
from earmark.engine.redis.packed import decode_account
from earmark.engine.results import Bug, Done
from tests.support.partition import ONE_GRANT, open_test_store

SOUND = replace(ONE_GRANT, account_id="sound")


def reserve(account_id: str, digest: str, amount: int) -> Reserve:
    """A reservation of `amount`."""
    return Reserve(account_id, digest, "content", amount, amount, 600_000_000, 0, "{}", "")


async def test_a_bug_fails_its_account_and_nothing_else(redis_url: str) -> None:
    store = await open_test_store(redis_url)
    keys, broken = store.keys(0), ("first", "second")
    await store.execute(0, [SOUND, *(replace(SOUND, account_id=account_id) for account_id in broken)])
    for account_id in broken:
        document = decode_account(await store.command("HGET", keys.accounts, account_id))
        unfit = msgspec.msgpack.encode(replace(document, available=5_000))  # more than its grants hold
        await store.command("HSET", keys.accounts, account_id, unfit)
    before = [await store.command("HGET", keys.accounts, account_id) for account_id in broken]

    operations: list[Operation] = [
        reserve("first", "a", 10),
        reserve("sound", "b", 10),
        reserve("first", "c", 2_000),
        reserve("sound", "d", 10),
        reserve("first", "e", 10),
        reserve("second", "f", 2_000),
        reserve("sound", "g", 10),
    ]
    results = (await store.execute(0, operations)).results

    assert [type(result) for result in results] == [Bug, Done, Bug, Done, Bug, Bug, Done]
    assert [await store.command("HGET", keys.accounts, account_id) for account_id in broken] == before
    assert decode_account(await store.command("HGET", keys.accounts, "sound")).reserved == 30
    assert sorted(await store.command("HKEYS", keys.reservations)) == [b"b", b"d", b"g"]
    assert sorted(await store.command("ZRANGE", keys.deadlines, "0", "-1")) == [b"1b", b"1d", b"1g"]
    await store.close()
