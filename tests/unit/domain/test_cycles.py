"""Billing cycles: contiguous, gapless, by the account's clock."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.domain.catalog import CycleKind
from earmark.domain.cycles import cycle, cycle_at, cycle_edges, next_end
from earmark.domain.limits import FOREVER

DAY = 86_400_000_000
ZONES = ["UTC", "Europe/Paris", "America/New_York", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu"]

zones = st.sampled_from(ZONES).map(ZoneInfo)
kinds = st.sampled_from([CycleKind.MONTHLY, CycleKind.CALENDAR_MONTH])
moments = st.integers(min_value=0, max_value=4_000_000_000_000_000)  # 1970 to 2096


def micros(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


def local(moment: int, zone: str = "UTC") -> str:
    return datetime.fromtimestamp(moment / 1e6, UTC).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def starts(anchor: str, zone: str, count: int, kind: CycleKind = CycleKind.MONTHLY) -> list[str]:
    return [local(cycle(kind, micros(anchor, zone), ZoneInfo(zone), n).start, zone) for n in range(1, count + 1)]


def test_month_ends_are_kept() -> None:
    assert starts("2027-01-31T10:00", "UTC", 4) == [
        "2027-01-31 10:00",
        "2027-02-28 10:00",
        "2027-03-31 10:00",
        "2027-04-30 10:00",
    ]
    assert starts("2028-01-30T10:00", "UTC", 3) == ["2028-01-30 10:00", "2028-02-29 10:00", "2028-03-30 10:00"]


def test_the_time_of_day_is_the_accounts_whatever_its_clocks_do() -> None:
    # Summer time begins on 28 March 2027 in Paris and on 14 March in New York.
    assert starts("2027-02-28T02:30", "Europe/Paris", 3) == ["2027-02-28 02:30", "2027-03-28 03:30", "2027-04-28 02:30"]
    assert starts("2027-02-14T12:00", "America/New_York", 2) == ["2027-02-14 12:00", "2027-03-14 12:00"]


def test_calendar_months_begin_with_the_month_but_the_first() -> None:
    assert starts("2027-01-17T15:00", "Asia/Kathmandu", 3, CycleKind.CALENDAR_MONTH) == [
        "2027-01-17 15:00",
        "2027-02-01 00:00",
        "2027-03-01 00:00",
    ]


def test_the_only_cycle_never_ends() -> None:
    only = cycle_at(CycleKind.ONCE, 5, ZoneInfo("UTC"), 10 * DAY)
    assert (only.number, only.start, only.end) == (1, 5, FOREVER)


def test_a_change_of_zone_gives_no_cycle_of_hours() -> None:
    anchor, utc, west = micros("2027-01-01T00:30"), ZoneInfo("UTC"), ZoneInfo("America/Los_Angeles")
    first = cycle(CycleKind.CALENDAR_MONTH, anchor, utc, 1)
    assert local(first.end) == "2027-02-01 00:00"
    end = next_end(CycleKind.CALENDAR_MONTH, anchor, west, first.end)
    assert local(end, "America/Los_Angeles") == "2027-03-01 00:00"


@given(kinds, moments, zones, st.integers(1, 40))
def test_cycles_follow_each_other(kind: CycleKind, anchor: int, zone: ZoneInfo, number: int) -> None:
    this, following = cycle(kind, anchor, zone, number), cycle(kind, anchor, zone, number + 1)
    assert this.start < this.end == following.start
    if number > 1:
        assert 27 * DAY < this.end - this.start < 32 * DAY
    assert next_end(kind, anchor, zone, following.start) == following.end


@given(kinds, moments, zones, st.integers(0, 1_500 * DAY))
def test_every_moment_is_in_exactly_one_cycle(kind: CycleKind, anchor: int, zone: ZoneInfo, later: int) -> None:
    moment = anchor + later
    found = cycle_at(kind, anchor, zone, moment)
    assert found.start <= moment < found.end
    assert found == cycle(kind, anchor, zone, found.number)
    assert cycle_at(kind, anchor, zone, found.end - 1) == found
    assert cycle_at(kind, anchor, zone, found.end).number == found.number + 1


@given(moments, zones, st.integers(1, 60))
def test_the_anchors_day_comes_back(anchor: int, zone: ZoneInfo, number: int) -> None:
    first = datetime.fromtimestamp(anchor // 1_000_000, UTC).astimezone(zone)
    start = cycle(CycleKind.MONTHLY, anchor, zone, number).start
    day = datetime.fromtimestamp(start // 1_000_000, UTC).astimezone(zone)
    tomorrow = datetime.fromtimestamp(start // 1_000_000 + 86_400, UTC).astimezone(zone)
    # The day itself; or the month's last day; or, where the clocks skip the time of day, just behind it.
    assert day.day == first.day or (day.day < first.day and tomorrow.day <= 2) or day.day == first.day % 31 + 1


@given(kinds, moments, zones, zones, st.integers(1, 30))
def test_a_change_of_zone_gives_one_cycle_a_month(
    kind: CycleKind, anchor: int, before: ZoneInfo, after: ZoneInfo, number: int
) -> None:
    begun = cycle(kind, anchor, before, number).end
    end = next_end(kind, anchor, after, begun)
    assert 15 * DAY <= end - begun < 47 * DAY


@given(kinds, moments, zones, st.integers(1, 20), st.integers(-DAY, 100 * DAY))
def test_edges_around_a_moment(kind: CycleKind, anchor: int, zone: ZoneInfo, number: int, away: int) -> None:
    known = cycle(kind, anchor, zone, number)
    edges = cycle_edges(kind, anchor, zone, known.start, known.end, known.start + away)
    assert list(edges) == sorted(set(edges))
    assert known.start in edges
    assert known.end in edges
    assert sum(edge > known.start + away for edge in edges) >= 2
    assert edges[0] < known.start or known.start == anchor


@pytest.mark.parametrize("end", [0, FOREVER])
def test_edges_without_an_end(end: int) -> None:
    assert cycle_edges(CycleKind.ONCE, 7, ZoneInfo("UTC"), 7, end, 99) == (7, FOREVER)
