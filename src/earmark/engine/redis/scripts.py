"""The Lua scripts, joined from their files when the package is loaded.

The batch script is `lib/*` and `transitions/*` in the order below, then `batch.lua`. The numeric constants of
`lib/layout.lua` are put into the text, because Lua 5.1 allows 200 locals and 60 upvalues a function.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Script", "batch_script", "holds_script", "partition_script"]

_PARTS = (
    "lib/cache.lua",
    "lib/grants.lua",
    "lib/views.lua",
    "lib/waiters.lua",
    "lib/due.lua",
    "transitions/reserve.lua",
    "transitions/commit.lua",
    "transitions/charge.lua",
    "transitions/release.lua",
    "transitions/extend.lua",
    "transitions/read.lua",
    "transitions/administration.lua",
    "transitions/residence.lua",
    "transitions/partition.lua",
    "batch.lua",
)

_CONSTANTS = re.compile(
    r"^local ((?:[A-Z][A-Z0-9_]*)(?:, [A-Z][A-Z0-9_]*)*) =\s+(-?\d+(?:, -?\d+)*)(?: --.*)?$", re.MULTILINE
)


class Script(NamedTuple):
    """A script's text and the digest by which Redis knows it."""

    text: bytes
    sha: bytes


def _read(name: str) -> str:
    return files("earmark.engine.redis").joinpath("lua", *name.split("/")).read_text(encoding="utf-8")


def _script(text: str) -> Script:
    raw = text.encode()
    return Script(raw, sha1(raw, usedforsecurity=False).hexdigest().encode())


def constants(layout: str) -> dict[str, str]:
    """Return the numeric constants that a Lua text declares at its top level."""
    found: dict[str, str] = {}
    for match in _CONSTANTS.finditer(layout):
        names, values = match.group(1).split(", "), match.group(2).split(", ")
        if len(names) != len(values):
            raise ValueError(f"layout.lua: {len(names)} names for {len(values)} values: {match.group(1)}")
        found.update(zip(names, values, strict=True))
    return found


@cache
def batch_script() -> Script:
    """Return the script that executes a batch of operations."""
    layout = _read("lib/layout.lua")
    numbers = constants(layout)
    text = _CONSTANTS.sub("", layout) + "\n" + "\n".join(_read(part) for part in _PARTS)
    names = re.compile(r"\b(" + "|".join(sorted(numbers, key=len, reverse=True)) + r")\b")
    code = [_strip(line) for line in text.splitlines()]
    return _script("\n".join(names.sub(lambda match: numbers[match.group(1)], line) for line in code if line))


def _strip(line: str) -> str:
    """Drop indentation and whole-line comments: the script is sent and hashed once, but parsed at every restart."""
    stripped = line.strip()
    return "" if stripped.startswith("--") else stripped


@cache
def partition_script() -> Script:
    """Return the script that recovery uses: the only writer of epoch and run id."""
    return _script(_read("partition.lua"))


@cache
def holds_script() -> Script:
    """Return the script with which reconciliation reads accounts and their open reservations at one moment."""
    return _script(_read("holds.lua"))
