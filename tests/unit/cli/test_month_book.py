"""The arithmetic that the demo's months are compared with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from earmark.cli.demo.month.book import Book, Cycle, Rules, days, month_end, months, never

START = datetime(2030, 3, 1, 9, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")


def book(rules: Rules = Rules()) -> Book:  # noqa: B008 - frozen
    return Book(PARIS, rules, START)


def after(**time: float) -> datetime:
    return START + timedelta(**time)


def spend(of: Book, amount: int) -> None:
    hold = of.reserve("image", amount, after(days=365))
    assert hold is not None
    of.commit(hold, amount)


def test_when_credits_end() -> None:
    assert days(30)(START, PARIS) == datetime(2030, 4, 1, tzinfo=PARIS)
    assert months(12)(START, PARIS) == datetime(2031, 3, 2, tzinfo=PARIS)
    assert month_end(START, PARIS) == datetime(2030, 4, 1, tzinfo=PARIS)


def test_what_ends_first_goes_first_then_what_was_free() -> None:
    mine = book()
    mine.grant("purchase", 10, never)
    mine.grant("subscription", 10, days(30))
    mine.grant("promotion", 10, days(30))
    mine.grant("free", 10, never)
    spend(mine, 35)
    assert mine.charged == {"promotion": 10, "subscription": 10, "free": 10, "purchase": 5}
    assert (mine.available, mine.left("purchase")) == (5, 5)
    assert mine.reserve("image", 6, START) is None
    assert mine.refused == 1


def test_a_hold_that_nobody_ends_comes_back_or_expires() -> None:
    mine = book()
    mine.grant("free", 10, days(0))
    mine.grant("purchase", 10, never)
    assert mine.reserve("image", 15, after(days=2)) is not None
    mine.settle(after(days=1))
    assert (mine.available, mine.left("free")) == (5, 10)
    mine.settle(after(days=3))
    assert (mine.available, mine.expired["free"]) == (10, 10)
    assert mine.uses["image"].crashed == 1


def test_what_exceeds_the_cap_expires_at_the_end_of_the_cycle() -> None:
    mine = book()
    mine.grant("free", 5, never)
    mine.subscribe(Cycle(after(days=31), 20, "subscription", never, cap=30))
    mine.settle(after(days=32))
    assert (mine.available, mine.expired["subscription"]) == (45, 0)
    mine.settle(after(days=70))
    assert (mine.available, mine.expired["subscription"]) == (5 + 30 + 20, 10)


def test_alerts_are_set_off_once_where_a_threshold_is_crossed() -> None:
    mine = book(Rules(low=50, critical=10, day_goal=60))
    mine.grant("free", 100, days(3))
    spend(mine, 47)
    assert mine.alerts.total() == 0
    spend(mine, 3)
    spend(mine, 10)
    assert mine.alerts == {"low-balance": 1, "limit-near": 2}
    mine.grant("purchase", 100, never)
    spend(mine, 100)
    assert mine.alerts["low-balance"] == 2
    mine.grant("free", 100, days(3))
    mine.settle(after(days=1))
    mine.settle(after(days=2))
    assert mine.alerts["expiring-soon"] == 1
