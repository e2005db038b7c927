"""Days and months of a time zone. Times are microseconds since 1970-01-01 UTC."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, tzinfo

__all__ = ["add_months", "first_of_month", "local_date", "next_month", "start_of_day"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000


def local_date(time: int, zone: tzinfo) -> date:
    """Return the day that a time belongs to in a zone."""
    return _moment(time).astimezone(zone).date()


def start_of_day(day: date, zone: tzinfo) -> int:
    """Return the first moment of a day in a zone.

    Where the clock skips midnight it is the moment after the skip; where midnight comes twice, the first.
    """
    # fold 0: the earlier of two midnights; of a skipped one, the offset before the skip.
    found = _micros(datetime(day.year, day.month, day.day, tzinfo=zone))
    if local_date(found, zone) == day and local_date(found - 1, zone) < day:
        return found
    # The skip began before midnight. Offsets change at whole seconds.
    before, after = found // _SECOND - 2 * 86_400, found // _SECOND + 2 * 86_400
    while after - before > 1:
        middle = (before + after) // 2
        if local_date(middle * _SECOND, zone) < day:
            before = middle
        else:
            after = middle
    return after * _SECOND


def add_months(day: date, months: int) -> date:
    """Return the same day of a later month; its last day where the month is shorter (31 January + 1 = 28 February)."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def first_of_month(day: date) -> date:
    """Return the first day of a day's month."""
    return day.replace(day=1)


def next_month(day: date) -> date:
    """Return the first day of the month after a day's."""
    return add_months(first_of_month(day), 1)


def _moment(time: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time)


def _micros(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND
