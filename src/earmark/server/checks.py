"""Checks of single request fields: the bounds of the contract, each refusal naming its field.

Every function returns the checked value in the units of the inside (microcredits, microseconds) or raises an
`InvalidRequest` whose `field` is the path of the field at fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from earmark.credits import MAX_MICROS, format_credits
from earmark.errors import EarmarkError, Reason, error

__all__ = [
    "DEFAULT_TTL",
    "MAX_TTL",
    "MAX_WAIT",
    "account_id",
    "amount",
    "attributes",
    "count",
    "duration",
    "invalid",
    "labels",
    "member_of",
    "name",
    "page_size",
    "prose",
    "request_id",
    "time",
    "ttl",
    "usage_counts",
    "wait",
]

SECOND = 1_000_000
DEFAULT_TTL = 60 * SECOND
MIN_TTL = SECOND
MAX_TTL = 24 * 3600 * SECOND
MAX_WAIT = 60 * SECOND
MAX_TIME = MAX_MICROS
"""5 June 2255 in microseconds: the latest time that Lua's numbers hold exactly."""

MAX_ACCOUNT_ID = 128
MAX_REQUEST_ID = 256
MAX_NAME = 128
MAX_KEYS = 16
MAX_KEY = 64
MAX_VALUE = 256
MAX_PROSE = 1_024
MAX_PAGE = 1_000
DEFAULT_PAGE = 100

_MAX_DURATION_SECONDS = 315_576_000_000
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def invalid(field: str, message: str, metadata: Mapping[str, str | int] | None = None) -> EarmarkError:
    """Build an INVALID_ARGUMENT that names a field."""
    return error(Reason.INVALID_ARGUMENT, f"{field}: {message}", metadata, field=field)


def _shown(text: str) -> str:
    """Quote what the caller sent, cut so that the message stays short and carries no control character."""
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}... ({len(text)} characters)"


def account_id(text: str, field: str = "account_id") -> str:
    """Check an account id: 1 to 128 printable ASCII characters."""
    if 0 < len(text) <= MAX_ACCOUNT_ID and text.isascii() and text.isprintable():
        return text
    if not text:
        raise invalid(field, "is missing; give 1 to 128 printable ASCII characters")
    raise invalid(field, f"{_shown(text)} is not 1 to {MAX_ACCOUNT_ID} printable ASCII characters")


def request_id(text: str, field: str = "request_id") -> str:
    """Check a request id: 1 to 256 printable ASCII characters. Refuses with INVALID_REQUEST_ID."""
    if 0 < len(text) <= MAX_REQUEST_ID and text.isascii() and text.isprintable():
        return text
    said = _shown(text) if text else "it is missing; an empty id"
    raise error(
        Reason.INVALID_REQUEST_ID,
        f"{field}: {said} is not 1 to {MAX_REQUEST_ID} printable ASCII characters",
        field=field,
    )


def name(text: str, field: str, longest: int = MAX_NAME) -> str:
    """Check an optional name (operation, user, project): at most `longest` characters, no control character."""
    if len(text) > longest:
        raise invalid(field, f"has {len(text)} characters, {longest} are allowed")
    if not text.isprintable() and _CONTROL.search(text):
        raise invalid(field, f"{_shown(text)} contains a control character")
    return text


def prose(text: str, field: str) -> str:
    """Check a comment or reason: at most 1,024 characters, no control character but line ends and tabs."""
    if len(text) > MAX_PROSE:
        raise invalid(field, f"has {len(text)} characters, {MAX_PROSE} are allowed")
    if not text.isprintable() and _CONTROL_BUT_LINES.search(text):
        raise invalid(field, f"{_shown(text)} contains a control character other than a line end or a tab")
    return text


def amount(micros: int, field: str) -> int:
    """Check an amount: 0 to 2^53 - 1 microcredits. Refuses with INVALID_AMOUNT."""
    if 0 <= micros <= MAX_MICROS:
        return micros
    said = "is negative" if micros < 0 else f"is more than the largest amount, {format_credits(MAX_MICROS)} credits"
    raise error(Reason.INVALID_AMOUNT, f"{field}: {micros} microcredits {said}", {field: micros}, field=field)


def count(number: int, field: str) -> int:
    """Check a quantity: 0 to 2^53 - 1. Refuses with INVALID_AMOUNT."""
    if 0 <= number <= MAX_MICROS:
        return number
    raise error(
        Reason.INVALID_AMOUNT, f"{field}: {number} is not between 0 and {MAX_MICROS}", {field: number}, field=field
    )


def usage_counts(counts: Mapping[str, int], field: str) -> dict[str, int]:
    """Check named counts: at most 16, each 0 to 2^53 - 1, keys of 1 to 64 characters; returned sorted by key."""
    if len(counts) > MAX_KEYS:
        raise invalid(field, f"has {len(counts)} counts, {MAX_KEYS} are allowed")
    checked = {_key(key, field): count(number, f"{field}[{key!r}]") for key, number in counts.items()}
    return dict(sorted(checked.items()))


def labels(entries: Mapping[str, str], field: str = "labels") -> dict[str, str]:
    """Check labels or attributes: at most 16, 1 to 64 characters a key, 256 a value; returned sorted by key."""
    if len(entries) > MAX_KEYS:
        raise invalid(field, f"has {len(entries)} entries, {MAX_KEYS} are allowed")
    checked = {_key(key, field): name(value, f"{field}[{key!r}]", MAX_VALUE) for key, value in entries.items()}
    return dict(sorted(checked.items()))


attributes = labels


def _key(key: str, field: str) -> str:
    if not 0 < len(key) <= MAX_KEY:
        raise invalid(field, f"the key {_shown(key)} does not have 1 to {MAX_KEY} characters")
    if not key.isprintable() and _CONTROL.search(key):
        raise invalid(field, f"the key {_shown(key)} contains a control character")
    return key


def duration(value: Duration, field: str, reason: Reason = Reason.INVALID_ARGUMENT) -> int:
    """Check the form of a Duration and return microseconds; a part of a microsecond counts as one."""
    seconds, nanos = value.seconds, value.nanos
    if abs(seconds) > _MAX_DURATION_SECONDS or abs(nanos) > 999_999_999 or seconds * nanos < 0:
        raise error(reason, f"{field}: {seconds} s and {nanos} ns make no valid google.protobuf.Duration", field=field)
    return seconds * SECOND - (-nanos // 1000)


def ttl(value: Duration, field: str = "ttl") -> int:
    """Check a time to live: 1 s to 24 h. Refuses with INVALID_TTL."""
    micros = duration(value, field, Reason.INVALID_TTL)
    if MIN_TTL <= micros <= MAX_TTL:
        return micros
    raise error(
        Reason.INVALID_TTL,
        f"{field}: {micros / SECOND:g} s is not between 1 s and 24 h",
        {"ttl_micros": micros, "min_ttl_micros": MIN_TTL, "max_ttl_micros": MAX_TTL},
        field=field,
    )


def wait(value: Duration, field: str = "wait") -> int:
    """Check a waiting time: 0 to 60 s."""
    micros = duration(value, field)
    if 0 <= micros <= MAX_WAIT:
        return micros
    raise invalid(
        field, f"{micros / SECOND:g} s is not between 0 and 60 s", {"wait_micros": micros, "max_wait_micros": MAX_WAIT}
    )


def time(value: Timestamp, field: str) -> int:
    """Check a Timestamp and return microseconds since 1970, rounded down: 1970 to 2255."""
    seconds, nanos = value.seconds, value.nanos
    micros = seconds * SECOND + nanos // 1000
    if not 0 <= nanos <= 999_999_999 or not 0 <= micros <= MAX_TIME:
        raise invalid(field, f"{seconds} s and {nanos} ns make no time between 1970-01-01 and 2255-06-05")
    return micros


def page_size(size: int, field: str = "page_size") -> int:
    """Check a page size: 1 to 1,000, 100 when absent."""
    if size == 0:
        return DEFAULT_PAGE
    if 0 < size <= MAX_PAGE:
        return size
    raise invalid(field, f"{size} is not between 1 and {MAX_PAGE}")


def member_of(value: int, known: Mapping[int, str], field: str) -> int:
    """Check an enum value: proto3 passes unknown numbers through."""
    if value in known:
        return value
    raise invalid(field, f"{value} is none of {', '.join(known.values())}")
