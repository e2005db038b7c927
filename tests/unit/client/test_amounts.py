"""What callers write is either exact on the wire or refused before anything is sent."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark import OveragePolicy
from earmark.client.amounts import (
    overage_number,
    quantity_number,
    read_time,
    seconds_of,
    to_duration,
    to_micros_fast,
    to_timestamp,
    usage_counts,
)
from earmark.credits import MAX_MICROS, to_credits
from earmark.v1 import common_pb2


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        ("0.5", 500_000),
        ("17.97", 17_970_000),
        (Decimal("0.1") + Decimal("0.2"), 300_000),
        (3, 3_000_000),
        (0, 0),
        ("9007199254.740991", MAX_MICROS),
    ],
)
def test_amounts_are_exact(amount, micros):
    assert to_micros_fast(amount) == micros


@pytest.mark.parametrize("amount", [0.5, 1.0, True, None, b"1", object()])
def test_what_is_not_exact_is_refused_by_its_type(amount):
    with pytest.raises(TypeError):
        to_micros_fast(amount)


@pytest.mark.parametrize("amount", ["-1", "0.0000001", "nan", "1e400", "9007199254.740992", "half", ""])
def test_text_that_is_no_amount_is_refused_every_time(amount):
    for _ in range(2):  # The second time the answer could come from a cache.
        with pytest.raises(ValueError):
            to_micros_fast(amount)


@given(st.integers(0, MAX_MICROS))
def test_every_amount_comes_back_as_it_went(micros):
    assert to_micros_fast(to_credits(micros)) == micros
    assert to_micros_fast(str(to_credits(micros))) == micros


@pytest.mark.parametrize("quantity", [1.0, True, "1", None])
def test_quantities_are_whole_numbers(quantity):
    with pytest.raises(TypeError):
        quantity_number(quantity)


@pytest.mark.parametrize("quantity", [-1, MAX_MICROS + 1])
def test_quantities_have_bounds(quantity):
    with pytest.raises(ValueError):
        quantity_number(quantity)


def test_usage_counts_are_checked_one_by_one():
    assert usage_counts({"input_tokens": 900, "output_tokens": 0}) == {"input_tokens": 900, "output_tokens": 0}
    with pytest.raises(TypeError):
        usage_counts({"input_tokens": 1.5})  # type: ignore[dict-item]


@pytest.mark.parametrize(("length", "seconds"), [(5, 5.0), (0.25, 0.25), (timedelta(minutes=2), 120.0)])
def test_lengths_of_time_are_seconds_or_timedeltas(length, seconds):
    assert seconds_of(length) == seconds


@pytest.mark.parametrize("length", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_impossible_lengths_of_time_are_refused(length):
    with pytest.raises(ValueError):
        seconds_of(length)


@pytest.mark.parametrize("length", ["5", True, None])
def test_lengths_of_time_have_a_type(length):
    with pytest.raises(TypeError):
        seconds_of(length)


def test_durations_keep_microseconds():
    duration = to_duration(1.000001)
    assert (duration.seconds, duration.nanos) == (1, 1_000)


def test_a_moment_needs_a_time_zone():
    with pytest.raises(ValueError, match="time zone"):
        to_timestamp(datetime(2026, 7, 27, 12, 0))  # noqa: DTZ001 - the case that is refused
    noon_in_paris = datetime(2026, 7, 27, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert read_time(to_timestamp(noon_in_paris)) == datetime(2026, 7, 27, 10, 0, tzinfo=UTC)


def test_overage_policies_by_name():
    assert overage_number(OveragePolicy.REJECT) == common_pb2.OVERAGE_POLICY_REJECT
    assert overage_number("allow_with_overdraft") == common_pb2.OVERAGE_POLICY_ALLOW_WITH_OVERDRAFT
    assert overage_number("OVERAGE_POLICY_ALLOW_IF_AVAILABLE") == common_pb2.OVERAGE_POLICY_ALLOW_IF_AVAILABLE
    assert overage_number(None) == common_pb2.OVERAGE_POLICY_UNSPECIFIED
    with pytest.raises(ValueError, match="reject, allow_if_available, allow_with_overdraft"):
        overage_number("forgive")
