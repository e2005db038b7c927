"""Ranges of time, cut where the roll-ups are: whole hours or days of UTC, and the entries at the edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["DAY", "HOUR", "Piece", "Pieces", "cut"]

HOUR = 3_600_000_000
DAY = 24 * HOUR

Piece = tuple[int, int, int]
"""Number of the range that it is a part of, and its start and end: [start, end)."""


@dataclass(slots=True)
class Pieces:
    """Where to read the sums of some ranges."""

    whole: list[Piece] = field(default_factory=list)
    """In units of the roll-up since 1970."""
    edges: list[Piece] = field(default_factory=list)
    """In microseconds, to be read from the entries."""


def cut(boundaries: Sequence[int], unit: int, last_time: int) -> Pieces:
    """Cut the ranges between consecutive boundaries.

    Args:
        boundaries: Rising times in microseconds; range n is [boundaries[n], boundaries[n + 1]).
        unit: Of the roll-up: HOUR or DAY.
        last_time: Of the account's last entry. No boundary after it has to be met exactly, so that a range that ends
            now needs no entries.
    """
    met = [time if time <= last_time else -(-time // unit) * unit for time in boundaries]
    pieces = Pieces()
    for number, (start, end) in enumerate(pairwise(met)):
        first, last = -(-start // unit), end // unit
        if first >= last:
            # Within one unit, or around the boundary of two.
            _add(pieces.edges, number, start, end)
            continue
        _add(pieces.edges, number, start, first * unit)
        _add(pieces.whole, number, first, last)
        _add(pieces.edges, number, last * unit, end)
    return pieces


def _add(pieces: list[Piece], number: int, start: int, end: int) -> None:
    if start < end:
        pieces.append((number, start, end))
