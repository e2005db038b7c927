"""Results of operations, as the batch function and the reference store answer them.

Arrays with a tag, like the operations. A `Refusal` is an expected outcome; the server turns it into an error.
"""

from __future__ import annotations

from enum import IntEnum, unique

import msgspec

__all__ = [
    "AccountMissing",
    "Again",
    "Applied",
    "BalanceRead",
    "BalanceView",
    "BatchReply",
    "Bug",
    "ConfigurationMoved",
    "Done",
    "HoldsRead",
    "LeaseRenewed",
    "RefusalCode",
    "Refused",
    "ReservationMissing",
    "ReservationRead",
    "ReservationView",
    "Result",
    "Swept",
    "Waiting",
    "Warned",
]


@unique
class RefusalCode(IntEnum):
    """Why an operation changed nothing. `numbers` of the refusal are named in `REFUSAL_NUMBERS`."""

    REQUEST_ID_REUSED = 1
    ACCOUNT_SUSPENDED = 2
    NOT_A_MEMBER = 3
    INSUFFICIENT_CREDITS = 4
    ALREADY_COMMITTED = 5
    ALREADY_RELEASED = 6
    RESERVATION_EXPIRED = 7
    OVERAGE_REJECTED = 8
    INVALID_AMOUNT = 9
    TOO_MANY_GRANTS = 10
    GRANT_NOT_FOUND = 11
    TOO_MANY_EXTENSIONS = 12
    STALE = 13
    """The load or restore came too late, or the eviction found the account in use: look again."""
    NOT_ENTITLED = 14
    LIMIT_EXCEEDED = 15


REFUSAL_NUMBERS: dict[RefusalCode, tuple[str, ...]] = {
    RefusalCode.INSUFFICIENT_CREDITS: ("available_micros", "required_micros", "shortfall_micros"),
    RefusalCode.ALREADY_COMMITTED: ("charged_micros",),
    RefusalCode.RESERVATION_EXPIRED: ("available_micros", "required_micros", "shortfall_micros"),
    RefusalCode.OVERAGE_REJECTED: ("reserved_micros", "required_micros", "shortfall_micros"),
    RefusalCode.TOO_MANY_GRANTS: ("max_grants",),
    RefusalCode.TOO_MANY_EXTENSIONS: ("max_extensions",),
    RefusalCode.STALE: ("generation", "flushed"),
    RefusalCode.LIMIT_EXCEEDED: ("limit_micros", "used_micros", "required_micros", "reset_time"),
}


class BalanceView(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An account's totals, in microcredits; `next_expire_time` is 0 if nothing available expires."""

    available: int
    reserved: int
    debt: int
    charged: int
    expiring_soon: int
    next_expire_time: int
    version: int
    entry_number: int


class ReservationView(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record; `settle_time` 0 while ACTIVE. `details` is "" in a COMMITTED or RELEASED record: its entry has them."""

    digest: str
    state: int
    reserved: int
    charged: int
    uncollected: int
    late: int
    create_time: int
    expire_time: int
    settle_time: int
    price_version: int
    allocations: tuple[int, ...]
    """Three numbers each: grant, kind, amount."""
    details: str
    account_id: str


class Warned(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a successful answer warns of."""

    kind: int
    """`AlertKind`: LOW_BALANCE, CRITICAL_BALANCE or LIMIT_NEAR."""
    threshold: int
    """Microcredits: of the balance, or the limit's amount."""
    key: str = ""
    """The limit's key, for LIMIT_NEAR."""


class Done(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """A Reserve, Charge, Commit, Release or Extend that took effect, now or before."""

    replayed: bool
    reservation: ReservationView
    balance: BalanceView
    would_refuse: bool = False
    """The account only observes, and enforcement would have refused."""
    notices: tuple[Warned, ...] = ()
    """Thresholds at or below which the balance is, and limits that are near."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """An expected refusal: nothing changed."""

    code: int
    numbers: tuple[int, ...]
    key: str = ""
    """The limit's key, for LIMIT_EXCEEDED."""


class Again(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """More events were due than one script settles: send the operation again."""


class AccountMissing(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Redis does not hold the account: load it from a SQL snapshot at or after `flushed`."""

    generation: int
    flushed: int


class ReservationMissing(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """Redis does not hold the record: look it up in a SQL snapshot at or after `flushed`."""

    generation: int
    flushed: int


class Waiting(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """The operation has a ticket in the queue of its account: send it again when woken, and as a heartbeat."""

    available: int
    required: int


class BalanceRead(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """The answer to ReadBalance."""

    balance: BalanceView
    grants: tuple[int, ...]
    """Eight numbers a grant, in burn-down order: number, kind, priority, expire_time, acquire_time, remaining, held,
    voided."""


class ReservationRead(msgspec.Struct, frozen=True, array_like=True, tag=7, gc=False):
    """The answer to ReadReservation."""

    reservation: ReservationView


class Applied(msgspec.Struct, frozen=True, array_like=True, tag=8, gc=False):
    """The answer to an administrative operation, a load, a restore, an eviction, a cancelled wait or a rebuild."""

    admin_seq: int
    """The account's admin_seq now. Below the operation's: earlier ones are missing, nothing was applied."""
    fresh: bool
    """Whether this very operation took effect now."""
    balance: BalanceView | None


class HoldsRead(msgspec.Struct, frozen=True, array_like=True, tag=9, gc=False):
    """The answer to ListHolds; `next_member` is "" at the end."""

    reservations: tuple[ReservationView, ...]
    next_time: int
    next_member: str


class LeaseRenewed(msgspec.Struct, frozen=True, array_like=True, tag=10, gc=False):
    """The answer to RenewLease."""

    held: bool
    until: int


class Swept(msgspec.Struct, frozen=True, array_like=True, tag=11, gc=False):
    """The answer to RetireReservations and ConfirmFlush: how many records, or stream elements, went."""

    count: int


class ConfigurationMoved(msgspec.Struct, frozen=True, array_like=True, tag=13, gc=False):
    """The account's configuration is another one, or no window that was sent holds `now`: derive the call anew."""

    now: int
    config_seq: int


class Bug(msgspec.Struct, frozen=True, array_like=True, tag=12, gc=False):
    """The script failed on this account: nothing of the batch changed it."""

    message: str


Result = (
    Done
    | Refused
    | Again
    | AccountMissing
    | ReservationMissing
    | Waiting
    | BalanceRead
    | ReservationRead
    | Applied
    | HoldsRead
    | LeaseRenewed
    | Swept
    | Bug
    | ConfigurationMoved
)


class BatchReply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The answer of the batch function to one call."""

    format: int
    status: int
    """0 served; 1 the partition must recover (no meta key, another run id); 2 another epoch; 3 an unknown format."""
    epoch: int
    now: int
    seq: int
    flushed: int
    due_left: bool
    """Whether more due events wait."""
    results: tuple[Result, ...]
