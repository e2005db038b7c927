"""How a server starts, drains and stops, and what it says of its health."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from earmark.server.listeners import AddressInUse, PortClaims, check_free
from earmark.v1 import metering_service_pb2 as pb
from tests.integration.server.conftest import Sidecar, open_test_sidecar, refusal
from tests.support.engine import SharedEngine
from tests.support.waiting import wait_until, wait_until_sync

Health = health_pb2.HealthCheckResponse


@pytest.fixture
async def sidecar(redis_url: str, database_url: str, socket_path: Path) -> AsyncIterator[Sidecar]:
    """A sidecar whose first answers count: these tests are about being UNAVAILABLE."""
    async with open_test_sidecar(redis_url, database_url, f"unix:{socket_path}", repeats=False) as running:
        yield running


async def health(sidecar: Sidecar, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(sidecar.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    status: int = answer.status
    return status


async def test_health_is_told_for_every_service(sidecar: Sidecar) -> None:
    for service in ("", "earmark.v1.MeteringService", "earmark.v1.AccountService", "earmark.v1.LedgerService"):
        assert await wait_until(partial(health, sidecar, service)) == Health.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health(sidecar, "nothing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services(sidecar: Sidecar) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(sidecar.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in stub.ServerReflectionInfo(iter([request])):
        names = {each.name for each in answer.list_services_response.service}
        assert {"earmark.v1.MeteringService", "earmark.v1.AccountService", "grpc.health.v1.Health"} <= names
        break


async def test_a_drain_lets_the_last_commit_pass(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = (await sidecar.reserve("r1", 5)).reservation
    draining = asyncio.create_task(sidecar.server.drain(20_000_000))
    await wait_until(lambda: sidecar.server.admission.draining)
    charge = pb.ChargeRequest(account_id="acme", request_id="c", amount_micros=1)
    for call in (sidecar.reserve("r2"), sidecar.reserve("r1", 5), sidecar.metering.Charge(charge)):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == ("UNAVAILABLE", "DRAINING")
    # Drain comes before form.
    assert (await refusal(sidecar.metering.Charge(pb.ChargeRequest()))).reason == "DRAINING"
    assert await health(sidecar) == Health.NOT_SERVING
    assert await sidecar.available() == 495_000_000
    extend = pb.ExtendRequest(reservation_id=held.reservation_id, request_id="e", additional_micros=1)
    await sidecar.metering.Extend(extend)
    assert not draining.done()
    await sidecar.metering.Commit(pb.CommitRequest(reservation_id=held.reservation_id))
    assert await draining


async def test_a_drain_waits_for_what_a_session_reserved_and_not_for_its_stream(sidecar: Sidecar) -> None:
    await sidecar.account()
    stream = sidecar.metering.Session()
    await stream.write(pb.SessionRequest(calls=[pb.SessionCall(sequence=1, reserve=_reserve("r1"))]))
    held = (await stream.read()).results[0].reserve.reservation
    draining = asyncio.create_task(sidecar.server.drain(20_000_000))
    await wait_until(lambda: sidecar.server.admission.draining)
    calls = [
        pb.SessionCall(sequence=2, reserve=_reserve("r2")),
        pb.SessionCall(sequence=3, commit=pb.CommitRequest(reservation_id=held.reservation_id)),
    ]
    await stream.write(pb.SessionRequest(calls=calls))
    results: dict[int, Any] = {}
    while len(results) < 2:
        results |= {each.sequence: each for each in (await stream.read()).results}
    assert results[2].status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert results[3].commit.charged_micros == 1
    assert await draining
    stream.cancel()


def _reserve(request_id: str) -> pb.ReserveRequest:
    return pb.ReserveRequest(account_id="acme", request_id=request_id, amount_micros=1)


async def test_a_drain_does_not_wait_for_ever(sidecar: Sidecar) -> None:
    await sidecar.account()
    await sidecar.reserve("r1")
    assert not await sidecar.server.drain(50_000)


async def test_a_drain_with_nothing_open_ends_at_once(sidecar: Sidecar) -> None:
    watch = sidecar.metering.WatchBalance(pb.WatchBalanceRequest(account_id="acme"))
    assert await sidecar.server.drain(20_000_000)
    watch.cancel()


async def test_with_redis_away_calls_say_so_in_time_and_go_on_by_themselves(
    sidecar: Sidecar, engine: SharedEngine
) -> None:
    await sidecar.account()
    held = (await sidecar.reserve("before", 5)).reservation
    os.kill(engine.pid, signal.SIGKILL)
    await wait_until(lambda: _is(sidecar, Health.NOT_SERVING))
    times = []
    for number in range(20):
        begun = time.perf_counter()
        refused = await refusal(sidecar.reserve(f"during{number}"))
        times.append(time.perf_counter() - begun)
        assert (refused.code, refused.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
    assert median(times) < 0.1, times  # One may fall victim to a busy machine.
    # The store comes before the form of a request.
    assert (await refusal(sidecar.reserve(""))).reason == "STORE_UNAVAILABLE"
    await asyncio.to_thread(start_again, engine)
    await wait_until(lambda: _is(sidecar, Health.SERVING))
    await sidecar.reserve("after")
    committed = await sidecar.metering.Commit(pb.CommitRequest(reservation_id=held.reservation_id))
    assert committed.charged_micros == 5_000_000
    assert await sidecar.available() == 494_000_000


def start_again(engine: SharedEngine) -> None:
    """Start an engine that was killed, on its files."""
    wait_until_sync(lambda: not engine._engine.running)
    engine._call(engine._engine.start())


async def _is(sidecar: Sidecar, status: int) -> bool:
    return await health(sidecar) == status


async def test_a_redis_that_hangs_is_answered_in_time(sidecar: Sidecar, engine: SharedEngine) -> None:
    await sidecar.account()
    await sidecar.reserve("before")
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        times = []
        for number in range(5):
            begun = time.perf_counter()
            refused = await refusal(sidecar.reserve(f"during{number}"))
            times.append(time.perf_counter() - begun)
            assert refused.reason == "STORE_UNAVAILABLE"
        assert median(times) < 0.1, times
    finally:
        os.kill(engine.pid, signal.SIGCONT)

    async def serves() -> bool:
        try:
            # The fate of the call was unknown; the repeat with the same id has one effect.
            return bool((await sidecar.reserve("during0")).reservation.reservation_id)
        except grpc.aio.AioRpcError:
            return False

    await wait_until(serves)


async def test_a_second_server_on_a_tcp_address_is_refused(redis_url: str, database_url: str) -> None:
    async with open_test_sidecar(redis_url, database_url, "127.0.0.1:0") as first:
        address = first.server.addresses[0]
        with pytest.raises(AddressInUse, match=f"cannot listen on {address}: another process listens there already"):
            check_free([address])
        with pytest.raises(AddressInUse):
            async with open_test_sidecar(redis_url, database_url, address):
                pass
        with pytest.raises(AddressInUse):
            PortClaims([address])
        await first.account()
    check_free([address])


async def test_a_second_server_on_a_unix_socket_is_refused(
    sidecar: Sidecar, redis_url: str, database_url: str, socket_path: Path
) -> None:
    with pytest.raises(AddressInUse):
        async with open_test_sidecar(redis_url, database_url, f"unix:{socket_path}"):
            pass
    await sidecar.account()  # The first one still has its socket.


async def test_a_stale_socket_is_replaced_and_a_file_is_not(
    redis_url: str, database_url: str, socket_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(socket_path))
    assert socket_path.exists()
    async with open_test_sidecar(redis_url, database_url, f"unix:{socket_path}") as sidecar:
        await sidecar.account()
    assert not socket_path.exists()
    socket_path.write_text("precious")
    with pytest.raises(AddressInUse, match="a file that is no socket"):
        check_free([f"unix:{socket_path}"])
    assert socket_path.read_text() == "precious"


def test_ports_for_workers_are_claimed_alone() -> None:
    claims = PortClaims(["127.0.0.1:0"])
    try:
        with pytest.raises(AddressInUse):
            PortClaims(claims.listen)
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            host, _, port = claims.listen[0].rpartition(":")
            worker.bind((host, int(port)))
    finally:
        claims.close()
    PortClaims(claims.listen).close()


async def test_a_name_of_several_addresses_is_served_on_each(redis_url: str, database_url: str) -> None:
    async with open_test_sidecar(redis_url, database_url, "localhost:0") as sidecar:
        await sidecar.account()
        port = sidecar.server.addresses[0].rpartition(":")[2]
        with pytest.raises(AddressInUse):
            check_free([f"127.0.0.1:{port}"])
