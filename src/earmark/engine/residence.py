"""Residence: brings accounts and ended reservations from SQL into Redis when an operation misses them.

A load is never additive and never stale: it carries the generation that the miss answered with, and the script takes it
only if the thing is still missing and nothing was evicted (or retired) since. A SQL snapshot that is older than what
Redis knows to be flushed is refused with RECOVERING.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Protocol

from msgspec.structs import replace

from earmark.domain.ids import ReservationDigest
from earmark.engine.operations import (
    ABSENT,
    AccountOperation,
    Charge,
    Commit,
    Extend,
    ReadReservation,
    Release,
    Reserve,
    RestoreReservation,
)
from earmark.engine.ports import Archive, OnDone
from earmark.engine.results import (
    AccountMissing,
    Applied,
    RefusalCode,
    Refused,
    ReservationMissing,
    ReservationRead,
    ReservationView,
    Result,
)
from earmark.errors import EarmarkError, Internal, Reason, Unavailable, error

__all__ = ["Residence"]

_ATTEMPTS = 16
"""How often a load that came too late is repeated; each repeat means that the partition evicted something meanwhile."""

SettlingOperation = Commit | Release | Extend | ReadReservation


class _Executor(Protocol):
    def partition_of(self, account_id: str) -> int: ...

    def enqueue(self, operation: AccountOperation, on_done: OnDone) -> None: ...

    def execute_once(self, operation: AccountOperation) -> Awaitable[Result]: ...


class Residence:
    """Loads what operations miss; one load per account at a time."""

    def __init__(self, executor: _Executor, archive: Archive) -> None:
        self._executor = executor
        self._archive = archive
        self._waiting: dict[str, list[tuple[AccountOperation, OnDone]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel the loads under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Accounts

    def account_missing(self, operation: AccountOperation, on_done: OnDone, miss: AccountMissing) -> None:
        """Load the account, then send the operation again."""
        waiting = self._waiting.get(operation.account_id)
        if waiting is not None:
            waiting.append((operation, on_done))
            return
        self._waiting[operation.account_id] = [(operation, on_done)]
        self._start(self._load_account(operation.account_id, miss))

    async def _load_account(self, account_id: str, miss: AccountMissing) -> None:
        failure: EarmarkError | None = None
        try:
            failure = await self._try_load(account_id, miss.generation, miss.flushed)
        except EarmarkError as error_:
            failure = error_
        except asyncio.CancelledError:
            failure = Unavailable(Reason.DRAINING, "the server stops: repeat the call with the same ids")
            raise
        finally:
            for operation, on_done in self._waiting.pop(account_id):
                if failure is None:
                    self._executor.enqueue(operation, on_done)
                else:
                    on_done(failure)

    async def _try_load(self, account_id: str, generation: int, flushed: int) -> EarmarkError | None:
        partition = self._executor.partition_of(account_id)
        for _ in range(_ATTEMPTS):
            position, load = await self._archive.read_account(account_id, partition)
            if position < flushed:
                return _snapshot_too_old(position, flushed)
            if load is None:
                return error(
                    Reason.ACCOUNT_NOT_FOUND, f"no account is called {account_id!r}", {"account_id": account_id}
                )
            answer = await self._executor.execute_once(replace(load, generation=generation))
            match answer:
                case Applied():
                    return None
                case Refused(code=RefusalCode.STALE, numbers=(generation, flushed)):
                    continue
                case _:
                    return _unexpected(answer)
        return _too_busy()

    # Reservations

    def reservation_missing(self, operation: SettlingOperation, on_done: OnDone, miss: ReservationMissing) -> None:
        """Look the reservation up in SQL, then send the operation again or answer that it is not known."""
        self._start(self._answer(self._restore_for(operation, miss), on_done))

    async def _restore_for(self, operation: SettlingOperation, miss: ReservationMissing) -> Result | AccountOperation:
        found = await self._restore(operation.account_id, operation.digest, miss.generation, miss.flushed)
        if found is None:
            if isinstance(operation, Release) and operation.tombstone != ABSENT:
                return replace(operation, tombstone=miss.generation)
            raise error(
                Reason.RESERVATION_NOT_FOUND,
                "the reservation is not known: it was never made, or it was lost before it was settled",
                {"account_id": operation.account_id},
            )
        if isinstance(operation, ReadReservation):
            return ReservationRead(_view(found))
        if isinstance(operation, Release):
            return replace(operation, tombstone=ABSENT)
        return operation

    def look_up_first(self, operation: Reserve | Charge, on_done: OnDone) -> None:
        """Look a request id up in SQL before it is executed: Redis was behind SQL a short while ago."""
        self._start(self._answer(self._known_or_new(operation), on_done))

    async def _known_or_new(self, operation: Reserve | Charge) -> AccountOperation:
        read = ReadReservation(operation.account_id, operation.digest)
        answer = await self._executor.execute_once(read)
        if isinstance(answer, AccountMissing):
            failure = await self._try_load(operation.account_id, answer.generation, answer.flushed)
            if failure is not None:
                raise failure
            answer = await self._executor.execute_once(read)
        if isinstance(answer, ReservationMissing):
            await self._restore(operation.account_id, operation.digest, answer.generation, answer.flushed)
        return operation

    async def _restore(self, account_id: str, digest: str, generation: int, flushed: int) -> RestoreReservation | None:
        partition = self._executor.partition_of(account_id)
        for _ in range(_ATTEMPTS):
            position, record = await self._archive.read_reservation(account_id, ReservationDigest(digest), partition)
            if position < flushed:
                raise _snapshot_too_old(position, flushed)
            if record is None:
                return None
            answer = await self._executor.execute_once(replace(record, generation=generation))
            match answer:
                case Applied():
                    return record
                case Refused(code=RefusalCode.STALE, numbers=(generation, flushed)):
                    continue
                case AccountMissing():
                    failure = await self._try_load(account_id, answer.generation, answer.flushed)
                    if failure is not None:
                        raise failure
                case _:
                    raise _unexpected(answer)
        raise _too_busy()

    async def _answer(
        self,
        work: Awaitable[Result | AccountOperation],
        on_done: OnDone,
    ) -> None:
        """Answer with the work's result, or submit the operation that it returns."""
        try:
            outcome = await work
        except EarmarkError as failure:
            on_done(failure)
            return
        except asyncio.CancelledError:
            on_done(Unavailable(Reason.DRAINING, "the server stops: repeat the call with the same ids"))
            raise
        if isinstance(outcome, AccountOperation):
            self._executor.enqueue(outcome, on_done)
        else:
            on_done(outcome)


def _view(record: RestoreReservation) -> ReservationView:
    return ReservationView(
        digest=record.digest,
        state=record.state,
        reserved=record.reserved,
        charged=record.charged,
        uncollected=record.uncollected,
        late=int(record.late),
        create_time=record.create_time,
        expire_time=record.expire_time,
        settle_time=record.settle_time,
        price_version=record.price_version,
        allocations=record.allocations,
        details=record.details,
        account_id=record.account_id,
    )


def _snapshot_too_old(position: int, flushed: int) -> Unavailable:
    return Unavailable(
        Reason.RECOVERING,
        "the ledger is behind what was flushed to it: repeat the call with the same ids",
        {"flushed_seq": position, "expected_seq": flushed},
    )


def _unexpected(answer: Result) -> Internal:
    return Internal(Reason.INTERNAL, f"a load was answered with {type(answer).__name__}")


def _too_busy() -> Unavailable:
    return Unavailable(Reason.OVERLOADED, "the account could not be loaded: repeat the call with the same ids")
