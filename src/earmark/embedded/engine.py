"""`EmbeddedEngine`: starts, adopts, watches and stops the engine; `open_engine`: the same for tools.

The engine runs in a session of its own: an interrupt from the terminal reaches the sidecar, which drains before it
stops the engine. A killed sidecar leaves the engine running with everything that it acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from redis.exceptions import RedisError

from earmark.embedded.binary import default_maxmemory, engine_environment, find_engine_binary
from earmark.embedded.directory import EngineDirectory, EngineError, engine_pid, lock_data_dir, try_lock
from earmark.embedded.process import EngineProcess, ask, connect, pauses
from earmark.settings import AppendFsync

__all__ = ["EmbeddedEngine", "open_engine"]

START_SECONDS = 30.0
"""How long a start may take, not counting the time in which the engine says that it loads its data."""
STOP_SECONDS = 15.0
SILENCE_SECONDS = 5.0
"""How long an orphan may be silent before it is ended."""
LOG_BYTES = 8 * 2**20

# The standard library's logger: silent below a warning where nobody has set up logging, as in a tool that prints JSON.
_log = logging.getLogger(__name__)


class EmbeddedEngine:
    """One engine process on one data directory. The caller holds `lock_data_dir`.

    Example:
        >>> with lock_data_dir(path):
        ...     async with EmbeddedEngine(path) as engine:
        ...         redis = Redis.from_url(engine.url)
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        appendfsync: AppendFsync = AppendFsync.ALWAYS,
        maxmemory: int | None = None,
        binary: Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """`maxmemory` is in bytes; `options` are further directives of the engine's configuration, and win."""
        self._directory = EngineDirectory(data_dir)
        self._binary = binary
        self._adjustable = {
            "appendfsync": appendfsync.value,
            "maxmemory": str(default_maxmemory() if maxmemory is None else maxmemory),
        }
        self._options = dict(options or {})
        self._process: EngineProcess | None = None
        self._socket: Path | None = None
        self.adopted = False
        """Whether the last start found the engine running."""

    @property
    def url(self) -> str:
        """Where the engine answers: a `unix://` URL for redis-py. It stays the same when the engine restarts."""
        if self._socket is None:
            raise EngineError("the embedded engine was not started")
        return _url_of(self._socket)

    @property
    def pid(self) -> int | None:
        """The engine's process id while it lives."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the engine's process lives."""
        return self._process is not None and not self._process.ended.is_set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the engine and return when it serves; adopt the healthy orphan of a killed sidecar.

        Does nothing while the engine runs. Waits as long as the engine says that it loads its data.

        Raises:
            EngineError: it does not start; the message ends with the engine's own last words.
        """
        if self.running:
            return
        with self._directory.open_lock() as lock:
            if not try_lock(lock) and await self._adopt_or_end(lock):
                return
            try:
                socket = self._directory.prepare_socket()
                process = self._spawn(lock, socket)
            except OSError as failure:
                raise EngineError(f"cannot start the embedded engine: {failure}") from None
        # From here on the engine alone holds its lock.
        try:
            await self._wait_until_ready(process, socket)
        except BaseException:
            await process.end(signal.SIGKILL, STOP_SECONDS)
            self._directory.clear_socket(socket)
            raise
        self._process, self._socket, self.adopted = process, socket, False
        _log.info("engine started: process %d, %s in %s", process.pid, self._binary, self._directory.path)

    async def stop(self) -> None:
        """Stop the engine; everything it acknowledged is on disk afterwards. Does nothing if it does not run."""
        process, socket = self._process, self._socket
        if process is None or socket is None or process.ended.is_set():
            return
        # The engine answers a shutdown by ending the connection.
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with connect(socket) as redis:
                await redis.shutdown()
        if not await process.wait(STOP_SECONDS):
            _log.warning("engine %d does not stop when asked to: killing it", process.pid)
            await process.end(signal.SIGKILL, STOP_SECONDS)
        self._directory.clear_socket(socket)

    async def restart(self) -> None:
        """Stop the engine if it runs, and start it again on the same files and the same address."""
        await self.stop()
        await self.start()

    async def wait(self) -> None:
        """Return when the engine's process has ended, whatever ended it."""
        if self._process is not None:
            await self._process.ended.wait()

    async def _adopt_or_end(self, lock: IO[str]) -> bool:
        """Return True when the engine that holds the lock is ours now; False when it has ended and the lock is ours."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + SILENCE_SECONDS
        for pause in pauses():
            if try_lock(lock):
                return False
            socket = self._directory.recorded_socket()
            answer = await ask(socket) if socket is not None else None
            if socket is not None and answer is not None and answer.pid is not None:
                return await self._adopt(answer.pid, socket)
            if answer is not None and answer.loading:
                deadline = clock() + SILENCE_SECONDS
            elif clock() > deadline:
                break
            await asyncio.sleep(pause)
        await self._end_orphan(lock)
        return False

    async def _adopt(self, pid: int, socket: Path) -> bool:
        process = EngineProcess(pid)
        try:
            async with connect(socket) as redis:
                for name, value in self._adjustable.items():
                    await redis.config_set(name, value)
        except (RedisError, OSError, TimeoutError) as failure:
            raise EngineError(
                f"the engine that runs in {self._directory.path} refuses its settings: {failure}"
            ) from None
        self._process, self._socket, self.adopted = process, socket, True
        _log.info("engine adopted: process %d in %s", pid, self._directory.path)
        return True

    async def _end_orphan(self, lock: IO[str]) -> None:
        pid = engine_pid(self._directory.data_dir)
        orphan = EngineProcess(pid) if pid is not None else None
        if orphan is None or not (orphan.ended.is_set() or orphan.works_in(self._directory.path)):
            raise EngineError(f"an engine that does not answer holds {self._directory.path}: end process {pid} first")
        _log.warning("ending engine %d in %s, which does not answer", pid, self._directory.path)
        if not await orphan.end(signal.SIGTERM, SILENCE_SECONDS):
            await orphan.end(signal.SIGKILL, STOP_SECONDS)
        deadline = asyncio.get_running_loop().time() + STOP_SECONDS
        for pause in pauses():  # A child that rewrites the append-only file ends a moment after the engine.
            if try_lock(lock):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise EngineError(f"process {pid} or a child of it does not let go of {self._directory.path}")
            await asyncio.sleep(pause)

    def _spawn(self, lock: IO[str], socket: Path) -> EngineProcess:
        if self._binary is None:
            self._binary = find_engine_binary()
        directory = self._directory
        directory.pid_file.unlink(missing_ok=True)
        if directory.log_file.exists() and directory.log_file.stat().st_size > LOG_BYTES:
            directory.log_file.replace(directory.log_file.with_suffix(".log.1"))
        directives = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "protected-mode": "yes",
            "daemonize": "no",
            "dir": str(directory.path),
            "pidfile": str(directory.pid_file),
            "logfile": str(directory.log_file),
            "appendonly": "yes",
            "aof-use-rdb-preamble": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            **self._adjustable,
            **self._options,
        }
        arguments = [part for name, value in directives.items() for part in (f"--{name}", value)]
        with directory.log_file.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603 - the binary was looked for, the arguments are ours
                [str(self._binary), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory.path,
                env=engine_environment(self._binary),
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        return EngineProcess(child.pid, child)

    async def _wait_until_ready(self, process: EngineProcess, socket: Path) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + START_SECONDS
        for pause in pauses():
            answer = await ask(socket)
            if answer.pid == process.pid:
                return
            if answer.loading:
                deadline = clock() + START_SECONDS
            if process.ended.is_set() or clock() > deadline:
                raise EngineError(f"the embedded engine does not start: {self._directory.last_words()}")
            await asyncio.sleep(pause)


@contextlib.asynccontextmanager
async def open_engine(data_dir: Path) -> AsyncIterator[str]:
    """Yield the URL of a data directory's engine: the one that runs, else one that is started for this block.

    For tools that look into a store whether or not its sidecar runs. While a tool's own engine runs the tool holds
    the directory, so that no sidecar starts on an engine that is about to stop.

    Raises:
        EngineError: there is no engine's data, or a sidecar is just starting or stopping there.
    """
    directory = EngineDirectory(data_dir)
    if not directory.path.is_dir():
        raise EngineError(f"{data_dir} holds no data of an embedded engine")
    socket = directory.recorded_socket()
    if socket is not None and (await ask(socket)).pid is not None:
        yield _url_of(socket)
        return
    with lock_data_dir(data_dir):
        engine = EmbeddedEngine(data_dir)
        await engine.start()
        try:
            yield engine.url
        finally:
            if not engine.adopted:
                await engine.stop()


def _url_of(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"
