"""The further processes of `--workers N`: the same server on the same port, on the first one's stores.

The first process holds the data directory, the embedded engine and the jobs. It claims the ports alone before anybody
shares them (`PortClaims`), starts the others, and starts one that dies again. The others read from a pipe that only it
holds open: when it dies, however it dies, they drain and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import structlog

from earmark.server.listeners import PortClaims
from earmark.settings import Settings, Switch

__all__ = ["Workers", "ended_with_parent", "worker_settings"]

_SETTINGS = "EARMARK_WORKER_SETTINGS"
_PROGRAM = (
    "from earmark.app import run_worker; from earmark.server.workers import worker_settings; "
    "run_worker(worker_settings())"
)
_MAX_PAUSE_SECONDS = 5.0

_log = structlog.get_logger(__name__)


def worker_settings() -> Settings:
    """Return the settings that the first process gave this one."""
    return Settings.model_validate_json(os.environ.pop(_SETTINGS))


async def ended_with_parent(stop: asyncio.Event) -> None:
    """Set `stop` when the process that started this one has ended."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    stop.set()


class Workers:
    """The processes beside this one."""

    def __init__(self, settings: Settings) -> None:
        """Claim the ports.

        Raises:
            AddressInUse: another process has one of them.
        """
        self._claims = PortClaims(settings.listen)
        self.own_settings = settings.model_copy(update={"listen": tuple(self._claims.listen), "reuse_port": True})
        """For this process: the ports that were claimed, shared."""
        self._count = settings.workers - 1
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self, redis_url: str, database_url: str) -> None:
        """Start the others on the stores of this one. Only this one listens on Unix sockets and has the jobs."""
        shared = tuple(address for address in self.own_settings.listen if not address.startswith("unix:"))
        if not shared:
            _log.warning("several workers need a TCP address to share; Unix sockets have one server")
            return
        settings = self.own_settings.model_copy(
            update={
                "listen": shared,
                "workers": 1,
                "jobs": Switch.OFF,
                "metrics_port": None,
                "redis_url": redis_url,
                "database_url": database_url,
                "catalog": None,
            }
        )
        environment = {**os.environ, _SETTINGS: settings.model_dump_json()}
        self._tasks = [asyncio.create_task(self._keep(number, environment)) for number in range(1, self._count + 1)]

    def stop(self) -> None:
        """Let the others drain."""
        self._stopping = True
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    async def wait(self) -> None:
        """Return when the others have ended."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """End what is left, and give the ports back."""
        self._stopping = True
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._claims.close()

    async def _keep(self, number: int, environment: dict[str, str]) -> None:
        pause = 0.1
        while not self._stopping:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _PROGRAM, stdin=asyncio.subprocess.PIPE, env=environment
            )
            self._processes[number] = process
            try:
                status = await process.wait()
            finally:
                del self._processes[number]
            if self._stopping:
                return
            _log.error("a worker ended, starting it again", worker=number, status=status)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _MAX_PAUSE_SECONDS)
