"""Limits: which apply to a call, the name of their counters, and the windows in which they count.

A counter belongs to one limit of one account, one subject, and one window. Its key names the limit and the subject;
the window's start makes it one window's. A limit that an account replaces or makes anew has another key: it counts from
its creation (semantics, Limits).
"""

from __future__ import annotations

from earmark.domain.catalog import LimitRule

__all__ = ["FOREVER", "limit_key", "limit_name"]

FOREVER = 2**53 - 1
"""The end of a lifetime window, in microseconds: the largest number that Lua holds exactly."""


def limit_key(rule: LimitRule, subject: str) -> str:
    """Return the key of a limit's counter: `name:created_seq:scope:subject`, the subject last, as it may hold colons.

    Names hold no colon (the catalog and the server refuse it).
    """
    return f"{rule.name}:{rule.created_seq}:{rule.scope.value}:{subject}"


def limit_name(key: str) -> str:
    """Return the name of the limit that a counter's key belongs to."""
    return key.partition(":")[0]
