"""`AdminService`: the clock of a test store moves over gRPC, and what falls due has happened when the call returns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import admin_service_pb2 as admin
from earmark.v1 import admin_service_pb2_grpc as admin_rpc
from earmark.v1 import ledger_pb2
from earmark.v1 import ledger_service_pb2 as ledger
from tests.integration.server.conftest import Sidecar, open_test_sidecar, refusal


def stub(sidecar: Sidecar) -> Any:
    return admin_rpc.AdminServiceStub(sidecar.channel)


async def test_what_falls_due_is_in_sql_when_the_move_returns(sidecar: Sidecar) -> None:
    await sidecar.account(credits=10)
    clock = stub(sidecar)
    before = await clock.GetClock(admin.GetClockRequest())
    assert before.movable
    expire = Timestamp()
    expire.FromDatetime(before.time.ToDatetime() + timedelta(days=30))
    grant = accounts.CreateGrantRequest(
        account_id="acme", request_id="soon gone", amount_micros=5_000_000, expire_time=expire
    )
    await sidecar.accounts.CreateGrant(grant)
    await sidecar.reserve("held", 1, ttl=Duration(seconds=60))
    after = await clock.MoveClock(admin.MoveClockRequest(by=Duration(seconds=31 * 86_400)))
    moved = after.time.ToDatetime(tzinfo=UTC) - before.time.ToDatetime(tzinfo=UTC)
    assert timedelta(days=31) <= moved < timedelta(days=31, minutes=1)
    listed = await sidecar.ledger.ListLedgerEntries(ledger.ListLedgerEntriesRequest(account_id="acme"))
    kinds = [entry.kind for entry in listed.entries]
    assert kinds[:2] == [ledger_pb2.LedgerEntry.KIND_GRANT_EXPIRED, ledger_pb2.LedgerEntry.KIND_EXPIRED_HOLD]
    assert await sidecar.available() == 10_000_000


async def test_it_moves_to_a_moment_and_never_back(sidecar: Sidecar) -> None:
    clock = stub(sidecar)
    target = Timestamp()
    target.FromDatetime(datetime(2031, 1, 31, 12, tzinfo=UTC))
    moved = await clock.MoveClock(admin.MoveClockRequest(time=target))
    assert timedelta() <= moved.time.ToDatetime() - target.ToDatetime() < timedelta(minutes=1)
    past = Timestamp()
    past.FromDatetime(datetime(2030, 12, 31, tzinfo=UTC))
    assert (await refusal(clock.MoveClock(admin.MoveClockRequest(time=past)))).reason == "INVALID_ARGUMENT"
    back = Duration(seconds=-1)
    assert (await refusal(clock.MoveClock(admin.MoveClockRequest(by=back)))).reason == "INVALID_ARGUMENT"
    assert (await refusal(clock.MoveClock(admin.MoveClockRequest()))).field == "to"


async def test_the_clock_of_a_real_store_stands_firm(redis_url: str, database_url: str, socket_path: Path) -> None:
    async with open_test_sidecar(redis_url, database_url, f"unix:{socket_path}", test_store=False) as sidecar:
        clock = stub(sidecar)
        assert not (await clock.GetClock(admin.GetClockRequest())).movable
        refused = await refusal(clock.MoveClock(admin.MoveClockRequest(by=Duration(seconds=1))))
        assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION.name, "NOT_A_TEST_STORE")
