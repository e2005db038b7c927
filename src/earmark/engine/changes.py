"""Changes that others make: wakes waiters and feeds watchers, over one pub/sub connection.

A message is a hint, never the truth: who receives one asks Redis again. A lost connection therefore costs at most a
heartbeat, and everything is asked again when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec
import structlog

from earmark.engine.operations import AccountOperation, ReadBalance
from earmark.engine.redis.link import RedisLink
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import BalanceRead, BalanceView, Result
from earmark.engine.waiting import WaitingRoom
from earmark.errors import EarmarkError

__all__ = ["Changes"]

_WAKE, _CHANGED = 1, 2
_WATCH_MICROS = 30_000_000
"""How long one ReadBalance keeps the engine publishing an account's changes."""
_REFRESH_SECONDS = 10.0

_log = structlog.get_logger("earmark.changes")


class _Message(msgspec.Struct, frozen=True, array_like=True):
    kind: int
    account_id: str
    ticket: str


class Changes:
    """Listens to the partitions' channels."""

    def __init__(
        self,
        store: RedisStore,
        execute: Callable[[AccountOperation], Awaitable[Result]],
        room: WaitingRoom,
    ) -> None:
        self._store = store
        self._execute = execute
        self._room = room
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._decoder = msgspec.msgpack.Decoder(_Message)
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    def start(self) -> None:
        """Start listening in the background."""
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        while True:
            await self._store.wait_connected()
            self._lost.clear()
            try:
                link = await RedisLink.connect(self._store.url, lambda _: self._lost.set(), self._received)
            except EarmarkError as failure:
                _log.debug("changes of others are not heard", cause=failure.message)
                await asyncio.sleep(0.1)
                continue
            try:
                await link.command("PSUBSCRIBE", self._store.channels)
                self._ask_again()
                await self._lost.wait()
            except EarmarkError as failure:
                _log.debug("changes of others are not heard", cause=failure.message)
            finally:
                link.close()

    def _received(self, push: list[bytes]) -> None:
        try:
            message = self._decoder.decode(push[-1])
        except msgspec.DecodeError:
            _log.warning("a message on the changes channel is not ours", size=len(push[-1]))
            return
        if message.kind == _WAKE:
            self._room.wake(message.ticket)
        elif message.kind == _CHANGED:
            for event in self._watchers.get(message.account_id, ()):
                event.set()

    def _ask_again(self) -> None:
        self._room.wake_all()
        for events in self._watchers.values():
            for event in events:
                event.set()

    async def watch(self, account_id: str) -> AsyncGenerator[BalanceView]:
        """Yield the balance at once, then the latest after every change; a slow consumer skips, never queues.

        Raises:
            EarmarkError: ACCOUNT_NOT_FOUND at the start. Later, while the store is away, it waits.
        """
        event = asyncio.Event()
        self._watchers.setdefault(account_id, set()).add(event)
        last = 0
        try:
            while True:
                event.clear()
                try:
                    answer = await self._execute(ReadBalance(account_id, watch=_WATCH_MICROS))
                except EarmarkError as failure:
                    if last == 0 or not failure.retryable:
                        raise
                else:
                    if isinstance(answer, BalanceRead) and answer.balance.version != last:
                        last = answer.balance.version
                        yield answer.balance
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REFRESH_SECONDS):
                        await event.wait()
        finally:
            watchers = self._watchers[account_id]
            watchers.discard(event)
            if not watchers:
                del self._watchers[account_id]
