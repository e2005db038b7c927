"""A sidecar for each credit system; its rows share it, each with accounts of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from earmark.testing import EarmarkServer
from tests.acceptance.system import System


@contextmanager
def running(preset: str) -> Iterator[System]:
    """Run a sidecar with a preset."""
    with (
        EarmarkServer(catalog=f"preset:{preset}", replay_window="1h", appendfsync="everysec") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield System(server, channel)


@pytest.fixture(scope="module")
def inspira() -> Iterator[System]:
    with running("inspira") as system:
        yield system


@pytest.fixture(scope="module")
def workspace() -> Iterator[System]:
    with running("workspace") as system:
        yield system


@pytest.fixture(scope="module")
def monthly() -> Iterator[System]:
    with running("monthly") as system:
        yield system


@pytest.fixture(scope="module")
def amisi() -> Iterator[System]:
    with running("amisi") as system:
        yield system
