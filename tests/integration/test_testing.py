"""`earmark.testing`: what it gives to other people's test suites, and to ours."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from earmark.embedded import lock_data_dir
from earmark.testing import EarmarkServer, ServerDidNotStart
from earmark.v1 import account_service_pb2, metering_service_pb2
from earmark.v1.account_service_pb2_grpc import AccountServiceStub
from earmark.v1.metering_service_pb2_grpc import MeteringServiceStub
from tests.support.waiting import wait_until_sync


@pytest.fixture
def server() -> Iterator[EarmarkServer]:
    with EarmarkServer() as running:
        yield running


def create_account(address: str, account_id: str) -> None:
    with grpc.insecure_channel(address) as channel:
        AccountServiceStub(channel).CreateAccount(
            account_service_pb2.CreateAccountRequest(account_id=account_id, request_id="create"), timeout=10
        )


def has_account(address: str, account_id: str) -> bool:
    """Whether the sidecar answers and knows the account; while it recovers it does not."""
    with grpc.insecure_channel(address) as channel:
        try:
            MeteringServiceStub(channel).GetBalance(
                metering_service_pb2.GetBalanceRequest(account_id=account_id), timeout=5
            )
        except grpc.RpcError:
            return False
        return True


def test_it_serves_on_a_free_port_and_leaves_nothing_behind() -> None:
    with EarmarkServer() as server:
        create_account(server.address, "acme")
        assert has_account(server.address, "acme")
        data_dir, engine = server.data_dir, server.engine_pid
    assert engine is not None
    assert not data_dir.exists()
    assert not Path(f"/proc/{engine}").exists()
    assert server.pid is None


async def test_it_is_an_async_context_manager_too() -> None:
    async with EarmarkServer() as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = AccountServiceStub(channel)
        await stub.CreateAccount(
            account_service_pb2.CreateAccountRequest(account_id="acme", request_id="create"), timeout=10
        )


def test_it_serves_on_a_unix_socket_and_a_directory_of_ones_own() -> None:
    with tempfile.TemporaryDirectory(prefix="earmark-test-") as name:
        with EarmarkServer(data_dir=Path(name) / "data", listen=f"unix:{name}/earmark.sock") as server:
            create_account(server.address, "acme")
        assert (Path(name) / "data").is_dir()
        with EarmarkServer(data_dir=Path(name) / "data", listen=f"unix:{name}/earmark.sock") as server:
            assert has_account(server.address, "acme")


def test_a_restart_keeps_the_address_and_the_data(server: EarmarkServer) -> None:
    create_account(server.address, "acme")
    address, pid = server.address, server.pid
    server.restart()
    assert server.address == address
    assert server.pid != pid
    assert has_account(address, "acme")


def test_what_was_acknowledged_survives_a_killed_sidecar(server: EarmarkServer) -> None:
    create_account(server.address, "acme")
    engine = server.engine_pid
    server.kill()
    assert server.pid is None
    assert engine is not None
    os.kill(engine, 0)  # The orphan lives.
    server.start()
    assert server.engine_pid == engine
    assert has_account(server.address, "acme")


def test_what_was_acknowledged_survives_a_killed_engine(server: EarmarkServer) -> None:
    create_account(server.address, "acme")
    engine, sidecar = server.engine_pid, server.pid
    server.kill_engine()
    wait_until_sync(lambda: server.engine_pid not in {None, engine}, seconds=30, what="the engine is started again")
    wait_until_sync(lambda: has_account(server.address, "acme"), seconds=30, what="the sidecar serves again")
    assert server.pid == sidecar


def test_a_killed_sidecar_and_its_engine_are_cleaned_up() -> None:
    with EarmarkServer() as server:
        engine, data_dir = server.engine_pid, server.data_dir
        server.kill()
    assert engine is not None
    assert not data_dir.exists()
    stat = Path(f"/proc/{engine}/stat")
    wait_until_sync(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_start_that_fails_shows_the_log() -> None:
    with (
        pytest.raises(ServerDidNotStart, match=r"workers: input should be a valid integer"),
        EarmarkServer(workers="x"),
    ):
        pass


def test_a_second_server_on_one_directory_is_refused_and_harms_nothing(server: EarmarkServer) -> None:
    create_account(server.address, "acme")
    with (
        pytest.raises(ServerDidNotStart, match=f"in use by process {server.pid}"),
        EarmarkServer(data_dir=server.data_dir),
    ):
        pass
    assert has_account(server.address, "acme")


def test_a_second_server_on_one_address_is_refused(server: EarmarkServer) -> None:
    create_account(server.address, "acme")
    with (
        pytest.raises(ServerDidNotStart, match=f"another process serves on {server.address}"),
        EarmarkServer(listen=server.address),
    ):
        pass
    assert has_account(server.address, "acme")


def test_a_directory_that_is_held_is_told_in_one_line() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="earmark-test-") as name,
        lock_data_dir(Path(name)),
        pytest.raises(ServerDidNotStart) as refused,
        EarmarkServer(data_dir=Path(name)),
    ):
        pass
    _, *log = str(refused.value).splitlines()
    assert len(log) == 1
    assert log[0].startswith(f"earmark: the data directory {name} is in use by process {os.getpid()}")
