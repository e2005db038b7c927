"""`amisi` (seed 004): five tiers with monthly credits that roll over up to a cap, teams, entitlements, packs."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from earmark.v1 import account_pb2, billing_service_pb2, grant_pb2, ledger_pb2, ledger_service_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import metering_service_pb2 as metering
from tests.acceptance.system import System, credits, micros

SUBSCRIPTION = billing_service_pb2.Subscription
ENTRY = ledger_pb2.LedgerEntry
REPORT = ledger_service_pb2.GetUsageReportRequest
KIND = grant_pb2.Grant
TIERS = {
    "free": (5, None, {"USD": "0"}, {}),
    "basic": (20, 40, {"USD": "9.99"}, {"USD": "99.99"}),
    "pro": (50, 100, {"USD": "19.99"}, {"USD": "199.99"}),
    "business": (150, 300, {"USD": "49.99"}, {"USD": "499.99"}),
}


def item(operation: str, **attributes: str) -> metering.EstimateItem:
    return metering.EstimateItem(operation=operation, attributes=attributes)


def change(amisi: System, account_id: str, plan_id: str) -> billing_service_pb2.ChangePlanResponse:
    request = billing_service_pb2.ChangePlanRequest(account_id=account_id, request_id=amisi.id(), plan_id=plan_id)
    response: billing_service_pb2.ChangePlanResponse = amisi.billing.ChangePlan(request, timeout=30)
    return response


def next_cycle(amisi: System, account_id: str) -> None:
    """Move just beyond the end of an account's cycle."""
    end = amisi.subscription(account_id).cycle_end_time.ToDatetime(tzinfo=UTC)
    amisi.move(to=end + timedelta(minutes=1))


@pytest.mark.parametrize("tier", TIERS)
def test_tiers(amisi: System, tier: str) -> None:
    """Free 5 once; Basic 20, Pro 50, Business 150 a month at their prices by month and year."""
    amount, cap, monthly, yearly = TIERS[tier]
    plan = amisi.plans()[tier]
    assert credits(plan.credits_micros) == amount
    assert {price.method: price.amount for price in plan.monthly_prices} == monthly
    assert {price.method: price.amount for price in plan.yearly_prices} == yearly
    assert (credits(plan.rollover_cap_micros) if plan.HasField("rollover_cap_micros") else None) == cap
    savings = {"basic": "16%", "pro": "17%", "business": "17%"}
    assert savings.get(tier, "") in plan.text
    assert plan.once == (tier == "free")
    account = amisi.account()
    assert amisi.available(account) == 5  # everybody begins with the free tier
    monthly_credits = 0
    if not plan.once:
        amisi.subscribe(account, tier)
        monthly_credits = amount
    assert amisi.available(account) == 5 + monthly_credits
    amisi.move(days=32)
    assert amisi.available(account) == 5 + 2 * monthly_credits


def test_tiers_enterprise(amisi: System) -> None:
    """Enterprise is custom for each subscription."""
    account = amisi.account()
    with amisi.refused("INVALID_ARGUMENT"):
        amisi.subscribe(account, "enterprise")
    overrides = billing_service_pb2.SubscriptionOverrides(credits_micros=micros(5_000), rollover_cap_micros=micros(10))
    amisi.subscribe(account, "enterprise", overrides=overrides)
    assert amisi.available(account) == 5_005
    next_cycle(amisi, account)
    assert amisi.available(account) == 5 + 10 + 5_000


def test_tiers_yearly(amisi: System) -> None:
    """A yearly subscription still gets its credits monthly, from its own day on."""
    amisi.move_to_month_start()
    amisi.move(to=datetime(amisi.now().year + 1, 1, 31, 10, tzinfo=UTC))
    account = amisi.account()
    amisi.subscribe(account, "basic", term=SUBSCRIPTION.TERM_YEAR)
    subscription = amisi.subscription(account)
    assert subscription.term_end_time.ToDatetime().year == amisi.now().year + 1
    days = []
    for month in range(1, 13):
        assert len(amisi.entries(account, kinds=[ENTRY.KIND_GRANT])) == 1 + month  # the free 5, and one a month
        days.append(amisi.subscription(account).cycle_start_time.ToDatetime().day)
        next_cycle(amisi, account)
    assert days[0] == 31
    assert days[1] in (28, 29)  # a month that ends earlier moves no later one
    assert days[2:5] == [31, 30, 31]
    assert amisi.available(account) == 5 + 40 + 20


def test_rollover(amisi: System) -> None:
    """Up to the cap; packs and the free 5 do not count; the excess expires at the end of the cycle, nothing else."""
    account = amisi.account()
    amisi.subscribe(account, "basic")
    amisi.buy(account, "medium")
    for expected in (20 + 20, 40 + 20, 40 + 20):
        next_cycle(amisi, account)
        assert amisi.available(account) == 5 + 50 + expected
    expired = amisi.entries(account, kinds=[ENTRY.KIND_GRANT_EXPIRED])
    assert [credits(entry.amount_micros) for entry in expired] == [20]  # in the third cycle 60 were there
    assert {part.kind for entry in expired for part in entry.allocations} == {KIND.KIND_SUBSCRIPTION}
    held = amisi.reserve(account, amount=115, ttl=timedelta(hours=20))
    end = amisi.subscription(account).cycle_end_time.ToDatetime(tzinfo=UTC)
    amisi.commit(held, amount=0)
    amisi.move(to=end - timedelta(hours=1))
    held = amisi.reserve(account, amount=115, ttl=timedelta(hours=20))
    amisi.move(to=end + timedelta(hours=1))
    assert amisi.available(account) == 20  # what is held is not cut
    amisi.release(held)
    assert amisi.available(account) == 5 + 50 + 40 + 20  # what returns fills the cap, beyond it expires


def test_upgrade(amisi: System) -> None:
    """The difference at once, the anchor kept, the new cap at the next renewal; down and out at the cycle's end."""
    account = amisi.account()
    amisi.subscribe(account, "basic")
    anchor = amisi.subscription(account).anchor_time
    amisi.move(days=10)
    upgraded = change(amisi, account, "pro")
    assert upgraded.immediate
    assert amisi.available(account) == 5 + 20 + 30
    subscription = amisi.subscription(account)
    assert (subscription.plan_id, subscription.anchor_time) == ("pro", anchor)
    for expected in (50 + 50, 100 + 50, 100 + 50):
        next_cycle(amisi, account)
        assert amisi.available(account) == 5 + expected
    downgraded = change(amisi, account, "basic")
    assert not downgraded.immediate
    assert amisi.subscription(account).plan_id == "pro"
    assert amisi.subscription(account).next_plan_id == "basic"
    next_cycle(amisi, account)
    assert amisi.subscription(account).plan_id == "basic"
    granted = amisi.entries(account, kinds=[ENTRY.KIND_GRANT])
    assert credits(granted[0].amount_micros) == 20
    left = amisi.available(account)
    amisi.billing.CancelSubscription(
        billing_service_pb2.CancelSubscriptionRequest(account_id=account, request_id=amisi.id()), timeout=30
    )
    assert amisi.subscription(account).state == SUBSCRIPTION.STATE_CANCELLING
    next_cycle(amisi, account)
    assert amisi.subscription(account).state == SUBSCRIPTION.STATE_ENDED
    amisi.move(days=90)
    assert amisi.available(account) == left  # credits stay until they are used


@pytest.mark.parametrize(
    ("operation", "attributes", "price"),
    [
        ("image.generate", {"resolution": "720p"}, 1),
        ("image.generate", {"resolution": "1080p"}, 2),
        ("image.generate", {"resolution": "4K"}, 3),
        ("image.generate", {"resolution": "8K"}, 4),
        ("chat.message", {}, 1),
        ("image.analyze", {"detail": "basic"}, 1),
        ("image.analyze", {"detail": "detailed"}, 2),
    ],
)
def test_prices(amisi: System, operation: str, attributes: dict[str, str], price: int) -> None:
    """Image 1 to 4 by resolution, message 1, analysis 1 or 2; the price is shown before confirming."""
    account = amisi.account()
    amisi.subscribe(account, "business")
    before = amisi.available(account)
    shown = amisi.estimate(account, item(operation, **attributes)).items[0]
    assert (credits(shown.min_micros), credits(shown.max_micros)) == (price, price)
    assert shown.text
    checked = amisi.reserve(account, operation, attributes=attributes, validate_only=True)
    assert credits(checked.reservation.reserved_micros) == price
    assert not checked.reservation.reservation_id
    assert amisi.available(account) == before
    charged = amisi.charge(account, operation, attributes=attributes)
    assert credits(charged.charged_micros) == price
    assert charged.reservation.price_version == 1
    (entry,) = amisi.entries(account, kinds=[ENTRY.KIND_CHARGE])
    assert entry.price_version == 1
    assert entry.price_text


def test_balance(amisi: System) -> None:
    """Current balance and how many of each operation it affords; blocked at zero until a purchase or the renewal."""
    account = amisi.account()
    amisi.subscribe(account, "basic")
    amisi.charge(account, amount=16)
    tools = amisi.estimate(
        account,
        item("image.generate", resolution="720p"),
        item("image.generate", resolution="1080p"),
        item("chat.message"),
        item("image.analyze", detail="detailed"),
    )
    assert credits(tools.available_micros) == 9
    assert [tool.affordable_quantity for tool in tools.items] == [9, 4, 9, 4]
    amisi.charge(account, "chat.message", quantity=9)
    for _ in range(2):
        with amisi.refused("INSUFFICIENT_CREDITS"):
            amisi.charge(account, "chat.message")
    amisi.buy(account, "small")
    amisi.charge(account, "chat.message", quantity=10)
    with amisi.refused("INSUFFICIENT_CREDITS"):
        amisi.charge(account, "chat.message")
    next_cycle(amisi, account)
    amisi.charge(account, "chat.message", quantity=20)


@pytest.mark.parametrize(
    ("tier", "seats"), [("free", 1), ("basic", 1), ("pro", 3), ("business", 10), ("enterprise", None)]
)
def test_teams(amisi: System, tier: str, seats: int | None) -> None:
    """Free and Basic 1, Pro up to 3, Business 10, Enterprise without bound; credits shared in the team."""
    account = amisi.account()
    if tier == "enterprise":
        overrides = billing_service_pb2.SubscriptionOverrides(credits_micros=micros(100))
        amisi.subscribe(account, tier, overrides=overrides)
    elif tier != "free":
        amisi.subscribe(account, tier)
    for number in range(seats or 12):
        amisi.add_member(account, f"user-{number}")
    if seats is None:
        assert not amisi.subscription(account).HasField("seats")
    else:
        assert amisi.subscription(account).seats == seats
        with amisi.refused("SEATS_EXHAUSTED"):
            amisi.add_member(account, "one-too-many")
    before = amisi.available(account)
    users = [f"user-{number}" for number in range(min(seats or 3, 3))]
    for user in users:
        amisi.charge(account, "chat.message", user_id=user)
    assert amisi.available(account) == before - len(users)


def test_entitlements(amisi: System) -> None:
    """Readable per account, enforced where Earmark decides."""
    account = amisi.account()
    entitled = {"basic": "90", "pro": "365", "business": "unlimited"}
    for tier, storage in entitled.items():
        if tier == "basic":
            amisi.subscribe(account, tier)
        else:
            change(amisi, account, tier)
        readable = amisi.subscription(account).entitlements
        assert readable["storage_days"] == storage
        assert {"tools", "priority", "support", "analytics"} <= set(readable)
        for entitlement, operation, attributes in (
            ("api_access", "api.access", {}),
            ("resolution_4k", "image.generate", {"resolution": "4K"}),
            ("resolution_8k", "image.generate", {"resolution": "8K"}),
        ):
            if readable[entitlement] == "true":
                amisi.charge(account, operation, attributes=attributes)
            else:
                with amisi.refused("NOT_ENTITLED"):
                    amisi.charge(account, operation, attributes=attributes)
    assert amisi.subscription(account).entitlements["api_access"] == "true"


def test_packs(amisi: System) -> None:
    """Extra packs with volume discounts, added at once."""
    packs = amisi.packs()
    rates = [Decimal(pack.unit_prices[0].amount) for pack in packs.values()]
    assert len(rates) >= 2
    assert rates == sorted(set(rates), reverse=True)  # each larger one is cheaper a credit
    account = amisi.account()
    for pack_id, pack in packs.items():
        before = amisi.available(account)
        bought = amisi.buy(account, pack_id)
        assert amisi.available(account) - before == credits(pack.credits_micros)
        assert bought.balance.available_micros == micros(amisi.available(account))
    amisi.move(days=400)
    assert amisi.available(account) == 5 + sum(credits(pack.credits_micros) for pack in packs.values())


def test_analytics(amisi: System) -> None:
    """By tool, user and period; export; only where entitled."""
    account = amisi.account()
    amisi.subscribe(account, "pro")
    with amisi.refused("NOT_ENTITLED"):
        amisi.usage(account, REPORT.GROUP_BY_OPERATION)
    change(amisi, account, "business")
    for user in ("ann", "ben"):
        amisi.add_member(account, user, account_pb2.Member.ROLE_ADMIN)
    amisi.charge(account, "chat.message", user_id="ann", quantity=3)
    amisi.charge(account, "image.generate", user_id="ben", attributes={"resolution": "4K"})
    tools = amisi.usage(account, REPORT.GROUP_BY_OPERATION, REPORT.GROUP_BY_USER)
    rows = {(row.operation, row.user_id): credits(row.charged_micros) for row in tools.rows}
    assert rows == {("chat.message", "ann"): 3, ("image.generate", "ben"): 3}
    by_day = amisi.usage(account, REPORT.GROUP_BY_DAY)
    assert sum(row.charged_micros for row in by_day.rows) == micros(6)
    command = ("report", "usage", account, "--format", "csv", "--group-by", "operation")
    exported = subprocess.run(
        [sys.executable, "-m", "earmark", *command, "--address", amisi.server.address],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = list(csv.DictReader(io.StringIO(exported)))
    assert {line["operation"] for line in lines} >= {"chat.message", "image.generate"}


def test_rules(amisi: System) -> None:
    """No transfer between accounts, no refunds; credits stay until used or expired."""
    giver, taker = amisi.account(), amisi.account()
    amisi.buy(giver, "small")
    held = amisi.reserve(giver, "chat.message")
    charged = amisi.commit(held)
    services = [module.DESCRIPTOR.services_by_name.values() for module in (accounts, billing_service_pb2, metering)]
    methods = {method.name for listed in services for service in listed for method in service.methods}
    assert not {name for name in methods if "Transfer" in name or "Refund" in name}
    with amisi.refused("INVALID_ARGUMENT"):  # an adjustment for another account's charge
        amisi.grant(
            taker, 1, kind=KIND.KIND_ADJUSTMENT, reservation_id=charged.reservation.reservation_id, comment="mine?"
        )
    amisi.move(days=1_000)
    assert amisi.available(giver) == 5 + 10 - 1
