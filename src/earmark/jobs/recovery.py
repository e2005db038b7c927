"""Recovery: admits partitions, and brings back those whose history in Redis cannot be trusted.

Every restart of Redis shows as another run id, a FLUSHALL as a missing meta key, a lost tail as a seq behind what SQL
flushed. In each case the partition answers RECOVERING until this has, under a lease and in this order:

1. raised the epoch in SQL: no flusher of the old history can write any more, so `flushed_seq` stands still;
2. raised it in Redis and emptied the run id: no sidecar of the old history can execute any more;
3. where Redis is behind SQL, rebuilt the accounts that are behind from SQL, keeping the holds that SQL does not know
   as ended; where the meta key is gone, emptied the partition (accounts load when they are asked for);
4. written the run id: the partition serves again under the new epoch.

Whoever dies in between leaves a partition that still says RECOVERING, and the next attempt begins at 1 with a higher
epoch. What was acknowledged and never flushed is named in the log as a range.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from time import monotonic
from uuid import uuid4

import structlog

from earmark.domain.states import ReservationState
from earmark.engine.operations import RebuildAccount, RestoreReservation
from earmark.engine.redis.packed import PackedAccount, decode_account, decode_reservation
from earmark.engine.redis.store import FORMAT, Admission, PartitionMeta, RedisStore
from earmark.engine.results import Applied
from earmark.errors import EarmarkError
from earmark.ledger.database import Ledger
from earmark.ledger.models import AccountProjection, PartitionPosition

__all__ = ["Recovery", "StoreMismatchError"]

_LEASE_MICROS = 5_000_000
"""Whoever dies while it recovers holds the others up for so long; long recoveries renew it."""
_RENEW_SECONDS = 1.0
_SCAN_COUNT = 500

_log = structlog.get_logger("earmark.recovery")


class StoreMismatchError(Exception):
    """Redis belongs to another store, or was written by a newer release: nothing may be touched."""


class Recovery:
    """Keeps every partition admitted. One per process."""

    def __init__(self, store: RedisStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._owner = uuid4().hex
        self._work = asyncio.Event()
        self._all_admitted = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._renew_at = 0.0
        self._positions: dict[int, PartitionPosition] = {}
        """What SQL said last: enough to admit again after a broken connection while SQL is away."""

    def start(self) -> None:
        """Admit all partitions, now and whenever an admission is withdrawn."""
        self._store.on_withdrawn = self._withdrawn
        self._store.on_connected = self._work.set
        self._work.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop. A recovery under way is left as it is; the next one repeats it."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._failed.cancel()

    async def wait_admitted(self) -> None:
        """Wait until all partitions serve.

        Raises:
            StoreMismatchError: Redis belongs to another store or a newer release.
        """
        admitted = asyncio.ensure_future(self._all_admitted.wait())
        try:
            await asyncio.wait((admitted, self._failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            admitted.cancel()
        if self._failed.done():
            self._failed.result()

    @property
    def serving(self) -> bool:
        """Whether all partitions are admitted."""
        return self._all_admitted.is_set()

    def _withdrawn(self, partition: int) -> None:
        _log.info("partition withdrawn", partition=partition)
        self._all_admitted.clear()
        self._work.set()

    async def _run(self) -> None:
        pause = 0.005
        while True:
            await self._work.wait()
            self._work.clear()
            if await self._admit_all():
                self._all_admitted.set()
                pause = 0.005
                continue
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.25)
            self._work.set()

    async def _admit_all(self) -> bool:
        """Try every partition that is not admitted; returns whether none is left."""
        try:
            await self._store.wait_connected()
            left = [number for number in range(self._store.partitions) if not self._store.admitted(number)]
            for partition in left:
                await self._admit(partition)
        except EarmarkError as failure:
            _log.debug("partitions cannot be admitted yet", cause=failure.message)
            return False
        except StoreMismatchError as failure:
            if not self._failed.done():
                self._failed.set_exception(failure)
            _log.error("this is not our store", cause=str(failure))
            return False
        return all(self._store.admitted(number) for number in range(self._store.partitions))

    async def _admit(self, partition: int) -> None:
        try:
            position = await self._ledger.partitions.read(partition)
            self._positions[partition] = position
        except EarmarkError:
            known = self._positions.get(partition)
            if known is None:
                raise
            position = known
        if await self._store.admit(partition, position.flushed_seq, position.epoch) is Admission.ADMITTED:
            return
        if not await self._ledger.partitions.take_lease(partition, self._owner, _LEASE_MICROS):
            return  # another sidecar recovers it; look again soon
        try:
            await self._recover(partition)
        finally:
            await self._ledger.partitions.release_lease(partition, self._owner)
        position = await self._ledger.partitions.read(partition)
        await self._store.admit(partition, position.flushed_seq, position.epoch)

    # One partition

    async def _recover(self, partition: int) -> None:
        store, partitions = self._store, self._ledger.partitions
        run_id = store.run_id
        meta = await store.read_meta(partition)
        position = await partitions.read(partition)
        if meta is not None:
            self._check_identity(meta)
            if await store.admit(partition, position.flushed_seq, position.epoch) is Admission.ADMITTED:
                return  # somebody else was first
        epoch = max(position.epoch, meta.epoch if meta else 0) + 1
        if not await partitions.raise_epoch(partition, position.epoch, epoch):
            return
        # No flusher of the old epoch can write any more: this position stays what it is.
        position = await partitions.read(partition)
        seen = store.seen_seq(partition)
        flushed, in_redis = position.flushed_seq, meta.seq if meta else 0
        if not await store.begin_recovery(partition, epoch, wipe=meta is None, seq=seen, flushed=flushed):
            return
        # Nor can a sidecar of the old epoch: what stands in Redis now is the truth.
        behind = meta is not None and (meta.behind or in_redis < flushed)
        rebuilt = await self._catch_up(partition, epoch) if behind else 0
        if seen > max(in_redis, flushed):
            first = max(in_redis, flushed) + 1
            _log.error("acknowledged entries were lost", partition=partition, first_seq=first, last_seq=seen)
        lost = behind or seen > in_redis or (meta is None and flushed > 0)
        finished = await store.finish_recovery(
            partition, epoch, run_id, lookup_window=store.options.replay_window if lost else 0
        )
        if not finished:
            _log.info("another sidecar recovers the partition", partition=partition)
            return
        first_time = meta is None and position.epoch <= 1 and not flushed
        (_log.debug if first_time else _log.info)(
            "partition initialised" if first_time else "partition recovered",
            partition=partition,
            epoch=epoch,
            redis_seq=in_redis,
            flushed_seq=flushed,
            rebuilt_accounts=rebuilt,
        )

    def _check_identity(self, meta: PartitionMeta) -> None:
        if meta.store_id != self._store.store_id:
            raise StoreMismatchError(
                f"Redis belongs to the store {meta.store_id}, the ledger to {self._store.store_id}: "
                "check --redis-url and --database-url"
            )
        if meta.format > FORMAT:
            raise StoreMismatchError(
                f"Redis was written by a newer release (format {meta.format}, this one knows {FORMAT})"
            )

    async def _catch_up(self, partition: int, epoch: int) -> int:
        """Rebuild every account that is behind SQL; returns how many."""
        holds = await self._open_holds(partition)
        rebuilt = 0
        async for some in self._resident_accounts(partition):
            projections = await self._ledger.projections.account_projections(list(some))
            for account_id, document in some.items():
                projection = projections.get(account_id)
                if projection is not None and _is_behind(document, projection):
                    operation = await self._rebuilding(partition, account_id, document, holds[account_id])
                    reply = await self._store.execute_recovering(partition, epoch, [operation])
                    if not isinstance(reply.results[0], Applied):
                        raise RuntimeError(f"account {account_id!r} could not be rebuilt: {reply.results[0]}")
                    rebuilt += 1
        return rebuilt

    async def _keep_lease(self, partition: int) -> None:
        """Renew the lease now and then. Losing it costs time, not safety: the epochs fence."""
        if monotonic() >= self._renew_at:
            self._renew_at = monotonic() + _RENEW_SECONDS
            await self._ledger.partitions.take_lease(partition, self._owner, _LEASE_MICROS)

    async def _resident_accounts(self, partition: int) -> AsyncIterator[dict[str, PackedAccount]]:
        cursor = b"0"
        while True:
            await self._keep_lease(partition)
            key = self._store.keys(partition).accounts
            cursor, flat = await self._store.command("HSCAN", key, cursor, "COUNT", str(_SCAN_COUNT))
            found = {
                field.decode(): decode_account(value)
                for field, value in zip(flat[::2], flat[1::2], strict=True)
                if b"\0" not in field  # tails and members have fields of their own
            }
            if found:
                yield found
            if cursor == b"0":
                return

    async def _open_holds(self, partition: int) -> dict[str, list[str]]:
        """Return the digests of ACTIVE records by account."""
        holds: dict[str, list[str]] = defaultdict(list)
        cursor = b"0"
        while True:
            await self._keep_lease(partition)
            key = self._store.keys(partition).reservations
            cursor, flat = await self._store.command("HSCAN", key, cursor, "COUNT", str(_SCAN_COUNT))
            for digest, packed in zip(flat[::2], flat[1::2], strict=True):
                record = decode_reservation(packed)
                if record.state == ReservationState.ACTIVE:
                    holds[record.account_id].append(digest.decode())
            if cursor == b"0":
                return holds

    async def _rebuilding(
        self, partition: int, account_id: str, document: PackedAccount, holds: list[str]
    ) -> RebuildAccount:
        _, load = await self._ledger.archive.read_account(account_id, partition)
        if load is None:
            raise RuntimeError(f"the ledger has totals of {account_id!r} but no account")
        ended = await self._ended_since(partition, account_id, document.entry_number)
        return RebuildAccount(account_id, load, tuple(holds), ended)

    async def _ended_since(self, partition: int, account_id: str, entry_number: int) -> tuple[RestoreReservation, ...]:
        """Return the reservations that SQL knows as ended by entries that Redis has lost."""
        found = []
        for digest in await self._ledger.entries.ended_since(account_id, entry_number):
            _, record = await self._ledger.archive.read_reservation(account_id, digest, partition)
            if record is not None:
                found.append(record)
        return tuple(found)


def _is_behind(document: PackedAccount, projection: AccountProjection) -> bool:
    return document.entry_number < projection.entry_number or document.admin_seq < projection.applied_admin_seq
