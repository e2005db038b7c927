"""Which accounts of a to-do list are to be tried now: those that stay on it are tried less and less often."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

__all__ = ["Attempts"]

_FIRST_SECONDS, _LONGEST_SECONDS = 2.0, 60.0


class Attempts:
    """Remembers the accounts of the last list, and no others."""

    def __init__(self, patience_seconds: float = 0.0) -> None:
        """Accounts are tried once they have been on the list for `patience_seconds`."""
        self._patience = patience_seconds
        self._next: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._next)

    def due(self, listed: Sequence[str]) -> list[str]:
        """Return those of the list that are to be tried now, and note that they were."""
        now = monotonic()
        before, self._next = self._next, {}
        due = []
        for account_id in listed:
            at, pause = before.get(account_id, (now + self._patience, _FIRST_SECONDS))
            if now >= at:
                due.append(account_id)
                at, pause = now + pause, min(pause * 2, _LONGEST_SECONDS)
            self._next[account_id] = (at, pause)
        return due
