"""Counts of answered calls: plain integers, cheap enough for the hot path."""

from __future__ import annotations

from collections import defaultdict

__all__ = ["CallCounts"]


class CallCounts:
    """Answered calls by RPC and outcome: `OK`, or the reason of the refusal. Those of a Session count one by one."""

    def __init__(self) -> None:
        self.answered: defaultdict[tuple[str, str], int] = defaultdict(int)
