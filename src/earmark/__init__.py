"""Earmark meters credits: reserve before a generation, commit what it used, release what failed.

>>> from earmark import AsyncClient

The client, and with it gRPC, is imported when one of its names is first asked for: gRPC's core reads its switches from
the environment then, and the command line has to set them before (`earmark.cli`).
"""

from importlib import import_module
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
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


def __getattr__(name: str) -> object:
    if name in __all__:  # What is not here already is the client's.
        return getattr(import_module("earmark.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
