"""Rows of the failure cases that a server must survive; each test is named after what went wrong elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc.aio
import pytest
from redis.asyncio import Redis

from earmark.domain.ids import format_reservation_id, reservation_digest
from earmark.engine.redis.keys import partition_keys
from earmark.ledger import upgrade
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import metering_service_pb2_grpc as rpc
from tests.integration.server.conftest import Sidecar, open_test_sidecar, refusal

PARTITIONS = 2


@pytest.fixture
async def sidecar(redis_url: str, tmp_path: Path) -> AsyncIterator[Sidecar]:
    database_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    await upgrade(database_url)
    with TemporaryDirectory(prefix="em") as name:
        async with open_test_sidecar(redis_url, database_url, f"unix:{name}/s", partitions=PARTITIONS) as running:
            yield running


def stub(channel: grpc.aio.Channel) -> Any:
    return rpc.MeteringServiceStub(channel)


def own_channel(sidecar: Sidecar, number: int) -> grpc.aio.Channel:
    # Channels with the same arguments share one connection.
    return grpc.aio.insecure_channel(sidecar.server.addresses[0], options=[("earmark.test.connection", number)])


async def test_twenty_simultaneous_reservations_of_75_on_500(sidecar: Sidecar) -> None:
    await sidecar.account(credits=500)
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(own_channel(sidecar, number)) for number in range(20)]

        async def attempt(number: int) -> str:
            request = pb.ReserveRequest(account_id="acme", request_id=f"r{number}", amount_micros=75_000_000)
            try:
                await stub(channels[number]).Reserve(request)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

        outcomes = await asyncio.gather(*(attempt(number) for number in range(20)))
    assert sorted(outcomes) == ["OK"] * 6 + ["RESOURCE_EXHAUSTED"] * 14
    assert await sidecar.available() == 50_000_000


async def test_two_commits_at_the_same_moment(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = (await sidecar.reserve("r", 10)).reservation

    async def commit(micros: int) -> Any:
        request = pb.CommitRequest(reservation_id=held.reservation_id, amount_micros=micros)
        try:
            return (await sidecar.metering.Commit(request)).charged_micros
        except grpc.aio.AioRpcError as error:
            return error.code().name

    outcomes = await asyncio.gather(commit(1_000_000), commit(2_000_000))
    assert sorted(map(str, outcomes)) in (["1000000", "FAILED_PRECONDITION"], ["2000000", "FAILED_PRECONDITION"])
    charged = next(each for each in outcomes if isinstance(each, int))
    assert await sidecar.available() == 500_000_000 - charged


async def test_a_commit_races_a_release(sidecar: Sidecar) -> None:
    await sidecar.account()
    for number in range(10):
        held = (await sidecar.reserve(f"r{number}", 1)).reservation
        before = await sidecar.available()
        commit = sidecar.metering.Commit(pb.CommitRequest(reservation_id=held.reservation_id))
        release = sidecar.metering.Release(pb.ReleaseRequest(reservation_id=held.reservation_id))
        outcomes = await asyncio.gather(commit, release, return_exceptions=True)
        failed = [each for each in outcomes if isinstance(each, BaseException)]
        assert len(failed) == 1
        after = await sidecar.available()
        assert after == (before if isinstance(outcomes[1], BaseException) else before + 1_000_000)


async def test_the_reply_is_lost_and_the_repeat_returns_the_first_result(sidecar: Sidecar) -> None:
    await sidecar.account()
    request = pb.ReserveRequest(account_id="acme", request_id="r", amount_micros=1_000_000)
    async with own_channel(sidecar, 1) as cut:
        lost = stub(cut).Reserve(request)
        await lost.wait_for_connection()
        lost.cancel()
    first = await sidecar.metering.Reserve(request)
    again = await sidecar.metering.Reserve(request)
    assert again.replayed
    assert again.reservation == first.reservation
    assert await sidecar.available() == 499_000_000


async def test_a_client_that_disconnects_leaks_nothing(sidecar: Sidecar) -> None:
    await sidecar.account()
    async with own_channel(sidecar, 1) as gone:
        stream = stub(gone).Session()
        call = pb.SessionCall(
            sequence=1, reserve=pb.ReserveRequest(account_id="acme", request_id="r", amount_micros=1_000_000)
        )
        await stream.write(pb.SessionRequest(calls=[call]))
        held = (await stream.read()).results[0].reserve.reservation
    released = await sidecar.metering.Release(pb.ReleaseRequest(reservation_id=held.reservation_id))
    assert not released.replayed
    assert await sidecar.available() == 500_000_000


async def test_a_request_with_amount_0_and_one_without_amount(sidecar: Sidecar) -> None:
    await sidecar.account(credits=0)
    zero = pb.ReserveRequest(account_id="acme", request_id="r", amount_micros=0)
    assert (await sidecar.metering.Reserve(zero)).reservation.reserved_micros == 0
    absent = pb.ReserveRequest(account_id="acme", request_id="s")
    assert (await refusal(sidecar.metering.Reserve(absent))).field == "amount_micros"


async def test_the_largest_amount_survives_every_hop(sidecar: Sidecar) -> None:
    largest = 2**53 - 1
    await sidecar.account(credits=0)
    grant = accounts.CreateGrantRequest(account_id="acme", request_id="g", amount_micros=largest)
    assert (await sidecar.accounts.CreateGrant(grant)).balance.available_micros == largest
    request = pb.ReserveRequest(account_id="acme", request_id="r", amount_micros=largest - 1)
    held = await sidecar.metering.Reserve(request)
    assert (held.reservation.reserved_micros, held.balance.available_micros) == (largest - 1, 1)
    commit = pb.CommitRequest(reservation_id=held.reservation.reservation_id, amount_micros=largest - 2)
    committed = await sidecar.metering.Commit(commit)
    assert (committed.charged_micros, committed.balance.available_micros) == (largest - 2, 2)
    more = accounts.CreateGrantRequest(account_id="acme", request_id="h", amount_micros=1)
    assert (await refusal(sidecar.accounts.CreateGrant(more))).reason == "INVALID_AMOUNT"


HOSTILE = ["a" * 10_240, "é", "\u202e", "a\x00b", "a\nb", "\x7f", "", " \t", "日本" * 100]


@pytest.mark.parametrize("text", HOSTILE, ids=[f"{number}" for number in range(len(HOSTILE))])
async def test_hostile_ids_are_refused_with_the_field(sidecar: Sidecar, text: str) -> None:
    calls = {
        "account_id": [
            sidecar.metering.Reserve(pb.ReserveRequest(account_id=text, request_id="r", amount_micros=1)),
            sidecar.metering.GetBalance(pb.GetBalanceRequest(account_id=text)),
            sidecar.metering.ListReservations(pb.ListReservationsRequest(account_id=text)),
            sidecar.accounts.CreateAccount(accounts.CreateAccountRequest(account_id=text, request_id="r")),
            sidecar.accounts.GetAccount(accounts.GetAccountRequest(account_id=text)),
        ],
        "request_id": [
            sidecar.metering.Reserve(pb.ReserveRequest(account_id="acme", request_id=text, amount_micros=1)),
            sidecar.metering.Charge(pb.ChargeRequest(account_id="acme", request_id=text, amount_micros=1)),
            sidecar.accounts.CreateAccount(accounts.CreateAccountRequest(account_id="acme", request_id=text)),
        ],
    }
    for field, refused_calls in calls.items():
        for call in refused_calls:
            refused = await refusal(call)
            assert (refused.code, refused.field) == ("INVALID_ARGUMENT", field)
    settled = await refusal(sidecar.metering.Commit(pb.CommitRequest(reservation_id=text)))
    assert settled.reason in ("INVALID_ARGUMENT", "RESERVATION_NOT_FOUND")


@pytest.mark.parametrize("text", ["{}", "{1}", "em:{0}:meta", "a{b}c", "'; DROP TABLE accounts; --", "%s%n", "*", " "])
async def test_hostile_ids_that_are_allowed_stay_inside_the_partition(
    sidecar: Sidecar, redis_url: str, text: str
) -> None:
    await sidecar.account(text)
    request = pb.ReserveRequest(account_id=text, request_id=text, amount_micros=1_000_000)
    held = (await sidecar.metering.Reserve(request)).reservation
    await sidecar.metering.Commit(pb.CommitRequest(reservation_id=held.reservation_id))
    assert await sidecar.available(text) == 499_000_000
    fixed = {key for number in range(PARTITIONS) for key in partition_keys(number).all()}
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        assert set(await redis.keys("*")) <= fixed


async def test_hostile_reservation_ids_are_not_found(sidecar: Sidecar) -> None:
    await sidecar.account()
    digest = reservation_digest("acme", "r")
    for reservation_id in (
        format_reservation_id("a\x00b", digest),
        format_reservation_id("nobody", digest),
        format_reservation_id("acme", digest),
        format_reservation_id("x" * 128, digest),
    ):
        for call in (
            sidecar.metering.Commit(pb.CommitRequest(reservation_id=reservation_id)),
            sidecar.metering.Release(pb.ReleaseRequest(reservation_id=reservation_id)),
            sidecar.metering.GetReservation(pb.GetReservationRequest(reservation_id=reservation_id)),
        ):
            refused = await refusal(call)
            assert refused.code == "NOT_FOUND"


async def test_negative_and_overflowing_amounts_and_unknown_enums(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = (await sidecar.reserve("r", 1)).reservation.reservation_id
    for call in (
        sidecar.metering.Reserve(pb.ReserveRequest(account_id="acme", request_id="a", amount_micros=-(2**63))),
        sidecar.metering.Reserve(pb.ReserveRequest(account_id="acme", request_id="a", amount_micros=2**63 - 1)),
        sidecar.metering.Commit(pb.CommitRequest(reservation_id=held, amount_micros=2**53)),
        sidecar.metering.Extend(pb.ExtendRequest(reservation_id=held, request_id="e", additional_micros=-1)),
    ):
        assert (await refusal(call)).reason == "INVALID_AMOUNT"
    policy = pb.CommitRequest.FromString(pb.CommitRequest(reservation_id=held).SerializeToString() + b"\x30\x63")
    assert (await refusal(sidecar.metering.Commit(policy))).field == "overage_policy"
    labels = {f"{number}": "" for number in range(10_000)}
    assert (await refusal(sidecar.reserve("b", labels=labels))).field == "labels"
    assert await sidecar.available() == 499_000_000


async def test_a_message_of_100_mb_and_bytes_that_are_no_message(sidecar: Sidecar) -> None:
    await sidecar.account()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sidecar.reserve("r", labels={"k": "v" * 100_000_000})
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    raw = sidecar.channel.unary_unary("/earmark.v1.MeteringService/Reserve", bytes, bytes)
    with pytest.raises(grpc.aio.AioRpcError):
        await raw(b"\xff" * 100)
    await sidecar.reserve("r")


async def test_a_session_with_more_operations_than_may_be_in_flight(sidecar: Sidecar) -> None:
    await sidecar.account()
    stream = sidecar.metering.Session()
    frames, width = 40, 1_024

    async def flood() -> None:
        for frame in range(frames):
            calls = [
                pb.SessionCall(
                    sequence=frame * width + number,
                    reserve=pb.ReserveRequest(account_id="acme", request_id=f"{frame}/{number}", amount_micros=-1),
                )
                for number in range(width)
            ]
            await stream.write(pb.SessionRequest(calls=calls))
        await stream.done_writing()

    flooding = asyncio.create_task(flood())
    seen = 0
    async for frame in stream:
        seen += len(frame.results)
    await flooding
    assert seen == frames * width
    assert (await sidecar.reserve("after")).reservation.reservation_id
