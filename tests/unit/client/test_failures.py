"""Errors of the wire become errors of `earmark.errors`, with reason, numbers, field and pause."""

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from earmark import (
    FailedPrecondition,
    InsufficientCredits,
    InvalidRequest,
    Reason,
    Unauthenticated,
    Unavailable,
    UnsettledCommit,
    UnsettledCommits,
)
from earmark.client.backoff import backoff_seconds
from earmark.client.failures import describe, error_of_status


def status(code, message, *details):
    packed = []
    for detail in details:
        any_detail = Any()
        any_detail.Pack(detail)
        packed.append(any_detail)
    return Status(code=code, message=message, details=packed)


def test_a_refusal_keeps_its_reason_and_its_numbers():
    error = error_of_status(
        status(
            Code.RESOURCE_EXHAUSTED,
            "0.1 credits are missing",
            ErrorInfo(domain="earmark", reason="INSUFFICIENT_CREDITS", metadata={"shortfall_micros": "100000"}),
        )
    )
    assert isinstance(error, InsufficientCredits)
    assert error.reason is Reason.INSUFFICIENT_CREDITS
    assert error.metadata == {"shortfall_micros": "100000"}
    assert str(error) == "0.1 credits are missing"
    assert not error.retryable


def test_a_malformed_field_is_named():
    error = error_of_status(
        status(
            Code.INVALID_ARGUMENT,
            "ttl is too long",
            ErrorInfo(domain="earmark", reason="INVALID_TTL"),
            BadRequest(field_violations=[BadRequest.FieldViolation(field="ttl", description="too long")]),
        )
    )
    assert isinstance(error, InvalidRequest)
    assert error.field == "ttl"


def test_overload_says_when_to_come_back():
    error = error_of_status(
        status(
            Code.UNAVAILABLE,
            "busy",
            ErrorInfo(domain="earmark", reason="OVERLOADED"),
            RetryInfo(retry_delay=Duration(nanos=250_000_000)),
        )
    )
    assert error.retryable
    assert error.retry_after_micros == 250_000


def test_a_reason_of_a_later_release_has_the_class_of_its_code():
    error = error_of_status(
        status(Code.FAILED_PRECONDITION, "no", ErrorInfo(domain="earmark", reason="MOON_IN_WRONG_PHASE"))
    )
    assert isinstance(error, FailedPrecondition)
    assert error.reason == "MOON_IN_WRONG_PHASE"


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.CANCELLED, Code.DEADLINE_EXCEEDED])
def test_a_transport_that_gives_up_leaves_the_fate_open(code):
    error = error_of_status(Status(code=code, message=""))
    assert isinstance(error, Unavailable)
    assert error.retryable


def test_details_of_another_domain_are_not_ours():
    error = error_of_status(
        status(Code.UNAUTHENTICATED, "no", ErrorInfo(domain="proxy.example", reason="INSUFFICIENT_CREDITS"))
    )
    assert isinstance(error, Unauthenticated)
    assert error.reason == "UNAUTHENTICATED"


def test_the_reason_of_a_release_is_one_bounded_line():
    assert describe(ValueError("bad\nprompt\x00")) == "ValueError: bad prompt"
    assert describe(TimeoutError()) == "TimeoutError"
    assert len(describe(ValueError("x" * 5000))) == 1024
    describe(ValueError("\ud800")).encode()


def test_unsettled_commits_say_which():
    error = UnsettledCommits([UnsettledCommit("acme", "r1", "commit of 0.38 credits", None)])
    assert str(error) == (
        "1 commit could not be settled: commit of 0.38 credits for reservation r1 of account acme: no definitive answer"
    )


def test_pauses_double_with_jitter_and_stay_bounded():
    for attempt, longest in [(1, 0.05), (2, 0.1), (3, 0.2), (50, 2.0)]:
        pauses = [backoff_seconds(attempt) for _ in range(50)]
        assert max(pauses) <= longest
        assert min(pauses) >= longest / 2
        assert len(set(pauses)) > 1
