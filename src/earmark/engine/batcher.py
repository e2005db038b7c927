"""The batcher: what arrives while a call is in flight goes with the next, per partition, in order of arrival.

One request alone goes at once. Everything that becomes ready in one turn of the event loop shares a call, and a few
calls per partition are in flight at a time, so that client, server and Redis work at the same moment instead of taking
turns (the convoy of performance.md). Nothing waits longer than the store's time-out: then its caller is told that the
fate of the call is unknown, and a late reply is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from earmark.engine.operations import AnyOperation
from earmark.engine.ports import OnDone
from earmark.engine.results import BatchReply, Result
from earmark.errors import EarmarkError, Reason, Unavailable

__all__ = ["Batcher", "BatcherOptions", "Route", "Sender"]

Route = Callable[[AnyOperation, OnDone, Result | EarmarkError], None]
"""Receives an operation, who asked for it, and its result. Called from the event loop, never from `submit`."""


class Sender(Protocol):
    """What the batcher needs of a store."""

    def send(
        self,
        partition: int,
        operations: list[AnyOperation],
        on_reply: Callable[[BatchReply | EarmarkError], None],
    ) -> None:
        """Send one batch; raises `Unavailable` if nothing was sent."""
        ...


@dataclass(frozen=True, slots=True)
class BatcherOptions:
    """Bounds of the batcher."""

    max_batch: int = 64
    """Operations in one call."""
    max_in_flight: int = 2
    """Calls in flight per partition."""
    max_queued: int = 16_384
    """Operations that may wait per partition; beyond it OVERLOADED."""
    timeout_micros: int = 90_000
    """How long a call may stay unanswered before its callers get STORE_UNAVAILABLE."""


class _Batch:
    """One call in flight."""

    __slots__ = ("items", "timer")

    def __init__(self, items: list[tuple[AnyOperation, OnDone]]) -> None:
        self.items = items
        self.timer: asyncio.TimerHandle | None = None


class Batcher:
    """Queues the operations of one partition and sends them in batches."""

    def __init__(
        self,
        partition: int,
        store: Sender,
        options: BatcherOptions,
        on_reply: Callable[[int, BatchReply], None],
        route: Route,
    ) -> None:
        self._partition = partition
        self._store = store
        self._options = options
        self._on_reply = on_reply
        self._route = route
        self._queue: deque[tuple[AnyOperation, OnDone]] = deque()
        self._in_flight = 0
        self._stalled = False
        self._scheduled = False
        self._loop = asyncio.get_running_loop()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self._queue and self._in_flight == 0

    def submit(self, operation: AnyOperation, on_done: OnDone) -> None:
        """Queue an operation; its result goes through the route once, later."""
        if len(self._queue) >= self._options.max_queued:
            failure = Unavailable(
                Reason.OVERLOADED,
                "too many calls wait for the credit store: repeat the call with the same ids a little later",
                retry_after_micros=100_000,
            )
            self._loop.call_soon(self._route, operation, on_done, failure)
            return
        self._queue.append((operation, on_done))
        self._schedule()

    def _schedule(self) -> None:
        # Not at once: what else becomes ready in this turn of the loop joins the same call.
        if not self._scheduled and (self._in_flight < self._options.max_in_flight or self._stalled):
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        queue, options = self._queue, self._options
        while queue and (self._in_flight < options.max_in_flight or self._stalled):
            if self._stalled and self._in_flight >= options.max_in_flight:
                # Redis does not answer: a new call would only wait behind the old ones.
                self._fail_all_queued()
                return
            if len(queue) <= options.max_batch:
                items = list(queue)
                queue.clear()
            else:
                items = [queue.popleft() for _ in range(options.max_batch)]
            self._send(_Batch(items))

    def _fail_all_queued(self) -> None:
        items = list(self._queue)
        self._queue.clear()
        self._answer_all(items, _slow())

    def _send(self, batch: _Batch) -> None:
        operations = [operation for operation, _ in batch.items]
        try:
            self._store.send(self._partition, operations, lambda reply: self._received(batch, reply))
        except EarmarkError as failure:
            self._answer_all(batch.items, failure)
            return
        self._in_flight += 1
        batch.timer = self._loop.call_later(self._options.timeout_micros / 1e6, self._timed_out, batch)

    def _timed_out(self, batch: _Batch) -> None:
        self._stalled = True
        items, batch.items = batch.items, []
        self._answer_all(items, _slow())
        self._fail_all_queued()

    def _received(self, batch: _Batch, reply: BatchReply | EarmarkError) -> None:
        self._in_flight -= 1
        self._stalled = False
        if batch.timer is not None:
            batch.timer.cancel()
        if self._queue:
            self._flush()  # Redis works on the next call while this one's answers are made
        if isinstance(reply, EarmarkError):
            self._answer_all(batch.items, reply)
            return
        self._on_reply(self._partition, reply)
        route = self._route
        for (operation, on_done), result in zip(batch.items, reply.results, strict=False):  # a time-out left no items
            route(operation, on_done, result)

    def _answer_all(self, items: list[tuple[AnyOperation, OnDone]], failure: EarmarkError) -> None:
        for operation, on_done in items:
            self._loop.call_soon(self._route, operation, on_done, failure)


def _slow() -> Unavailable:
    return Unavailable(
        Reason.STORE_UNAVAILABLE,
        "the credit store did not answer in time; the fate of the call is unknown: repeat it with the same ids",
    )
