"""`MeteringService` over a real channel: every RPC, and what each refusal says."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import common_pb2 as common
from earmark.v1 import ledger_pb2 as ledger
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import reservation_pb2 as reservations
from tests.integration.server.conftest import Sidecar, refusal
from tests.support.waiting import wait_until

State = reservations.Reservation


async def test_reserve_then_commit_less(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = await sidecar.reserve("r1", 5, operation="image", user_id="ada", labels={"k": "v"})
    assert held.reservation.state == State.STATE_ACTIVE
    assert (held.balance.available_micros, held.balance.reserved_micros) == (495_000_000, 5_000_000)
    committed = await sidecar.metering.Commit(
        pb.CommitRequest(reservation_id=held.reservation.reservation_id, amount_micros=2_000_000)
    )
    assert (committed.charged_micros, committed.reservation.state) == (2_000_000, State.STATE_COMMITTED)
    assert (committed.reservation.operation, committed.reservation.user_id) == ("image", "ada")
    assert (committed.balance.available_micros, committed.balance.reserved_micros) == (498_000_000, 0)


async def test_a_zero_is_charged_as_zero_and_an_absence_as_the_whole(sidecar: Sidecar) -> None:
    await sidecar.account()
    free, whole = await sidecar.reserve("r1", 5), await sidecar.reserve("r2", 5)
    zero = pb.CommitRequest(reservation_id=free.reservation.reservation_id, amount_micros=0)
    assert (await sidecar.metering.Commit(zero)).charged_micros == 0
    absent = pb.CommitRequest(reservation_id=whole.reservation.reservation_id)
    assert (await sidecar.metering.Commit(absent)).charged_micros == 5_000_000


async def test_the_same_id_again_is_a_replay_and_with_other_content_refused(sidecar: Sidecar) -> None:
    await sidecar.account()
    first = await sidecar.reserve("r1", 5)
    again = await sidecar.reserve("r1", 5, ttl=Duration(seconds=5), labels={"a": "b"})
    assert again.replayed
    assert again.reservation == first.reservation
    refused = await refusal(sidecar.reserve("r1", 6))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    charge = pb.ChargeRequest(account_id="acme", request_id="r1", amount_micros=5_000_000)
    assert (await refusal(sidecar.metering.Charge(charge))).reason == "REQUEST_ID_REUSED"


async def test_what_is_missing_is_said_in_numbers(sidecar: Sidecar) -> None:
    await sidecar.account()
    refused = await refusal(sidecar.reserve("r1", 700))
    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "INSUFFICIENT_CREDITS")
    assert refused.metadata == {
        "available_micros": "500000000",
        "required_micros": "700000000",
        "shortfall_micros": "200000000",
    }
    assert "200 credits short" in refused.message
    less = await sidecar.reserve("r1", 700, min_amount_micros=1)
    assert less.reservation.reserved_micros == 500_000_000


async def test_validate_only_stores_nothing(sidecar: Sidecar) -> None:
    await sidecar.account()
    checked = await sidecar.reserve("r1", 5, validate_only=True)
    assert checked.reservation.reservation_id == ""
    assert checked.reservation.reserved_micros == 5_000_000
    assert await sidecar.available() == 500_000_000
    assert (await refusal(sidecar.reserve("r1", 501, validate_only=True))).reason == "INSUFFICIENT_CREDITS"
    assert not (await sidecar.reserve("r1", 5)).replayed


async def test_release_gives_back_once(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = await sidecar.reserve("r1", 5)
    release = pb.ReleaseRequest(reservation_id=held.reservation.reservation_id, reason="no luck")
    first = await sidecar.metering.Release(release)
    assert (first.reservation.state, first.replayed) == (State.STATE_RELEASED, False)
    assert (await sidecar.metering.Release(release)).replayed
    assert await sidecar.available() == 500_000_000
    commit = pb.CommitRequest(reservation_id=held.reservation.reservation_id)
    refused = await refusal(sidecar.metering.Commit(commit))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "ALREADY_RELEASED")


async def test_release_by_request_id_overtakes_its_reserve(sidecar: Sidecar) -> None:
    await sidecar.account()
    released = await sidecar.metering.Release(pb.ReleaseRequest(account_id="acme", request_id="r1"))
    assert released.reservation.state == State.STATE_RELEASED
    late = await sidecar.reserve("r1", 5)
    assert late.replayed
    assert late.reservation.state == State.STATE_RELEASED
    assert await sidecar.available() == 500_000_000


async def test_extend_adds_time_and_credits(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = (await sidecar.reserve("r1", 5)).reservation
    longer = await sidecar.metering.Extend(
        pb.ExtendRequest(
            reservation_id=held.reservation_id,
            request_id="e1",
            ttl=Duration(seconds=600),
            additional_micros=2_000_000,
        )
    )
    assert longer.reservation.reserved_micros == 7_000_000
    assert longer.reservation.expire_time.seconds > held.expire_time.seconds + 500
    too_much = pb.ExtendRequest(reservation_id=held.reservation_id, request_id="e2", additional_micros=10**12)
    assert (await refusal(sidecar.metering.Extend(too_much))).reason == "INSUFFICIENT_CREDITS"


async def test_charge_is_one_step(sidecar: Sidecar) -> None:
    await sidecar.account()
    request = pb.ChargeRequest(account_id="acme", request_id="c1", amount_micros=3_000_000, comment="one\nline")
    charged = await sidecar.metering.Charge(request)
    assert (charged.charged_micros, charged.reservation.state) == (3_000_000, State.STATE_COMMITTED)
    assert (await sidecar.metering.Charge(request)).replayed
    entries = await wait_until(lambda: _entries(sidecar, 2))
    assert (entries[0].kind, entries[0].comment) == (ledger.LedgerEntry.KIND_CHARGE, "one\nline")


async def _entries(sidecar: Sidecar, count: int) -> list[Any]:
    from earmark.v1 import ledger_service_pb2 as ledger_service

    response = await sidecar.ledger.ListLedgerEntries(ledger_service.ListLedgerEntriesRequest(account_id="acme"))
    return list(response.entries) if len(response.entries) >= count else []


async def test_overage_is_taken_as_far_as_the_policy_says(sidecar: Sidecar) -> None:
    await sidecar.account(credits=10)
    held = (await sidecar.reserve("r1", 5)).reservation
    rejected = pb.CommitRequest(
        reservation_id=held.reservation_id, amount_micros=6_000_000, overage_policy=common.OVERAGE_POLICY_REJECT
    )
    refused = await refusal(sidecar.metering.Commit(rejected))
    assert refused.reason == "OVERAGE_REJECTED"
    assert refused.metadata["reserved_micros"] == "5000000"
    allowed = pb.CommitRequest(reservation_id=held.reservation_id, amount_micros=12_000_000)
    committed = await sidecar.metering.Commit(allowed)
    assert (committed.charged_micros, committed.uncollected_micros) == (10_000_000, 2_000_000)


async def test_a_commit_of_what_is_committed_says_what_was_charged(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = (await sidecar.reserve("r1", 5)).reservation
    commit = pb.CommitRequest(reservation_id=held.reservation_id, amount_micros=4_000_000)
    await sidecar.metering.Commit(commit)
    assert (await sidecar.metering.Commit(commit)).replayed
    commit.amount_micros = 3_000_000
    refused = await refusal(sidecar.metering.Commit(commit))
    assert (refused.reason, refused.metadata["charged_micros"]) == ("ALREADY_COMMITTED", "4000000")


async def test_a_reserve_waits_for_credits(sidecar: Sidecar) -> None:
    await sidecar.account(credits=0)
    waiting = asyncio.create_task(sidecar.reserve("r1", 5, wait=Duration(seconds=20)))
    await wait_until(lambda: _is_queued(sidecar))
    await sidecar.accounts.CreateGrant(
        accounts.CreateGrantRequest(account_id="acme", request_id="g", amount_micros=5_000_000)
    )
    assert (await waiting).reservation.reserved_micros == 5_000_000


async def test_the_wait_ends_with_a_refusal(sidecar: Sidecar) -> None:
    await sidecar.account(credits=0)
    refused = await refusal(sidecar.reserve("r1", 5, wait=Duration(nanos=50_000_000)))
    assert refused.reason == "INSUFFICIENT_CREDITS"


async def test_a_caller_that_goes_away_gives_its_place_back(sidecar: Sidecar) -> None:
    await sidecar.account(credits=0)
    call = sidecar.metering.Reserve(
        pb.ReserveRequest(account_id="acme", request_id="r1", amount_micros=5, wait=Duration(seconds=60))
    )
    await wait_until(lambda: _is_queued(sidecar))
    call.cancel()
    await wait_until(lambda: _is_not_queued(sidecar))


async def _is_queued(sidecar: Sidecar) -> bool:
    return await sidecar.waiters() == 1


async def _is_not_queued(sidecar: Sidecar) -> bool:
    return await sidecar.waiters() == 0


async def test_an_account_that_is_not_there(sidecar: Sidecar) -> None:
    for call in (
        sidecar.reserve("r1", 5, account_id="nobody"),
        sidecar.metering.GetBalance(pb.GetBalanceRequest(account_id="nobody")),
        sidecar.metering.ListReservations(pb.ListReservationsRequest(account_id="nobody")),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")


async def test_a_reservation_that_is_not_there(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = (await sidecar.reserve("r1", 5, validate_only=True)).reservation
    assert held.reservation_id == ""
    refused = await refusal(sidecar.metering.Commit(pb.CommitRequest(reservation_id="AAAA")))
    assert (refused.code, refused.reason) == ("NOT_FOUND", "RESERVATION_NOT_FOUND")


async def test_reservations_are_read_from_both_stores(sidecar: Sidecar) -> None:
    await sidecar.account()
    active = [(await sidecar.reserve(f"a{n}", 1, ttl=Duration(seconds=60 + n))).reservation for n in range(5)]
    for number in range(5):
        held = (await sidecar.reserve(f"e{number}", 1)).reservation
        await sidecar.metering.Release(pb.ReleaseRequest(reservation_id=held.reservation_id))
    await wait_until(lambda: _entries(sidecar, 6))

    async def pages(**fields: Any) -> list[str]:
        names: list[str] = []
        token = ""
        while True:
            page = await sidecar.metering.ListReservations(
                pb.ListReservationsRequest(account_id="acme", page_size=3, page_token=token, **fields)
            )
            assert len(page.reservations) <= 3
            names += [each.request_id for each in page.reservations]
            token = page.next_page_token
            if not token:
                return names

    assert await pages() == ["a0", "a1", "a2", "a3", "a4", "e4", "e3", "e2", "e1", "e0"]
    assert await pages(state=State.STATE_ACTIVE) == ["a0", "a1", "a2", "a3", "a4"]
    assert await pages(state=State.STATE_RELEASED) == ["e4", "e3", "e2", "e1", "e0"]
    assert await pages(state=State.STATE_COMMITTED) == []
    got = await sidecar.metering.GetReservation(pb.GetReservationRequest(reservation_id=active[0].reservation_id))
    assert got.reservation == active[0]
    refused = await refusal(
        sidecar.metering.ListReservations(pb.ListReservationsRequest(account_id="acme", page_token="nonsense"))
    )
    assert refused.field == "page_token"


async def test_the_balance_shows_grants_in_burn_down_order(sidecar: Sidecar) -> None:
    await sidecar.account(credits=10)
    await sidecar.accounts.CreateGrant(
        accounts.CreateGrantRequest(account_id="acme", request_id="g2", amount_micros=5_000_000, priority=1)
    )
    await sidecar.reserve("r1", 6)
    response = await sidecar.metering.GetBalance(pb.GetBalanceRequest(account_id="acme"))
    assert (response.balance.available_micros, response.balance.reserved_micros) == (9_000_000, 6_000_000)
    shown = [(each.amount_micros, each.available_micros, each.reserved_micros) for each in response.grants]
    assert shown == [(5_000_000, 0, 5_000_000), (10_000_000, 9_000_000, 1_000_000)]


async def test_a_watcher_sees_the_latest_balance(sidecar: Sidecar) -> None:
    await sidecar.account(credits=10)
    watch = sidecar.metering.WatchBalance(pb.WatchBalanceRequest(account_id="acme"))
    assert (await watch.read()).balance.available_micros == 10_000_000
    await sidecar.reserve("r1", 4)
    seen = await watch.read()
    while seen.balance.available_micros != 6_000_000:
        seen = await watch.read()
    watch.cancel()
    missing = sidecar.metering.WatchBalance(pb.WatchBalanceRequest(account_id="nobody"))
    assert (await refusal(missing.read())).reason == "ACCOUNT_NOT_FOUND"


async def test_a_call_that_is_not_served_says_so(sidecar: Sidecar) -> None:
    unknown = sidecar.channel.unary_unary("/earmark.v1.MeteringService/Nothing", bytes, bytes)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unknown(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
