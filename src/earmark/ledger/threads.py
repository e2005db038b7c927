"""Threads for long work beside the event loop."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

__all__ = ["background_thread"]


def background_thread(name: str) -> ThreadPoolExecutor:
    """Return an executor of one thread that lets whoever answers calls go first.

    On Linux it runs as SCHED_BATCH: when it wakes it interrupts nobody. It keeps its full share of the processors: with
    a lower priority it could be kept waiting while it holds the interpreter, and the event loop with it.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_step_back)


def _step_back() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # A sandbox may forbid it.
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))
