"""When credits end, in any time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.domain.catalog import Validity, ValidityKind
from earmark.domain.days import add_months, first_of_month, local_date, next_month, start_of_day
from earmark.domain.validity import expire_time, validity_text

DAYS_30 = Validity(ValidityKind.DAYS, 30)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
]


def micros(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1_000_000)


moments = st.integers(micros("1995-01-01"), micros("2150-01-01"))


def ends(validity: Validity, acquired: str, zone: str = "UTC", cycle_end: int | None = None) -> str:
    ended = expire_time(validity, micros(acquired, zone), ZoneInfo(zone), cycle_end)
    return datetime.fromtimestamp(ended / 1e6, ZoneInfo(zone)).isoformat()


def test_thirty_days_are_through_the_last_day():
    assert ends(DAYS_30, "2026-06-27T15:00") == "2026-07-28T00:00:00+00:00"
    assert ends(DAYS_30, "2026-06-27T00:00") == "2026-07-28T00:00:00+00:00"
    assert ends(DAYS_30, "2026-06-27T23:59:59") == "2026-07-28T00:00:00+00:00"


def test_the_day_is_that_of_the_time_zone():
    # 22:30 in Berlin is still the 27th in UTC; at 00:30 it is already the 28th there.
    assert ends(DAYS_30, "2026-06-28T00:30", "Europe/Berlin") == "2026-07-29T00:00:00+02:00"
    assert ends(DAYS_30, "2026-06-27T22:30", "Europe/Berlin") == "2026-07-28T00:00:00+02:00"


def test_the_change_of_clocks_moves_no_midnight():
    assert ends(DAYS_30, "2026-03-10T12:00", "Europe/Berlin") == "2026-04-10T00:00:00+02:00"
    assert ends(DAYS_30, "2026-10-10T12:00", "Europe/Berlin") == "2026-11-10T00:00:00+01:00"
    assert ends(DAYS_30, "2026-10-10T12:00", "America/New_York") == "2026-11-10T00:00:00-05:00"


def test_a_skipped_midnight_is_the_moment_after_the_skip():
    # Beirut goes from 00:00 to 01:00 in spring.
    assert ends(Validity(ValidityKind.DAYS, 1), "2024-03-29T12:00", "Asia/Beirut") == "2024-03-31T01:00:00+03:00"


def test_of_two_midnights_the_first():
    # Havana goes from 01:00 back to 00:00 in autumn.
    assert ends(Validity(ValidityKind.DAYS, 1), "2025-10-31T12:00", "America/Havana") == "2025-11-02T00:00:00-04:00"


def test_a_skip_that_begins_before_midnight():
    # Toronto went from 23:30 to 00:30 in 1919.
    start = start_of_day(date(1919, 3, 31), ZoneInfo("America/Toronto"))
    assert datetime.fromtimestamp(start / 1e6, ZoneInfo("America/Toronto")).isoformat() == "1919-03-31T00:30:00-04:00"


def test_months_keep_month_ends():
    one = Validity(ValidityKind.MONTHS, 1)
    assert ends(one, "2026-01-31T10:00") == "2026-03-01T00:00:00+00:00"
    assert ends(one, "2028-01-31T10:00") == "2028-03-01T00:00:00+00:00"
    assert ends(one, "2026-02-28T10:00") == "2026-03-29T00:00:00+00:00"
    assert ends(Validity(ValidityKind.MONTHS, 12), "2026-06-27T15:00") == "2027-06-28T00:00:00+00:00"
    assert ends(Validity(ValidityKind.MONTHS, 12), "2028-02-29T15:00") == "2029-03-01T00:00:00+00:00"


def test_the_calendar_month():
    month = Validity(ValidityKind.CALENDAR_MONTH)
    assert ends(month, "2026-06-01T00:00", "Asia/Kolkata") == "2026-07-01T00:00:00+05:30"
    assert ends(month, "2026-12-31T23:59", "Asia/Kolkata") == "2027-01-01T00:00:00+05:30"


def test_the_cycle_or_else_the_calendar_month():
    cycle = Validity(ValidityKind.CYCLE)
    assert expire_time(cycle, micros("2026-06-27"), UTC, 42) == 42
    assert ends(cycle, "2026-06-27T12:00") == "2026-07-01T00:00:00+00:00"


def test_never():
    assert expire_time(Validity(), micros("2026-06-27"), UTC) == 0
    assert expire_time(Validity(ValidityKind.MONTHS, 1_200), micros("2200-01-01"), UTC) == 0


@pytest.mark.parametrize(
    ("validity", "text"),
    [
        (Validity(), "do not expire"),
        (DAYS_30, "valid 30 days"),
        (Validity(ValidityKind.MONTHS, 1), "valid 1 month"),
        (Validity(ValidityKind.CALENDAR_MONTH), "valid in the calendar month only"),
        (Validity(ValidityKind.CYCLE), "valid in the billing cycle only"),
    ],
)
def test_in_words(validity: Validity, text: str):
    assert validity_text(validity) == text


@given(acquired=moments, zone=st.sampled_from(ZONES), count=st.integers(0, 800))
def test_usable_on_the_whole_last_day_and_not_on_the_next(acquired: int, zone: str, count: int):
    place = ZoneInfo(zone)
    ended = expire_time(Validity(ValidityKind.DAYS, count), acquired, place)
    last = local_date(acquired, place) + timedelta(days=count)
    assert local_date(ended - 1, place) <= last < local_date(ended, place)
    assert ended > acquired


@given(acquired=moments, zone=st.sampled_from(ZONES), months=st.integers(1, 120))
def test_months_end_in_the_month_that_they_name(acquired: int, zone: str, months: int):
    place = ZoneInfo(zone)
    begun = local_date(acquired, place)
    last = local_date(expire_time(Validity(ValidityKind.MONTHS, months), acquired, place) - 1, place)
    # Apia had no 30 December 2011: what ends on it ends on the day before.
    assert (last.year * 12 + last.month) - (begun.year * 12 + begun.month) == months
    assert last.day <= begun.day


@given(day=st.dates(date(1970, 1, 2), date(2150, 1, 1)), zone=st.sampled_from(ZONES))
def test_days_begin_once_and_in_order(day: date, zone: str):
    place = ZoneInfo(zone)
    start = start_of_day(day, place)
    assert local_date(start - 1, place) < day <= local_date(start, place)
    assert start <= start_of_day(day + timedelta(days=1), place)


@given(day=st.dates(date(1970, 1, 1), date(2200, 1, 1)), months=st.integers(0, 240))
def test_months_are_clamped_to_their_last_day(day: date, months: int):
    later = add_months(day, months)
    assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).day == 1)
    assert first_of_month(later) <= later < next_month(later)
