"""The errors of Earmark: one tree, shared by the server and the client.

Every refusal has a `Reason` that callers switch on, and its numbers in `metadata` under their field's name
(contract: `ErrorInfo` of the domain "earmark"). Nothing here knows gRPC: codes are names of `grpc.StatusCode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, unique

__all__ = [
    "AlreadyExists",
    "EarmarkError",
    "FailedPrecondition",
    "InsufficientCredits",
    "Internal",
    "InvalidRequest",
    "NotFound",
    "PermissionDenied",
    "Reason",
    "ResourceExhausted",
    "Unauthenticated",
    "Unavailable",
    "error",
    "error_class_for",
]

DOMAIN = "earmark"


@unique
class Reason(StrEnum):
    """Why a call was refused. The value is the wire name."""

    # UNAVAILABLE: safe to repeat with the same ids.
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    RECOVERING = "RECOVERING"
    DRAINING = "DRAINING"
    OVERLOADED = "OVERLOADED"
    # UNAUTHENTICATED, PERMISSION_DENIED
    BAD_CREDENTIALS = "BAD_CREDENTIALS"
    WRONG_ROLE = "WRONG_ROLE"
    NOT_A_MEMBER = "NOT_A_MEMBER"
    NOT_ENTITLED = "NOT_ENTITLED"
    SEATS_EXHAUSTED = "SEATS_EXHAUSTED"
    # INVALID_ARGUMENT
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    INVALID_AMOUNT = "INVALID_AMOUNT"
    INVALID_TTL = "INVALID_TTL"
    INVALID_REQUEST_ID = "INVALID_REQUEST_ID"
    UNKNOWN_OPERATION = "UNKNOWN_OPERATION"
    UNPRICEABLE = "UNPRICEABLE"
    ACTUAL_REQUIRED = "ACTUAL_REQUIRED"
    INVALID_CATALOG = "INVALID_CATALOG"
    # ALREADY_EXISTS
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    ACCOUNT_EXISTS = "ACCOUNT_EXISTS"
    FREE_PLAN_CLAIMED = "FREE_PLAN_CLAIMED"
    ALREADY_SUBSCRIBED = "ALREADY_SUBSCRIBED"
    PAYMENT_REFERENCE_USED = "PAYMENT_REFERENCE_USED"
    # NOT_FOUND
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    RESERVATION_NOT_FOUND = "RESERVATION_NOT_FOUND"
    GRANT_NOT_FOUND = "GRANT_NOT_FOUND"
    CATALOG_NOT_FOUND = "CATALOG_NOT_FOUND"
    PLAN_NOT_FOUND = "PLAN_NOT_FOUND"
    PACK_NOT_FOUND = "PACK_NOT_FOUND"
    PURCHASE_NOT_FOUND = "PURCHASE_NOT_FOUND"
    SUBSCRIPTION_NOT_FOUND = "SUBSCRIPTION_NOT_FOUND"
    # FAILED_PRECONDITION
    ALREADY_COMMITTED = "ALREADY_COMMITTED"
    ALREADY_RELEASED = "ALREADY_RELEASED"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    OVERAGE_REJECTED = "OVERAGE_REJECTED"
    ACCOUNT_SUSPENDED = "ACCOUNT_SUSPENDED"
    ADJUSTMENT_EXCEEDS_CHARGE = "ADJUSTMENT_EXCEEDS_CHARGE"
    TOO_MANY_GRANTS = "TOO_MANY_GRANTS"
    TOO_MANY_EXTENSIONS = "TOO_MANY_EXTENSIONS"
    RENEWAL_NOT_DUE = "RENEWAL_NOT_DUE"
    SUBSCRIPTION_ENDED = "SUBSCRIPTION_ENDED"
    PURCHASE_FAILED = "PURCHASE_FAILED"
    PURCHASE_CONFIRMED = "PURCHASE_CONFIRMED"
    NOT_A_TEST_STORE = "NOT_A_TEST_STORE"
    # RESOURCE_EXHAUSTED
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    INSUFFICIENT_CREDITS = "INSUFFICIENT_CREDITS"
    # INTERNAL: a bug; nothing was changed.
    INTERNAL = "INTERNAL"


class EarmarkError(Exception):
    """Base of all errors. `str(error)` is one sentence that a person can act on."""

    code: str = "UNKNOWN"
    """The name of the gRPC status code."""

    def __init__(
        self,
        reason: Reason | str,
        message: str,
        metadata: Mapping[str, str | int] | None = None,
        *,
        field: str | None = None,
        retry_after_micros: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason: Reason | str = reason
        """A `Reason`, or the text of one that this release does not know."""
        self.message = message
        self.metadata: dict[str, str] = {key: str(value) for key, value in (metadata or {}).items()}
        """Numbers of the message under their field's name, as decimal text."""
        self.field = field
        """The request field at fault, for INVALID_ARGUMENT."""
        self.retry_after_micros = retry_after_micros
        """How long to wait before the repeat, in microseconds, where the server says so."""

    @property
    def retryable(self) -> bool:
        """Whether repeating the same request unchanged is safe and can help."""
        return False

    def __str__(self) -> str:
        return self.message


class Unavailable(EarmarkError):
    """The store or the server cannot answer now. Repeat with the same ids."""

    code = "UNAVAILABLE"

    @property
    def retryable(self) -> bool:
        """Always true: the ids make the repeat safe."""
        return True


class Unauthenticated(EarmarkError):
    """The credentials are missing or wrong."""

    code = "UNAUTHENTICATED"


class PermissionDenied(EarmarkError):
    """The caller, or the user it names, may not do this."""

    code = "PERMISSION_DENIED"


class InvalidRequest(EarmarkError):
    """The request is malformed; `field` names what is wrong. Nothing was changed."""

    code = "INVALID_ARGUMENT"


class AlreadyExists(EarmarkError):
    """The id is taken by something else."""

    code = "ALREADY_EXISTS"


class NotFound(EarmarkError):
    """The account, reservation or grant does not exist."""

    code = "NOT_FOUND"


class FailedPrecondition(EarmarkError):
    """The state of the account or the reservation does not allow this."""

    code = "FAILED_PRECONDITION"


class ResourceExhausted(EarmarkError):
    """A limit or the balance does not allow this."""

    code = "RESOURCE_EXHAUSTED"


class InsufficientCredits(ResourceExhausted):
    """The balance does not cover the amount; `metadata["shortfall_micros"]` says by how much."""


class Internal(EarmarkError):
    """A bug of the server. The call changed nothing."""

    code = "INTERNAL"


_CLASS_OF: dict[Reason, type[EarmarkError]] = {
    Reason.STORE_UNAVAILABLE: Unavailable,
    Reason.RECOVERING: Unavailable,
    Reason.DRAINING: Unavailable,
    Reason.OVERLOADED: Unavailable,
    Reason.BAD_CREDENTIALS: Unauthenticated,
    Reason.WRONG_ROLE: PermissionDenied,
    Reason.NOT_A_MEMBER: PermissionDenied,
    Reason.NOT_ENTITLED: PermissionDenied,
    Reason.SEATS_EXHAUSTED: PermissionDenied,
    Reason.INVALID_ARGUMENT: InvalidRequest,
    Reason.INVALID_AMOUNT: InvalidRequest,
    Reason.INVALID_TTL: InvalidRequest,
    Reason.INVALID_REQUEST_ID: InvalidRequest,
    Reason.UNKNOWN_OPERATION: InvalidRequest,
    Reason.UNPRICEABLE: InvalidRequest,
    Reason.ACTUAL_REQUIRED: InvalidRequest,
    Reason.INVALID_CATALOG: InvalidRequest,
    Reason.REQUEST_ID_REUSED: AlreadyExists,
    Reason.ACCOUNT_EXISTS: AlreadyExists,
    Reason.FREE_PLAN_CLAIMED: AlreadyExists,
    Reason.ALREADY_SUBSCRIBED: AlreadyExists,
    Reason.PAYMENT_REFERENCE_USED: AlreadyExists,
    Reason.ACCOUNT_NOT_FOUND: NotFound,
    Reason.RESERVATION_NOT_FOUND: NotFound,
    Reason.GRANT_NOT_FOUND: NotFound,
    Reason.CATALOG_NOT_FOUND: NotFound,
    Reason.PLAN_NOT_FOUND: NotFound,
    Reason.PACK_NOT_FOUND: NotFound,
    Reason.PURCHASE_NOT_FOUND: NotFound,
    Reason.SUBSCRIPTION_NOT_FOUND: NotFound,
    Reason.ALREADY_COMMITTED: FailedPrecondition,
    Reason.ALREADY_RELEASED: FailedPrecondition,
    Reason.RESERVATION_EXPIRED: FailedPrecondition,
    Reason.OVERAGE_REJECTED: FailedPrecondition,
    Reason.ACCOUNT_SUSPENDED: FailedPrecondition,
    Reason.ADJUSTMENT_EXCEEDS_CHARGE: FailedPrecondition,
    Reason.TOO_MANY_GRANTS: FailedPrecondition,
    Reason.TOO_MANY_EXTENSIONS: FailedPrecondition,
    Reason.RENEWAL_NOT_DUE: FailedPrecondition,
    Reason.SUBSCRIPTION_ENDED: FailedPrecondition,
    Reason.PURCHASE_FAILED: FailedPrecondition,
    Reason.PURCHASE_CONFIRMED: FailedPrecondition,
    Reason.NOT_A_TEST_STORE: FailedPrecondition,
    Reason.LIMIT_EXCEEDED: ResourceExhausted,
    Reason.INSUFFICIENT_CREDITS: InsufficientCredits,
    Reason.INTERNAL: Internal,
}

_CLASS_OF_CODE: dict[str, type[EarmarkError]] = {
    cls.code: cls
    for cls in (
        Unavailable,
        Unauthenticated,
        PermissionDenied,
        InvalidRequest,
        AlreadyExists,
        NotFound,
        FailedPrecondition,
        ResourceExhausted,
        Internal,
    )
}


def error_class_for(reason: Reason | str, code: str = "UNKNOWN") -> type[EarmarkError]:
    """Return the class of a reason; of its status code where the reason is unknown to this release."""
    try:
        return _CLASS_OF[Reason(reason)]
    except ValueError:
        return _CLASS_OF_CODE.get(code, EarmarkError)


def error(
    reason: Reason,
    message: str,
    metadata: Mapping[str, str | int] | None = None,
    *,
    field: str | None = None,
    retry_after_micros: int | None = None,
) -> EarmarkError:
    """Build the error of a reason, in the class that fits it."""
    return _CLASS_OF[reason](reason, message, metadata, field=field, retry_after_micros=retry_after_micros)
