"""Supervision: a background job that fails is logged and started again, later and later, and never silently dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog

from earmark.jobs.metrics import JobMetrics

__all__ = ["supervise"]

_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 10.0
_HEALTHY_SECONDS = 60.0

_log = structlog.get_logger("earmark.jobs")


async def supervise(name: str, job: Callable[[], Awaitable[None]], metrics: JobMetrics) -> None:
    """Run a job that never ends, until cancelled."""
    pause = _FIRST_SECONDS
    while True:
        begun = monotonic()
        try:
            await job()
            _log.error("a background job ended", job=name)
        except Exception:  # noqa: BLE001  whatever it is: the job must run again
            _log.exception("a background job failed", job=name)
        metrics.restarts.labels(name).inc()
        if monotonic() - begun > _HEALTHY_SECONDS:
            pause = _FIRST_SECONDS
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_SECONDS)
