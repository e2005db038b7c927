"""Accounts of another system: brought in with their past, over gRPC, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from earmark.cli.reconcile import compare_stores
from earmark.ledger import open_ledger
from earmark.settings import Settings
from earmark.v1 import account_pb2, ledger_pb2
from earmark.v1 import account_service_pb2 as pb
from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import grant_pb2 as grants
from earmark.v1 import ledger_service_pb2 as ledger
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.billing.catalog import CATALOG
from tests.integration.server.conftest import Refusal, Sidecar, open_test_sidecar

CREDIT = 1_000_000
ANSWER = pb.ImportAccountsResponse
KIND = grants.Grant
NOW = datetime.now(UTC)


def at(**ago: float) -> Timestamp:
    """Return a moment before now."""
    time = Timestamp()
    time.FromDatetime(NOW - timedelta(**ago))
    return time


def grant(external_id: str, amount: int, charged: int = 0, expired: int = 0, **fields: Any) -> pb.ImportedGrant:
    """Return a grant; amounts in credits."""
    return pb.ImportedGrant(
        external_id=external_id,
        amount_micros=amount * CREDIT,
        charged_micros=charged * CREDIT,
        expired_micros=expired * CREDIT,
        **fields,
    )


def acme(**fields: Any) -> pb.ImportedAccount:
    """Return an account with a bit of everything: 100 left of 250 that were granted, 110 charged, 40 expired."""
    return pb.ImportedAccount(
        **{
            "account_id": "acme",
            "display_name": "Acme",
            "time_zone": "Europe/Paris",
            "balance_micros": 10 * CREDIT,
            "lifetime_charged_micros": 20 * CREDIT,
            "grants": [
                grant("paid", 100, 30, kind=KIND.KIND_PURCHASE, acquire_time=at(days=80), comment="order 7"),
                grant("over", 50, 15, 5, kind=KIND.KIND_FREE, acquire_time=at(days=90), expire_time=at(days=60)),
                grant("soon", 30, 5, 5, kind=KIND.KIND_FREE, acquire_time=at(days=70), expire_time=at(days=-3)),
                grant("used", 40, 40, kind=KIND.KIND_SUBSCRIPTION, acquire_time=at(days=65)),
            ],
            "labels": {"tier": "gold"},
            "members": [
                account_pb2.Member(user_id="ada", role=account_pb2.Member.ROLE_ADMIN, create_time=at(days=80)),
                account_pb2.Member(user_id="bob"),
            ],
            **fields,
        }
    )


class Importing:
    """A sidecar that accounts are brought to."""

    def __init__(self, sidecar: Sidecar, redis_url: str, database_url: str) -> None:
        self.sidecar = sidecar
        self._stores = {"redis_url": redis_url, "database_url": database_url}

    async def bring(self, *accounts: pb.ImportedAccount, validate_only: bool = False) -> list[ANSWER]:
        """Send accounts on one stream."""
        requests = [pb.ImportAccountsRequest(account=account, validate_only=validate_only) for account in accounts]
        return [answer async for answer in self.sidecar.accounts.ImportAccounts(iter(requests))]

    async def outcomes(self, *accounts: pb.ImportedAccount, validate_only: bool = False) -> list[int]:
        """Send accounts, and return what became of them."""
        return [answer.outcome for answer in await self.bring(*accounts, validate_only=validate_only)]

    async def balance(self, account_id: str = "acme") -> metering.GetBalanceResponse:
        """Return an account's totals, as Redis has them."""
        answer: metering.GetBalanceResponse = await self.sidecar.metering.GetBalance(
            metering.GetBalanceRequest(account_id=account_id)
        )
        return answer

    async def entries(self) -> list[ledger_pb2.LedgerEntry]:
        """Return all entries of acme, newest first."""
        request = ledger.ListLedgerEntriesRequest(account_id="acme", page_size=1_000)
        return list((await self.sidecar.ledger.ListLedgerEntries(request)).entries)

    async def summary(self, start: Timestamp, end: Timestamp) -> ledger.GetMonthlySummaryResponse:
        """Return what came and went of acme."""
        request = ledger.GetMonthlySummaryRequest(account_id="acme", start_time=start, end_time=end)
        answer: ledger.GetMonthlySummaryResponse = await self.sidecar.ledger.GetMonthlySummary(request)
        return answer

    async def settled(self) -> None:
        """Wait until SQL has everything, and compare the stores, and the ledger with itself."""
        await self.sidecar.move(by=timedelta(milliseconds=1))
        report = await compare_stores(Settings.load(**self._stores), lambda _done, _total: None)
        assert not report.drift, report.to_json()


@pytest.fixture
async def importing(redis_url: str, database_url: str) -> AsyncIterator[Importing]:
    found = await open_ledger(database_url)
    await found.catalogs.install(CATALOG, "billing", "", "")
    await found.close()
    with TemporaryDirectory(prefix="em") as name:
        async with open_test_sidecar(redis_url, database_url, f"unix:{Path(name) / 's'}") as running:
            yield Importing(running, redis_url, database_url)


async def test_an_account_comes_with_its_past_and_spends(importing: Importing) -> None:
    (answer,) = await importing.bring(acme())
    assert (answer.account_id, answer.outcome, answer.message) == ("acme", ANSWER.OUTCOME_IMPORTED, "")
    await importing.settled()
    balance = (await importing.balance()).balance
    assert balance.available_micros == (10 + 70 + 20) * CREDIT
    assert balance.lifetime_charged_micros == (20 + 30 + 15 + 5 + 40) * CREDIT
    assert balance.expiring_soon_micros == 20 * CREDIT
    account = (await importing.sidecar.accounts.GetAccount(pb.GetAccountRequest(account_id="acme"))).account
    assert (account.display_name, account.time_zone, dict(account.labels)) == ("Acme", "Europe/Paris", {"tier": "gold"})
    assert [(member.user_id, member.role) for member in account.members] == [("ada", 2), ("bob", 1)]
    assert account.members[0].create_time == at(days=80)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await importing.sidecar.charge("stranger", amount_micros=CREDIT, user_id="eve")
    assert Refusal.of(caught.value).reason == "NOT_A_MEMBER"
    charged = await importing.sidecar.charge("first", amount_micros=95 * CREDIT, user_id="bob")
    # What expires soon is used first, then what never expires, bought credits last.
    assert [part.amount_micros // CREDIT for part in charged.reservation.allocations] == [20, 10, 65]
    await importing.settled()


async def test_entries_tell_the_past_in_its_order(importing: Importing) -> None:
    await importing.bring(acme())
    entries = list(reversed(await importing.entries()))
    assert [entry.entry_number for entry in entries] == list(range(1, len(entries) + 1))
    times = [entry.create_time.ToMicroseconds() for entry in entries]
    assert times == sorted(times)
    left = 0
    for entry in entries:
        left += entry.amount_micros if entry.kind == ledger_pb2.LedgerEntry.KIND_GRANT else -entry.amount_micros
        assert entry.available_after_micros == left >= 0
    assert left == 100 * CREDIT
    (order,) = [entry for entry in entries if entry.comment == "order 7"]
    assert (order.request_id, order.amount_micros) == ("import/paid", 100 * CREDIT)


async def test_reports_agree_with_the_past(importing: Importing) -> None:
    await importing.bring(acme())
    past = (await importing.summary(at(days=90), at(days=1))).total
    assert past.carried_in_micros == 0
    assert (past.allocated_micros, past.consumed_micros) == (220 * CREDIT, 90 * CREDIT)
    assert (past.expired_micros, past.remaining_micros) == (40 * CREDIT, 90 * CREDIT)
    today = (await importing.summary(at(days=1), at(days=-1))).total
    assert (today.carried_in_micros, today.allocated_micros) == (90 * CREDIT, 10 * CREDIT)
    assert (today.consumed_micros, today.remaining_micros) == (0, 100 * CREDIT)
    by_operation = ledger.GetUsageReportRequest.GROUP_BY_OPERATION
    request = ledger.GetUsageReportRequest(
        account_id="acme", group_by=[by_operation], start_time=Timestamp(), end_time=at(days=-1)
    )
    usage = await importing.sidecar.ledger.GetUsageReport(request)
    assert usage.total.charged_micros == 110 * CREDIT


async def test_again_is_unchanged_and_other_content_is_refused(importing: Importing) -> None:
    assert await importing.outcomes(acme(), acme()) == [ANSWER.OUTCOME_IMPORTED, ANSWER.OUTCOME_UNCHANGED]
    shuffled = acme()
    shuffled.grants.reverse()
    shuffled.members.reverse()
    assert await importing.outcomes(shuffled) == [ANSWER.OUTCOME_UNCHANGED]
    await importing.sidecar.charge("spent", amount_micros=CREDIT, user_id="ada")
    assert await importing.outcomes(acme(), validate_only=True) == [ANSWER.OUTCOME_UNCHANGED]
    (other,) = await importing.bring(acme(balance_micros=11 * CREDIT))
    assert (other.outcome, other.reason) == (ANSWER.OUTCOME_REFUSED, "REQUEST_ID_REUSED")
    assert "imported before, with another content" in other.message
    await importing.sidecar.account("own", credits=0)
    (own,) = await importing.bring(acme(account_id="own"))
    assert (own.outcome, own.reason) == (ANSWER.OUTCOME_REFUSED, "ACCOUNT_EXISTS")
    await importing.settled()
    assert (await importing.balance()).balance.available_micros == 99 * CREDIT


async def test_two_who_bring_the_same_at_the_same_moment(importing: Importing) -> None:
    found = await asyncio.gather(*(importing.outcomes(acme()) for _ in range(6)))
    assert sorted(outcome for (outcome,) in found) == [ANSWER.OUTCOME_IMPORTED, *[ANSWER.OUTCOME_UNCHANGED] * 5]
    await importing.settled()


async def test_a_dry_run_leaves_nothing(importing: Importing) -> None:
    wanted = acme(
        claimed_identities=["0xABC"],
        subscription=pb.ImportedSubscription(plan_id="basic", anchor_time=at(days=40)),
    )
    assert await importing.outcomes(wanted, validate_only=True) == [ANSWER.OUTCOME_VALID]
    with pytest.raises(grpc.aio.AioRpcError):
        await importing.sidecar.accounts.GetAccount(pb.GetAccountRequest(account_id="acme"))
    assert await importing.outcomes(wanted) == [ANSWER.OUTCOME_IMPORTED]


async def test_one_that_is_refused_does_not_stop_the_others(importing: Importing) -> None:
    answers = await importing.bring(
        acme(account_id="one"), acme(account_id="two", time_zone="Mars/Olympus"), acme(account_id="three")
    )
    assert [answer.account_id for answer in answers] == ["one", "two", "three"]
    assert [answer.outcome for answer in answers] == [
        ANSWER.OUTCOME_IMPORTED,
        ANSWER.OUTCOME_REFUSED,
        ANSWER.OUTCOME_IMPORTED,
    ]
    assert "Mars/Olympus" in answers[1].message
    await importing.settled()


async def test_a_subscription_goes_on(importing: Importing) -> None:
    wanted = acme(
        grants=[grant("cycle", 20, 5, kind=KIND.KIND_SUBSCRIPTION, acquire_time=at(days=5))],
        balance_micros=0,
        lifetime_charged_micros=0,
        members=[],
        subscription=pb.ImportedSubscription(plan_id="basic", term="month", anchor_time=at(days=5)),
    )
    assert await importing.outcomes(wanted) == [ANSWER.OUTCOME_IMPORTED]
    assert (await importing.balance()).balance.available_micros == 15 * CREDIT
    # What its plan includes is known at once, and the plan's limits of entitlement hold.
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await importing.sidecar.charge("api", "api")
    assert Refusal.of(caught.value).reason == "NOT_ENTITLED"
    request = billing.GetSubscriptionRequest(account_id="acme")
    subscription = (await importing.sidecar.billing.GetSubscription(request)).subscription
    assert (subscription.plan_id, subscription.cycle) == ("basic", 1)
    end = subscription.cycle_end_time.ToDatetime(UTC)
    await importing.sidecar.move(to=end.replace(tzinfo=None))
    assert (await importing.balance()).balance.available_micros == 35 * CREDIT
    await importing.settled()


async def test_identities_have_claimed(importing: Importing) -> None:
    first, second = acme(claimed_identities=["0xABC", " 0xabc "]), acme(account_id="two", claimed_identities=["0Xabc"])
    answers = await importing.bring(first, second)
    assert [answer.reason for answer in answers] == ["", "FREE_PLAN_CLAIMED"]
    await importing.sidecar.account("new", credits=0)
    claim = billing.ClaimFreePlanRequest(account_id="new", request_id="c", identity="0XABC")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await importing.sidecar.billing.ClaimFreePlan(claim)
    assert Refusal.of(caught.value).reason == "FREE_PLAN_CLAIMED"


LONG = "x" * 129


BOUNDS: list[tuple[dict[str, Any], str, str]] = [
    ({"account_id": ""}, "INVALID_ARGUMENT", "account_id"),
    ({"display_name": "x" * 257}, "INVALID_ARGUMENT", "display_name"),
    ({"balance_micros": -1}, "INVALID_AMOUNT", "balance_micros"),
    ({"lifetime_charged_micros": 2**53}, "INVALID_AMOUNT", "lifetime_charged_micros"),
    ({"balance_micros": 2**53 - 1}, "INVALID_AMOUNT", "largest amount"),
    ({"labels": {str(number): "" for number in range(17)}}, "INVALID_ARGUMENT", "labels"),
    ({"grants": [grant("", 1)]}, "INVALID_ARGUMENT", "grants[0].external_id"),
    ({"grants": [grant(LONG, 1)]}, "INVALID_ARGUMENT", "grants[0].external_id"),
    ({"grants": [grant("a", 1), grant("a", 2)]}, "INVALID_ARGUMENT", "grants[1].external_id: 'a' is there twice"),
    ({"grants": [grant("a", 0)]}, "INVALID_AMOUNT", "at least 1 microcredit"),
    ({"grants": [grant("a", 5, 3, 3)]}, "INVALID_AMOUNT", "more than were granted"),
    ({"grants": [grant("a", 5, -1)]}, "INVALID_AMOUNT", "charged_micros"),
    ({"grants": [grant("a", 5, priority=-1)]}, "INVALID_ARGUMENT", "grants[0].priority"),
    ({"grants": [grant("a", 5, kind=99)]}, "INVALID_ARGUMENT", "grants[0].kind"),
    ({"grants": [grant("a", 5, comment="x" * 1025)]}, "INVALID_ARGUMENT", "grants[0].comment"),
    ({"grants": [grant("a", 5, acquire_time=at(days=-1))]}, "INVALID_ARGUMENT", "lies in the future"),
    (
        {"grants": [grant("a", 5, acquire_time=at(days=1), expire_time=at(days=1))]},
        "INVALID_ARGUMENT",
        "does not lie after",
    ),
    ({"grants": [grant(str(number), 1) for number in range(257)]}, "TOO_MANY_GRANTS", "256"),
    ({"members": [account_pb2.Member()]}, "INVALID_ARGUMENT", "members[0].user_id"),
    ({"members": [account_pb2.Member(user_id="a")] * 2}, "INVALID_ARGUMENT", "members[1].user_id"),
    ({"claimed_identities": [" "]}, "INVALID_ARGUMENT", "claimed_identities[0]"),
    ({"subscription": pb.ImportedSubscription(anchor_time=at())}, "INVALID_ARGUMENT", "subscription.plan_id"),
    ({"subscription": pb.ImportedSubscription(plan_id="basic")}, "INVALID_ARGUMENT", "subscription.anchor_time"),
    (
        {"subscription": pb.ImportedSubscription(plan_id="basic", term="day", anchor_time=at())},
        "INVALID_ARGUMENT",
        "neither month nor year",
    ),
    ({"subscription": pb.ImportedSubscription(plan_id="gold", anchor_time=at())}, "PLAN_NOT_FOUND", "gold"),
]


async def test_bounds(importing: Importing) -> None:
    answers = await importing.bring(*(acme(**fields) for fields, _, _ in BOUNDS), acme())
    assert [(answer.outcome, answer.reason) for answer in answers] == [
        *((ANSWER.OUTCOME_REFUSED, reason) for _, reason, _ in BOUNDS),
        (ANSWER.OUTCOME_IMPORTED, ""),
    ]
    for answer, (_, _, said) in zip(answers, BOUNDS, strict=False):
        assert said in answer.message


async def test_a_grant_that_is_over_and_says_not_when_it_came(importing: Importing) -> None:
    wanted = acme(
        grants=[grant("old", 7, 2, expire_time=at(days=9))], balance_micros=0, lifetime_charged_micros=0, members=[]
    )
    assert await importing.outcomes(wanted, wanted) == [ANSWER.OUTCOME_IMPORTED, ANSWER.OUTCOME_UNCHANGED]
    assert (await importing.balance()).balance.available_micros == 0
    assert {entry.create_time.seconds for entry in await importing.entries()} == {at(days=9, seconds=1e-6).seconds}
    await importing.settled()
