"""A process that may or may not be our child, and asking a socket who answers there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

__all__ = ["Answer", "EngineProcess", "ask", "connect", "pauses"]

PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine behind a socket says of itself."""

    pid: int | None = None
    """Its process id, once it serves."""
    loading: bool = False
    """It lives and reads its data from disk."""


def connect(socket: Path) -> Redis:
    """Return a client for one short talk: no retries, bounded waits."""
    return Redis(
        unix_socket_path=str(socket),
        socket_timeout=PROBE_SECONDS,
        socket_connect_timeout=PROBE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


async def ask(socket: Path) -> Answer:
    """Return what answers at the socket; an empty answer if nothing does."""
    try:
        async with connect(socket) as redis:
            info = await redis.info("server")
            # INFO is answered while the data is still read from disk; every other command is refused until then.
            if (await redis.info("persistence"))["loading"]:
                return Answer(loading=True)
    except BusyLoadingError:
        return Answer(loading=True)
    except (RedisError, OSError, TimeoutError):
        return Answer()
    return Answer(pid=int(info["process_id"]))


def pauses() -> Iterator[float]:
    """Yield growing waits between two looks, in seconds, from 2 ms to 50 ms, without end."""
    pause = 0.002
    while True:
        yield pause
        pause = min(pause * 1.5, 0.05)


class EngineProcess:
    """A running process whose end can be awaited. Must be made inside the event loop that waits for it."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self.ended = asyncio.Event()
        self._child = child
        self._watcher: asyncio.Task[None] | None = None
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self.ended.set()
        except (AttributeError, OSError):  # Not Linux, or an old one.
            self._watcher = asyncio.get_running_loop().create_task(self._look_until_ended())
        else:
            asyncio.get_running_loop().add_reader(descriptor, self._on_readable, descriptor)

    def works_in(self, directory: Path) -> bool | None:
        """Return whether this is the process of that directory; None where the system does not tell."""
        try:
            return Path(f"/proc/{self.pid}/cwd").samefile(directory)
        except OSError:
            return None

    async def wait(self, seconds: float) -> bool:
        """Wait for the end; False if it does not come in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        return self.ended.is_set()

    async def end(self, number: signal.Signals, seconds: float) -> bool:
        """Send a signal and wait for the end; False if it does not come in time."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
        return await self.wait(seconds)

    def _on_readable(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        if self._child is not None:
            self._child.wait()
        self.ended.set()

    async def _look_until_ended(self) -> None:
        for pause in pauses():
            if self._has_ended():
                break
            await asyncio.sleep(pause)
        self.ended.set()

    def _has_ended(self) -> bool:
        if self._child is not None:
            return self._child.poll() is not None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False
