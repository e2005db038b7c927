"""`earmark serve` as a process: signals, a second start, workers, and an engine that dies under it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from earmark.testing import EarmarkServer
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import account_service_pb2_grpc as accounts_rpc
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import metering_service_pb2_grpc as rpc
from tests.support.waiting import wait_until_sync

SERVE = "import sys; from earmark.cli.main import main; sys.exit(main(['serve', *sys.argv[1:]]))"


def metering(channel: grpc.Channel) -> Any:
    return rpc.MeteringServiceStub(channel)


def grant(channel: grpc.Channel, credits: int) -> None:
    stub: Any = accounts_rpc.AccountServiceStub(channel)
    stub.CreateAccount(accounts.CreateAccountRequest(account_id="acme", request_id="c"))
    stub.CreateGrant(accounts.CreateGrantRequest(account_id="acme", request_id="g", amount_micros=credits * 1_000_000))


def reserve(channel: grpc.Channel, request_id: str) -> Any:
    request = pb.ReserveRequest(account_id="acme", request_id=request_id, amount_micros=1_000_000)
    return metering(channel).Reserve(request, timeout=5)


def available(channel: grpc.Channel) -> int:
    micros: int = (
        metering(channel).GetBalance(pb.GetBalanceRequest(account_id="acme"), timeout=5).balance.available_micros
    )
    return micros


def until_served(call: Callable[[], Any]) -> Any:
    """Repeat a call unchanged while it is UNAVAILABLE, as every client must."""

    def attempt() -> Any:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return None

    return wait_until_sync(attempt)


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SERVE, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_the_worker_and_the_sidecar_get_sigterm_together() -> None:
    with EarmarkServer(drain_timeout="20s") as server, grpc.insecure_channel(server.address) as channel:
        grant(channel, 10)
        held = reserve(channel, "r").reservation
        process = server._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        wait_until_sync(lambda: _is_draining(channel))
        committed = metering(channel).Commit(pb.CommitRequest(reservation_id=held.reservation_id))
        assert committed.charged_micros == 1_000_000
        assert process.wait(15) == 0  # Nothing is open any more: it does not wait for the time-out.
        server.start()
        assert until_served(lambda: available(channel)) == 9_000_000


def _is_draining(channel: grpc.Channel) -> bool:
    try:
        metering(channel).Charge(pb.ChargeRequest())
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False


def test_a_second_signal_stops_at_once() -> None:
    with EarmarkServer(drain_timeout="60s") as server, grpc.insecure_channel(server.address) as channel:
        grant(channel, 10)
        reserve(channel, "r")
        process = server._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        wait_until_sync(lambda: _is_draining(channel))
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0


def test_a_second_server_on_one_address_or_one_directory_is_refused(tmp_path: Path) -> None:
    with EarmarkServer() as server:
        same_directory = serve("--data-dir", str(server.data_dir), "--listen", "127.0.0.1:0")
        assert same_directory.returncode != 0
        assert "is in use by process" in same_directory.stderr
        same_address = serve("--data-dir", str(tmp_path / "other"), "--listen", server.address)
        assert same_address.returncode != 0
        assert "another process listens there already" in same_address.stderr
        shared = serve("--data-dir", str(tmp_path / "third"), "--listen", server.address, "--workers", "2")
        assert shared.returncode != 0
        assert "another process listens there already" in shared.stderr
        for refused in (same_directory, same_address, shared):
            assert len(refused.stderr.splitlines()) == 1
            assert "Traceback" not in refused.stderr
        with grpc.insecure_channel(server.address) as channel:
            grant(channel, 1)


def test_an_engine_that_dies_is_started_again_and_nothing_is_lost() -> None:
    with EarmarkServer() as server, grpc.insecure_channel(server.address) as channel:
        grant(channel, 100)
        held = reserve(channel, "before").reservation
        server.kill_engine()
        committed = until_served(
            lambda: metering(channel).Commit(pb.CommitRequest(reservation_id=held.reservation_id), timeout=5)
        )
        assert committed.charged_micros == 1_000_000
        assert until_served(lambda: available(channel)) == 99_000_000


def test_a_sidecar_that_is_killed_finds_everything_again() -> None:
    with EarmarkServer() as server:
        with grpc.insecure_channel(server.address) as channel:
            grant(channel, 100)
            held = reserve(channel, "r").reservation
        server.kill()
        server.start()
        with grpc.insecure_channel(server.address) as channel:
            assert reserve(channel, "r").replayed
            metering(channel).Commit(pb.CommitRequest(reservation_id=held.reservation_id))
            assert available(channel) == 99_000_000


def test_workers_share_one_port_and_one_ledger() -> None:
    with EarmarkServer(workers=2) as server:
        with grpc.insecure_channel(server.address) as channel:
            grant(channel, 1_000)
        wait_until_sync(lambda: server.log.count(" serving ") == 2, seconds=30)

        def pair(number: int) -> None:
            # A connection of its own for each: the kernel gives it to either process.
            with grpc.insecure_channel(server.address, options=[("earmark.test.connection", number)]) as channel:
                held = reserve(channel, f"r{number}").reservation
                metering(channel).Commit(pb.CommitRequest(reservation_id=held.reservation_id), timeout=5)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(pair, range(40)))
        with grpc.insecure_channel(server.address) as channel:
            assert available(channel) == 960_000_000
        process = server._process
        assert process is not None
        children = _children(process.pid)
        process.kill()  # The others see it and end by themselves.
        wait_until_sync(lambda: not any(_is_worker(child) for child in children), seconds=20)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_worker(pid: int) -> bool:
    try:
        return b"run_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.1.2.3:7070"])
def test_anything_but_loopback_must_be_wanted(tmp_path: Path, listen: str) -> None:
    refused = serve("--data-dir", str(tmp_path / "d"), "--listen", listen)
    assert refused.returncode != 0
    assert "--allow-insecure" in refused.stderr
    assert not (tmp_path / "d").exists()


def test_a_schema_that_nobody_upgraded_is_named(tmp_path: Path) -> None:
    refused = serve("--data-dir", str(tmp_path / "d"), "--database-url", f"sqlite:///{tmp_path / 'x.db'}")
    assert refused.returncode != 0
    assert "earmark db upgrade" in refused.stderr
