"""What lies in the data directory: two locks, the engine's files, and where its socket is.

Both locks belong to the kernel, so that no crash leaves one behind:

- `lock`: held by the sidecar, or by a tool that needs a stopped one, for its whole life.
- `engine/lock`: taken by whoever starts the engine, and inherited by the engine. While it is held an engine lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["DataDirectoryInUse", "EngineDirectory", "EngineError", "engine_pid", "lock_data_dir", "try_lock"]

SOCKET_PATH_BYTES = 107


class EngineError(Exception):
    """The embedded engine cannot be found, started or reached. The message is one line to act on."""


class DataDirectoryInUse(EngineError):
    """Another process works on this data directory."""


@contextlib.contextmanager
def lock_data_dir(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this process; it is made where it does not exist.

    Raises:
        DataDirectoryInUse: another process holds it; the message names it.
        EngineError: the directory cannot be made or written.
    """
    with _open_lock(data_dir / "lock") as handle:
        if not try_lock(handle):
            handle.seek(0)
            holder = handle.read().strip() or "(unknown)"
            raise DataDirectoryInUse(f"the data directory {data_dir} is in use by process {holder}")
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield


def engine_pid(data_dir: Path) -> int | None:
    """Return the process id of the engine that was last started on this directory, if it did not stop cleanly."""
    try:
        return int((data_dir / "engine" / "engine.pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def try_lock(handle: IO[str]) -> bool:
    """Lock an open file for this process and those that inherit it; False if another holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class EngineDirectory:
    """The engine's part of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.path = self.data_dir / "engine"
        self.pid_file = self.path / "engine.pid"
        self.log_file = self.path / "engine.log"
        self._socket_path = self.path / "socket-path"

    def open_lock(self) -> IO[str]:
        """Open the lock that the engine inherits, in a directory that only this user may enter."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as failure:
            raise EngineError(f"cannot make {self.path}: {failure.strerror}") from None
        return _open_lock(self.path / "lock")

    def recorded_socket(self) -> Path | None:
        """Return where the engine that was last started listens."""
        try:
            return Path(os.fsdecode(self._socket_path.read_bytes()))
        except OSError:
            return None

    def prepare_socket(self) -> Path:
        """Choose and record where the next engine listens, and clear the place. The lock is held."""
        socket = self.path / "engine.sock"
        if len(os.fsencode(socket)) > SOCKET_PATH_BYTES:
            socket = self._short_directory() / "engine.sock"
        self._socket_path.write_bytes(os.fsencode(socket))
        socket.unlink(missing_ok=True)
        return socket

    def clear_socket(self, socket: Path) -> None:
        """Remove what a socket that found no room in the data directory leaves behind."""
        if socket.parent != self.path:
            with contextlib.suppress(OSError):
                socket.unlink(missing_ok=True)
                socket.parent.rmdir()

    def last_words(self) -> str:
        """Return the line of the engine's log that most likely says why it ended."""
        try:
            with self.log_file.open("rb") as log_file:
                log_file.seek(max(os.fstat(log_file.fileno()).st_size - 4096, 0))
                text = log_file.read().decode(errors="replace")
        except OSError:
            text = ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        serious = [line for line in lines if " # " in line or "***" in line or "Fatal" in line]
        return (serious or lines or ["it says nothing"])[-1]

    def _short_directory(self) -> Path:
        name = hashlib.blake2b(os.fsencode(self.path), digest_size=8).hexdigest()
        directory = Path(tempfile.gettempdir()) / f"earmark-{os.getuid()}-{name}"
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
        # Whoever may write there could put a socket of their own in the engine's place.
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise EngineError(f"{directory} belongs to somebody else, or others may write there")
        return directory


def _open_lock(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="ascii")
    except OSError as failure:
        raise EngineError(f"cannot use {path.parent}: {failure.strerror}") from None
