"""When a stream may forget what SQL holds.

Trimming lags behind, so that SQL restored to a point some minutes ago is simply flushed again. The last flushed element
always stays: as long as an element at or before SQL's position is there, nothing after it can be missing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["TrimLag", "Trimmer"]

_CHECKPOINT_MICROS = 1_000_000
_STEP = 20_000
"""Records that one call trims at most: a million at once would stop Redis for a fifth of a second."""


@dataclass(slots=True)
class TrimLag:
    """How far trimming lags behind; shrinks while the streams take too much memory. Durations in microseconds."""

    longest: int
    percent: int
    """Of `maxmemory`: above it the lag halves with every look, below half of it it grows back."""
    current: int = -1

    def __post_init__(self) -> None:
        self.current = self.longest

    def look(self, streams_bytes: int, limit_bytes: int) -> None:
        """Adapt to what the streams take of the limit (0: there is none)."""
        mark = limit_bytes * self.percent
        if streams_bytes * 100 > mark > 0:
            self.current = self.current // 2 if self.current > _CHECKPOINT_MICROS else 0
        elif streams_bytes * 200 < mark or mark == 0:
            self.current = min(self.longest, max(self.current * 2, _CHECKPOINT_MICROS))


class Trimmer:
    """Remembers when what was flushed, for one partition."""

    def __init__(self) -> None:
        self._checkpoints: deque[tuple[int, int]] = deque()
        self._target = 0
        self._trimmed = 0

    def begin(self, first_seq: int) -> None:
        """Start with a stream whose first element ends at `first_seq`; forget what was remembered."""
        self._checkpoints.clear()
        self._target = self._trimmed = first_seq

    def flushed(self, now: int, last_seq: int) -> None:
        """Note that everything up to the element `last_seq` was in SQL at `now`."""
        latest = self._checkpoints[-1] if self._checkpoints else None
        if latest is None or now - latest[0] >= _CHECKPOINT_MICROS:
            self._checkpoints.append((now, last_seq))

    def trim_before(self, now: int, lag: int) -> int:
        """Return the seq before which elements may go now; 0 for none. `done` says that they went."""
        while self._checkpoints and self._checkpoints[0][0] <= now - lag:
            self._target = self._checkpoints.popleft()[1]
        step = min(self._target, self._trimmed + _STEP)
        return step if step > self._trimmed else 0

    def done(self, trim_before: int) -> None:
        """Note that elements before this seq are gone."""
        self._trimmed = max(self._trimmed, trim_before)
