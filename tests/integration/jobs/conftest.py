"""What the tests of the jobs share: a whole sidecar without its server, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from earmark.jobs.metrics import JobMetrics
from tests.support.stack import Stack, open_stack


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the test's metrics are."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> JobMetrics:
    """Metrics in a registry of their own."""
    return JobMetrics(registry)


@pytest.fixture
async def stack(tmp_path: Path, database_url: str) -> AsyncIterator[Stack]:
    """Redis, SQL, recovery and engine; two partitions."""
    async with open_stack(tmp_path / "data", database_url) as opened:
        yield opened
