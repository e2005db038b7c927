"""Waiting for something to become true, instead of sleeping for as long as it usually takes."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

__all__ = ["wait_until", "wait_until_sync"]

T = TypeVar("T")


@overload
async def wait_until(predicate: Callable[[], Awaitable[T]], *, seconds: float = ..., what: str | None = ...) -> T: ...


@overload
async def wait_until(predicate: Callable[[], T], *, seconds: float = ..., what: str | None = ...) -> T: ...


async def wait_until(
    predicate: Callable[[], T] | Callable[[], Awaitable[T]], *, seconds: float = 10.0, what: str | None = None
) -> T:
    """Call the predicate, a function or a coroutine function, until it returns something true, and return that.

    Raises:
        AssertionError: it stayed false for that long; the message says what was waited for and its last value.
    """
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        result = predicate()
        value: T = await result if inspect.isawaitable(result) else result
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or _describe(predicate)}: still {value!r} after {seconds} s")
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)


def wait_until_sync(predicate: Callable[[], T], *, seconds: float = 10.0, what: str | None = None) -> T:
    """The same without an event loop."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or _describe(predicate)}: still {value!r} after {seconds} s")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _describe(predicate: Callable[[], object]) -> str:
    try:
        return inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        return repr(predicate)
