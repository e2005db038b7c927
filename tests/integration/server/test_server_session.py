"""`Session`: many calls on one stream, no failure touching its neighbours, bounded on both sides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from earmark.v1 import metering_service_pb2 as pb
from tests.integration.server.conftest import Refusal, Sidecar, open_test_sidecar
from tests.support.waiting import wait_until


def call(sequence: int, **kinds: Any) -> pb.SessionCall:
    return pb.SessionCall(sequence=sequence, **kinds)


def reserve(request_id: str, micros: int = 1_000_000, **fields: Any) -> pb.ReserveRequest:
    return pb.ReserveRequest(**{"account_id": "acme", "request_id": request_id, "amount_micros": micros, **fields})


def said(result: pb.SessionResult) -> Refusal:
    assert result.WhichOneof("result") == "status", result
    code = next(each for each in grpc.StatusCode if each.value[0] == result.status.code)
    return Refusal(code.name, result.status.message, result.status)


async def collect(stream: Any, count: int) -> dict[int, pb.SessionResult]:
    results: dict[int, pb.SessionResult] = {}
    while len(results) < count:
        frame = await stream.read()
        assert frame is not grpc.aio.EOF  # type: ignore[attr-defined]
        for result in frame.results:
            assert result.sequence not in results
            results[result.sequence] = result
    return results


async def test_every_kind_of_call_is_answered(sidecar: Sidecar) -> None:
    await sidecar.account()
    stream = sidecar.metering.Session()
    await stream.write(pb.SessionRequest(calls=[call(n, reserve=reserve(f"r{n}")) for n in range(3)]))
    held = await collect(stream, 3)
    ids = [held[n].reserve.reservation.reservation_id for n in range(3)]
    frame = [
        call(10, commit=pb.CommitRequest(reservation_id=ids[0], amount_micros=0)),
        call(11, release=pb.ReleaseRequest(reservation_id=ids[1])),
        call(
            12,
            extend=pb.ExtendRequest(reservation_id=ids[2], request_id="e", ttl=Duration(seconds=90)),
        ),
        call(13, charge=pb.ChargeRequest(account_id="acme", request_id="c", amount_micros=7)),
    ]
    await stream.write(pb.SessionRequest(calls=frame))
    results = await collect(stream, 4)
    assert [results[n].WhichOneof("result") for n in range(10, 14)] == ["commit", "release", "extend", "charge"]
    assert results[10].commit.charged_micros == 0
    assert results[13].charge.charged_micros == 7
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF  # type: ignore[attr-defined]
    assert await stream.code() is grpc.StatusCode.OK


async def test_no_failure_touches_its_neighbours(sidecar: Sidecar) -> None:
    await sidecar.account()
    stream = sidecar.metering.Session()
    frame = [
        call(0, reserve=reserve("r0")),
        call(1, reserve=reserve("r1", -1)),
        call(2, reserve=reserve("r2", 10**15)),
        call(3),
        call(4, commit=pb.CommitRequest(reservation_id="nonsense")),
        call(5, reserve=reserve("r0", 5)),
        call(6, reserve=reserve("r6", account_id="nobody")),
        call(7, reserve=reserve("r7")),
    ]
    await stream.write(pb.SessionRequest(calls=frame))
    results = await collect(stream, len(frame))
    assert [results[n].WhichOneof("result") for n in (0, 7)] == ["reserve", "reserve"]
    assert [said(results[n]).reason for n in range(1, 7)] == [
        "INVALID_AMOUNT",
        "INSUFFICIENT_CREDITS",
        "INVALID_ARGUMENT",
        "RESERVATION_NOT_FOUND",
        "REQUEST_ID_REUSED",
        "ACCOUNT_NOT_FOUND",
    ]
    assert said(results[1]).field == "amount_micros"
    assert said(results[2]).metadata["available_micros"] == "499000000"
    stream.cancel()


async def test_a_frame_of_too_many_calls_ends_the_stream(sidecar: Sidecar) -> None:
    await sidecar.account()
    stream = sidecar.metering.Session()
    await stream.write(pb.SessionRequest(calls=[call(n, reserve=reserve(f"r{n}", 1)) for n in range(1_024)]))
    await collect(stream, 1_024)
    await stream.write(pb.SessionRequest(calls=[call(n, reserve=reserve(f"s{n}", 1)) for n in range(1_025)]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    refused = Refusal.of(caught.value)
    assert (refused.code, refused.field) == ("INVALID_ARGUMENT", "calls")


async def test_what_was_taken_before_the_stream_broke_takes_effect(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = (await sidecar.reserve("r", 5)).reservation
    stream = sidecar.metering.Session()
    commit = pb.CommitRequest(reservation_id=held.reservation_id)
    await stream.write(pb.SessionRequest(calls=[call(1, commit=commit)]))
    stream.cancel()
    # Whether the frame had arrived or not: the repeat gives the same answer, and the charge is made once.
    repeated = await sidecar.metering.Commit(commit)
    assert repeated.charged_micros == 5_000_000
    assert await sidecar.available() == 495_000_000


async def test_waiters_of_a_client_that_vanished_leave_the_queue(sidecar: Sidecar) -> None:
    await sidecar.account(credits=0)
    stream = sidecar.metering.Session()
    calls = [call(n, reserve=reserve(f"r{n}", wait=Duration(seconds=60))) for n in range(3)]
    await stream.write(pb.SessionRequest(calls=calls))

    async def queued() -> int:
        return await sidecar.waiters()

    await wait_until(lambda: _equals(queued, 3))
    stream.cancel()
    await wait_until(lambda: _equals(queued, 0))


async def _equals(read: Any, number: int) -> bool:
    return bool(await read() == number)


async def test_a_waiter_of_a_session_does_not_hold_up_its_neighbours(sidecar: Sidecar) -> None:
    await sidecar.account(credits=5)
    stream = sidecar.metering.Session()
    await stream.write(
        pb.SessionRequest(
            calls=[
                call(1, reserve=reserve("big", 10_000_000, wait=Duration(nanos=300_000_000))),
                call(2, reserve=reserve("small", 1_000_000)),
            ]
        )
    )
    first = await stream.read()
    assert [result.sequence for result in first.results] == [2]
    second = await stream.read()
    assert said(second.results[0]).reason == "INSUFFICIENT_CREDITS"
    stream.cancel()


async def test_a_reader_that_does_not_read_is_not_read_from(
    redis_url: str, database_url: str, socket_path: Path
) -> None:
    async with open_test_sidecar(redis_url, database_url, f"unix:{socket_path}", max_calls_in_flight=64) as sidecar:
        await sidecar.account()
        stream = sidecar.metering.Session()

        async def flood() -> None:
            for frame in range(400):
                # Wide answers: labels come back with every one.
                calls = [
                    call(frame * 64 + n, reserve=reserve(f"{frame}-{n}", 1, labels={"k": "v" * 250})) for n in range(64)
                ]
                await stream.write(pb.SessionRequest(calls=calls))

        flooding = asyncio.create_task(flood())
        served = sidecar.server.admission.counts.answered

        async def standstill() -> bool:
            """Nothing more is answered while nobody reads: gRPC's buffers are full, and the calls wait outside."""
            before = served["reserve", "OK"]
            await asyncio.sleep(0.3)  # A standstill shows only in time that passes.
            return before > 0 and served["reserve", "OK"] == before

        await wait_until(standstill)
        # What is missing waits in the buffers of gRPC, which flow control bounds, and not in this server.
        assert served["reserve", "OK"] < 400 * 64
        results = await collect(stream, 400 * 64)
        refused = [result for result in results.values() if result.WhichOneof("result") == "status"]
        # A busy machine may let the store's time-out pass; the fate of such a call is unknown, everything else is not.
        assert {said(result).code for result in refused} <= {"UNAVAILABLE"}
        await flooding
        stream.cancel()
        answered = 400 * 64 - len(refused)
        assert 500_000_000 - 400 * 64 <= await sidecar.available() <= 500_000_000 - answered


async def test_calls_of_one_frame_see_each_other(sidecar: Sidecar) -> None:
    await sidecar.account(credits=3)
    stream = sidecar.metering.Session()
    await stream.write(pb.SessionRequest(calls=[call(n, reserve=reserve(f"r{n}")) for n in range(5)]))
    results = await collect(stream, 5)
    kinds = [results[n].WhichOneof("result") for n in range(5)]
    assert kinds == ["reserve"] * 3 + ["status"] * 2
    stream.cancel()


async def test_those_who_wait_leave_room_for_the_commit_that_serves_them(
    redis_url: str, database_url: str, socket_path: Path
) -> None:
    async with open_test_sidecar(redis_url, database_url, f"unix:{socket_path}", max_calls_in_flight=8) as sidecar:
        await sidecar.account()
        stream = sidecar.metering.Session()
        await stream.write(pb.SessionRequest(calls=[call(0, reserve=reserve("all", 500_000_000))]))
        held = (await collect(stream, 1))[0].reserve.reservation
        waiting = [call(n, reserve=reserve(f"w{n}", wait=Duration(seconds=50))) for n in range(1, 9)]
        await stream.write(pb.SessionRequest(calls=waiting))
        refused = await collect(stream, 4)
        assert {said(result).reason for result in refused.values()} == {"OVERLOADED"}
        commit = pb.CommitRequest(reservation_id=held.reservation_id, amount_micros=0)
        await stream.write(pb.SessionRequest(calls=[call(9, commit=commit)]))
        served = await collect(stream, 5)
        assert {result.WhichOneof("result") for result in served.values()} == {"commit", "reserve"}
        stream.cancel()
