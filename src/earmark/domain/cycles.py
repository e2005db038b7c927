"""Billing cycles: when each begins and ends, in the account's time zone. Times are microseconds since 1970-01-01 UTC.

Cycles are numbered 1, 2, 3, ... from the anchor, the beginning of the first. They are [start, end), follow each other
without a gap, and never overlap, whatever the zone's clocks do:

- MONTHLY ones begin at the anchor's time of day on its day of the month, or on the month's last day where it is
  shorter: 31 January, 28 February, 31 March.
- CALENDAR_MONTH ones begin with the first moment of a month; only the first one begins at the anchor.
- ONCE has one cycle that never ends: its end is `FOREVER`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from earmark.domain.catalog import CycleKind
from earmark.domain.days import add_months, first_of_month, local_date, start_of_day
from earmark.domain.limits import FOREVER

__all__ = ["CYCLES_OF_A_YEAR", "Cycle", "cycle", "cycle_at", "cycle_edges", "next_end"]

CYCLES_OF_A_YEAR = 12

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SHORTEST = 15 * 86_400_000_000
"""No later cycle is shorter than half a month, even where the account's time zone changed in between."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cycle: start <= t < end."""

    number: int
    start: int
    end: int


def cycle(kind: CycleKind, anchor: int, zone: tzinfo, number: int) -> Cycle:
    """Return a cycle by its number, 1 or above; ONCE has only the first."""
    return Cycle(number, _start(kind, anchor, zone, number), _start(kind, anchor, zone, number + 1))


def cycle_at(kind: CycleKind, anchor: int, zone: tzinfo, moment: int) -> Cycle:
    """Return the cycle that holds a moment; the first one for moments before the anchor."""
    if kind is CycleKind.ONCE:
        return cycle(kind, anchor, zone, 1)
    first, day = local_date(anchor, zone), local_date(moment, zone)
    # By months alone at most one too many: the day of the month may not have come yet.
    number = max(1, (day.year - first.year) * 12 + day.month - first.month + 1)
    while number > 1 and _start(kind, anchor, zone, number) > moment:
        number -= 1
    return cycle(kind, anchor, zone, number)


def next_end(kind: CycleKind, anchor: int, zone: tzinfo, after: int) -> int:
    """Return the end of the cycle that begins when the one before it ended.

    For cycles that were begun by the same rule it is the next boundary. Where zone or rule changed meanwhile, the
    boundaries lie elsewhere: the one that leaves the cycle at least half a month is taken, so that no change gives two
    cycles within hours.
    """
    if kind is CycleKind.ONCE:
        return FOREVER
    number = cycle_at(kind, anchor, zone, after).number
    while True:
        number += 1
        end = _start(kind, anchor, zone, number)
        if end - after >= _SHORTEST or end >= FOREVER:
            return end


def cycle_edges(kind: CycleKind, anchor: int, zone: tzinfo, start: int, end: int, moment: int) -> tuple[int, ...]:
    """Return the edges of cycles around a moment, rising: from before the cycle [start, end) to two after `moment`.

    `start` and `end` are those of a cycle that is known to have begun; `end` 0 or `FOREVER` for one that never ends.
    """
    if not end or end >= FOREVER:
        return start, FOREVER
    before = cycle_at(kind, anchor, zone, start - _SHORTEST).start
    edges = [before] if before < start and start > anchor else []
    edges += [start, end]
    while edges[-2] <= moment and edges[-1] < FOREVER:
        edges.append(next_end(kind, anchor, zone, edges[-1]))
    return tuple(edges)


def _start(kind: CycleKind, anchor: int, zone: tzinfo, number: int) -> int:
    if number == 1:
        return anchor
    match kind:
        case CycleKind.ONCE:
            return FOREVER
        case CycleKind.CALENDAR_MONTH:
            start = start_of_day(add_months(first_of_month(local_date(anchor, zone)), number - 1), zone)
        case _:
            local = (_EPOCH + timedelta(microseconds=anchor)).astimezone(zone)
            day = add_months(local.date(), number - 1)
            # fold 0: of a time that comes twice, the first; of one that is skipped, as far after the skip.
            moment = datetime.combine(day, local.time().replace(fold=0), tzinfo=zone)
            start = (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND
    return min(start, FOREVER)
