"""The engine: one way in for every operation, whoever asks.

`submit` queues an operation with the batcher; the route takes each result to its end: most go straight back
to who asked, a miss goes to `Residence`, a wait to the `WaitingRoom`, a call whose configuration has moved on to
`Deriving`, and what was not executed is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass, field

from earmark.domain.ids import partition_of
from earmark.engine.batcher import Batcher, BatcherOptions
from earmark.engine.changes import Changes
from earmark.engine.deriving import Deriving, asker_of
from earmark.engine.operations import (
    AccountOperation,
    AnyOperation,
    CancelWait,
    Charge,
    Commit,
    Extend,
    PartitionOperation,
    ReadReservation,
    Release,
    Reserve,
)
from earmark.engine.ports import Archive, Claims, OnDone
from earmark.engine.redis.store import RedisStore
from earmark.engine.residence import Residence
from earmark.engine.results import (
    AccountMissing,
    Again,
    BalanceView,
    BatchReply,
    Bug,
    ConfigurationMoved,
    Done,
    Refused,
    ReservationMissing,
    Result,
    Waiting,
)
from earmark.engine.waiting import WaitingOperation, WaitingRoom, ticket_of
from earmark.errors import EarmarkError, Internal, Reason, Unavailable

__all__ = ["Engine", "EngineOptions"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Bounds of the engine."""

    batcher: BatcherOptions = field(default_factory=BatcherOptions)
    max_backlog: int = 5_000_000
    """Settled entries that may wait for SQL in one partition; beyond it new reservations get OVERLOADED."""


class Engine:
    """Implements `earmark.engine.ports.Metering` on a Redis store and an archive."""

    def __init__(
        self,
        store: RedisStore,
        archive: Archive,
        options: EngineOptions | None = None,
        claims: Claims | None = None,
    ) -> None:
        self._options = options or EngineOptions()
        self._store = store
        self._partitions = store.partitions
        self._loop = asyncio.get_running_loop()
        self._batcher = Batcher(store.partitions, store, self._options.batcher, self._note_reply, self._route)
        self._times = [0] * store.partitions
        self._backlogs = [0] * store.partitions
        self._residence = Residence(self, archive)
        self._room = WaitingRoom(self.enqueue)
        self._deriving = Deriving(claims, self.enqueue, self.cancel_wait)
        self._changes = Changes(store, self.execute, self._room)
        self.memory_full = False
        """Set by the memory watch: above the high-water mark new reservations are refused."""

    async def start(self) -> None:
        """Listen for changes that others make."""
        self._changes.start()

    async def close(self) -> None:
        """Stop listening and loading. Calls under way are answered by the store's own closing."""
        await self._changes.close()
        await self._deriving.close()
        await self._residence.close()

    # The way in

    def partition_of(self, account_id: str) -> int:
        """Return the partition of an account."""
        return partition_of(account_id, self._partitions)

    def submit(self, operation: AccountOperation, on_done: OnDone) -> None:
        """See `Metering.submit`."""
        partition = partition_of(operation.account_id, self._partitions)
        if type(operation) is Reserve or type(operation) is Charge:
            if self.memory_full or self._backlogs[partition] > self._options.max_backlog:
                self._loop.call_soon(on_done, self._overloaded(partition))
                return
            if self._store.lookup_until(partition) > self._times[partition]:
                self._residence.look_up_first(operation, on_done)
                return
        self._batcher.submit(partition, operation, on_done)

    def enqueue(self, operation: AccountOperation, on_done: OnDone) -> None:
        """Queue an operation that was admitted before: without asking whether it may come in."""
        partition = partition_of(operation.account_id, self._partitions)
        self._batcher.submit(partition, operation, on_done)

    def _overloaded(self, partition: int) -> Unavailable:
        return Unavailable(
            Reason.OVERLOADED,
            "the ledger is too far behind to take new reservations: repeat the call with the same ids a little later",
            {"backlog_entries": self._backlogs[partition]},
            retry_after_micros=1_000_000,
        )

    async def execute(self, operation: AccountOperation) -> Result:
        """See `Metering.execute`. Cancelling it takes a waiting operation out of its queue."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self.submit(operation, _resolver(future))
        try:
            return await future
        except asyncio.CancelledError:
            if isinstance(operation, _MAY_WAIT) and operation.wait > 0:
                self.cancel_wait(operation)
            raise

    def execute_once(self, operation: AccountOperation) -> Awaitable[Result]:
        """Execute without loading what is missing or deriving anew: the raw result. For residence and jobs."""
        return self.execute_on(partition_of(operation.account_id, self._partitions), operation)

    def execute_on(self, partition: int, operation: AnyOperation) -> Awaitable[Result]:
        """Execute an operation on a partition, through the batcher: the raw result. For jobs."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self._batcher.submit(partition, operation, _Raw(_resolver(future)))
        return future

    def cancel_wait(self, operation: WaitingOperation) -> None:
        """Take a waiting operation out of its queue; whoever asked for it is not answered any more."""
        self._deriving.leave(ticket_of(operation), operation.owner)
        self._room.leave(operation)
        cancel = CancelWait(operation.account_id, ticket_of(operation), operation.owner)
        self.submit(cancel, lambda _: None)

    def watch(self, account_id: str) -> AsyncGenerator[BalanceView]:
        """See `Metering.watch`."""
        return self._changes.watch(account_id)

    def now(self, partition: int) -> int:
        """Return the partition's last known time in microseconds; 0 before its first reply."""
        return self._times[partition]

    def backlog(self, partition: int) -> int:
        """Return how many settled entries of the partition wait for SQL."""
        return self._backlogs[partition]

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or in flight."""
        return self._batcher.idle

    # The way out

    def _note_reply(self, partition: int, reply: BatchReply) -> None:
        self._times[partition] = reply.now
        self._backlogs[partition] = reply.seq - reply.flushed

    def _route(self, operation: AnyOperation, on_done: OnDone, result: Result | EarmarkError) -> None:
        kind = type(result)
        if kind is Done or kind is Refused:
            if isinstance(operation, _MAY_WAIT) and operation.wait:
                self._room.forget(operation)
            on_done(result)
            return
        match result:
            case Again():
                self._send_again(operation, on_done)
            case _ if isinstance(on_done, _Raw):
                on_done(result)
            case AccountMissing() if isinstance(operation, AccountOperation):
                self._residence.account_missing(operation, on_done, result)
            case ReservationMissing() if isinstance(operation, (Commit, Release, Extend, ReadReservation)):
                self._residence.reservation_missing(operation, on_done, result)
            case Waiting() if isinstance(operation, _MAY_WAIT):
                self._room.park(operation, asker_of(on_done))
            case ConfigurationMoved() if isinstance(operation, (Reserve, Charge)):
                self._deriving.moved(operation, on_done, result)
            case Bug():
                on_done(
                    Internal(
                        Reason.INTERNAL, f"the credit store failed on this account; nothing changed: {result.message}"
                    )
                )
            case _:
                if isinstance(operation, _MAY_WAIT) and operation.wait:
                    self._room.forget(operation)
                on_done(result)

    def _send_again(self, operation: AnyOperation, on_done: OnDone) -> None:
        # Behind what was queued meanwhile: the events that were due are settled by whichever comes first.
        if isinstance(operation, PartitionOperation):
            raise TypeError("partition operations run whatever is due")
        self.enqueue(operation, on_done)


_MAY_WAIT = (Reserve, Charge, Extend)


class _Raw:
    """Marks who wants the result as the store gave it."""

    __slots__ = ("_on_done",)

    def __init__(self, on_done: OnDone) -> None:
        self._on_done = on_done

    def __call__(self, result: Result | EarmarkError) -> None:
        self._on_done(result)


def _resolver(future: asyncio.Future[Result]) -> OnDone:
    def resolve(result: Result | EarmarkError) -> None:
        if future.done():
            return
        if isinstance(result, EarmarkError):
            future.set_exception(result)
        else:
            future.set_result(result)

    return resolve
