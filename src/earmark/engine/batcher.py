"""The batcher: what arrives while a turn is in flight goes with the next, per partition in order of arrival.

A turn is one call to each partition that has something queued; its calls reach Redis as one write, which runs them and
writes its log once for all of them. One request alone goes at once, and everything that becomes ready in one turn of
the event loop goes together. Two turns are in flight at most: what a call, a write and a sync of the log cost is shared
by its operations. Nothing waits longer than the store's time-out: then its caller is told that the fate of the call is
unknown, and a late reply is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
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

    def together(self) -> AbstractContextManager[None]:
        """Let the batches that are sent within the block reach Redis as one write."""
        ...

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
    """Turns in flight: while Redis works on one, the next waits in its socket. More of them would be smaller ones."""
    max_queued: int = 16_384
    """Operations that may wait per partition; beyond it OVERLOADED."""
    timeout_micros: int = 90_000
    """How long a turn may stay unanswered before its callers get STORE_UNAVAILABLE."""


_Item = tuple[AnyOperation, OnDone]


class _Call:
    """One call of a turn. Its items go once they were answered."""

    __slots__ = ("items", "partition")

    def __init__(self, partition: int, items: list[_Item]) -> None:
        self.partition = partition
        self.items = items


class _Turn:
    """The calls that were sent together."""

    __slots__ = ("calls", "owed", "timer")

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.owed = 0
        """Replies that have not come yet."""
        self.timer: asyncio.TimerHandle | None = None


class Batcher:
    """Queues the operations of all partitions and sends them in turns."""

    def __init__(
        self,
        partitions: int,
        store: Sender,
        options: BatcherOptions,
        on_reply: Callable[[int, BatchReply], None],
        route: Route,
    ) -> None:
        self._store = store
        self._options = options
        self._on_reply = on_reply
        self._route = route
        self._queues: list[list[_Item]] = [[] for _ in range(partitions)]
        self._ready: list[int] = []
        """The partitions that have something queued, those that wait longest first."""
        self._in_flight = 0
        self._stalled = False
        self._scheduled = False
        self._loop = asyncio.get_running_loop()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self._ready and self._in_flight == 0

    def submit(self, partition: int, operation: AnyOperation, on_done: OnDone) -> None:
        """Queue an operation; its result goes through the route once, later."""
        queue = self._queues[partition]
        if not queue:
            self._ready.append(partition)
        elif len(queue) >= self._options.max_queued:
            self._loop.call_soon(self._route, operation, on_done, _overloaded())
            return
        queue.append((operation, on_done))
        # Not at once: what else becomes ready in this turn of the loop joins the same call.
        if not self._scheduled and (self._in_flight < self._options.max_in_flight or self._stalled):
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        while self._ready:
            if self._in_flight < self._options.max_in_flight:
                self._send_turn()
            elif self._stalled:
                # Redis does not answer: a new call would only wait behind the old ones.
                self._fail_all_queued()
            else:
                return

    def _send_turn(self) -> None:
        turn = _Turn()
        ready, self._ready = self._ready, []
        most = self._options.max_batch
        with self._store.together():
            for partition in ready:
                queue = self._queues[partition]
                self._queues[partition] = queue[most:]
                if len(queue) > most:
                    self._ready.append(partition)
                self._send(turn, _Call(partition, queue[:most]))
        if turn.owed:
            self._in_flight += 1
            turn.timer = self._loop.call_later(self._options.timeout_micros / 1e6, self._timed_out, turn)

    def _send(self, turn: _Turn, call: _Call) -> None:
        operations = [operation for operation, _ in call.items]
        try:
            self._store.send(call.partition, operations, partial(self._received, turn, call))
        except EarmarkError as failure:
            self._loop.call_soon(self._answer_all, call.items, failure)
            return
        turn.calls.append(call)
        turn.owed += 1

    def _timed_out(self, turn: _Turn) -> None:
        self._stalled = True
        for call in turn.calls:
            items, call.items = call.items, []
            self._loop.call_soon(self._answer_all, items, _slow())
        self._fail_all_queued()

    def _fail_all_queued(self) -> None:
        ready, self._ready = self._ready, []
        for partition in ready:
            items, self._queues[partition] = self._queues[partition], []
            self._loop.call_soon(self._answer_all, items, _slow())

    def _received(self, turn: _Turn, call: _Call, reply: BatchReply | EarmarkError) -> None:
        self._stalled = False
        # Later, so that the next turn is on its way to Redis before this one's answers are made.
        items, call.items = call.items, []
        self._loop.call_soon(self._answer, call.partition, items, reply)
        turn.owed -= 1
        if turn.owed == 0:
            self._in_flight -= 1
            if turn.timer is not None:
                turn.timer.cancel()
            if self._ready:
                self._flush()

    def _answer(self, partition: int, items: list[_Item], reply: BatchReply | EarmarkError) -> None:
        if isinstance(reply, EarmarkError):
            self._answer_all(items, reply)
            return
        self._on_reply(partition, reply)
        route = self._route
        for (operation, on_done), result in zip(items, reply.results, strict=False):  # a time-out left no items
            route(operation, on_done, result)

    def _answer_all(self, items: list[_Item], failure: EarmarkError) -> None:
        for operation, on_done in items:
            self._route(operation, on_done, failure)


def _slow() -> Unavailable:
    return Unavailable(
        Reason.STORE_UNAVAILABLE,
        "the credit store did not answer in time; the fate of the call is unknown: repeat it with the same ids",
    )


def _overloaded() -> Unavailable:
    return Unavailable(
        Reason.OVERLOADED,
        "too many calls wait for the credit store: repeat the call with the same ids a little later",
        retry_after_micros=100_000,
    )
