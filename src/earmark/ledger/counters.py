"""Counters of limits in SQL. Functions of one connection; their transaction is the caller's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select

from earmark.engine.operations import Counter
from earmark.engine.records import WindowUse
from earmark.ledger.tables.limits import limit_counters

__all__ = ["decode_windows", "open_counters"]

decode_windows = msgspec.json.Decoder(tuple[WindowUse, ...]).decode
"""Reads the column `entries.windows`."""

_CLOCK_SLACK = 60_000_000
"""Our clock may be ahead of Redis's: counters that ended within this are brought too, and end there at once."""


def open_counters(connection: Connection, account_keys: Sequence[int], now: int) -> dict[int, tuple[Counter, ...]]:
    """Return the counters whose window has not ended, by account key, for each of these accounts."""
    query = (
        select(
            limit_counters.c.account_key,
            limit_counters.c.key,
            limit_counters.c.start_time,
            limit_counters.c.end_time,
            limit_counters.c.used,
        )
        .where(limit_counters.c.account_key.in_(account_keys), limit_counters.c.end_time > now - _CLOCK_SLACK)
        .order_by(limit_counters.c.account_key, limit_counters.c.key, limit_counters.c.start_time)
    )
    found: dict[int, list[Counter]] = defaultdict(list)
    for account_key, *counter in connection.execute(query):
        found[account_key].append(Counter(*counter))
    return {account_key: tuple(found[account_key]) for account_key in account_keys}
