"""Reading what Redis holds of a partition: straight from its keys, without admission, and never writing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from earmark.domain.states import ReservationState
from earmark.engine.records import StreamRecord
from earmark.engine.redis.packed import (
    PackedCounter,
    counter_field,
    decode_account,
    decode_counter,
    decode_reservation,
    decode_tail,
)
from earmark.engine.redis.scripts import holds_script
from earmark.engine.redis.store import RedisStore
from earmark.jobs.comparison import Holds, ResidentAccount, Window

__all__ = ["Residents", "StreamRecords"]

_SCAN_COUNT = 500
_OPEN_LIMIT = 20_000
"""Open reservations of a partition up to which one script may read them all: some 50 ms of Redis."""


class Residents:
    """The accounts and open reservations of one partition."""

    def __init__(self, store: RedisStore, partition: int) -> None:
        self._store = store
        self._keys = store.keys(partition)

    async def account_ids(self) -> AsyncIterator[list[str]]:
        """Yield the ids of all accounts that are there throughout; some may come twice."""
        cursor = b"0"
        while True:
            cursor, flat = await self._store.command("HSCAN", self._keys.accounts, cursor, "COUNT", str(_SCAN_COUNT))
            # Tails and members have fields of their own.
            found = [name.decode() for name in flat[::2] if b"\0" not in name]
            for start in range(0, len(found), _SCAN_COUNT):
                yield found[start : start + _SCAN_COUNT]
            if cursor == b"0":
                return

    async def read(self, account_ids: Sequence[str]) -> dict[str, ResidentAccount]:
        """Return these accounts, at one moment; those that left are left out."""
        if not account_ids:
            return {}
        fields = [name for account_id in account_ids for name in (account_id, f"{account_id}\0t")]
        packed = await self._store.command("HMGET", self._keys.accounts, *fields)
        return {
            account_id: _resident(account_id, document, tail)
            for account_id, document, tail in zip(account_ids, packed[::2], packed[1::2], strict=True)
            if document
        }

    async def counters(self, windows: Mapping[str, Iterable[Window]]) -> dict[str, dict[Window, PackedCounter]]:
        """Return the counters of limits in these windows, by account, at one moment."""
        wanted = [(account_id, window) for account_id, some in windows.items() for window in some]
        found: dict[str, dict[Window, PackedCounter]] = defaultdict(dict)
        if wanted:
            fields = [counter_field(account_id, *window) for account_id, window in wanted]
            packed = await self._store.command("HMGET", self._keys.counters, *fields)
            for (account_id, window), counter in zip(wanted, packed, strict=True):
                if counter:
                    found[account_id][window] = decode_counter(counter)
        return found

    async def holds(self) -> dict[str, Holds]:
        """Return the open reservations by account. Exact for accounts whose version stays the same meanwhile."""
        holds: dict[str, Holds] = defaultdict(Holds)
        seen: set[bytes] = set()
        cursor = b"0"
        while True:
            key = self._keys.reservations
            cursor, flat = await self._store.command("HSCAN", key, cursor, "COUNT", str(_SCAN_COUNT))
            for digest, packed in zip(flat[::2], flat[1::2], strict=True):
                record = decode_reservation(packed)
                if record.state == ReservationState.ACTIVE and digest not in seen:
                    seen.add(digest)
                    holds[record.account_id].add(record.reserved, record.allocations)
            if cursor == b"0":
                return holds

    async def read_with_holds(self, account_ids: Sequence[str]) -> dict[str, tuple[ResidentAccount, Holds]] | None:
        """Return these accounts with their open reservations, all at one moment; None if that would take too long."""
        open_count = await self._store.command("ZCOUNT", self._keys.deadlines, "-inf", "(4503599627370496")
        if open_count > _OPEN_LIMIT:
            return None
        keys = (self._keys.accounts, self._keys.reservations, self._keys.deadlines)
        answer = await self._store.command("EVAL", holds_script().text, str(len(keys)), *keys, *account_ids)
        found = {}
        for account_id, (document, tail, *records) in zip(account_ids, answer, strict=True):
            if document:
                holds = Holds()
                for packed in records:
                    record = decode_reservation(packed)
                    holds.add(record.reserved, record.allocations)
                found[account_id] = _resident(account_id, document, tail), holds
        return found


class StreamRecords:
    """The records of a partition's stream after a position of SQL, read as far as it goes, again and again."""

    def __init__(self, store: RedisStore, partition: int, after: int) -> None:
        self._store = store
        self._partition = partition
        self._after = after
        self._records: dict[str, list[StreamRecord]] = defaultdict(list)

    async def extend(self) -> None:
        """Read what came since the last call."""
        while True:
            elements = await self._store.read_stream(self._partition, self._after, _SCAN_COUNT)
            for _, element in elements:
                for record in element.records:
                    self._records[record.account_id].append(record)
            if elements:
                self._after = elements[-1][0]
            if len(elements) < _SCAN_COUNT:
                return

    def of(self, account_id: str) -> Sequence[StreamRecord]:
        """Return an account's records, in order."""
        return self._records.get(account_id, ())


def _resident(account_id: str, document: bytes, tail: bytes | None) -> ResidentAccount:
    return ResidentAccount(account_id, decode_account(document), decode_tail(tail) if tail else ())
