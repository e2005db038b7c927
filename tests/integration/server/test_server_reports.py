"""Reports over gRPC: what they say of a few generations, their default range, who may ask, and what is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from earmark.v1 import account_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import catalog_service_pb2 as catalog
from earmark.v1 import catalog_service_pb2_grpc as catalog_rpc
from earmark.v1 import ledger_service_pb2 as pb
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.server.conftest import Sidecar, refusal
from tests.support.waiting import wait_until

By = pb.GetUsageReportRequest
CREDIT = 1_000_000


async def generate(sidecar: Sidecar) -> None:
    """Three generations of acme: two charged, one failed; all are in SQL when it returns."""
    await sidecar.account("acme", credits=100)
    for number, (operation, user, committed) in enumerate(
        [("image", "ann", 3), ("image", "bob", 2), ("chat", "ann", 0)]
    ):
        reserved = await sidecar.reserve(f"r{number}", 3, operation=operation, user_id=user)
        reservation_id = reserved.reservation.reservation_id
        if committed:
            request = metering.CommitRequest(reservation_id=reservation_id, amount_micros=committed * CREDIT)
            await sidecar.metering.Commit(request)
        else:
            await sidecar.metering.Release(metering.ReleaseRequest(reservation_id=reservation_id))

    async def all_settled() -> bool:
        listed = await sidecar.ledger.ListLedgerEntries(pb.ListLedgerEntriesRequest(account_id="acme"))
        return len(listed.entries) == 4

    await wait_until(all_settled)


async def test_usage_is_summed_by_what_was_asked(sidecar: Sidecar) -> None:
    await generate(sidecar)
    request = By(account_id="acme", group_by=[By.GROUP_BY_OPERATION, By.GROUP_BY_DAY])
    report = await sidecar.ledger.GetUsageReport(request)
    image, chat = report.rows
    assert (image.operation, image.charged_micros, image.succeeded_count, image.failed_count) == (
        "image",
        5 * CREDIT,
        2,
        0,
    )
    assert (chat.operation, chat.charged_micros, chat.succeeded_count, chat.failed_count) == ("chat", 0, 0, 1)
    assert (report.total.charged_micros, report.total.quantity, report.row_count) == (5 * CREDIT, 2, 2)
    assert image.start_time.seconds % 86_400 == 0
    assert report.start_time.ToDatetime().day == 1
    assert image.start_time.seconds <= report.end_time.seconds < image.start_time.seconds + 86_400

    only_ann = By(account_id="acme", group_by=[By.GROUP_BY_USER], user_id="ann", limit=1)
    (ann,) = (await sidecar.ledger.GetUsageReport(only_ann)).rows
    assert (ann.user_id, ann.charged_micros, ann.failed_count) == ("ann", 3 * CREDIT, 1)
    assert not ann.HasField("start_time")


async def test_a_summary_balances(sidecar: Sidecar) -> None:
    await generate(sidecar)
    held = await sidecar.reserve("open", 10)
    summary = await sidecar.ledger.GetMonthlySummary(pb.GetMonthlySummaryRequest(account_id="acme"))
    total = summary.total
    assert (total.carried_in_micros, total.allocated_micros) == (0, 100 * CREDIT)
    assert (total.consumed_micros, total.remaining_micros) == (5 * CREDIT, 95 * CREDIT)
    assert held.balance.available_micros + held.balance.reserved_micros == total.remaining_micros
    assert len(summary.kinds) == 1
    before = Timestamp(seconds=summary.start_time.seconds)
    past = await sidecar.ledger.GetMonthlySummary(pb.GetMonthlySummaryRequest(account_id="acme", end_time=before))
    assert past.total == pb.SummaryLine()
    assert past.start_time.ToDatetime().day == 1
    assert past.start_time.seconds < past.end_time.seconds == before.seconds


async def test_only_admins_of_a_team_see_who_used_what(sidecar: Sidecar) -> None:
    await generate(sidecar)

    def asked_by(user_id: str) -> Any:
        request = By(account_id="acme", group_by=[By.GROUP_BY_USER], requesting_user_id=user_id)
        return sidecar.ledger.GetUsageReport(request)

    await asked_by("anyone while there are no members")
    for user_id, role in (("ann", account_pb2.Member.ROLE_ADMIN), ("bob", account_pb2.Member.ROLE_MEMBER)):
        added = accounts.AddMemberRequest(account_id="acme", request_id=user_id, user_id=user_id, role=role)
        await sidecar.accounts.AddMember(added)
    assert len((await asked_by("ann")).rows) == 2
    assert len((await asked_by("")).rows) == 2
    for user_id in ("bob", "eve"):
        refused = await refusal(asked_by(user_id))
        assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "WRONG_ROLE")


async def test_a_catalog_may_sell_reports_with_some_plans_only(sidecar: Sidecar) -> None:
    await sidecar.account("acme", credits=1)
    document = """
        name: test
        analytics_entitlement: analytics
        plans:
          free: {credits: 5, cycle: once}
          business: {credits: 150, cycle: monthly, entitlements: {analytics: yes}}
    """
    stub: Any = catalog_rpc.CatalogServiceStub(sidecar.channel)
    await stub.ApplyCatalog(catalog.ApplyCatalogRequest(document=document, request_id="apply"))
    refused = await refusal(sidecar.ledger.GetUsageReport(By(account_id="acme", group_by=[By.GROUP_BY_DAY])))
    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "NOT_ENTITLED")
    assert refused.metadata == {"entitlement": "analytics"}
    await sidecar.ledger.GetMonthlySummary(pb.GetMonthlySummaryRequest(account_id="acme"))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("group_by", lambda request: request.ClearField("group_by")),
        ("group_by", lambda request: request.group_by.append(By.GROUP_BY_DAY)),
        ("group_by", lambda request: request.group_by.append(By.GROUP_BY_MONTH)),
        ("group_by", lambda request: request.group_by.append(77)),
        ("group_by", lambda request: request.start_time.FromSeconds(0)),
        ("limit", lambda request: setattr(request, "limit", 10_001)),
        ("order_by", lambda request: setattr(request, "order_by", 9)),
        ("user_id", lambda request: setattr(request, "user_id", "a\nb")),
        ("account_id", lambda request: request.ClearField("account_id")),
        ("start_time", lambda request: request.start_time.FromSeconds(8_000_000_000)),
        ("end_time", lambda request: (request.start_time.FromSeconds(9), request.end_time.FromSeconds(8))),
    ],
)
async def test_what_makes_no_report_is_refused(sidecar: Sidecar, field: str, change: Callable[[Any], object]) -> None:
    await sidecar.account("acme", credits=0)
    request = By(account_id="acme", group_by=[By.GROUP_BY_DAY])
    change(request)
    refused = await refusal(sidecar.ledger.GetUsageReport(request))
    assert (refused.reason, refused.field) == ("INVALID_ARGUMENT", field)


@pytest.mark.parametrize("method", ["GetUsageReport", "GetMonthlySummary"])
async def test_an_unknown_account_has_no_report(sidecar: Sidecar, method: str) -> None:
    call: Callable[[Any], Awaitable[Any]] = getattr(sidecar.ledger, method)
    wanted: Any = By(group_by=[By.GROUP_BY_DAY]) if method == "GetUsageReport" else pb.GetMonthlySummaryRequest()
    wanted.account_id = "nobody"
    refused = await refusal(call(wanted))
    assert refused.reason == "ACCOUNT_NOT_FOUND"
