"""Reconciliation: proves that Redis and SQL agree, account by account, while both go on.

Of each account three things are read in this order: SQL's totals, the document in Redis, the end of the stream. What
SQL does not have yet of the document is then in the stream, so the two can be compared at the document's entry number,
however fast the account moves. Open reservations are compared at one version of the account. What differs is read
again, and only what stays different is reported. Redis is read directly and never written: a store whose sidecar was
killed can be compared too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import time_ns

import msgspec
import structlog

from earmark.engine.redis.store import RedisStore
from earmark.jobs.comparison import (
    Difference,
    Holds,
    ResidentAccount,
    check_document,
    compare_counters,
    compare_holds,
    compare_with_ledger,
    differences,
    windows_of,
)
from earmark.jobs.residents import Residents, StreamRecords
from earmark.ledger.database import Ledger
from earmark.ledger.models import AccountProjection

__all__ = ["Difference", "OnProgress", "ReconciliationReport", "reconcile"]

OnProgress = Callable[[int, int | None], None]
"""Hears of how many accounts were compared, and of how many there are, as far as that is known."""

_ROUNDS = 5
_PAUSE_SECONDS = 0.05
_REPORTED = 1_000
_CHUNK = 200
_UNSEEN = -1

_log = structlog.get_logger("earmark.reconciler")


class ReconciliationReport(msgspec.Struct, frozen=True):
    """What a comparison found. Times in microseconds since 1970."""

    start_time: int
    end_time: int
    partitions: int
    accounts: int
    """Accounts that SQL knows, each with its entries."""
    resident_accounts: int
    """Those of them that Redis holds."""
    entries: int
    """Ledger entries that were summed up."""
    open_reservations: int
    unsettled_accounts: int
    """Accounts that never stood still long enough for their open reservations to be compared; all else was."""
    difference_count: int
    differences: tuple[Difference, ...]
    """The first thousand."""

    @property
    def drift(self) -> bool:
        """Whether Redis and SQL disagree."""
        return self.difference_count > 0

    def to_json(self) -> bytes:
        """Return the report as JSON, `drift` included."""
        return msgspec.json.encode({"drift": self.drift, **msgspec.structs.asdict(self)})


async def reconcile(store: RedisStore, ledger: Ledger, on_progress: OnProgress | None = None) -> ReconciliationReport:
    """Compare Redis with SQL, and SQL with itself.

    Args:
        store: Open; its partitions need not be admitted.
        ledger: Open.
        on_progress: Called now and then.

    Raises:
        Unavailable: a store is away.
    """
    start = time_ns() // 1000
    tally = _Tally(on_progress or (lambda _done, _total: None))
    for partition in range(store.partitions):
        await _Partition(store, ledger, partition, tally).compare()
    report = ReconciliationReport(
        start_time=start,
        end_time=time_ns() // 1000,
        partitions=store.partitions,
        accounts=tally.accounts,
        resident_accounts=tally.residents,
        entries=tally.entries,
        open_reservations=tally.open_reservations,
        unsettled_accounts=tally.unsettled,
        difference_count=len(tally.differences),
        differences=tuple(tally.differences[:_REPORTED]),
    )
    tally.on_progress(tally.accounts, tally.accounts)
    if report.drift:
        _log.error("redis and sql disagree", differences=report.difference_count, first=report.differences[0])
    return report


@dataclass(slots=True)
class _Tally:
    on_progress: OnProgress
    accounts: int = 0
    residents: int = 0
    entries: int = 0
    open_reservations: int = 0
    unsettled: int = 0
    differences: list[Difference] = field(default_factory=list)


class _Partition:
    """Compares one partition."""

    def __init__(self, store: RedisStore, ledger: Ledger, number: int, tally: _Tally) -> None:
        self._store = store
        self._ledger = ledger
        self._number = number
        self._tally = tally
        self._residents = Residents(store, number)

    async def compare(self) -> None:
        versions: dict[str, int] = {}
        suspects: dict[str, None] = {}
        position = await self._ledger.partitions.read(self._number)
        await self._compare_positions(position.flushed_seq)
        stream = StreamRecords(self._store, self._number, position.flushed_seq)
        async for account_ids in self._residents.account_ids():
            suspects |= dict.fromkeys(await self._compare_documents(account_ids, stream, versions))
        self._tally.residents += len(versions)
        self._tally.differences += await self._persisting(list(suspects))
        await self._compare_holds(versions)
        await self._audit()

    async def _compare_positions(self, flushed: int) -> None:
        meta = await self._store.read_meta(self._number)
        if meta is not None and meta.seq < flushed:
            self._tally.differences.append(Difference("", "seq of the partition", meta.seq, flushed, self._number))

    # Totals and grants

    async def _compare_documents(
        self, account_ids: Sequence[str], stream: StreamRecords, versions: dict[str, int]
    ) -> dict[str, list[Difference]]:
        """Compare some accounts; returns those that differ. `versions` gets the version of each."""
        projections = await self._ledger.projections.account_projections(account_ids)
        residents = await self._residents.read(account_ids)
        await stream.extend()
        differing: dict[str, list[Difference]] = {}
        for account_id, account in residents.items():
            versions[account_id] = account.document.version
            projection = projections.get(account_id)
            if projection is None:
                found = [Difference(account_id, "entry number", account.document.entry_number, None, self._number)]
            else:
                found = differences(
                    account_id,
                    self._number,
                    check_document(account) | compare_with_ledger(account, projection, stream.of(account_id)),
                )
            if found:
                differing[account_id] = found
        for account_id, found in (await self._compare_counters(residents, projections, stream)).items():
            differing.setdefault(account_id, []).extend(found)
        return differing

    async def _compare_counters(
        self,
        residents: Mapping[str, ResidentAccount],
        projections: Mapping[str, AccountProjection],
        stream: StreamRecords,
    ) -> dict[str, list[Difference]]:
        """Compare what limits counted, of the accounts that stand still meanwhile."""
        windows = {
            account_id: windows_of(projections[account_id], stream.of(account_id))
            for account_id in residents.keys() & projections.keys()
        }
        limited = [account_id for account_id, some in windows.items() if some]
        if not limited:
            return {}
        counters = await self._residents.counters(windows)
        after = await self._residents.read(limited)
        now = self._store.now()
        differing = {}
        for account_id in limited:
            account, later = residents[account_id], after.get(account_id)
            if later is not None and later.document.version == account.document.version:
                found = compare_counters(
                    account, counters.get(account_id, {}), projections[account_id], stream.of(account_id), now
                )
                if found:
                    differing[account_id] = differences(account_id, self._number, found)
        return differing

    async def _persisting(self, suspects: list[str]) -> list[Difference]:
        """Compare again those that differed; returns what stays different."""
        differing: dict[str, list[Difference]] = {}
        for _ in range(_ROUNDS):
            if not suspects:
                return []
            await asyncio.sleep(_PAUSE_SECONDS)
            position = await self._ledger.partitions.read(self._number)
            stream = StreamRecords(self._store, self._number, position.flushed_seq)
            differing = {}
            for start in range(0, len(suspects), _CHUNK):
                differing |= await self._compare_documents(suspects[start : start + _CHUNK], stream, {})
            suspects = list(differing)
        return [difference for found in differing.values() for difference in found]

    # Open reservations

    async def _compare_holds(self, versions: dict[str, int]) -> None:
        """Compare accounts with their open reservations: at a version that was the same before and after."""
        holds = await self._residents.holds()
        self._tally.open_reservations += sum(open_.count for open_ in holds.values())
        pending = dict.fromkeys(holds, _UNSEEN) | versions
        differing: dict[str, list[Difference]] = {}
        for _ in range(_ROUNDS):
            again: dict[str, int] = {}
            differing = {}
            for account_id, account in await self._read_all(list(pending)):
                version = _UNSEEN if account is None else account.document.version
                found = _differing_holds(account, holds.get(account_id, Holds()))
                if version != pending[account_id] and account is not None:
                    again[account_id] = version
                elif found:
                    again[account_id] = version
                    differing[account_id] = differences(account_id, self._number, found)
            pending = again
            if not pending:
                return
            await asyncio.sleep(_PAUSE_SECONDS)
            holds = await self._residents.holds()
        self._tally.differences += [difference for found in differing.values() for difference in found]
        await self._compare_at_once([account_id for account_id in pending if account_id not in differing])

    async def _read_all(self, ids: Sequence[str]) -> list[tuple[str, ResidentAccount | None]]:
        found: list[tuple[str, ResidentAccount | None]] = []
        for start in range(0, len(ids), _CHUNK):
            some = ids[start : start + _CHUNK]
            residents = await self._residents.read(some)
            found += [(account_id, residents.get(account_id)) for account_id in some]
        return found

    async def _compare_at_once(self, account_ids: Sequence[str]) -> None:
        """Compare accounts that never stand still, each with its reservations, in one script."""
        for start in range(0, len(account_ids), _CHUNK):
            some = account_ids[start : start + _CHUNK]
            read = await self._residents.read_with_holds(some)
            if read is None:
                self._tally.unsettled += len(some)
                continue
            for account_id, (account, holds) in read.items():
                found = compare_holds(account, holds)
                self._tally.differences += differences(account_id, self._number, found)

    # The ledger with itself

    async def _audit(self) -> None:
        after: int | None = 0
        while after is not None:
            page = await self._ledger.audit.page(self._number, after)
            after = page.next_after
            self._tally.accounts += page.accounts
            self._tally.entries += page.entries
            self._tally.differences += [
                Difference(item.account_id, item.what, item.total, item.entries, self._number)
                for item in page.contradictions
            ]
            self._tally.on_progress(self._tally.accounts, None)


def _differing_holds(account: ResidentAccount | None, holds: Holds) -> dict[str, tuple[int, int]]:
    if account is not None:
        return compare_holds(account, holds)
    # Open reservations without their account.
    return {"number of open reservations": (0, holds.count)} if holds.count else {}
