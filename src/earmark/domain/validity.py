"""When a grant's credits end. Times are microseconds since 1970-01-01 UTC; 0 stands for never."""

from __future__ import annotations

from datetime import timedelta, tzinfo

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import Validity, ValidityKind
from earmark.domain.days import add_months, local_date, next_month, start_of_day

__all__ = ["expire_time", "validity_text"]

_ONE_DAY = timedelta(days=1)


def expire_time(validity: Validity, acquired_at: int, zone: tzinfo, cycle_end: int | None = None) -> int:
    """Return when credits that are acquired now can no longer be used; 0 for never.

    They can be used through the whole last day of the zone: 30 days from 27 June 15:00 on are through 27 July, so they
    expire on 28 July 00:00. Months end on the same day of the month, or on its last one.

    Args:
        validity: The rule.
        acquired_at: When they were acquired.
        zone: The account's time zone.
        cycle_end: When the billing cycle ends; None (or 0) without one: then the calendar month counts.
    """
    if validity.kind is ValidityKind.NEVER:
        return 0
    if validity.kind is ValidityKind.CYCLE and cycle_end:
        return cycle_end
    acquired = local_date(acquired_at, zone)
    if validity.kind is ValidityKind.DAYS:
        day = acquired + timedelta(days=validity.count) + _ONE_DAY
    elif validity.kind is ValidityKind.MONTHS:
        day = add_months(acquired, validity.count) + _ONE_DAY
    else:
        day = next_month(acquired)
    ends = start_of_day(day, zone)
    return ends if ends <= MAX_MICROS else 0  # After 2255: Lua holds no such time exactly.


def validity_text(validity: Validity) -> str:
    """Return the rule in words, for people."""
    match validity.kind:
        case ValidityKind.NEVER:
            return "do not expire"
        case ValidityKind.DAYS:
            return f"valid {validity.count:,} day{'s' if validity.count != 1 else ''}"
        case ValidityKind.MONTHS:
            return f"valid {validity.count:,} month{'s' if validity.count != 1 else ''}"
        case ValidityKind.CALENDAR_MONTH:
            return "valid in the calendar month only"
        case ValidityKind.CYCLE:
            return "valid in the billing cycle only"
