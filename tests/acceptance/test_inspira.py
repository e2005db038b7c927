"""`inspira` (seeds 000 and 001): credits that live 30 days, plans and packs paid in tokens, prices by quality."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import (
    billing_service_pb2,
    catalog_pb2,
    grant_pb2,
    ledger_pb2,
    ledger_service_pb2,
    reservation_pb2,
)
from earmark.v1 import metering_service_pb2 as metering
from tests.acceptance.system import System, balanced, credits, micros, timestamp

DRAFT = {"size": "256x256", "quality": "draft"}
ENTRY = ledger_pb2.LedgerEntry
GRANT = grant_pb2.Grant
LIMIT = catalog_pb2.Limit
NOTICE = reservation_pb2.Notice
PURCHASE = billing_service_pb2.Purchase
REPORT = ledger_service_pb2.GetUsageReportRequest


def item(operation: str, quantity: int = 1, **attributes: str) -> metering.EstimateItem:
    return metering.EstimateItem(operation=operation, quantity=quantity, attributes=attributes)


def claim(inspira: System, account_id: str, wallet: str) -> billing_service_pb2.ClaimFreePlanResponse:
    request = billing_service_pb2.ClaimFreePlanRequest(account_id=account_id, request_id=inspira.id(), identity=wallet)
    response: billing_service_pb2.ClaimFreePlanResponse = inspira.billing.ClaimFreePlan(request, timeout=30)
    return response


def test_validity(inspira: System) -> None:
    """Every credit lives 30 days from acquisition; soonest expiring first, whatever its source; nothing rolls over."""
    zone = ZoneInfo("America/New_York")
    account = inspira.account(time_zone="America/New_York")
    inspira.buy(account, "starter", method="USDT")
    acquired = inspira.now().astimezone(zone)
    inspira.move(days=10)
    inspira.grant(account, 30, kind=GRANT.KIND_PROMOTION)
    inspira.subscribe(account, "pro")
    used = inspira.charge(account, "chat.message", quantity=120).reservation.allocations
    by_kind = [(part.kind, credits(part.amount_micros)) for part in used]
    assert by_kind[0] == (GRANT.KIND_PURCHASE, 100)  # bought ten days before the others
    assert sum(amount for _, amount in by_kind) == 120
    last_day = (acquired + timedelta(days=30)).replace(hour=23, minute=59)
    ends = {
        grant.expire_time.ToDatetime(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
        for grant in inspira.whole_balance(account).grants
    }
    assert ends == {(last_day + timedelta(days=10, minutes=1)).replace(second=0, microsecond=0, tzinfo=None)}
    inspira.move(to=(last_day + timedelta(days=10)).replace(tzinfo=zone))
    assert inspira.available(account) == 510  # through the last day
    inspira.move(minutes=2)
    assert inspira.available(account) == 0


def test_balance(inspira: System) -> None:
    """Total available, what expires soon (per day), recent activity."""
    account = inspira.account()
    inspira.buy(account, "starter", method="USDT")
    inspira.move(days=26)
    inspira.buy(account, "creator", method="USDT")
    inspira.charge(account, "chat.message", quantity=4)
    inspira.wait_flushed()
    whole = inspira.whole_balance(account)
    assert credits(whole.balance.available_micros) == 396
    assert credits(whole.balance.expiring_soon_micros) == 96
    by_day: dict[datetime, int] = {}
    for grant in whole.grants:
        day = grant.expire_time.ToDatetime()
        by_day[day] = by_day.get(day, 0) + grant.available_micros
    assert [credits(amount) for _, amount in sorted(by_day.items())] == [96, 300]
    assert whole.balance.next_expire_time.ToDatetime() == min(by_day)
    assert whole.last_entry.operation == "chat.message"
    assert [entry.kind for entry in inspira.entries(account)] == [
        ENTRY.KIND_CHARGE,
        ENTRY.KIND_GRANT,
        ENTRY.KIND_GRANT,
    ]


def test_plans(inspira: System) -> None:
    """Free, Pro, Ultra; the free plan once per wallet, only for who never had a plan, one grant without renewal."""
    plans = inspira.plans()
    assert list(plans) == ["free", "pro", "ultra"]
    assert plans["free"].claimed
    assert plans["pro"].credits_micros < plans["ultra"].credits_micros
    wallet = "0xAbCdEf0123456789"
    newcomer = inspira.account()
    claimed = claim(inspira, newcomer, wallet)
    free = credits(plans["free"].credits_micros)
    assert credits(claimed.balance.available_micros) == free
    for again in (wallet, wallet.lower(), wallet.upper().replace("0X", "0x"), f" {wallet} "):
        with inspira.refused("FREE_PLAN_CLAIMED"):
            claim(inspira, inspira.account(), again)
    subscriber = inspira.account()
    inspira.subscribe(subscriber, "pro")
    with inspira.refused("FREE_PLAN_CLAIMED"):
        claim(inspira, subscriber, "0x00")
    rivals = [inspira.account() for _ in range(4)]

    def rush(account: str) -> bool:
        try:
            claim(inspira, account, "0xrace")
        except grpc.RpcError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(rush, rivals)) == 1
    inspira.charge(subscriber, "style.train")  # a premium feature
    with inspira.refused("NOT_ENTITLED"):
        inspira.charge(newcomer, "style.train")
    inspira.move(days=32)
    assert inspira.available(newcomer) == 0  # no renewal; 30 days are over
    assert inspira.available(subscriber) >= credits(plans["pro"].credits_micros)


def test_purchase(inspira: System) -> None:
    """Packs and a custom amount; each method's price before choosing; a quote that is kept; confirmed once; cheaper
    from pack to larger pack to subscription to Ultra.
    """
    packs, plans = inspira.packs(), inspira.plans()
    assert list(packs) == ["starter", "creator", "professional", "custom"]
    for method in ("USDT", "INSPI"):
        rates = [
            Decimal(price.amount)
            for pack_id in ("starter", "creator", "professional")
            for price in packs[pack_id].unit_prices
            if price.method == method
        ]
        rates += [
            Decimal(price.amount) / credits(plans[plan_id].credits_micros)
            for plan_id in ("pro", "ultra")
            for price in plans[plan_id].monthly_prices
            if price.method == method
        ]
        assert len(rates) == 5
        assert rates == sorted(set(rates), reverse=True)
    for pack in packs.values():
        if not pack.custom:
            listed = {price.method: Decimal(price.amount) for price in pack.prices}
            assert listed["INSPI"] < listed["USDT"]  # the better rate
    account = inspira.account()
    assert inspira.available(account) == 0  # check balance
    smallest = credits(packs["custom"].min_micros)
    with inspira.refused("INVALID_AMOUNT"):
        inspira.begin_purchase(account, "custom", method="USDT", amount_micros=micros(smallest - 1))
    own = inspira.begin_purchase(account, "custom", method="USDT", amount_micros=micros(smallest))  # choose
    assert Decimal(own.price.amount) > 0
    quoted = inspira.begin_purchase(account, "starter", method="INSPI", payment_reference="0xpayment")
    assert quoted.state == PURCHASE.STATE_PENDING
    assert inspira.available(account) == 0
    confirm = billing_service_pb2.ConfirmPurchaseRequest(payment_reference="0xpayment")
    confirmed = inspira.billing.ConfirmPurchase(confirm, timeout=30)
    assert credits(confirmed.balance.available_micros) == 100  # credits at once
    assert confirmed.purchase.price == quoted.price
    again = inspira.billing.ConfirmPurchase(confirm, timeout=30)
    assert again.replayed
    assert inspira.available(account) == 100
    inspira.billing.FailPurchase(
        billing_service_pb2.FailPurchaseRequest(purchase_id=own.purchase_id, reason="no transaction"), timeout=30
    )
    with inspira.refused("PURCHASE_FAILED"):
        inspira.billing.ConfirmPurchase(
            billing_service_pb2.ConfirmPurchaseRequest(purchase_id=own.purchase_id), timeout=30
        )
    assert inspira.available(account) == 100


def test_prices(inspira: System) -> None:
    """Chat 1; image 0.38 to 0.48 small, 0.96 to 1.92 premium; video 16 and more; book 100; audit by complexity."""
    account = inspira.account()
    inspira.buy(account, "professional", method="USDT")

    def cost(operation: str, **attributes: str) -> Decimal | int:
        return credits(inspira.charge(account, operation, attributes=attributes).charged_micros)

    assert cost("chat.message") == 1
    small = [cost("image.generate", size="256x256", quality=quality) for quality in ("draft", "standard", "high")]
    assert (min(small), max(small)) == (Decimal("0.38"), Decimal("0.48"))
    premium = [
        cost("image.generate", size=size, quality=quality)
        for size in ("512x512", "1024x1024")
        for quality in ("draft", "standard", "high")
    ]
    assert (min(premium), max(premium)) == (Decimal("0.96"), Decimal("1.92"))
    assert small == sorted(small)
    standard = cost("video.generate", length="standard", quality="standard")
    assert standard == cost("video.generate") == 16
    assert cost("video.generate", length="short", quality="standard") < standard
    assert cost("video.generate", length="long", quality="standard") > standard
    assert cost("video.generate", length="standard", quality="high") > standard
    assert cost("book.grade") == 100
    audits = [cost("contract.audit", complexity=complexity) for complexity in ("simple", "standard", "complex")]
    assert audits == sorted(set(audits))
    with inspira.refused("UNPRICEABLE"):
        inspira.charge(account, "image.generate", attributes={"size": "1x1"})


def test_success_only(inspira: System) -> None:
    """Credits leave at the successful generation; a failed one costs nothing and shows in the history as failed."""
    account = inspira.account()
    inspira.buy(account, "starter", method="USDT")
    held = inspira.reserve(account, "video.generate")
    assert inspira.balance(account).lifetime_charged_micros == 0
    inspira.release(held, "out of memory")
    inspira.reserve(account, "video.generate", ttl=Duration(seconds=5))  # its worker dies
    inspira.move(seconds=10)
    assert inspira.available(account) == 100
    succeeded = inspira.commit(inspira.reserve(account, "video.generate"))
    assert credits(succeeded.charged_micros) == 16
    history = [(entry.outcome, credits(entry.amount_micros)) for entry in inspira.entries(account)[:3]]
    assert history == [(ENTRY.OUTCOME_SUCCEEDED, 16), (ENTRY.OUTCOME_EXPIRED, 0), (ENTRY.OUTCOME_FAILED, 0)]


def test_out_in_mid_task(inspira: System) -> None:
    """The task pauses, the answer names the shortfall and the smallest purchase, and it goes on when credits arrive."""
    account = inspira.account()
    inspira.buy(account, "starter", method="USDT")
    held = inspira.reserve(account, "contract.audit", attributes={"complexity": "standard"})
    extend = metering.ExtendRequest(
        reservation_id=held.reservation.reservation_id, request_id=inspira.id(), additional_micros=micros(60)
    )
    with inspira.refused("INSUFFICIENT_CREDITS") as refusal:
        inspira.metering.Extend(extend, timeout=30)
    assert refusal.metadata["shortfall_micros"] == str(micros(40))
    assert refusal.metadata["pack_id"] == "custom"
    balance = inspira.balance(account)
    assert (credits(balance.available_micros), credits(balance.reserved_micros)) == (20, 80)  # as it was
    extend.wait.CopyFrom(Duration(seconds=30))
    order: list[str] = []

    def task(name: str, call: Any, request: Any) -> threading.Thread:
        def run() -> None:
            call(request, timeout=60)
            order.append(name)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    first = task("extended", inspira.metering.Extend, extend)
    waiting = metering.ReserveRequest(
        account_id=account, request_id=inspira.id(), operation="book.grade", wait=Duration(seconds=30)
    )
    second = task("reserved", inspira.metering.Reserve, waiting)
    inspira.buy(account, "custom", method="USDT", amount_micros=micros(50))
    first.join(30)
    assert order[0] == "extended"
    inspira.buy(account, "starter", method="USDT")
    second.join(30)
    assert order == ["extended", "reserved"]
    done = inspira.commit(held)
    assert credits(done.charged_micros) == 140


def test_warnings(inspira: System) -> None:
    """Low, expiring soon, operation needs more than available."""
    account = inspira.account()
    inspira.buy(account, "starter", method="USDT")
    low = inspira.charge(account, "chat.message", quantity=80)
    assert [notice.kind for notice in low.notices] == [NOTICE.KIND_LOW_BALANCE, NOTICE.KIND_LIMIT_NEAR]
    inspira.move(days=25)
    soon = inspira.charge(account, "chat.message")
    assert NOTICE.KIND_EXPIRING_SOON in [notice.kind for notice in soon.notices]
    assert all(notice.message for notice in soon.notices)
    with inspira.refused("INSUFFICIENT_CREDITS") as refusal:
        inspira.charge(account, "video.generate", attributes={"length": "long", "quality": "high"})
    assert int(refusal.metadata["shortfall_micros"]) == micros(48 - 19)
    kinds = {alert.kind for alert in inspira.notifications(account)}
    alert = ledger_service_pb2.Notification
    assert kinds == {alert.KIND_LOW_BALANCE, alert.KIND_EXPIRING_SOON, alert.KIND_LIMIT_NEAR}


def test_history(inspira: System) -> None:
    """Filter by date, type, amount; breakdown by feature; daily summary; month total by kind of grant; export."""
    start = inspira.move_to_month_start().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    account = inspira.account()
    inspira.buy(account, "starter", method="USDT")
    inspira.grant(account, 20, kind=GRANT.KIND_PROMOTION)
    inspira.charge(account, "video.generate")
    inspira.charge(account, "chat.message", quantity=3)
    inspira.move(days=1)
    inspira.charge(account, "chat.message", quantity=2)
    tomorrow = start + timedelta(days=1)
    charges = [ENTRY.KIND_CHARGE]
    by_date = inspira.entries(account, kinds=charges, start_time=timestamp(tomorrow))
    assert [credits(entry.amount_micros) for entry in by_date] == [2]
    by_amount = inspira.entries(account, kinds=charges, min_amount_micros=micros(3), max_amount_micros=micros(16))
    assert [credits(entry.amount_micros) for entry in by_amount] == [3, 16]
    by_type = inspira.entries(account, kinds=[ENTRY.KIND_GRANT])
    assert [credits(entry.amount_micros) for entry in by_type] == [20, 100]
    features = inspira.usage(account, REPORT.GROUP_BY_OPERATION, start_time=timestamp(start))
    rows = [(row.operation, credits(row.charged_micros)) for row in features.rows]
    assert rows == [("video.generate", 16), ("chat.message", 5)]
    days = inspira.usage(account, REPORT.GROUP_BY_DAY, start_time=timestamp(start))
    by_day = [(row.start_time.ToDatetime(tzinfo=UTC), credits(row.charged_micros)) for row in days.rows]
    assert by_day == [(start, 19), (tomorrow, 2)]
    month = inspira.summary(account, start)
    kinds = {line.kind: (credits(line.allocated_micros), credits(line.consumed_micros)) for line in month.kinds}
    assert kinds[GRANT.KIND_PURCHASE][0] == 100
    assert kinds[GRANT.KIND_PROMOTION][0] == 20
    assert sum(consumed for _, consumed in kinds.values()) == 21
    assert all(balanced(line) for line in (month.total, *month.kinds))
    command = ("ledger", "export", account, "--format", "csv", "--address", inspira.server.address)
    exported = subprocess.run(
        [sys.executable, "-m", "earmark", *command], capture_output=True, text=True, check=True
    ).stdout
    assert len(list(csv.DictReader(io.StringIO(exported)))) == len(inspira.entries(account))


def test_limits(inspira: System) -> None:
    """Daily goal (soft), session and project budgets, feature caps (hard), alert thresholds."""
    inspira.move_to_month_start()
    account = inspira.account()
    inspira.buy(account, "professional", method="USDT")
    limits = [
        LIMIT(
            name="session",
            scope=LIMIT.SCOPE_PROJECT,
            subject="session-1",
            window=LIMIT.WINDOW_LIFETIME,
            amount_micros=micros(10),
        ),
        LIMIT(name="project", scope=LIMIT.SCOPE_PROJECT, window=LIMIT.WINDOW_MONTH, amount_micros=micros(40)),
        LIMIT(
            name="videos",
            scope=LIMIT.SCOPE_OPERATION,
            subject="video.generate",
            window=LIMIT.WINDOW_DAY,
            amount_micros=micros(32),
        ),
    ]
    inspira.update(account, "limits", limits=limits)
    inspira.charge(account, "chat.message", quantity=10, project_id="session-1")
    with inspira.refused("LIMIT_EXCEEDED") as session:
        inspira.charge(account, "chat.message", project_id="session-1")
    assert session.metadata["limit_name"] == "session"
    inspira.charge(account, "chat.message", quantity=40, project_id="film")
    with inspira.refused("LIMIT_EXCEEDED") as project:
        inspira.charge(account, "chat.message", project_id="film")
    assert project.metadata["limit_name"] == "project"
    inspira.charge(account, "video.generate", quantity=2)
    with inspira.refused("LIMIT_EXCEEDED") as videos:
        inspira.reserve(account, "video.generate")
    assert videos.metadata["limit_name"] == "videos"
    assert videos.metadata["reset_time"]
    over = inspira.charge(account, "chat.message", quantity=30)  # 112 today, the goal is 100: it only tells
    assert NOTICE.KIND_LIMIT_NEAR in [notice.kind for notice in over.notices]
    goals = {alert.limit_name for alert in inspira.notifications(account)}
    assert "daily-goal" in goals
    inspira.move(days=1)
    inspira.charge(account, "video.generate")  # another day
    inspira.charge(account, amount=0)
    inspira.update(account, "thresholds", thresholds={"low_balance_micros": micros(870)})
    assert NOTICE.KIND_LOW_BALANCE in [
        notice.kind for notice in inspira.charge(account, "chat.message", quantity=5).notices
    ]


def test_planning(inspira: System) -> None:
    """Estimate a list of assets with a 20 % buffer; a batch of variations in one go."""
    account = inspira.account()
    inspira.buy(account, "starter", method="USDT")
    assets = (
        item("image.generate", 20, **DRAFT),
        item("image.generate", 4, size="1024x1024", quality="high"),
        item("video.generate", 2),
        item("contract.audit"),
    )
    estimate = inspira.estimate(account, *assets, buffer_percent=20)
    least = Decimal("7.6") + Decimal("7.68") + 32 + 40
    assert Decimal(credits(estimate.min_micros)) == least * Decimal("1.2")
    assert Decimal(credits(estimate.max_micros)) == (least + 120) * Decimal("1.2")
    assert not estimate.sufficient
    assert credits(estimate.shortfall_micros) == Decimal(credits(estimate.max_micros)) - 100
    assert estimate.packs
    assert estimate.items[0].affordable_quantity == 263
    held = inspira.reserve(account, "image.generate", quantity=10, attributes=DRAFT)
    assert credits(held.reservation.reserved_micros) == Decimal("3.8")
    done = inspira.commit(held, quantity=7)  # three of the ten failed
    assert credits(done.charged_micros) == Decimal("2.66")
    (entry,) = inspira.entries(account, kinds=[ENTRY.KIND_CHARGE])
    assert (entry.reserved_quantity, entry.quantity) == (10, 7)


def test_rules(inspira: System) -> None:
    """Not transferable, not refundable; support can make good one charge by an adjustment, and never more."""
    account, other = inspira.account(), inspira.account()
    inspira.buy(account, "starter", method="USDT")
    charged = inspira.commit(inspira.reserve(account, "video.generate")).reservation
    inspira.wait_flushed()
    modules: tuple[Any, ...] = (accounts, billing_service_pb2, metering)
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    methods = {method.name for service in services for method in service.methods}
    assert not {name for name in methods if "Transfer" in name or "Refund" in name}
    adjustment: dict[str, Any] = {"kind": GRANT.KIND_ADJUSTMENT, "reservation_id": charged.reservation_id}
    with inspira.refused("INVALID_ARGUMENT"):
        inspira.grant(other, 1, **adjustment)
    inspira.grant(account, 10, comment="the video was green", **adjustment)
    inspira.wait_flushed()
    with inspira.refused("ADJUSTMENT_EXCEEDS_CHARGE"):
        inspira.grant(account, 7, **adjustment)
    inspira.grant(account, 6, **adjustment)
    assert inspira.available(account) == 100


@pytest.mark.parametrize(("moment", "bonus", "cheaper"), [("2030-03-10", 20, False), ("2030-06-05", 0, True)])
def test_promotions(inspira: System, moment: str, bonus: int, cheaper: bool) -> None:
    """Bonus credits of an event, or a lower pack price between two dates; 30 days unless the event says otherwise."""
    plain = inspira.packs()["creator"]
    inspira.move(to=datetime.fromisoformat(moment).replace(hour=12, tzinfo=UTC))
    promoted = inspira.packs()["creator"]
    assert promoted.promotion_id
    prices = [Decimal(pack.prices[0].amount) for pack in (promoted, plain)]
    assert (prices[0] < prices[1]) == cheaper
    assert promoted.regular_prices == plain.regular_prices
    account = inspira.account()
    bought = inspira.buy(account, "creator", method="USDT")
    assert [grant.kind for grant in bought.grants] == [GRANT.KIND_PURCHASE, GRANT.KIND_PROMOTION][: 2 if bonus else 1]
    assert inspira.available(account) == Decimal(300) * (100 + bonus) / 100
    prize = inspira.grant(account, 25, kind=GRANT.KIND_PROMOTION, comment="challenge won")
    lives = prize.grant.expire_time.ToDatetime(tzinfo=UTC) - inspira.now()
    assert timedelta(days=30) <= lives <= timedelta(days=31)
    weekend = timestamp(inspira.now() + timedelta(days=2))
    special = inspira.grant(account, 5, kind=GRANT.KIND_PROMOTION, expire_time=weekend)
    assert special.grant.expire_time == weekend
