"""How long to wait before a repeat: doubling, bounded, with jitter, so that many clients do not come back as one."""

from __future__ import annotations

import random

__all__ = ["backoff_seconds"]

_FIRST_SECONDS = 0.05
_LONGEST_SECONDS = 2.0


def backoff_seconds(attempt: int) -> float:
    """Return the pause before the repeat that follows failure number `attempt` (1, 2, 3...), in seconds."""
    longest = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(attempt - 1, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret
