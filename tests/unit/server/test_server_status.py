"""Errors on the wire: a reason, every number, the field at fault, and words for a person."""

from __future__ import annotations

from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from earmark.engine.operations import ABSENT, Charge, Commit, Extend, Reserve
from earmark.engine.results import REFUSAL_NUMBERS, RefusalCode, Refused
from earmark.errors import EarmarkError, Reason, Unavailable, error
from earmark.server.status import refusal_error, status_of

T = TypeVar("T", bound=Message)

RESERVE = Reserve("acme", "d", "c", 5, 5, 60_000_000, 0, "{}", "ada")
CHARGE = Charge("acme", "d", "c", 5, 5, 2, 0, "{}", "{}", "ada")
COMMIT = Commit("acme", "d", ABSENT, 2, "{}")
EXTEND = Extend("acme", "d", "e", "c", 0, 5)


def detail(status: status_pb2.Status, kind: type[T]) -> T | None:
    for each in status.details:
        message = kind()
        if each.Unpack(message):
            return message
    return None


def test_a_refusal_carries_its_numbers_and_says_them_in_credits() -> None:
    refused = Refused(RefusalCode.INSUFFICIENT_CREDITS, (1_500_000, 2_000_000, 500_000))
    failure = refusal_error(refused, RESERVE)
    status = status_of(failure)
    assert status.message == "account 'acme' has 1.5 credits available, 2 credits are required: 0.5 credits short"
    info = detail(status, error_details_pb2.ErrorInfo)
    assert info is not None
    assert (info.domain, info.reason) == ("earmark", "INSUFFICIENT_CREDITS")
    assert dict(info.metadata) == {
        "available_micros": "1500000",
        "required_micros": "2000000",
        "shortfall_micros": "500000",
    }
    assert failure.code == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("code", list(RefusalCode))
@pytest.mark.parametrize("operation", [RESERVE, CHARGE, COMMIT, EXTEND])
def test_every_refusal_has_words_and_a_reason(code: RefusalCode, operation: Reserve | Charge | Commit | Extend) -> None:
    numbers = tuple(range(1, len(REFUSAL_NUMBERS.get(code, ())) + 1))
    for given in (numbers, ()):
        failure = refusal_error(Refused(code, given), operation)
        assert failure.message
        assert "?" not in failure.message
        assert failure.reason == (Reason.RECOVERING if code is RefusalCode.STALE else Reason[code.name])


def test_a_malformed_request_names_its_field() -> None:
    failure = error(Reason.INVALID_TTL, "ttl: 0 s is not between 1 s and 24 h", field="ttl")
    request = detail(status_of(failure), error_details_pb2.BadRequest)
    assert request is not None
    assert [(each.field, each.reason) for each in request.field_violations] == [("ttl", "INVALID_TTL")]


@pytest.mark.parametrize(
    ("failure", "micros"),
    [
        (Unavailable(Reason.OVERLOADED, "m"), 1_000_000),
        (Unavailable(Reason.OVERLOADED, "m", retry_after_micros=7), 7),
        (Unavailable(Reason.STORE_UNAVAILABLE, "m"), 100_000),
        (Unavailable(Reason.DRAINING, "m"), None),
        (error(Reason.ACCOUNT_NOT_FOUND, "m"), None),
    ],
)
def test_what_may_be_repeated_says_when(failure: EarmarkError, micros: int | None) -> None:
    retry = detail(status_of(failure), error_details_pb2.RetryInfo)
    assert (retry.retry_delay.ToMicroseconds() if retry else None) == micros


def test_what_a_caller_sent_cannot_overflow_the_headers() -> None:
    failure = error(Reason.INVALID_ARGUMENT, "m" * 100_000, {"x": "y" * 100_000}, field="f" * 100_000)
    assert status_of(failure).ByteSize() < 8_000
