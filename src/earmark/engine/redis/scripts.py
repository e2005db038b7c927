"""The Lua code, joined from its files when the package is loaded.

The batch is a Redis function: a library (`lib/*` and `transitions/*` in the order below, then `batch.lua`) that the
server compiles once. As a script, each call built its hundred closures anew: 62 microseconds before the first
operation, measured, against 20 as a function. The library's name carries the digest of its text, so that releases
side by side have one each. The numeric constants of `lib/layout.lua` are put into the text, because Lua 5.1 allows 200
locals and 60 upvalues a function. What runs rarely stays a script.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Library", "Script", "batch_library", "holds_script", "partition_script"]

_PARTS = (
    "lib/cache.lua",
    "lib/grants.lua",
    "lib/limits.lua",
    "lib/alerts.lua",
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


class Library(NamedTuple):
    """A function library's text and the name of its one function."""

    text: bytes
    function: bytes


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
def batch_library() -> Library:
    """Return the library whose function executes a batch of operations."""
    layout = _read("lib/layout.lua")
    numbers = constants(layout)
    text = _CONSTANTS.sub("", layout) + "\n" + "\n".join(_read(part) for part in _PARTS)
    names = re.compile(r"\b(" + "|".join(sorted(numbers, key=len, reverse=True)) + r")\b")
    code = [_strip(line) for line in text.splitlines()]
    body = "\n".join(names.sub(lambda match: numbers[match.group(1)], line) for line in code if line)
    name = f"earmark_{sha1(body.encode(), usedforsecurity=False).hexdigest()[:12]}"
    library = f"#!lua name={name}\n{body}\nredis.register_function('{name}', execute_batch)\n"
    return Library(library.encode(), name.encode())


def _strip(line: str) -> str:
    """Drop indentation and whole-line comments: they would be stored in Redis with the library."""
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
