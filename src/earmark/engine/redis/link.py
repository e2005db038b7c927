"""One pipelined connection to Redis: many calls in flight, answered in order.

Why not redis-py's client on the hot path: a call costs it 137 microseconds of CPU, this protocol 67 (performance.md),
and the fence needs to know, for every connection, which run of the server is behind it before anything is sent.
redis-py still parses the URL, and hiredis packs commands and parses replies.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import hiredis
from redis.asyncio.connection import SSLConnection, parse_url

from earmark.engine.redis.scripts import batch_library, partition_script
from earmark.errors import Reason, Unavailable

__all__ = ["PushCallback", "RedisLink", "ReplyCallback", "unavailable"]

ReplyCallback = Callable[[Any], None]
"""Receives the reply, or an exception in its place."""

PushCallback = Callable[[list[Any]], None]
"""Receives what the server sends unasked: the messages of a subscription."""

_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 5.0
"""A server that owes answers and sends nothing for so long is behind a dead connection: it is given up."""
_HIGH_WATER = 8 * 1024 * 1024  # bytes that may wait in the socket's buffer before the link counts as stalled


def unavailable(cause: str) -> Unavailable:
    """Return the error of a call whose fate is unknown."""
    return Unavailable(
        Reason.STORE_UNAVAILABLE,
        f"the credit store cannot be reached ({cause}): repeat the call with the same ids",
    )


class RedisLink(asyncio.Protocol):
    """A connection. Use `connect`, then `send`; when it is lost, every call in flight gets `Unavailable`."""

    def __init__(self, on_lost: Callable[[RedisLink], None], on_push: PushCallback | None = None) -> None:
        self._on_lost = on_lost
        self._on_push = on_push
        self._loop = asyncio.get_running_loop()
        self._owed_since = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._reader = hiredis.Reader(replyError=hiredis.ReplyError)
        self._pending: deque[ReplyCallback] = deque()
        self._transport: asyncio.Transport | None = None
        self._held: list[bytes] | None = None
        self.run_id = ""
        """The run id of the server behind this connection."""

    @classmethod
    async def connect(
        cls, url: str, on_lost: Callable[[RedisLink], None], on_push: PushCallback | None = None
    ) -> RedisLink:
        """Open a connection, authenticate, load the function library and read the run id.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            on_lost: Called once when the connection ends, whoever ended it.
            on_push: Takes what comes unasked, once something was subscribed to.

        Raises:
            Unavailable: the server cannot be reached within 5 s, or refuses the credentials (the message says which).
        """
        link = cls(on_lost, on_push)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await link._open(parse_url(url))
        except TimeoutError as failure:
            link.close()
            raise unavailable(f"no answer within {_CONNECT_SECONDS:g} s") from failure
        except (OSError, hiredis.ReplyError) as failure:
            link.close()
            raise unavailable(str(failure)) from failure
        except BaseException:
            link.close()
            raise
        return link

    async def _open(self, options: Mapping[str, Any]) -> None:
        if path := options.get("path"):
            await self._loop.create_unix_connection(lambda: self, path)
        else:
            secure = ssl.create_default_context() if options.get("connection_class") is SSLConnection else None
            host, port = options.get("host", "127.0.0.1"), options.get("port", 6379)
            await self._loop.create_connection(lambda: self, host, port, ssl=secure)
        await self._introduce(options)

    async def _introduce(self, options: Mapping[str, Any]) -> None:
        if password := options.get("password"):
            username = options.get("username") or "default"
            await self.command("AUTH", username, password)
        if database := options.get("db"):
            await self.command("SELECT", str(database))
        await self.command("CLIENT", "SETNAME", "earmark")
        await self.command("SCRIPT", "LOAD", partition_script().text)
        await self._load_library()
        for line in (await self.command("INFO", "server")).splitlines():
            if line.startswith(b"run_id:"):
                self.run_id = line.removeprefix(b"run_id:").strip().decode()
        if not self.run_id:
            raise unavailable("it does not tell its run id")

    async def _load_library(self) -> None:
        try:
            await self.command("FUNCTION", "LOAD", batch_library().text)
        except hiredis.ReplyError as refusal:
            # The name carries the text's digest: one that exists is this one.
            if "already exists" not in str(refusal):
                raise

    @property
    def alive(self) -> bool:
        """Whether calls can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, command: tuple[str | bytes, ...], on_reply: ReplyCallback) -> None:
        """Send a command; `on_reply` gets its reply, a `hiredis.ReplyError`, or `Unavailable`."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > _HIGH_WATER:
            raise unavailable("the connection is lost or stalled")
        if not self._pending:
            self._owed_since = self._loop.time()
        self._pending.append(on_reply)
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub says a 1-tuple
        if self._held is None:
            transport.write(packed)
        else:
            self._held.append(packed)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let what is sent within the block reach the server as one write.

        The server runs what it reads at once and then writes its log, which it syncs before it answers: commands that
        come in pieces cost a sync for each piece.
        """
        held: list[bytes] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
            if held and self._transport is not None:
                self._transport.write(b"".join(held))

    async def command(self, *command: str | bytes) -> Any:
        """Send a command and wait for its reply.

        Raises:
            hiredis.ReplyError: what Redis answered.
            Unavailable: the connection is lost.
        """
        future: asyncio.Future[Any] = self._loop.create_future()

        def on_reply(reply: Any) -> None:
            if future.done():
                return
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        self.send(command, on_reply)
        return await future

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start: called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are no subclass of it
        self._watch = self._loop.call_later(1.0, self._give_up_on_silence)

    def data_received(self, data: bytes) -> None:
        """Answer the oldest calls: called by the event loop."""
        self._owed_since = self._loop.time()
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if self._pending:
                self._pending.popleft()(reply)
            elif self._on_push is not None:
                self._on_push(reply)

    def _give_up_on_silence(self) -> None:
        if self._pending and self._loop.time() - self._owed_since > _SILENCE_SECONDS:
            self.close()
        elif self._transport is not None:
            self._watch = self._loop.call_later(1.0, self._give_up_on_silence)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is in flight: called by the event loop."""
        self._transport = None
        if self._watch is not None:
            self._watch.cancel()
        failure = unavailable(str(exc) if exc else "the connection was closed")
        pending, self._pending = self._pending, deque()
        for on_reply in pending:
            on_reply(failure)
        self._on_lost(self)
