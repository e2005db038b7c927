"""Limits: which apply to a call, the name of their counters, and the windows in which they count.

A counter belongs to one limit of one account, one subject, and one window. Its key names the limit and the subject;
the window's start makes it one window's. A limit that an account replaces or makes anew has another key: it counts from
its creation (semantics, Limits).

Windows are [start, end) in microseconds since 1970. They begin at the first moment of a local day, whatever the zone's
clocks do at midnight, follow each other without a gap, and never overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, assert_never
from zoneinfo import ZoneInfo

from earmark.domain.catalog import LimitRule, LimitScope, LimitWindow
from earmark.domain.days import add_months, first_of_month, local_date, start_of_day

__all__ = [
    "FOREVER",
    "Calendar",
    "LimitKey",
    "applicable",
    "candidate_windows",
    "effective_limits",
    "limit_key",
    "near_amount",
    "parse_limit_key",
]

FOREVER = 2**53 - 1
"""The end of a lifetime window, in microseconds: the largest number that Lua holds exactly."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """What the windows of an account follow. Times in microseconds."""

    time_zone: str = "UTC"
    """IANA name."""
    previous_time_zone: str = ""
    """The zone before the last change; "" if it never changed."""
    zone_change_time: int = 0
    """When it changed: the window that held this moment was still the previous zone's."""
    cycles: tuple[int, ...] = ()
    """The ends of billing cycles around now, rising; () without a subscription: then cycles are calendar months."""


class LimitKey(NamedTuple):
    """What the key of a limit's counter says."""

    name: str
    """Holds no colon (the catalog and the server refuse it)."""
    created_seq: int
    window: LimitWindow
    """A catalog's limit that turns from day to month counts anew: their windows may begin at one moment."""
    scope: LimitScope
    subject: str
    """The last part: it may hold colons."""


def limit_key(rule: LimitRule, subject: str) -> str:
    """Return the key of a limit's counter; `parse_limit_key` reads it."""
    return f"{rule.name}:{rule.created_seq}:{rule.window.value}:{rule.scope.value}:{subject}"


def parse_limit_key(key: str) -> LimitKey:
    """Return what `limit_key` wrote."""
    name, created_seq, window, scope, subject = key.split(":", 4)
    return LimitKey(name, int(created_seq), LimitWindow(window), LimitScope(scope), subject)


def near_amount(rule: LimitRule) -> int:
    """Return from how many microcredits of charges on a limit is near; 0 for a limit of 0, which never is."""
    return -(-rule.amount * rule.near_percent // 100)


def effective_limits(
    catalog: Iterable[LimitRule], plan: Iterable[LimitRule], own: Iterable[LimitRule]
) -> tuple[LimitRule, ...]:
    """Return an account's limits: the catalog's, replaced by name by its plan's, replaced by name by its own."""
    rules = {rule.name: rule for rule in catalog}
    rules.update((rule.name, rule) for rule in plan)
    rules.update((rule.name, rule) for rule in own)
    return tuple(rules.values())


def applicable(
    rules: Iterable[LimitRule], operation: str, user_id: str, project_id: str
) -> list[tuple[LimitRule, str]]:
    """Return the limits that apply to a call, each with its subject: "" stands for what the call does not name."""
    found: list[tuple[LimitRule, str]] = []
    for rule in rules:
        match rule.scope:
            case LimitScope.ACCOUNT:
                found.append((rule, ""))
                continue
            case LimitScope.USER:
                subject = user_id
            case LimitScope.PROJECT:
                subject = project_id
            case LimitScope.OPERATION:
                subject = operation
            case _:
                assert_never(rule.scope)
        if subject and rule.subject in ("", subject):
            found.append((rule, subject))
    return found


def candidate_windows(window: LimitWindow, now: int, calendar: Calendar) -> tuple[int, ...]:
    """Return start and end of the window that holds `now` and of its neighbours, in order.

    Neighbours are sent along because the store's clock decides: it may have passed midnight already.
    """
    if window is LimitWindow.LIFETIME:
        return (0, FOREVER)
    if window is LimitWindow.CYCLE and calendar.cycles:
        return _windows(_around(calendar.cycles, now))
    boundaries = _boundaries(window, now, calendar.time_zone)
    if calendar.previous_time_zone:
        change = calendar.zone_change_time
        before = _boundaries(window, change, calendar.previous_time_zone)
        last = next(moment for moment in before if moment > change)
        if boundaries[0] < last:
            # Up to `last` in the previous zone; then what is left of the new zone's window, and its own from there.
            earlier = _boundaries(window, now, calendar.previous_time_zone)
            later = (last, *(each for each in boundaries if each > last)) if earlier[-1] >= last else ()
            boundaries = (*(each for each in earlier if each < last), *later)
    return _windows(boundaries)


def _windows(boundaries: Iterable[int]) -> tuple[int, ...]:
    return tuple(edge for window in pairwise(boundaries) for edge in window)


def _around(boundaries: tuple[int, ...], now: int) -> tuple[int, ...]:
    """Return the boundaries of the window that holds `now` and of its neighbours, as far as they are known."""
    later = sum(1 for moment in boundaries if moment <= now)
    return boundaries[max(0, later - 2) : later + 2]


def _boundaries(window: LimitWindow, now: int, time_zone: str) -> tuple[int, ...]:
    """Return the rising boundaries of calendar windows from before the one that holds `now` to after it."""
    day = local_date(now, _zone(time_zone))
    if window is LimitWindow.DAY:
        days = [day + timedelta(days=by) for by in (-1, 0, 1, 2)]
    else:
        days = [add_months(first_of_month(day), by) for by in (-1, 0, 1, 2)]
    # A zone that moved across the date line has days without a moment: their neighbours share a boundary.
    return tuple(sorted({_first_moment(each, time_zone) for each in days}))


@lru_cache(maxsize=4_096)
def _first_moment(day: date, time_zone: str) -> int:
    return start_of_day(day, _zone(time_zone))


@lru_cache(maxsize=1_024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
