"""Counters of limits in SQL: what settled charges have used of a limit in each window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection, delete, select, tuple_

from earmark.engine.operations import Counter
from earmark.engine.records import WindowUse
from earmark.ledger.connections import Database
from earmark.ledger.tables.limits import limit_counters

__all__ = ["LimitCounters", "decode_windows", "open_counters"]

decode_windows = msgspec.json.Decoder(tuple[WindowUse, ...]).decode
"""Reads the column `entries.windows`."""

_CLOCK_SLACK = 60_000_000
"""Our clock may be ahead of Redis's: counters that ended within this are brought too, and end there at once."""
_KEPT_AFTER_END = 3 * 86_400_000_000
"""Counters whose window ended so long ago go: nothing that may still come counts in them."""


class LimitCounters:
    """See `ledger.counters`."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def remove_ended(self, limit: int) -> int:
        """Remove counters whose window ended days ago, at most `limit`; returns how many went."""
        key = limit_counters.c.account_key, limit_counters.c.key, limit_counters.c.start_time
        ended = select(*key).where(limit_counters.c.end_time < self._clock() - _KEPT_AFTER_END).limit(limit)
        return await self._database.write(
            lambda connection: connection.execute(delete(limit_counters).where(tuple_(*key).in_(ended))).rowcount
        )


def open_counters(connection: Connection, account_keys: Sequence[int], now: int) -> dict[int, tuple[Counter, ...]]:
    """Return the counters whose window has not ended, by account key, for each of these accounts.

    Within the caller's transaction.
    """
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
