"""`workspace` (seed 002): one balance for a team, price ranges, packs, estimates of campaigns."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import pytest
from google.protobuf.duration_pb2 import Duration

from earmark.v1 import account_pb2, billing_service_pb2, grant_pb2, ledger_pb2, ledger_service_pb2, reservation_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import catalog_pb2 as catalog
from earmark.v1 import metering_service_pb2 as metering
from tests.acceptance.receivers import WebReceiver
from tests.acceptance.system import System, credits, micros, timestamp
from tests.support.waiting import wait_until_sync

ADMIN = account_pb2.Member.ROLE_ADMIN
NOTICE = reservation_pb2.Notice
REPORT = ledger_service_pb2.GetUsageReportRequest
RANGES = {
    "content.regenerate": (1, 3),
    "strategy.analyze": (2, 5),
    "assistant.question": (0, 1),
    "assistant.analysis": (1, 3),
    "assistant.suggestion": (1, 2),
    "post.generate": (1, 1),
    "post.generate_multi": (1, 2),
    "rss.process": (1, 1),
    "content.optimize": (1, 2),
}
FREE = ("campaign.view", "content.view", "platform.connect", "post.schedule", "post.publish", "settings.access")
FREE_TOO = ("analytics.read", "content.edit", "workspace.manage")


def team(workspace: System, pack: str = "starter", **fields: object) -> str:
    """Return a workspace with an admin, a member, and a pack of credits."""
    account = workspace.account(**fields)
    workspace.add_member(account, "ada", ADMIN)
    workspace.add_member(account, "ben")
    workspace.buy(account, pack)
    return account


def item(operation: str, quantity: int = 1, **attributes: str) -> metering.EstimateItem:
    return metering.EstimateItem(operation=operation, quantity=quantity, attributes=attributes)


def test_shared_pool(workspace: System) -> None:
    """All members draw on one balance and may see it; only authorised members; each entry names its member."""
    account = team(workspace)
    workspace.charge(account, "post.generate", user_id="ada", quantity=10)
    workspace.charge(account, "post.generate", user_id="ben", quantity=5)
    assert workspace.available(account) == 85
    for stranger in ("eve", ""):
        with workspace.refused("NOT_A_MEMBER"):
            workspace.charge(account, "post.generate", user_id=stranger)
    workspace.accounts.RemoveMember(
        accounts.RemoveMemberRequest(account_id=account, request_id=workspace.id(), user_id="ben"), timeout=30
    )
    with workspace.refused("NOT_A_MEMBER"):
        workspace.charge(account, "post.generate", user_id="ben")
    spent = {
        entry.user_id: credits(entry.amount_micros)
        for entry in workspace.entries(account, kinds=[ledger_pb2.LedgerEntry.KIND_CHARGE])
    }
    assert spent == {"ada": 10, "ben": 5}


def test_validity(workspace: System) -> None:
    """Purchased credits are valid for 12 months; that they never expire can be said too."""
    account = team(workspace)
    bought = workspace.now()
    (grant,) = workspace.whole_balance(account).grants
    last_day = grant.expire_time.ToDatetime() - timedelta(microseconds=1)
    assert (last_day.year, last_day.month) == (bought.year + 1, bought.month)
    assert last_day.day in (bought.day, 28)  # the 29th of February has no day a year later
    workspace.move(to=grant.expire_time.ToDatetime(tzinfo=bought.tzinfo) - timedelta(seconds=5))
    assert workspace.available(account) == 100
    workspace.move(seconds=10)
    assert workspace.available(account) == 0
    kept = workspace.grant(account, 50, kind=grant_pb2.Grant.KIND_PURCHASE, never_expires=True)
    assert not kept.grant.HasField("expire_time")
    workspace.move(days=800)
    assert workspace.available(account) == 50


@pytest.mark.parametrize("operation", RANGES)
def test_price_ranges(workspace: System, operation: str) -> None:
    """The reservation takes the upper bound, the commit what it really took."""
    least, most = RANGES[operation]
    account = team(workspace)
    price = workspace.prices()[operation]
    assert (credits(price.min_micros), credits(price.max_micros)) == (least, most)
    held = workspace.reserve(account, operation, user_id="ada", quantity=3)
    assert credits(held.reservation.reserved_micros) == 3 * most
    if price.rule == catalog.OperationPrice.RULE_RANGE:
        with workspace.refused("ACTUAL_REQUIRED"):
            workspace.commit(held)
        done = workspace.commit(held, amount=3 * least)
    else:
        done = workspace.commit(held)
    assert credits(done.charged_micros) == 3 * least
    assert workspace.available(account) == 100 - 3 * least


@pytest.mark.parametrize("operation", ["campaign.create", "assistant.campaign", "content.generate"])
def test_price_ranges_by_complexity(workspace: System, operation: str) -> None:
    """Campaign creation by complexity, also through chat; content 1 to 3 a post."""
    account = team(workspace)
    bounds = [
        (credits(quote.min_micros), credits(quote.max_micros))
        for complexity in ("simple", "standard", "complex")
        for quote in [workspace.estimate(account, item(operation, complexity=complexity)).items[0]]
    ]
    assert bounds == sorted(bounds)
    assert bounds[0] < bounds[-1]
    if operation == "content.generate":
        assert (min(bound[0] for bound in bounds), max(bound[1] for bound in bounds)) == (1, 3)
    held = workspace.reserve(account, operation, user_id="ben", attributes={"complexity": "complex"})
    assert credits(held.reservation.reserved_micros) == bounds[-1][1]
    assert credits(workspace.commit(held, amount=bounds[-1][0]).charged_micros) == bounds[-1][0]


def test_free_actions(workspace: System) -> None:
    """Price 0, recorded or not as the catalog says; also on an empty balance."""
    account = workspace.account()
    prices = workspace.prices()
    for operation in (*FREE, *FREE_TOO):
        assert prices[operation].rule == catalog.OperationPrice.RULE_FREE
        assert workspace.charge(account, operation).charged_micros == 0
        workspace.commit(workspace.reserve(account, operation))
    assert workspace.available(account) == 0
    recorded = [entry.operation for entry in workspace.entries(account)]
    expected = [operation for operation in (*FREE, *FREE_TOO) if prices[operation].recorded for _ in range(2)]
    assert sorted(recorded) == sorted(expected)
    assert "campaign.view" not in recorded
    assert "post.publish" in recorded


def test_balance_card(workspace: System) -> None:
    """Current balance, lifetime used, last transaction; updates the moment something is charged."""
    account = team(workspace)
    watched: list[int] = []
    call = workspace.metering.WatchBalance(metering.WatchBalanceRequest(account_id=account), timeout=30)

    def watch() -> None:
        for update in call:
            watched.append(update.balance.available_micros)
            if update.balance.available_micros == micros(88):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    wait_until_sync(lambda: watched == [micros(100)], what="the balance at once")
    workspace.charge(account, "post.generate", user_id="ada", quantity=12)
    watcher.join(10)
    call.cancel()
    assert watched[-1] == micros(88)
    workspace.wait_flushed()
    card = workspace.whole_balance(account)
    assert credits(card.balance.available_micros) == 88
    assert credits(card.balance.lifetime_charged_micros) == 12
    assert (card.last_entry.operation, credits(card.last_entry.amount_micros)) == ("post.generate", 12)


def test_warnings(workspace: System) -> None:
    """Below 100, critical at 10 or less, operation would exceed the balance."""
    account = team(workspace)
    assert not workspace.reserve(account, amount=0, user_id="ada").notices
    low = workspace.charge(account, amount=1, user_id="ada").notices
    assert [notice.kind for notice in low] == [NOTICE.KIND_LOW_BALANCE]
    assert low[0].message
    assert [notice.kind for notice in workspace.charge(account, amount=89, user_id="ada").notices] == [
        NOTICE.KIND_CRITICAL_BALANCE
    ]
    kinds = [alert.kind for alert in workspace.notifications(account)]
    alert = ledger_service_pb2.Notification
    assert kinds == [alert.KIND_CRITICAL_BALANCE, alert.KIND_LOW_BALANCE]
    with workspace.refused("INSUFFICIENT_CREDITS"):
        workspace.reserve(account, "campaign.create", user_id="ada", validate_only=True)


def test_insufficient(workspace: System) -> None:
    """Blocked with the shortfall and the packs that would cover it; goes on when balance is added."""
    account = team(workspace)
    workspace.charge(account, amount=95, user_id="ada")
    with workspace.refused("INSUFFICIENT_CREDITS") as refusal:
        workspace.reserve(account, "campaign.create", user_id="ada", attributes={"complexity": "complex"})
    assert refusal.metadata["shortfall_micros"] == str(micros(25))
    assert refusal.metadata["pack_id"] == "starter"
    estimate = workspace.estimate(account, item("campaign.create", complexity="complex"))
    assert not estimate.sufficient
    assert estimate.packs[0].pack.pack_id == "starter"
    answers: list[metering.ReserveResponse] = []
    waiting = threading.Thread(
        target=lambda: answers.append(
            workspace.reserve(
                account,
                "campaign.create",
                user_id="ada",
                attributes={"complexity": "complex"},
                wait=Duration(seconds=30),
            )
        )
    )
    waiting.start()
    workspace.buy(account, "starter")
    waiting.join(30)
    assert credits(answers[0].reservation.reserved_micros) == 30


@pytest.mark.parametrize(
    ("platforms", "weeks", "posts", "complexity", "expected"),
    [(1, 1, 4, "standard", (10, 20)), (3, 2, 4, "standard", (30, 60)), (5, 4, 2, "complex", (50, 150))],
    ids=["single platform, 1 week", "multi-platform, 2 weeks", "full campaign, 1 month"],
)
def test_campaign_estimate(
    workspace: System, platforms: int, weeks: int, posts: int, complexity: str, expected: tuple[int, int]
) -> None:
    """Platforms x duration x frequency x complexity: a range, and whether the balance covers it, before launch."""
    account = team(workspace)
    campaign = (
        item("campaign.create", complexity=complexity),
        item("content.generate", platforms * weeks * posts, complexity=complexity),
    )
    estimate = workspace.estimate(account, *campaign)
    assert (credits(estimate.min_micros), credits(estimate.max_micros)) == expected
    assert estimate.sufficient == (expected[1] <= 100)
    assert credits(estimate.shortfall_micros) == max(0, expected[1] - 100)
    buffered = workspace.estimate(account, *campaign, buffer_percent=20)
    assert Decimal(credits(buffered.max_micros)) == Decimal(expected[1]) * Decimal("1.2")


def test_packages(workspace: System) -> None:
    """The five packages with the price per credit; pending and failed purchases visible."""
    packs = workspace.packs()
    listed = [
        (credits(pack.credits_micros), pack.prices[0].amount, pack.unit_prices[0].amount) for pack in packs.values()
    ]
    assert listed == [
        (100, "10", "0.100"),
        (250, "25", "0.100"),
        (550, "50", "0.091"),
        (1_100, "100", "0.091"),
        (2_350, "200", "0.085"),
    ]
    account = workspace.account()
    pending = workspace.begin_purchase(account, "popular")
    failing = workspace.begin_purchase(account, "max")
    workspace.billing.FailPurchase(
        billing_service_pb2.FailPurchaseRequest(purchase_id=failing.purchase_id, reason="card declined"), timeout=30
    )
    request = billing_service_pb2.ListPurchasesRequest(account_id=account)
    purchases = workspace.billing.ListPurchases(request, timeout=30).purchases
    states = {purchase.purchase_id: purchase.state for purchase in purchases}
    purchase = billing_service_pb2.Purchase
    assert states == {pending.purchase_id: purchase.STATE_PENDING, failing.purchase_id: purchase.STATE_FAILED}
    assert workspace.available(account) == 0


def test_history(workspace: System) -> None:
    """Filter by operation, high-usage operations first."""
    account = team(workspace, "basic")
    for operation, quantity in (("post.generate", 40), ("rss.process", 90), ("post.generate", 30)):
        workspace.charge(account, operation, user_id="ada", quantity=quantity)
    filtered = workspace.entries(account, operation="post.generate")
    assert [credits(entry.amount_micros) for entry in filtered] == [30, 40]
    usage = workspace.usage(account, REPORT.GROUP_BY_OPERATION)
    rows = [(row.operation, credits(row.charged_micros), row.quantity) for row in usage.rows]
    assert rows == [("rss.process", 90, 90), ("post.generate", 70, 70)]
    assert credits(usage.total.charged_micros) == 160


def test_team_usage(workspace: System) -> None:
    """For admins only: who consumed what, by operation, trend over time; own budgets."""
    account = team(workspace, "basic")
    workspace.charge(account, "post.generate", user_id="ada", quantity=20)
    workspace.move(days=7)
    workspace.charge(account, "post.generate", user_id="ada", quantity=30)
    workspace.charge(account, "rss.process", user_id="ben", quantity=10)
    with workspace.refused("WRONG_ROLE"):
        workspace.usage(account, REPORT.GROUP_BY_USER, requesting_user_id="ben")
    report = workspace.usage(
        account,
        REPORT.GROUP_BY_USER,
        REPORT.GROUP_BY_OPERATION,
        requesting_user_id="ada",
        start_time=timestamp(workspace.now() - timedelta(days=5)),
        end_time=timestamp(workspace.now() + timedelta(hours=1)),
    )
    rows = {(row.user_id, row.operation): row for row in report.rows}
    assert credits(rows["ada", "post.generate"].charged_micros) == 30
    assert credits(rows["ben", "rss.process"].charged_micros) == 10
    assert credits(report.total.charged_micros) == 40
    assert credits(report.total.previous_charged_micros) == 20  # the trend
    budget = catalog.Limit(
        name="budget",
        scope=catalog.Limit.SCOPE_USER,
        subject="ben",
        window=catalog.Limit.WINDOW_MONTH,
        amount_micros=micros(5),
    )
    workspace.update(account, "limits", limits=[budget])
    workspace.charge(account, "post.generate", user_id="ben", quantity=5)
    with workspace.refused("LIMIT_EXCEEDED") as refusal:
        workspace.charge(account, "post.generate", user_id="ben")
    assert refusal.metadata["limit_name"] == "budget"
    workspace.charge(account, "post.generate", user_id="ada")


def test_alerts(workspace: System, webhook: WebReceiver) -> None:
    """Thresholds set by the admin, delivered, where the plan includes them."""
    thresholds: Mapping[str, object] = {
        "thresholds": account_pb2.Thresholds(low_balance_micros=micros(60)),
        "contacts": account_pb2.Contacts(emails=["ada@workspace.example"], webhook_url=webhook.url),
    }
    without = workspace.account()
    workspace.subscribe(without, "essential")
    with workspace.refused("NOT_ENTITLED"):
        workspace.update(without, "thresholds", "contacts", **thresholds)
    account = team(workspace)
    workspace.subscribe(account, "team")
    workspace.update(account, "thresholds", "contacts", **thresholds)
    workspace.charge(account, amount=39, user_id="ada")
    assert not workspace.notifications(account)
    workspace.charge(account, amount=1, user_id="ada")
    (alert,) = workspace.notifications(account)
    wait_until_sync(lambda: webhook.deliveries and workspace.inbox.to("ada@workspace.example"), seconds=20)
    delivery = webhook.deliveries[0]
    assert delivery.headers["earmark-notification-id"] == alert.notification_id
    parts = dict(part.split("=", 1) for part in delivery.headers["earmark-signature"].split(","))
    signed = f"{parts['t']}.".encode() + delivery.body
    assert hmac.new(b"a secret of the platform", signed, hashlib.sha256).hexdigest() == parts["v1"]
    assert json.loads(delivery.body)["account_id"] == account
    wait_until_sync(
        lambda: all(
            sent.state == ledger_service_pb2.Notification.DELIVERY_STATE_DELIVERED
            for sent in workspace.notifications(account)[0].deliveries
        ),
        seconds=20,
    )
