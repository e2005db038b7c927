"""What plans should do, told simply: the model that subscriptions over gRPC are compared with.

Written from the packages' READMEs and `credit-systems.md`, not from the code. Amounts in microcredits.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

__all__ = ["CATALOG", "CREDIT", "IMAGES", "OWN_CREDITS", "PACKS", "PLANS", "Plan", "Predicted", "Subscription"]

CREDIT = 1_000_000
_HALF_A_MONTH = timedelta(days=15)

CATALOG = """
format: 1
name: lifetimes
expiring_soon: 7 days
thresholds: {low: 30, critical: 5}
grants:
  free: {validity: never}
  subscription: {validity: never}
  purchase: {validity: 30 days}
  promotion: {validity: 10 days}
limits:
  daily: {window: day, amount: 20, mode: notify, near: 50%}
operations:
  message: 1
  image: {price: {table: [{when: {size: s}, price: 0.38}, {when: {size: l}, price: 1.92}], default: refuse}}
  audit: {price: {range: [2, 5]}}
  text: {price: {tokens: {input: 2, output: 6, cached_input: 0.5, per: 1000}}}
  view: free
  style: {price: 3, requires: premium}
plans:
  trial: {credits: 5, kind: free, cycle: once, claimed: true, only_new: true}
  starter: {credits: 5, kind: free, cycle: once}
  monthly: {credits: 15, kind: free, cycle: calendar month, validity: calendar month}
  thirty: {credits: 25, validity: 30 days}
  basic: {credits: 20, rollover: 15}
  paid: {credits: 30, validity: cycle, confirmed_renewal: true}
  pro: {credits: 50, rollover: 30, entitlements: {premium: true}}
  business: {credits: 90, rollover: unlimited, entitlements: {premium: true}}
  own: {custom: true, rollover: 10}
packs:
  small: {credits: 10, prices: {USD: 10}}
  any: {validity: never, custom: {min: 1, max: 100, step: 1, rates: [{from: 1, prices: {USD: 0.20}}]}}
promotions:
  spring: {start: 2020-01-01, end: 2200-01-01, packs: [small], bonus_percent: 25}
"""
IMAGES = {"s": 380_000, "l": 1_920_000}
PACKS = {"small": (10 * CREDIT, 2_500_000)}
"""Credits and bonus."""


@dataclass(frozen=True)
class Plan:
    """A line of the catalog."""

    plan_id: str
    rank: int
    credits: int
    cycle: str = "month"
    """month, calendar or once."""
    cap: int | None = None
    """None where nothing is cut."""
    premium: bool = False
    claimed: bool = False
    confirmed: bool = False


_UNLIMITED = 2**53 - 1
OWN_CREDITS = 33 * CREDIT
PLANS = {
    plan.plan_id: plan
    for plan in (
        Plan("trial", 0, 5 * CREDIT, "once", claimed=True),
        Plan("starter", 1, 5 * CREDIT, "once"),
        Plan("monthly", 2, 15 * CREDIT, "calendar"),
        Plan("thirty", 3, 25 * CREDIT),
        Plan("basic", 4, 20 * CREDIT, cap=15 * CREDIT),
        Plan("paid", 5, 30 * CREDIT, confirmed=True),
        Plan("pro", 6, 50 * CREDIT, cap=30 * CREDIT, premium=True),
        Plan("business", 7, 90 * CREDIT, cap=_UNLIMITED, premium=True),
        Plan("own", 8, OWN_CREDITS, cap=10 * CREDIT),
    )
}


@dataclass
class Subscription:
    """One subscription, as it should be."""

    subscription_id: str
    zone: ZoneInfo
    plan: Plan
    yearly: bool
    anchor: datetime
    state: str = "ACTIVE"
    cycle: int = 1
    end: datetime | None = None
    last_paid: int = 1
    paid_ahead: bool = False
    following: tuple[Plan, bool] | None = None
    given: int = 0
    """What this cycle has given, upgrades included."""


@dataclass
class Predicted:
    """What an account's subscriptions should have done. The plan `own` is always sent with 33 credits of its own."""

    zone: ZoneInfo
    current: Subscription | None = None
    had: set[str] = field(default_factory=set)
    """Plans that it ever was on."""
    renewals: dict[tuple[str, int], int] = field(default_factory=dict)
    """Credits by subscription and cycle, zero left out."""
    upgrades: list[int] = field(default_factory=list)
    cuts: dict[tuple[str, int], int] = field(default_factory=dict)
    """The cap that applied when a cycle began, by subscription and cycle."""

    # What a caller asks

    def subscribe(self, subscription_id: str, plan: Plan, *, yearly: bool, now: datetime) -> None:
        """Begin the first cycle."""
        self.current = found = Subscription(subscription_id, self.zone, plan, yearly, now)
        found.last_paid = 12 if yearly else 1
        found.end = self._next_end(plan, now, now, first=True)
        found.given = 0 if plan.cycle == "once" and plan.plan_id in self.had else plan.credits
        self._give(found)
        self.had.add(plan.plan_id)

    def may_subscribe(self, plan: Plan) -> bool:
        """Whether a subscription may be created."""
        return self.current is None or (self.current.plan.cycle == "once" and plan.cycle != "once")

    def change(self, plan: Plan, *, yearly: bool, now: datetime, subscription_id: str) -> bool:
        """Change the plan; return whether it is in force at once."""
        current = self.current
        assert current is not None
        if current.state == "AWAITING":
            current.following = (plan, yearly)
            if plan.confirmed:
                return False
            self.confirm(now)
            return True
        if current.plan.cycle == "once" and plan.cycle != "once":
            self.subscribe(subscription_id, plan, yearly=yearly, now=now)
            return True
        if plan == current.plan:
            current.state = "ACTIVE"
            other_term = yearly != current.yearly and plan.cycle != "once"
            current.following = (plan, yearly) if other_term else None
            return False
        if current.plan.cycle == "once" or (plan.rank, plan.credits) >= (current.plan.rank, current.plan.credits):
            extra = max(0, plan.credits - current.given)
            if plan.cycle == "once":
                extra = 0 if plan.plan_id in self.had else extra
                current.end = None
            current.plan, current.state = plan, "ACTIVE"
            current.following = (plan, yearly) if yearly != current.yearly and plan.cycle != "once" else None
            current.given += extra
            self.upgrades += [extra] if extra else []
            self.had.add(plan.plan_id)
            return True
        current.state, current.following = "ACTIVE", (plan, yearly)
        return False

    def cancel(self) -> None:
        """End it with what was paid."""
        current = self.current
        assert current is not None
        if current.state == "AWAITING" or current.plan.cycle == "once":
            self.current = None
        else:
            current.state, current.following = "CANCELLING", None

    def may_confirm(self) -> bool:
        """Whether a renewal can be confirmed."""
        current = self.current
        if current is None or current.state == "CANCELLING":
            return False
        following = current.plan if current.following is None else current.following[0]
        if current.state == "AWAITING":
            return True
        return current.plan.cycle != "once" and following.confirmed and not current.paid_ahead

    def confirm(self, now: datetime) -> None:
        """Pay the next term."""
        current = self.current
        assert current is not None
        if current.state != "AWAITING":
            current.paid_ahead = True
            return
        assert current.end is not None
        plan = current.plan if current.following is None else current.following[0]
        start = current.end
        while (end := self._next_end(plan, current.anchor, start)) is not None and end <= now:
            current.cycle += 1
            start = end
        current.last_paid = current.cycle
        current.state = "ACTIVE"
        self._begin_cycle(current, start)

    # What time does

    def pass_time(self, now: datetime) -> None:
        """Do what is due."""
        while True:
            current = self.current
            if current is None or current.state == "AWAITING" or current.end is None or current.end > now:
                return
            if current.cycle >= current.last_paid and not current.paid_ahead:
                if current.state == "CANCELLING":
                    self.current = None
                    return
                following = current.plan if current.following is None else current.following[0]
                if following.confirmed:
                    current.state = "AWAITING"
                    return
            self._begin_cycle(current, current.end)

    def _begin_cycle(self, current: Subscription, start: datetime) -> None:
        before = current.plan
        current.cycle += 1
        if current.cycle > current.last_paid:
            if current.following is not None:
                current.plan, current.yearly = current.following
            current.following, current.paid_ahead = None, False
            current.last_paid = current.cycle - 1 + (12 if current.yearly else 1)
        changed = before.plan_id != current.plan.plan_id
        nothing = changed and current.plan.cycle == "once" and current.plan.plan_id in self.had
        current.given = 0 if nothing else current.plan.credits
        current.end = self._next_end(current.plan, current.anchor, start)
        if before.cap is not None:
            self.cuts[current.subscription_id, current.cycle] = before.cap
        self._give(current)
        self.had.add(current.plan.plan_id)

    def _give(self, current: Subscription) -> None:
        if current.given:
            key = (current.subscription_id, current.cycle)
            assert key not in self.renewals
            self.renewals[key] = current.given

    def _next_end(self, plan: Plan, anchor: datetime, start: datetime, *, first: bool = False) -> datetime | None:
        """Return the end of the cycle that begins at a time: the anchor, or the end of the one before."""
        if plan.cycle == "once":
            return None
        number = 0
        while True:
            number += 1
            end = self._boundary(plan, anchor, number)
            if end > start and (first or end - start >= _HALF_A_MONTH):
                return end

    def _boundary(self, plan: Plan, anchor: datetime, months: int) -> datetime:
        local = anchor.astimezone(self.zone)
        year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
        month += 1
        if plan.cycle == "calendar":
            return datetime(year, month, 1, tzinfo=self.zone).astimezone(UTC)
        day = min(local.day, monthrange(year, month)[1])
        return local.replace(year=year, month=month, day=day, fold=0).astimezone(UTC)
