"""The demo's own arithmetic: an account as the documents of its credit system describe it. Pure; knows no Earmark.

Amounts are microcredits, times are moments in UTC.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

__all__ = ["Book", "Cycle", "Hold", "Lives", "Lot", "Rules", "Use", "add_months", "days", "month_end", "never"]

Lives = Callable[[datetime, ZoneInfo], datetime | None]
"""When credits that are acquired at a moment end; None for never."""

_BEFORE_PAID = ("free", "promotion", "subscription", "adjustment", "purchase")
_HOLD_ENDS, _LOT_ENDS, _CYCLE_ENDS = range(3)


def never(_acquired: datetime, _zone: ZoneInfo) -> None:
    """Credits that stay."""


def days(number: int) -> Lives:
    """Credits that live through a day so many days later."""
    return lambda acquired, zone: _midnight(acquired.astimezone(zone).date() + timedelta(days=number + 1), zone)


def months(number: int) -> Lives:
    """Credits that live through the same day so many months later."""
    return lambda acquired, zone: _midnight(
        add_months(acquired.astimezone(zone).date(), number) + timedelta(days=1), zone
    )


def month_end(acquired: datetime, zone: ZoneInfo) -> datetime:
    """Credits that live in the month in which they come."""
    return _midnight(add_months(acquired.astimezone(zone).date().replace(day=1), 1), zone)


def add_months(day: date, number: int) -> date:
    """Return the same day of a later month; the demo uses no day after the 28th."""
    year, month = divmod(day.year * 12 + day.month - 1 + number, 12)
    return day.replace(year=year, month=month + 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a system says of every account."""

    low: int | None = None
    critical: int | None = None
    soon: timedelta = timedelta(days=7)
    """How long before their end credits expire soon."""
    day_goal: int | None = None
    """A soft limit of what is charged on a day, with a warning at 80 % of it and at all of it."""
    priorities: tuple[tuple[str, int], ...] = ()
    """Of kinds of credits; 100 for the others."""
    limited: bool = False
    """Whether limits that this book knows nothing of may refuse a generation, and warn."""


@dataclass(slots=True, eq=False)
class Lot:
    """Credits that came together."""

    kind: str
    left: int
    ends: datetime | None
    order: tuple[int, bool, datetime | None, int, int]
    warned: bool = False
    held: int = 0


@dataclass(slots=True, eq=False)
class Hold:
    """A generation that is running."""

    operation: str
    parts: list[tuple[Lot, int]]
    ends: datetime


@dataclass(slots=True)
class Use:
    """What an operation used."""

    charged: int = 0
    succeeded: int = 0
    failed: int = 0
    crashed: int = 0


@dataclass(slots=True)
class Cycle:
    """What a plan gives again and again."""

    ends: datetime
    credits: int
    kind: str
    lives: Lives
    cap: int | None = None
    """Of what goes on to the next cycle; None where nothing is cut."""
    capped: tuple[str, ...] = ("subscription",)
    """The kinds that count for the cap."""
    priority: int | None = None


@dataclass(slots=True)
class Book:
    """One account."""

    zone: ZoneInfo
    rules: Rules
    now: datetime
    cycle: Cycle | None = None
    came: Counter[str] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)
    """By kind of credits."""
    uses: dict[str, Use] = field(default_factory=lambda: defaultdict(Use))
    """By operation."""
    alerts: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    _lots: list[Lot] = field(default_factory=list)
    _holds: list[Hold] = field(default_factory=list)
    _days: Counter[date] = field(default_factory=Counter)

    @property
    def available(self) -> int:
        """What can be used now."""
        return sum(lot.left for lot in self._lots)

    def left(self, kind: str) -> int:
        """What is there of a kind, holds included."""
        return sum(lot.left + lot.held for lot in self._lots if lot.kind == kind)

    @property
    def _balance(self) -> int:
        return sum(lot.left + lot.held for lot in self._lots)

    def grant(
        self, kind: str, amount: int, lives: Lives, moment: datetime | None = None, priority: int | None = None
    ) -> None:
        """Take in credits."""
        ends = lives(moment or self.now, self.zone)
        self.came[kind] += amount
        if priority is None:
            priority = dict(self.rules.priorities).get(kind, 100)
        order = (priority, ends is None, ends, _BEFORE_PAID.index(kind), len(self._lots))
        self._lots.append(Lot(kind, amount, ends, order))

    def subscribe(self, cycle: Cycle) -> None:
        """Begin a plan: its credits come now, and again at the end of each cycle."""
        self.cycle = cycle
        if cycle.credits:
            self.grant(cycle.kind, cycle.credits, cycle.lives)

    def reserve(self, operation: str, amount: int, ends: datetime) -> Hold | None:
        """Take credits for a generation, those first that end first; None if they do not suffice."""
        if amount > self.available:
            self.refused += 1
            return None
        parts = []
        for lot in self._in_order():
            part = min(lot.left, amount)
            if part:
                lot.left -= part
                lot.held += part
                amount -= part
                parts.append((lot, part))
        hold = Hold(operation, parts, ends)
        self._holds.append(hold)
        return hold

    def commit(self, hold: Hold, actual: int) -> None:
        """Charge a generation that succeeded."""
        before, rest = self._balance, actual
        for lot, part in hold.parts:
            paid = min(part, rest)
            rest -= paid
            lot.held -= paid
            self.charged[lot.kind] += paid
            self._give_back(lot, part - paid)
        use = self.uses[hold.operation]
        use.charged += actual
        use.succeeded += 1
        self._holds.remove(hold)
        self._moved(before)
        self._spent_today(actual)

    def fail(self, hold: Hold) -> None:
        """Give everything back."""
        self.uses[hold.operation].failed += 1
        self._return(hold)

    def undo(self, hold: Hold) -> None:
        """Take back a reservation that was refused for a reason this book does not know."""
        for lot, part in hold.parts:
            self._give_back(lot, part)
        self._holds.remove(hold)

    def settle(self, now: datetime) -> None:
        """Let everything happen that falls due until a moment."""
        while (due := min(self._due(now), default=None, key=lambda each: each[:2])) is not None:
            moment, _, happen = due
            self.now = moment
            happen()
        self.now = now
        for lot in self._lots:
            if lot.ends is not None and not lot.warned and lot.left + lot.held and lot.ends <= now + self.rules.soon:
                lot.warned = True
                self.alerts["expiring-soon"] += 1

    def _due(self, now: datetime) -> Iterator[tuple[datetime, int, Callable[[], None]]]:
        for hold in self._holds:
            if hold.ends <= now:
                yield hold.ends, _HOLD_ENDS, lambda hold=hold: self._crash(hold)  # type: ignore[misc]
        for lot in self._lots:
            if lot.left and lot.ends is not None and lot.ends <= now:
                yield lot.ends, _LOT_ENDS, lambda lot=lot: self._expire(lot, lot.left)  # type: ignore[misc]
        if self.cycle is not None and self.cycle.ends <= now:
            yield self.cycle.ends, _CYCLE_ENDS, self._renew

    def _crash(self, hold: Hold) -> None:
        self.uses[hold.operation].crashed += 1
        self._return(hold)

    def _return(self, hold: Hold) -> None:
        before = self._balance
        for lot, part in hold.parts:
            self._give_back(lot, part)
        self._holds.remove(hold)
        self._moved(before)

    def _give_back(self, lot: Lot, part: int) -> None:
        lot.held -= part
        if lot.ends is not None and lot.ends <= self.now:
            self.expired[lot.kind] += part
        else:
            lot.left += part

    def _expire(self, lot: Lot, amount: int) -> None:
        before = self._balance
        lot.left -= amount
        self.expired[lot.kind] += amount
        self._moved(before)

    def _renew(self) -> None:
        cycle, before = self.cycle, self._balance
        assert cycle is not None
        if cycle.cap is not None:
            excess = sum(lot.left for lot in self._lots if lot.kind in cycle.capped) - cycle.cap
            for lot in self._in_order():
                cut = min(lot.left, excess) if lot.kind in cycle.capped else 0
                if cut > 0:
                    lot.left -= cut
                    excess -= cut
                    self.expired[lot.kind] += cut
        if cycle.credits:
            self.grant(cycle.kind, cycle.credits, cycle.lives, cycle.ends, cycle.priority)
        local = cycle.ends.astimezone(self.zone)
        cycle.ends = datetime.combine(add_months(local.date(), 1), local.time(), tzinfo=self.zone)
        self._moved(before)

    def _in_order(self) -> list[Lot]:
        return sorted(
            self._lots, key=lambda lot: (lot.order[0], lot.order[1], lot.order[2] or self.now, *lot.order[3:])
        )

    def _moved(self, before: int) -> None:
        after = self._balance
        for name, threshold in (("low-balance", self.rules.low), ("critical-balance", self.rules.critical)):
            if threshold is not None and before > threshold >= after:
                self.alerts[name] += 1

    def _spent_today(self, amount: int) -> None:
        if self.rules.day_goal is None:
            return
        today = self.now.astimezone(self.zone).date()
        before, after = self._days[today], self._days[today] + amount
        self._days[today] = after
        for mark in (self.rules.day_goal * 8 // 10, self.rules.day_goal):
            self.alerts["limit-near"] += before < mark <= after
