"""The small closed sets of the domain. Their numbers are those of the public protos and of the packed records."""

from __future__ import annotations

from enum import IntEnum, unique

__all__ = [
    "AlertKind",
    "Enforcement",
    "EntryKind",
    "GrantKind",
    "Outcome",
    "OveragePolicy",
    "ReservationState",
    "burn_down_rank",
]


@unique
class ReservationState(IntEnum):
    """Where a reservation stands. It ends in exactly one of the last three."""

    ACTIVE = 1
    COMMITTED = 2
    RELEASED = 3
    EXPIRED = 4


@unique
class GrantKind(IntEnum):
    """Where a grant's credits came from."""

    FREE = 1
    SUBSCRIPTION = 2
    PURCHASE = 3
    PROMOTION = 4
    ADJUSTMENT = 5


@unique
class OveragePolicy(IntEnum):
    """What a Commit does with an actual amount above the reserved one."""

    REJECT = 1
    ALLOW_IF_AVAILABLE = 2
    ALLOW_WITH_OVERDRAFT = 3


@unique
class Enforcement(IntEnum):
    """Whether an account refuses or only counts."""

    BLOCK = 1
    OBSERVE = 2


@unique
class EntryKind(IntEnum):
    """Kinds of records in a partition's stream. 1 to 8 are ledger entries; from 20 on, records without a number."""

    GRANT = 1
    CHARGE = 2
    RELEASE = 3
    EXPIRED_HOLD = 4
    GRANT_EXPIRED = 5
    GRANT_VOIDED = 6
    DEBT_REPAID = 7
    REPAIR = 8
    CONFIGURED = 20
    ADMIN_REFUSED = 21


@unique
class AlertKind(IntEnum):
    """What an alert or a notice warns of."""

    LOW_BALANCE = 1
    CRITICAL_BALANCE = 2
    EXPIRING_SOON = 3
    LIMIT_NEAR = 4


@unique
class Outcome(IntEnum):
    """How a generation ended."""

    SUCCEEDED = 1
    FAILED = 2
    EXPIRED = 3


_KIND_ORDER = (
    GrantKind.FREE,
    GrantKind.PROMOTION,
    GrantKind.SUBSCRIPTION,
    GrantKind.ADJUSTMENT,
    GrantKind.PURCHASE,
)


def burn_down_rank(kind: int) -> int:
    """Return the place of a grant's kind in the burn-down order: free before paid."""
    return _KIND_ORDER.index(GrantKind(kind))
