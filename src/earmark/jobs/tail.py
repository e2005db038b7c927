"""Waking the flusher: one blocking read over the streams of all partitions that have nothing to flush.

Idle partitions cost one call a second together, and an entry wakes the flusher at once, whichever process's script
wrote it. The read has a connection of its own, because it blocks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import hiredis

from earmark.engine.redis.link import RedisLink, unavailable
from earmark.engine.redis.store import RedisStore

__all__ = ["StreamTail"]


class StreamTail:
    """Waits for new elements in any of several streams."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._link: RedisLink | None = None

    async def wait(self, after: Mapping[int, int], block_millis: int) -> list[int]:
        """Return the partitions that have an element after their seq in `after`; empty after `block_millis`.

        Raises:
            Unavailable: Redis is away.
        """
        link = self._link
        if link is None or not link.alive:
            link = self._link = await RedisLink.connect(self._store.url, lambda _: None)
        partitions = {self._store.keys(number).stream.encode(): number for number in after}
        ids = [f"{after[number]}-0" for number in partitions.values()]
        try:
            answer: list[list[Any]] | None = await link.command(
                "XREAD", "COUNT", "1", "BLOCK", str(block_millis), "STREAMS", *partitions, *ids
            )
        except hiredis.ReplyError as failure:
            raise unavailable(str(failure)) from failure
        except BaseException:
            # Cancelled with the call in flight: the next answer on this connection would be another call's.
            self.close()
            raise
        return [partitions[stream] for stream, _ in answer or ()]

    def close(self) -> None:
        """Close the connection; the next `wait` opens another."""
        if self._link is not None:
            self._link.close()
            self._link = None
