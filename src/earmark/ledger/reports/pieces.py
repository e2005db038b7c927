"""Ranges of time, cut where the roll-ups are: whole days of UTC, the hours around them, the entries at the edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["DAY", "HOUR", "Piece", "Pieces", "cut"]

HOUR = 3_600_000_000
DAY = 24 * HOUR

Piece = tuple[int, int, int]
"""Number of the range that it is a part of, and its start and end in the unit of its table: [start, end)."""


@dataclass(slots=True)
class Pieces:
    """Where to read the sums of some ranges."""

    days: list[Piece] = field(default_factory=list)
    hours: list[Piece] = field(default_factory=list)
    entries: list[Piece] = field(default_factory=list)
    """In microseconds."""


def cut(boundaries: Sequence[int], last_time: int, *, by_days: bool) -> Pieces:
    """Cut the ranges between consecutive boundaries.

    Args:
        boundaries: Rising times in microseconds; range n is [boundaries[n], boundaries[n + 1]).
        last_time: Of the account's last entry. No boundary after it has to be met exactly, so that a range that ends
            now needs no entries.
        by_days: Whether whole days may be read as such, or only as hours.
    """
    met = [time if time <= last_time else -(-time // DAY) * DAY for time in boundaries]
    pieces = Pieces()
    for number, (start, end) in enumerate(pairwise(met)):
        first_hour, last_hour = -(-start // HOUR), end // HOUR
        if first_hour >= last_hour:
            # Within one hour, or around the boundary of two.
            _add(pieces.entries, number, start, end)
            continue
        _add(pieces.entries, number, start, first_hour * HOUR)
        first_day, last_day = -(-start // DAY), end // DAY
        if by_days and first_day < last_day:
            _add(pieces.hours, number, first_hour, first_day * 24)
            _add(pieces.days, number, first_day, last_day)
            _add(pieces.hours, number, last_day * 24, last_hour)
        else:
            _add(pieces.hours, number, first_hour, last_hour)
        _add(pieces.entries, number, last_hour * HOUR, end)
    return pieces


def _add(pieces: list[Piece], number: int, start: int, end: int) -> None:
    if start < end:
        pieces.append((number, start, end))
