"""The counters of limits as both stores keep them: most of what they hold shows in answers only much later."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec

from earmark.engine.memory import MemoryStore
from earmark.engine.redis.scripts import constants
from earmark.engine.redis.store import RedisStore

Counters = dict[tuple[str, str, int], tuple[int, ...]]
"""Used, charged, references, end, amount, near, blocks by account, key and start."""

_LAYOUT = constants(files("earmark.engine.redis").joinpath("lua", "lib", "layout.lua").read_text(encoding="utf-8"))
_FIELDS = ("C_USED", "C_CHARGED", "C_REFS", "C_END", "C_AMOUNT", "C_NEAR", "C_BLOCKS")


def _at(packed: list[Any], name: str) -> int:
    return int(packed[int(_LAYOUT[name]) - 1])


async def counters_of_engine(store: RedisStore) -> Counters:
    """Return the counters of the accounts that are present, without what an earlier life left behind."""
    keys = store.keys(0)
    found: Counters = {}
    flat = await store.command("HGETALL", keys.counters)
    pairs = list(flat.items()) if isinstance(flat, dict) else list(zip(flat[::2], flat[1::2], strict=True))
    for name, blob in pairs:
        account, key, start = name.decode().split("\0")
        document = await store.command("HGET", keys.accounts, account)
        packed = msgspec.msgpack.decode(blob)
        if document and _at(packed, "C_GENERATION") == _at(msgspec.msgpack.decode(document), "A_GENERATION"):
            found[account, key, int(start)] = tuple(_at(packed, field) for field in _FIELDS)
    return found


def counters_of_oracle(store: MemoryStore) -> Counters:
    """Return the same of the reference store."""
    return {
        (account.account_id, counter.key, counter.start): (
            counter.used,
            counter.charged,
            counter.refs,
            counter.end,
            counter.amount,
            counter.near,
            int(counter.blocks),
        )
        for account in store.partition.accounts.values()
        for counter in account.counters.values()
    }
