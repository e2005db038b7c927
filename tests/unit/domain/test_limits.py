"""Windows and limits: which apply, and when they begin and end, in any zone, across every change of its clocks."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.domain.catalog import LimitMode, LimitRule, LimitScope, LimitWindow
from earmark.domain.limits import (
    FOREVER,
    Calendar,
    applicable,
    candidate_windows,
    effective_limits,
    limit_key,
    near_amount,
    parse_limit_key,
)

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = sorted(zoneinfo.available_timezones())


def at(text: str, zone: str = "UTC", fold: int = 0) -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return (local.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def current(windows: tuple[int, ...], now: int) -> tuple[int, int]:
    [found] = [(start, end) for start, end in zip(windows[::2], windows[1::2], strict=True) if start <= now < end]
    return found


def rule(name: str = "l", scope: LimitScope = LimitScope.ACCOUNT, amount: int = 100, **fields: object) -> LimitRule:
    return LimitRule(name, scope, LimitWindow.DAY, amount, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("zone", "moment", "start", "end"),
    [
        ("UTC", "2026-02-28T23:59:59", "2026-02-28T00:00", "2026-03-01T00:00"),
        ("Europe/Paris", "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00"),
        ("Europe/Paris", "2026-10-25T12:00", "2026-10-25T00:00", "2026-10-26T00:00"),
        # Clocks that jump at midnight: the day begins at one.
        ("America/Sao_Paulo", "2018-11-04T10:00", "2018-11-04T01:00", "2018-11-05T00:00"),
        # Clocks that read midnight twice: it begins with the first.
        ("America/Havana", "2026-11-01T10:00", "2026-11-01T00:00", "2026-11-02T00:00"),
        # The whole of 30 December 2011 does not exist.
        ("Pacific/Apia", "2011-12-31T10:00", "2011-12-31T00:00", "2012-01-01T00:00"),
    ],
)
def test_a_day_is_the_zones_own(zone: str, moment: str, start: str, end: str) -> None:
    now = at(moment, zone)
    assert current(candidate_windows(LimitWindow.DAY, now, Calendar(zone)), now) == (at(start, zone), at(end, zone))


def test_days_have_23_and_25_hours() -> None:
    for moment, hours in (("2026-03-29T12:00", 23), ("2026-10-25T12:00", 25), ("2026-06-01T12:00", 24)):
        now = at(moment, "Europe/Paris")
        start, end = current(candidate_windows(LimitWindow.DAY, now, Calendar("Europe/Paris")), now)
        assert end - start == hours * HOUR


def test_a_month_is_the_zones_own() -> None:
    now = at("2026-02-10T00:00", "Asia/Tokyo")
    assert current(candidate_windows(LimitWindow.MONTH, now, Calendar("Asia/Tokyo")), now) == (
        at("2026-02-01T00:00", "Asia/Tokyo"),
        at("2026-03-01T00:00", "Asia/Tokyo"),
    )


def test_a_cycle_is_the_calendar_month_without_a_subscription() -> None:
    now = at("2026-02-10T00:00")
    assert candidate_windows(LimitWindow.CYCLE, now, Calendar()) == candidate_windows(
        LimitWindow.MONTH, now, Calendar()
    )


def test_a_cycle_is_the_subscriptions() -> None:
    ends = tuple(at(f"2026-{month:02}-15T10:30") for month in range(1, 7))
    now = at("2026-03-20T00:00")
    windows = candidate_windows(LimitWindow.CYCLE, now, Calendar(cycles=ends))
    assert current(windows, now) == (ends[2], ends[3])
    assert windows == (ends[1], ends[2], ends[2], ends[3], ends[3], ends[4])


def test_a_lifetime_never_ends() -> None:
    assert candidate_windows(LimitWindow.LIFETIME, at("2026-01-01T00:00"), Calendar()) == (0, FOREVER)


def test_another_zone_counts_from_the_next_window_on() -> None:
    change = at("2026-06-10T15:00", "Europe/Paris")
    calendar = Calendar("Asia/Tokyo", "Europe/Paris", change)
    midnight = at("2026-06-11T00:00", "Europe/Paris")
    for now in (change - DAY, change - 1, change, midnight - 1):
        start, end = current(candidate_windows(LimitWindow.DAY, now, calendar), now)
        assert end - start == DAY
        assert (end - midnight) % DAY == 0, "the day goes on in the old zone"
    # What is left of Tokyo's day, then its own days.
    assert current(candidate_windows(LimitWindow.DAY, midnight, calendar), midnight) == (
        midnight,
        at("2026-06-12T00:00", "Asia/Tokyo"),
    )
    later = midnight + 3 * DAY
    assert current(candidate_windows(LimitWindow.DAY, later, calendar), later) == current(
        candidate_windows(LimitWindow.DAY, later, Calendar("Asia/Tokyo")), later
    )


moments = st.integers(at("1980-01-01T00:00"), at("2100-01-01T00:00"))
kinds = st.sampled_from([LimitWindow.DAY, LimitWindow.MONTH, LimitWindow.CYCLE])
zones = st.sampled_from(ZONES)


@given(kinds, moments, zones)
def test_windows_follow_each_other_and_hold_now(kind: LimitWindow, now: int, zone: str) -> None:
    windows = candidate_windows(kind, now, Calendar(zone))
    assert all(earlier <= later for earlier, later in pairwise(windows))
    assert windows[1:-1:2] == windows[2::2], "without a gap"
    start, end = current(windows, now)
    assert start < end


@given(kinds, moments, zones, zones, st.integers(-70 * DAY, 70 * DAY), st.integers(0, 40 * DAY))
def test_whoever_asks_when_gets_the_same_window(
    kind: LimitWindow, now: int, zone: str, before: str, since: int, by: int
) -> None:
    """Two sidecars with clocks apart name one moment's window alike: a counter has one start."""
    calendar = Calendar(zone, before, now - since)
    here, there = candidate_windows(kind, now, calendar), candidate_windows(kind, now + by, calendar)
    for start, end in zip(here[::2], here[1::2], strict=True):
        for other_start, other_end in zip(there[::2], there[1::2], strict=True):
            assert (start, end) == (other_start, other_end) or end <= other_start or other_end <= start
    current(here, now)
    current(there, now + by)


def test_limits_are_replaced_by_name() -> None:
    catalog = [rule("a", amount=1), rule("b", amount=1), rule("c", amount=1)]
    plan = [rule("b", amount=2), rule("c", amount=2), rule("d", amount=2)]
    own = [rule("c", amount=3, created_seq=7), rule("e", amount=3, created_seq=7)]
    assert [(each.name, each.amount) for each in effective_limits(catalog, plan, own)] == [
        ("a", 1),
        ("b", 2),
        ("c", 3),
        ("d", 2),
        ("e", 3),
    ]


def test_a_limit_applies_to_what_the_call_names() -> None:
    rules = [
        rule("account"),
        rule("each-user", LimitScope.USER),
        rule("ann", LimitScope.USER, subject="ann"),
        rule("project", LimitScope.PROJECT),
        rule("video", LimitScope.OPERATION, subject="video"),
        rule("each-operation", LimitScope.OPERATION),
    ]

    def names(operation: str = "", user_id: str = "", project_id: str = "") -> list[tuple[str, str]]:
        return [(each.name, subject) for each, subject in applicable(rules, operation, user_id, project_id)]

    assert names() == [("account", "")]
    assert names(user_id="bob") == [("account", ""), ("each-user", "bob")]
    assert names(user_id="ann") == [("account", ""), ("each-user", "ann"), ("ann", "ann")]
    assert names("image", project_id="p") == [("account", ""), ("project", "p"), ("each-operation", "image")]
    assert names("video") == [("account", ""), ("video", "video"), ("each-operation", "video")]


def test_a_limit_made_anew_has_another_counter() -> None:
    assert limit_key(rule(created_seq=1), "") != limit_key(rule(created_seq=2), "")
    assert parse_limit_key(limit_key(rule("daily", LimitScope.USER), "a:b:c"))[-2:] == (LimitScope.USER, "a:b:c")


@given(st.integers(1, 2**53 - 1), st.integers(1, 100))
def test_near_lies_within_the_limit(amount: int, percent: int) -> None:
    near = near_amount(rule(amount=amount, near_percent=percent, mode=LimitMode.NOTIFY))
    assert 1 <= near <= amount
    assert (near - 1) * 100 < amount * percent <= near * 100


def test_a_limit_of_nothing_is_never_near() -> None:
    assert near_amount(rule(amount=0)) == 0
