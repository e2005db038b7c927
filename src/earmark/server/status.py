"""Errors and refusals to `google.rpc.Status`: a reason to switch on, numbers as metadata, words for a person."""

from __future__ import annotations

from typing import assert_never

from google.protobuf.any_pb2 import Any
from google.rpc import code_pb2, error_details_pb2, status_pb2

from earmark.credits import format_credits
from earmark.engine.operations import AccountOperation, Charge, Commit, Extend, Reserve
from earmark.engine.results import REFUSAL_NUMBERS, RefusalCode, Refused
from earmark.errors import DOMAIN, EarmarkError, Reason, Unavailable, error

__all__ = ["DETAILS_KEY", "refusal_error", "status_of"]

DETAILS_KEY = "grpc-status-details-bin"
"""The trailing metadata that carries the status of a unary call."""

_MAX_MESSAGE = 1_024
"""Trailing metadata travels as HTTP/2 headers, which both sides bound."""

_RETRY_AFTER = {Reason.OVERLOADED: 1_000_000, Reason.STORE_UNAVAILABLE: 100_000, Reason.RECOVERING: 100_000}
"""How long to wait, in microseconds, where the error itself does not say."""


def status_of(failure: EarmarkError) -> status_pb2.Status:
    """Build the status of an error."""
    message = failure.message[:_MAX_MESSAGE]
    status = status_pb2.Status(code=code_pb2.Code.Value(failure.code), message=message)
    info = error_details_pb2.ErrorInfo(reason=str(failure.reason), domain=DOMAIN)
    for key, value in failure.metadata.items():
        info.metadata[key] = value[:_MAX_MESSAGE]
    _pack(status.details.add(), info)
    if failure.field is not None:
        request = error_details_pb2.BadRequest()
        request.field_violations.add(
            field=failure.field[:_MAX_MESSAGE], description=message, reason=str(failure.reason)
        )
        _pack(status.details.add(), request)
    after = failure.retry_after_micros
    if after is None and isinstance(failure, Unavailable):
        after = _RETRY_AFTER.get(Reason(failure.reason))
    if after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMicroseconds(after)
        _pack(status.details.add(), retry)
    return status


def _pack(
    into: Any, detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo
) -> None:
    into.Pack(detail)


def refusal_error(refused: Refused, operation: AccountOperation) -> EarmarkError:
    """Return the error of a refusal, in words about the operation that was refused."""
    code = RefusalCode(refused.code)
    numbers = dict(zip(REFUSAL_NUMBERS.get(code, ()), refused.numbers, strict=False))
    if code is RefusalCode.STALE:
        return error(Reason.RECOVERING, f"{_words(code, operation, numbers)}: repeat the call with the same ids")
    return error(Reason[code.name], _words(code, operation, numbers), numbers, field=_field_at_fault(code, operation))


def _words(code: RefusalCode, operation: AccountOperation, numbers: dict[str, int]) -> str:
    account = f"account {operation.account_id!r}"
    match code:
        case RefusalCode.REQUEST_ID_REUSED:
            return f"this request_id was used before in {account} with other content: choose a new one"
        case RefusalCode.ACCOUNT_SUSPENDED:
            return f"{account} is suspended: only commits and releases pass"
        case RefusalCode.NOT_A_MEMBER:
            return f"user {_user(operation)!r} is not a member of {account}"
        case RefusalCode.INSUFFICIENT_CREDITS:
            return f"{account} {_short(numbers)}"
        case RefusalCode.ALREADY_COMMITTED:
            return f"the reservation is committed already: {_credits(numbers, 'charged_micros')} were charged"
        case RefusalCode.ALREADY_RELEASED:
            return "the reservation was released already; nothing was charged"
        case RefusalCode.RESERVATION_EXPIRED if isinstance(operation, Commit) and numbers:
            return f"the reservation has expired and could not be charged late: {account} {_short(numbers)}"
        case RefusalCode.RESERVATION_EXPIRED:
            return "the reservation has expired; its credits were given back"
        case RefusalCode.OVERAGE_REJECTED:
            return (
                f"the actual amount, {_credits(numbers, 'required_micros')}, is more than the reserved "
                f"{_credits(numbers, 'reserved_micros')}; the reservation stays active"
            )
        case RefusalCode.INVALID_AMOUNT:
            field = _field_at_fault(code, operation)
            return f"{field}: a total of {account} would pass the largest amount, 2^53 - 1 microcredits"
        case RefusalCode.TOO_MANY_GRANTS:
            most = numbers.get("max_grants", "the most")
            return f"{account} has {most} grants with credits left; void or use some first"
        case RefusalCode.GRANT_NOT_FOUND:
            return f"{account} has no such grant"
        case RefusalCode.TOO_MANY_EXTENSIONS:
            most = numbers.get("max_extensions", "too many")
            return f"credits were added to the reservation {most} times: reserve anew"
        case RefusalCode.STALE:
            return f"{account} changed meanwhile"
        case RefusalCode.NOT_ENTITLED:
            return f"the plan of {account} does not include this operation"
        case RefusalCode.LIMIT_EXCEEDED:
            return f"a limit of {account} allows {_credits(numbers, 'limit_micros')} in its window"
        case _:
            assert_never(code)


def _field_at_fault(code: RefusalCode, operation: AccountOperation) -> str | None:
    match code:
        case RefusalCode.INVALID_AMOUNT:
            return "additional_micros" if isinstance(operation, Extend) else "amount_micros"
        case _:
            return None


def _credits(numbers: dict[str, int], key: str) -> str:
    return f"{format_credits(numbers[key])} credits" if key in numbers else "an amount that is not known"


def _short(numbers: dict[str, int]) -> str:
    available, required = _credits(numbers, "available_micros"), _credits(numbers, "required_micros")
    return f"has {available} available, {required} are required: {_credits(numbers, 'shortfall_micros')} short"


def _user(operation: AccountOperation) -> str:
    return operation.user_id if isinstance(operation, (Reserve, Charge)) else ""
