"""What a caller writes (credits, quantities, seconds) to what the wire carries (microcredits, integers, Durations)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum, unique
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from earmark.credits import MAX_MICROS, to_micros
from earmark.v1 import common_pb2

__all__ = [
    "Amount",
    "OveragePolicy",
    "Seconds",
    "overage_number",
    "quantity_number",
    "read_time",
    "seconds_of",
    "to_duration",
    "to_micros_fast",
    "to_timestamp",
    "usage_counts",
]

Amount = Decimal | int | str
"""Credits. Never a float: a float is not exact."""

Seconds = float | timedelta
"""A length of time: seconds, or a timedelta."""


@unique
class OveragePolicy(StrEnum):
    """What a commit does with an actual amount above the reserved one."""

    REJECT = "reject"
    """Refuses; the reservation stays active."""
    ALLOW_IF_AVAILABLE = "allow_if_available"
    """Takes the excess as far as it is available, the rest is uncollected. The server's default."""
    ALLOW_WITH_OVERDRAFT = "allow_with_overdraft"
    """Takes what is not available as debt, up to the account's overdraft limit."""


_POLICIES = {
    OveragePolicy.REJECT: common_pb2.OVERAGE_POLICY_REJECT,
    OveragePolicy.ALLOW_IF_AVAILABLE: common_pb2.OVERAGE_POLICY_ALLOW_IF_AVAILABLE,
    OveragePolicy.ALLOW_WITH_OVERDRAFT: common_pb2.OVERAGE_POLICY_ALLOW_WITH_OVERDRAFT,
}


@lru_cache(maxsize=4096)  # Programs write the same few amounts again and again.
def _text_to_micros(amount: str) -> int:
    return to_micros(amount)


def to_micros_fast(amount: Amount) -> int:
    """Convert credits to microcredits, exactly.

    Raises:
        TypeError: for a float or a bool.
        ValueError: for what is no amount of credits.
    """
    return _text_to_micros(amount) if type(amount) is str else to_micros(amount)


def quantity_number(quantity: int) -> int:
    """Check a count of units.

    Raises:
        TypeError: for anything but an int.
        ValueError: below 0 or above 2^53 - 1.
    """
    if isinstance(quantity, bool) or not isinstance(quantity, int):
        raise TypeError(f"a quantity must be an int, not {type(quantity).__name__}")
    if not 0 <= quantity <= MAX_MICROS:
        raise ValueError(f"{quantity}: a quantity must be 0 to {MAX_MICROS}")
    return quantity


def usage_counts(usage: Mapping[str, int]) -> dict[str, int]:
    """Check named counts, for example `{"input_tokens": 900, "output_tokens": 212}`."""
    return {name: quantity_number(count) for name, count in usage.items()}


def overage_number(policy: OveragePolicy | str | None) -> common_pb2.OveragePolicy:
    """Return the wire number of a policy; absent means the server's default.

    Raises:
        ValueError: for a policy that does not exist.
    """
    if policy is None:
        return common_pb2.OVERAGE_POLICY_UNSPECIFIED
    try:
        return _POLICIES[OveragePolicy(policy.lower().removeprefix("overage_policy_"))]
    except ValueError:
        known = ", ".join(known.value for known in OveragePolicy)
        raise ValueError(f"{policy!r} is no overage policy; there are {known}") from None


def seconds_of(length: Seconds) -> float:
    """Return a length of time in seconds.

    Raises:
        TypeError: for anything but a number or a timedelta.
        ValueError: for a negative or endless length.
    """
    if isinstance(length, bool) or not isinstance(length, (int, float, timedelta)):
        raise TypeError(f"a length of time is a number of seconds or a timedelta, not {type(length).__name__}")
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    if not 0 <= seconds < 1e10:
        raise ValueError(f"{length!r} is no length of time")
    return seconds


def to_duration(seconds: float) -> Duration:
    """Write seconds as a Duration, to the microsecond."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return Duration(seconds=whole, nanos=micros * 1000)


def to_timestamp(moment: datetime) -> Timestamp:
    """Write a moment as a Timestamp.

    Raises:
        ValueError: for a datetime without a time zone: nobody knows which moment it means.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; use datetime.now(timezone.utc) or another aware datetime")
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def read_time(stamp: Timestamp) -> datetime:
    """Read a Timestamp as an aware datetime in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)
