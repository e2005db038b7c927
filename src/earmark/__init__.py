"""Earmark meters credits: reserve before a generation, commit what it used, release what failed.

>>> from earmark import AsyncClient
"""

from earmark.client import (
    AsyncClient,
    CallTimedOut,
    Client,
    ClientClosed,
    Estimate,
    Hold,
    HoldStateError,
    Item,
    OveragePolicy,
    Receipt,
    ThreadHold,
    UnsettledCommit,
    UnsettledCommits,
)
from earmark.errors import (
    AlreadyExists,
    EarmarkError,
    FailedPrecondition,
    InsufficientCredits,
    Internal,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    Reason,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "CallTimedOut",
    "Client",
    "ClientClosed",
    "EarmarkError",
    "Estimate",
    "FailedPrecondition",
    "Hold",
    "HoldStateError",
    "InsufficientCredits",
    "Internal",
    "InvalidRequest",
    "Item",
    "NotFound",
    "OveragePolicy",
    "PermissionDenied",
    "Reason",
    "Receipt",
    "ResourceExhausted",
    "ThreadHold",
    "Unauthenticated",
    "Unavailable",
    "UnsettledCommit",
    "UnsettledCommits",
]
