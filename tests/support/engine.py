"""One real engine for all tests of a worker: started once, emptied between tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis

from earmark.embedded import EmbeddedEngine, EngineError, engine_pid, lock_data_dir
from earmark.embedded.directory import EngineDirectory, try_lock

__all__ = ["SharedEngine", "shared_engine"]

T = TypeVar("T")

_PREFIX = "earmark-shared-"


class SharedEngine:
    """A running engine, usable from plain and from async tests alike."""

    def __init__(self, engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop

    @property
    def url(self) -> str:
        """Its `unix://` URL."""
        return self._engine.url

    @property
    def pid(self) -> int:
        """Its process id."""
        pid = self._engine.pid
        assert pid is not None, "the shared engine has died"
        return pid

    def empty(self) -> None:
        """Remove all keys and scripts; start the engine again if a test has ended it."""
        if not self._engine.running:
            self._call(self._engine.start())
        with contextlib.closing(Redis.from_url(self.url)) as redis:
            redis.flushall()
            redis.script_flush()
            redis.function_flush()

    def version(self) -> str:
        """Its name and release."""
        with contextlib.closing(Redis.from_url(self.url)) as redis:
            info: dict[str, Any] = redis.info("server")
        return f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@contextlib.contextmanager
def shared_engine() -> Iterator[SharedEngine]:
    """Run an engine that fits tests: it forgets to sync, and lets itself be debugged."""
    loop = asyncio.new_event_loop()
    # The engine's process is watched by this loop whatever loop a test runs.
    thread = threading.Thread(target=loop.run_forever, name="shared-engine", daemon=True)
    thread.start()
    try:
        _end_orphans()
        with tempfile.TemporaryDirectory(prefix=_PREFIX) as name, lock_data_dir(Path(name)):
            engine = EmbeddedEngine(
                Path(name),
                maxmemory=2**30,
                options={"appendfsync": "no", "enable-debug-command": "local"},
            )
            shared = SharedEngine(engine, loop)
            shared._call(engine.start())
            try:
                yield shared
            finally:
                shared._call(engine.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _end_orphans() -> None:
    """End the shared engines whose test run was killed: nobody holds their directory any more."""
    for pid_file in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/engine/engine.pid"):
        data_dir = pid_file.parent.parent
        with contextlib.suppress(EngineError), lock_data_dir(data_dir):
            pid = engine_pid(data_dir)
            if pid is not None and not _is_free(data_dir):
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(data_dir, ignore_errors=True)


def _is_free(data_dir: Path) -> bool:
    with EngineDirectory(data_dir).open_lock() as lock:
        return try_lock(lock)
