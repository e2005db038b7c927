"""What people type: credits, times, zones, durations, labels. Parsers raise `typer.BadParameter` with one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import typer

from earmark.credits import to_micros

__all__ = [
    "MICROS_PER_SECOND",
    "UTC_ZONE",
    "Expiry",
    "Moment",
    "now_micros",
    "parse_address",
    "parse_api_key",
    "parse_credits",
    "parse_duration",
    "parse_expiry",
    "parse_moment",
    "parse_pairs",
    "parse_request_id",
    "parse_zone",
]

MICROS_PER_SECOND = 1_000_000
UTC_ZONE = ZoneInfo("UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = timedelta(days=36_525)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,12})(s|m|h|d|w)", re.ASCII)


def now_micros() -> int:
    """Return this machine's time, in microseconds since 1970."""
    return _micros(datetime.now(UTC))


def _micros(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def parse_credits(text: str) -> int:
    """Return the microcredits of an amount that was typed in credits, exactly."""
    try:
        return to_micros(text.strip())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_zone(text: str | ZoneInfo) -> ZoneInfo:
    """Return a time zone by its IANA name."""
    if isinstance(text, ZoneInfo):  # Typer parses defaults, too.
        return text
    try:
        return ZoneInfo(text)
    except (LookupError, ValueError, OSError):  # What it raises depends on what the name looks like as a path.
        raise typer.BadParameter(f"{text!r} is no time zone: give an IANA name such as Europe/Paris") from None


def parse_duration(text: str) -> int:
    """Return the microseconds of a duration such as 90s, 15m, 24h, 7d, 2w."""
    return _duration(text) // timedelta(microseconds=1)


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 90s, 15m, 24h, 7d or 2w")
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds > _LONGEST.total_seconds():
        raise typer.BadParameter(f"{text!r} is longer than a hundred years")
    return timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as a person writes it: a day, a local time, a time with its offset, or a distance from now."""

    value: date | datetime | timedelta

    @property
    def needs_zone(self) -> bool:
        """Whether it means another instant in another time zone."""
        match self.value:
            case datetime():
                return self.value.tzinfo is None
            case date():
                return True
            case _:
                return False

    def since(self, zone: ZoneInfo) -> int:
        """Return the first instant it covers, in microseconds since 1970; a distance counts back from now."""
        match self.value:
            case datetime():
                return self._instant(self.value, zone)
            case date():
                return _micros(datetime.combine(self.value, time(), zone))
            case _:
                return _micros(datetime.now(UTC) - self.value)

    def until(self, zone: ZoneInfo) -> int:
        """Return when it ends, in microseconds since 1970: a day counts whole; a distance counts back from now."""
        match self.value:
            case timedelta():
                return self.since(zone)
            case _:
                return self._end(zone)

    def expiry(self, zone: ZoneInfo) -> int:
        """Return when credits that are valid until then expire: a day counts whole; a distance counts on from now."""
        match self.value:
            case timedelta():
                return _micros(datetime.now(UTC) + self.value)
            case _:
                return self._end(zone)

    def _end(self, zone: ZoneInfo) -> int:
        match self.value:
            case datetime():
                return self._instant(self.value, zone)
            case date():
                # The next day's first instant in that zone, not 24 hours on: some days have 23 or 25.
                return _micros(datetime.combine(self.value + timedelta(days=1), time(), zone))
            case _:
                raise AssertionError(self.value)

    @staticmethod
    def _instant(moment: datetime, zone: ZoneInfo) -> int:
        return _micros(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def parse_moment(text: str) -> Moment:
    """Return a time: 2026-07-27, 2026-07-27T18:30, with Z or an offset such as +02:00, or a distance such as 24h."""
    stripped = text.strip()
    if _DURATION.fullmatch(stripped.lower()):
        return Moment(_duration(stripped))
    try:
        value = date.fromisoformat(stripped) if len(stripped) == len("2026-07-27") else datetime.fromisoformat(stripped)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: write 2026-07-27, 2026-07-27T18:30, 2026-07-27T18:30Z, or a distance such as 24h"
        ) from None
    # Away from the ends of the calendar, so that no zone and no next day leaves it; the wire ends there too.
    if not 1 < value.year < date.max.year:
        raise typer.BadParameter(f"{text!r} is too far away")
    return Moment(value)


@dataclass(frozen=True, slots=True)
class Expiry:
    """Until when credits are good."""

    moment: Moment | None
    """None for ever."""

    @property
    def needs_zone(self) -> bool:
        """Whether it means another instant in another time zone."""
        return self.moment is not None and self.moment.needs_zone


def parse_expiry(text: str) -> Expiry:
    """Return until when credits are good: as `parse_moment`, or never."""
    return Expiry(None if text.strip().lower() == "never" else parse_moment(text))


def parse_pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Return labels that were typed as key=value."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise typer.BadParameter(f"{text!r}: write it as KEY=VALUE", param_hint=f"'{option}'")
        if key in pairs:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint=f"'{option}'")
        pairs[key] = value
    return pairs


def parse_address(text: str) -> str:
    """Return a server's address: HOST:PORT or unix:PATH."""
    stripped = text.strip()
    if stripped.startswith("unix:"):
        if stripped in {"unix:", "unix://"}:
            raise typer.BadParameter(f"{text!r}: write unix:PATH")
        return stripped
    host, separator, port = stripped.rpartition(":")
    if (
        not separator
        or not host
        or "/" in host
        or not port.isascii()
        or not port.isdigit()
        or not 0 < int(port) < 65_536
    ):
        raise typer.BadParameter(f"{text!r} is no address: write HOST:PORT or unix:PATH")
    return stripped


def parse_api_key(text: str) -> str:
    """Return an access key; the error does not repeat it."""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise typer.BadParameter("an access key is printable ASCII without spaces")
    return text


def parse_request_id(text: str) -> str:
    """Return the id of a change: 1 to 256 printable ASCII characters."""
    if not 1 <= len(text) <= 256 or not text.isascii() or not text.isprintable():
        raise typer.BadParameter("a request id is 1 to 256 printable ASCII characters")
    return text
