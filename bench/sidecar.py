"""The sidecar under the benchmarks: one of our own with embedded stores, or one that runs elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from earmark.testing import EarmarkServer

_RECONCILE = "import sys; from earmark.cli.main import main; sys.exit(main(['reconcile', '--data-dir', sys.argv[1]]))"
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sidecar:
    """Where calls go. `server` is None for a sidecar that somebody else runs."""

    address: str
    server: EarmarkServer | None

    def server_cpu_seconds(self) -> float | None:
        """CPU time of the sidecar and its worker processes so far, its engine left out; None if it is not ours."""
        if self.server is None or self.server.pid is None:
            return None
        engine = self.server.engine_pid
        return sum(_cpu_seconds(pid) for pid in _family(self.server.pid) if pid != engine)

    def engine_cpu_seconds(self) -> float | None:
        """CPU time of the embedded engine so far; None if it is not ours."""
        if self.server is None or self.server.engine_pid is None:
            return None
        return _cpu_seconds(self.server.engine_pid)

    def reconcile(self) -> bool | None:
        """Run `earmark reconcile` on our own stores and show what it says; None if they are not ours."""
        if self.server is None:
            return None
        command = [sys.executable, "-c", _RECONCILE, str(self.server.data_dir)]
        print("\n$ earmark reconcile", flush=True)
        return subprocess.run(command, check=False).returncode == 0


@contextmanager
def sidecar(
    address: str | None, data_dir: Path | None, *, listen: str | None = None, appendfsync: str = "always"
) -> Iterator[Sidecar]:
    """Give the sidecar at an address, or one of our own that is stopped in the end."""
    if address is not None:
        yield Sidecar(address, None)
        return
    with EarmarkServer(
        data_dir=data_dir, listen=listen, test_store="off", log_level="warning", appendfsync=appendfsync
    ) as server:
        yield Sidecar(server.address, server)


def _cpu_seconds(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0  # It has ended meanwhile.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        children = []
    return [pid, *(member for child in children for member in _family(int(child)))]
