"""From what gRPC answers to the errors of `earmark.errors`, and the errors that only a client can have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from earmark.errors import DOMAIN, EarmarkError, Reason, Unavailable, error_class_for

__all__ = [
    "CallTimedOut",
    "ClientClosed",
    "UnsettledCommit",
    "UnsettledCommits",
    "describe",
    "error_of_rpc",
    "error_of_status",
]

_DETAILS_KEY: Final = "grpc-status-details-bin"
_REPEATABLE: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})


class CallTimedOut(Unavailable):
    """No definitive answer came in time. The call may have taken effect: repeat it with the same ids."""

    code = "DEADLINE_EXCEEDED"


class ClientClosed(EarmarkError):
    """The client was closed before, or while, it was asked."""

    def __init__(self) -> None:
        super().__init__("CLIENT_CLOSED", "the client is closed")


@dataclass(frozen=True, slots=True)
class UnsettledCommit:
    """A commit that the client accepted and could not bring to an end.

    Repeat it with `client.resume(reservation_id)` and the same actual amount: it is charged at most once.
    """

    account_id: str
    reservation_id: str
    description: str
    """What was to be settled, for example "commit of 0.38 credits"."""
    error: EarmarkError | None
    """Why it was refused; None if no definitive answer came."""

    def __str__(self) -> str:
        why = self.error if self.error is not None else "no definitive answer"
        return f"{self.description} for reservation {self.reservation_id} of account {self.account_id}: {why}"


class UnsettledCommits(EarmarkError):
    """Commits that were accepted and are not known to be settled when the client closes."""

    def __init__(self, unsettled: Sequence[UnsettledCommit]) -> None:
        self.unsettled = tuple(unsettled)
        """What could not be settled, oldest first."""
        lines = "; ".join(str(commit) for commit in self.unsettled)
        count = len(self.unsettled)
        super().__init__("UNSETTLED_COMMITS", f"{count} commit{'s' if count > 1 else ''} could not be settled: {lines}")


def error_of_status(status: Status) -> EarmarkError:
    """Build the error of a call that was answered with a google.rpc.Status."""
    code = Code.Name(status.code) if status.code in Code.values() else "UNKNOWN"
    reason: Reason | str = code
    metadata: dict[str, str] = {}
    field: str | None = None
    retry_after_micros: int | None = None
    for detail in status.details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            info = ErrorInfo.FromString(detail.value)
            if info.domain == DOMAIN:
                reason = Reason(info.reason) if info.reason in Reason.__members__ else info.reason
                metadata = dict(info.metadata)
        elif detail.Is(BadRequest.DESCRIPTOR):
            violations = BadRequest.FromString(detail.value).field_violations
            field = violations[0].field if violations else None
        elif detail.Is(RetryInfo.DESCRIPTOR):
            retry_after_micros = RetryInfo.FromString(detail.value).retry_delay.ToMicroseconds()
    # A transport's CANCELLED or DEADLINE_EXCEEDED leaves the fate open, exactly as UNAVAILABLE does.
    of_code = "UNAVAILABLE" if code in _REPEATABLE else code
    message = status.message or f"the server answered {code}"
    return error_class_for(reason, of_code)(
        reason, message, metadata, field=field, retry_after_micros=retry_after_micros
    )


def error_of_rpc(failure: grpc.aio.AioRpcError) -> EarmarkError:
    """Build the error of an RPC that failed, from its status details where the server sent them."""
    details = _status_details(failure)
    if details is not None:
        return error_of_status(details)
    number, _ = failure.code().value
    return error_of_status(Status(code=number, message=failure.details() or ""))


def _status_details(failure: grpc.aio.AioRpcError) -> Status | None:
    # A sequence of pairs, whatever the stubs say.
    metadata: Iterable[tuple[str, str | bytes]] = failure.trailing_metadata() or ()  # type: ignore[assignment]
    details = next((value for key, value in metadata if key == _DETAILS_KEY), None)
    if not isinstance(details, bytes):
        return None
    try:
        return Status.FromString(details)
    except DecodeError:
        return None


def describe(error: BaseException) -> str:
    """Say in one line why a generation failed, as the reason of its release: at most 1,024 characters."""
    message = "".join(c if c.isprintable() else " " for c in str(error)).strip()
    name = type(error).__name__
    return (f"{name}: {message}" if message else name)[:1024]
