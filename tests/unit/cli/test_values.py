"""What people type."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from earmark.cli.values import (
    now_micros,
    parse_address,
    parse_api_key,
    parse_credits,
    parse_duration,
    parse_moment,
    parse_pairs,
    parse_request_id,
    parse_zone,
)
from earmark.credits import MAX_MICROS, format_credits, to_credits

PARIS = ZoneInfo("Europe/Paris")


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "micros"),
    [("100", 100_000_000), ("0.5", 500_000), (" 0.000001 ", 1), ("0", 0), ("9007199254.740991", MAX_MICROS)],
)
def test_credits_are_exact(text: str, micros: int) -> None:
    assert parse_credits(text) == micros


@given(st.integers(min_value=0, max_value=MAX_MICROS))
def test_every_amount_survives_typing_it(micros: int) -> None:
    assert parse_credits(str(to_credits(micros))) == micros
    assert parse_credits(format_credits(micros).replace(",", "")) == micros


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "0.0000001", "1,5", "nan", "inf", "9007199254.740992", "1e99", "1e999999", "0x10", "½"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_credits(text)


def test_a_day_counts_whole_in_its_zone() -> None:
    day = parse_moment("2026-07-27")
    assert day.since(PARIS) == at("2026-07-27T00:00:00+02:00")
    assert day.until(PARIS) == at("2026-07-28T00:00:00+02:00")
    assert day.expiry(PARIS) == at("2026-07-28T00:00:00+02:00")
    assert day.needs_zone


def test_a_day_of_23_hours_ends_when_the_next_begins() -> None:
    day = parse_moment("2026-03-29")
    assert day.until(PARIS) - day.since(PARIS) == 23 * 3_600_000_000


def test_the_end_of_a_month_and_of_a_year() -> None:
    assert parse_moment("2026-01-31").expiry(PARIS) == at("2026-02-01T00:00:00+01:00")
    assert parse_moment("2026-12-31").expiry(PARIS) == at("2027-01-01T00:00:00+01:00")


def test_a_time_without_zone_is_local_and_with_one_is_not() -> None:
    assert parse_moment("2026-07-27T18:30").since(PARIS) == at("2026-07-27T18:30:00+02:00")
    assert parse_moment("2026-07-27T18:30Z").since(PARIS) == at("2026-07-27T18:30:00+00:00")
    assert parse_moment("2026-07-27T18:30-05:00").expiry(PARIS) == at("2026-07-27T18:30:00-05:00")
    assert not parse_moment("2026-07-27T18:30Z").needs_zone


def test_microseconds_are_kept() -> None:
    assert parse_moment("2026-07-27T18:30:00.123457Z").since(PARIS) % 1_000_000 == 123_457


def test_a_distance_is_back_in_a_filter_and_on_in_an_expiry() -> None:
    day = 86_400_000_000
    assert abs(parse_moment("7d").since(PARIS) - (now_micros() - 7 * day)) < 10_000_000
    assert abs(parse_moment("7d").until(PARIS) - (now_micros() - 7 * day)) < 10_000_000
    assert abs(parse_moment("7d").expiry(PARIS) - (now_micros() + 7 * day)) < 10_000_000


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "2026-07", "27.7.2026", "0001-01-01", "9999-12-31", "-3d", "99999999w", "7"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_moment(text)


def test_durations() -> None:
    assert parse_duration("90s") == 90_000_000
    assert parse_duration("2W") == 14 * 86_400_000_000
    for text in ("90", "1.5h", "", "-1s", "1y"):
        with pytest.raises(typer.BadParameter):
            parse_duration(text)


@pytest.mark.parametrize("text", ["", "Paris", "../../etc/passwd", "/etc/localtime", "Europe", "Europe/Paris\0", "é"])
def test_what_is_no_zone_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_zone(text)


def test_labels() -> None:
    assert parse_pairs(["a=1", "b=x=y", "c="], "--label") == {"a": "1", "b": "x=y", "c": ""}
    for texts in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(typer.BadParameter):
            parse_pairs(texts, "--label")


@pytest.mark.parametrize("text", ["127.0.0.1:7070", "localhost:1", "[::1]:7070", "unix:/run/x.sock", "unix:///run/x"])
def test_addresses(text: str) -> None:
    assert parse_address(text) == text


@pytest.mark.parametrize("text", ["", "localhost", ":7070", "a:0", "a:65536", "a:x", "http://a:1", "unix:", "a:٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_address(text)


def test_a_refused_key_is_not_repeated() -> None:
    with pytest.raises(typer.BadParameter) as refusal:
        parse_api_key("geheim ü")
    assert "geheim" not in str(refusal.value)


def test_request_ids() -> None:
    assert parse_request_id("x" * 256) == "x" * 256
    for text in ("", "x" * 257, "a\nb", "ü"):
        with pytest.raises(typer.BadParameter):
            parse_request_id(text)
