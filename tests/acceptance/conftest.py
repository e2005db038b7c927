"""A sidecar for each credit system, with a mail server beside it; its rows share it, each with accounts of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from earmark.testing import EarmarkServer
from tests.acceptance.receivers import WebReceiver, mail_server, web_receiver
from tests.acceptance.system import System
from tests.support.repeating import REPEATING


@contextmanager
def running(preset: str) -> Iterator[System]:
    """Run a sidecar with a preset."""
    with (
        mail_server() as inbox,
        EarmarkServer(
            catalog=f"preset:{preset}",
            appendfsync="everysec",
            smtp_url=inbox.url,
            smtp_from="earmark@platform.example",
            webhook_secret="a secret of the platform",
        ) as server,
        grpc.insecure_channel(server.address, options=REPEATING) as channel,
    ):
        yield System(server, channel, inbox)


@pytest.fixture
def webhook() -> Iterator[WebReceiver]:
    """A web server that keeps what it receives."""
    with web_receiver() as receiver:
        yield receiver


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
