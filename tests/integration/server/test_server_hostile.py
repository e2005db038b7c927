"""Hostile requests on every RPC of administration, billing and reading: a clear error that names the field, and nothing
changed; never INTERNAL, never a line of error in the log."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import grpc.aio
import msgspec
import pytest
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from earmark.server.paging import encode_token
from earmark.v1 import account_pb2, catalog_pb2, common_pb2, grant_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import admin_service_pb2 as admin
from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import catalog_service_pb2 as catalogs
from earmark.v1 import ledger_service_pb2 as ledger
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.server.conftest import Refusal, Sidecar, refusal
from tests.integration.server.hostile import mutations
from tests.support.waiting import wait_until

CREDIT = 1_000_000
_CODES = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
}
_CATALOG = """
grants:
  adjustment: {validity: 12 months}
  promotion: {validity: calendar month}
operations:
  image: {price: {table: [{when: {size: s}, price: 0.38}], default: 1}}
  text: {price: {tokens: {input: 2, output: 6, cached_input: 0.5}}}
  audit: {price: {range: [1, 9007199253]}}
limits:
  daily: {window: day, amount: 9007199254, mode: notify}
plans:
  trial: {credits: 5, cycle: once, claimed: true}
  basic: {credits: 20, rollover: 40, prices: {month: {USD: 1}}}
  own: {custom: true}
packs:
  small: {credits: 100, prices: {USD: 10}}
  any: {custom: {min: 0.000001, max: 9007199254, step: 0.000001, rates: [{from: 0, prices: {USD: 0.2}}]}}
promotions:
  spring: {start: 2020-01-01, end: 2200-01-01, bonus_percent: 100}
"""
_TABLES = (
    "accounts",
    "catalogs",
    "claimed_identities",
    "purchases",
    "subscription_events",
    "subscriptions",
)


def _at(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)


_LIMIT = catalog_pb2.Limit(
    name="own",
    scope=catalog_pb2.Limit.SCOPE_USER,
    window=catalog_pb2.Limit.WINDOW_MONTH,
    amount_micros=CREDIT,
)
_ACCOUNT: dict[str, Any] = {
    "thresholds": account_pb2.Thresholds(low_balance_micros=5),
    "contacts": account_pb2.Contacts(emails=["a@b.example"], webhook_url="http://127.0.0.1:9/", webhook_secret="s"),
    "limits": [_LIMIT],
    "labels": {"key": "value"},
}
_PATHS = ["display_name", "time_zone", "overdraft_limit_micros", "enforcement", *_ACCOUNT]
_OVERRIDES = billing.SubscriptionOverrides(
    credits_micros=CREDIT, rollover_cap_micros=CREDIT, seats=3, entitlements={"key": "value"}
)
_FILTER = ledger.LedgerFilter(start_time=_at(1), end_time=_at(9_000_000_000), labels={"key": "value"})

REQUESTS: list[tuple[str, str, Message]] = [
    ("catalog", "ApplyCatalog", catalogs.ApplyCatalogRequest(document=_CATALOG, request_id="catalog")),
    ("catalog", "GetCatalog", catalogs.GetCatalogRequest()),
    ("catalog", "ListPrices", catalogs.ListPricesRequest()),
    ("catalog", "ListPlans", catalogs.ListPlansRequest()),
    ("catalog", "ListPacks", catalogs.ListPacksRequest()),
    (
        "billing",
        "CreateSubscription",
        billing.CreateSubscriptionRequest(account_id="acme", request_id="", plan_id="own", overrides=_OVERRIDES),
    ),
    ("billing", "GetSubscription", billing.GetSubscriptionRequest(account_id="acme")),
    (
        "billing",
        "ChangePlan",
        billing.ChangePlanRequest(account_id="acme", request_id="", plan_id="own", overrides=_OVERRIDES),
    ),
    ("billing", "CancelSubscription", billing.CancelSubscriptionRequest(account_id="acme", request_id="")),
    ("billing", "ConfirmRenewal", billing.ConfirmRenewalRequest(account_id="acme", request_id="")),
    ("billing", "ClaimFreePlan", billing.ClaimFreePlanRequest(account_id="acme", request_id="", identity="0xAB")),
    (
        "billing",
        "CreatePurchase",
        billing.CreatePurchaseRequest(account_id="acme", request_id="", pack_id="any", amount_micros=CREDIT),
    ),
    ("billing", "ConfirmPurchase", billing.ConfirmPurchaseRequest(purchase_id="pur_none")),
    ("billing", "FailPurchase", billing.FailPurchaseRequest(purchase_id="pur_none")),
    ("billing", "ListPurchases", billing.ListPurchasesRequest(account_id="acme")),
    ("ledger", "ListLedgerEntries", ledger.ListLedgerEntriesRequest(account_id="acme", filter=_FILTER)),
    (
        "ledger",
        "GetUsageReport",
        ledger.GetUsageReportRequest(account_id="acme", group_by=[ledger.GetUsageReportRequest.GROUP_BY_MONTH]),
    ),
    ("ledger", "GetMonthlySummary", ledger.GetMonthlySummaryRequest(account_id="acme")),
    ("ledger", "ListNotifications", ledger.ListNotificationsRequest(account_id="acme")),
    ("accounts", "CreateAccount", accounts.CreateAccountRequest(account_id="", request_id="r", **_ACCOUNT)),
    (
        "accounts",
        "UpdateAccount",
        accounts.UpdateAccountRequest(
            account=account_pb2.Account(account_id="acme", **_ACCOUNT),
            update_mask=FieldMask(paths=_PATHS),
            request_id="",
        ),
    ),
    ("accounts", "ListAccounts", accounts.ListAccountsRequest()),
    ("accounts", "AddMember", accounts.AddMemberRequest(account_id="other", request_id="", user_id="ann")),
    ("accounts", "RemoveMember", accounts.RemoveMemberRequest(account_id="other", request_id="", user_id="bob")),
    (
        "accounts",
        "CreateGrant",
        accounts.CreateGrantRequest(account_id="other", request_id="", amount_micros=1),
    ),
    (
        "accounts",
        "CreateGrant",
        accounts.CreateGrantRequest(
            account_id="other", request_id="", amount_micros=1, kind=grant_pb2.Grant.KIND_ADJUSTMENT, comment="adjusted"
        ),
    ),
    ("accounts", "VoidGrant", accounts.VoidGrantRequest(account_id="other", request_id="", grant_id="g999")),
    ("accounts", "ListGrants", accounts.ListGrantsRequest(account_id="acme")),
    ("admin", "GetClock", admin.GetClockRequest()),
    (
        "metering",
        "Estimate",
        metering.EstimateRequest(
            account_id="acme",
            items=[
                metering.EstimateItem(
                    operation="image", quantity=3, attributes={"size": "s"}, usage=common_pb2.Usage(counts={"key": 1})
                )
            ],
            buffer_percent=20,
        ),
    ),
    (
        "metering",
        "Estimate",
        metering.EstimateRequest(
            account_id="acme", items=[metering.EstimateItem(operation="image", quantity=3, attributes={"size": "s"})]
        ),
    ),
]


@pytest.fixture
async def complaints(sidecar: Sidecar) -> AsyncIterator[list[Any]]:
    """The sidecar's log lines of warnings and worse, none of which a caller may cause."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def _state(database_url: str) -> list[tuple[Any, ...]]:
    """What administration has recorded. A grant that Redis refuses leaves its operation there, as refused."""
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
        counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in _TABLES]
        return [*counts, *connection.execute("SELECT account_key, time_zone FROM accounts").fetchall()]


@pytest.mark.timeout(300)
async def test_one_field_gone_wrong(sidecar: Sidecar, database_url: str, complaints: list[Any]) -> None:
    await sidecar.install(_CATALOG)
    await sidecar.account("acme", 10)
    await sidecar.account("other", 10)
    wrong: list[str] = []
    number = 0
    for service, method, request in REQUESTS:
        call = getattr(getattr(sidecar, service), method)
        for said, mutated in (("as it is", request), *mutations(request)):
            number += 1
            # Each call has ids of its own, unless they are what is hostile: one that takes effect is no repeat.
            for field in ("request_id", "account_id"):
                if hasattr(mutated, field) and not getattr(mutated, field) and not said.startswith(field):
                    setattr(mutated, field, f"{field[0]}{number}")
            before = _state(database_url)
            try:
                await call(mutated)
            except grpc.aio.AioRpcError as failure:
                refused = Refusal.of(failure)
                where = f"{method}({said}): {refused!r:.300}"
                if refused.code not in _CODES or not refused.reason:
                    wrong.append(where)
                elif refused.code == "INVALID_ARGUMENT" and not refused.field:
                    wrong.append(f"{where} names no field")
                if _state(database_url) != before:
                    wrong.append(f"{where} changed something")
    bad = [line for line in complaints if line["log_level"] in ("error", "critical")]
    assert not wrong, "\n".join(wrong)
    assert not bad, bad[:3]
    assert number > 1_000


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
async def test_a_page_token_that_somebody_made_up(sidecar: Sidecar, complaints: list[Any], number: int) -> None:
    """Who knows the form of a token can make one that no database understands."""
    await sidecar.account("acme", 10)

    class Position(msgspec.Struct, array_like=True):
        key: int | str

    token = encode_token(Position(number), ("ListPurchases", "acme", 0))
    request = billing.ListPurchasesRequest(account_id="acme", page_token=token)
    assert (await refusal(sidecar.billing.ListPurchases(request))).field == "page_token"
    token = encode_token(Position("a\x00"), ("ListAccounts", ""))
    assert (await refusal(sidecar.accounts.ListAccounts(accounts.ListAccountsRequest(page_token=token)))).field == (
        "page_token"
    )
    assert not [line for line in complaints if line["log_level"] == "error"]


@pytest.mark.parametrize(
    "document",
    [
        "a: &a [x, x]\nb: [*a, *a]\n",
        "[" * 100_000,
        "{a: " * 50_000,
        "? " * 300_000,
        "- " * 300_000,
        "operations:\n" + "".join(f"  o{number}: 1\n" for number in range(60_000)),
        "x" * 2**20,
        "#" + "y" * (2**20 - 1),
        "x" * (2**20 + 1),
        "!!python/object/apply:os.system ['true']",
        "name: \x00",
        'name: "\\ud800"',
        "{}\n---\n{}",
        "operations: {a: 1e999999999}",
        f"operations: {{a: {'9' * 100_000}}}",
        "promotions: {p: {start: 0001-01-01, end: 9999-12-31, bonus: 1}}",
        "grants: {free: {validity: 999999999999 months}}",
    ],
    ids=lambda document: document[:20].replace("\n", " "),
)
async def test_a_catalog_that_is_none(sidecar: Sidecar, complaints: list[Any], document: str) -> None:
    request = catalogs.ApplyCatalogRequest(document=document, request_id="r")
    refused = await refusal(sidecar.catalog.ApplyCatalog(request))
    assert (refused.code, refused.reason, refused.field) == ("INVALID_ARGUMENT", "INVALID_CATALOG", "document")
    assert "line" in refused.metadata
    assert len(refused.message) < 8_000
    assert (await refusal(sidecar.catalog.GetCatalog(catalogs.GetCatalogRequest()))).reason == "CATALOG_NOT_FOUND"
    assert not [line for line in complaints if line["log_level"] == "error"]


@pytest.mark.parametrize(
    "url",
    ["http://[", "http://[::1", "http://127.0.0.1:99999/", "http://:@:/", "http://%00/", "https://x{}/\\", "http://#"],
)
async def test_a_webhook_that_is_none_keeps_no_other_from_its_alerts(
    sidecar: Sidecar, complaints: list[Any], url: str
) -> None:
    """It is refused, or its delivery fails and is repeated; the job goes on either way."""
    await sidecar.account("acme", 10)
    request = accounts.UpdateAccountRequest(
        account=account_pb2.Account(
            account_id="acme",
            contacts=account_pb2.Contacts(webhook_url=url),
            thresholds=account_pb2.Thresholds(low_balance_micros=5 * CREDIT),
        ),
        update_mask=FieldMask(paths=["contacts", "thresholds"]),
        request_id="hook",
    )
    try:
        await sidecar.accounts.UpdateAccount(request)
        code = "OK"
    except grpc.aio.AioRpcError as failure:
        code = Refusal.of(failure).code
    assert code in ("OK", "INVALID_ARGUMENT")
    if code != "OK":
        return
    await sidecar.charge("low", amount_micros=6 * CREDIT)

    async def failed() -> Any:
        listed = await sidecar.ledger.ListNotifications(ledger.ListNotificationsRequest(account_id="acme"))
        return [each for note in listed.notifications for each in note.deliveries if each.error]

    assert await wait_until(failed)
    assert not [line for line in complaints if line["log_level"] == "error"]


@pytest.mark.timeout(300)
async def test_streams_of_what_is_hostile(sidecar: Sidecar, complaints: list[Any]) -> None:
    """Exports are refused like lists; of accounts that are imported each is refused by itself, the others go on."""
    await sidecar.install(_CATALOG)
    await sidecar.account("acme", 10)
    for said, request in mutations(ledger.ExportLedgerRequest(account_id="acme", filter=_FILTER)):
        try:
            _ = [response async for response in sidecar.ledger.ExportLedger(request)]
        except grpc.aio.AioRpcError as failure:
            refused = Refusal.of(failure)
            assert refused.code in _CODES, (said, refused)
            assert refused.field or refused.code != "INVALID_ARGUMENT", (said, refused)
    account = accounts.ImportedAccount(
        account_id="",
        balance_micros=CREDIT,
        lifetime_charged_micros=CREDIT,
        grants=[
            accounts.ImportedGrant(external_id="e", amount_micros=10, charged_micros=1, expire_time=_at(2_000_000_000))
        ],
        claimed_identities=["0xAB"],
        subscription=accounts.ImportedSubscription(plan_id="basic", anchor_time=_at(1_700_000_000)),
        members=[account_pb2.Member(user_id="ann")],
    )
    bad = list(mutations(account))

    async def requests() -> AsyncIterator[accounts.ImportAccountsRequest]:
        for number, (said, changed) in enumerate(bad):
            assert isinstance(changed, accounts.ImportedAccount)
            if not said.startswith("account_id"):
                changed.account_id = f"i{number}"
            # Each identity claims once, over all accounts.
            if list(changed.claimed_identities) == ["0xAB"]:
                changed.claimed_identities[:] = [f"0x{number}"]
            yield accounts.ImportAccountsRequest(account=changed)

    answers = [answer async for answer in sidecar.accounts.ImportAccounts(requests())]
    assert len(answers) == len(bad)
    outcomes = accounts.ImportAccountsResponse
    for (said, _), answer in zip(bad, answers, strict=True):
        if answer.outcome == outcomes.OUTCOME_REFUSED:
            assert answer.reason, (said, answer)
            assert answer.message, (said, answer)
        else:
            assert answer.outcome == outcomes.OUTCOME_IMPORTED, (said, answer)
    assert not [line for line in complaints if line["log_level"] == "error"]


async def test_a_clock_that_is_to_go_nowhere(sidecar: Sidecar, complaints: list[Any]) -> None:
    before = (await sidecar.admin.GetClock(admin.GetClockRequest())).time.ToDatetime()
    for seconds in (-1, -(2**63), 2**63 - 1, 253_402_300_799, 9_007_199_255):
        for request in (
            admin.MoveClockRequest(by=Duration(seconds=seconds)),
            admin.MoveClockRequest(time=Timestamp(seconds=seconds)),
        ):
            refused = await refusal(sidecar.admin.MoveClock(request))
            assert (refused.code, bool(refused.field)) == ("INVALID_ARGUMENT", True), refused
    assert (await refusal(sidecar.admin.MoveClock(admin.MoveClockRequest()))).field == "to"
    after = (await sidecar.admin.GetClock(admin.GetClockRequest())).time.ToDatetime()
    assert (after - before).total_seconds() < 60
    assert not [line for line in complaints if line["log_level"] == "error"]
