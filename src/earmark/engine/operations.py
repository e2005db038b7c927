"""Operations: what the batch function and the reference store execute.

An operation is a msgspec struct that encodes as a msgpack array `[tag, field, ...]`, so that a batch is packed in one
call and the Lua side reads positions: `lua/lib/layout.lua` names the same positions, and a test compares the two.
Amounts are microcredits, times microseconds since 1970, durations microseconds. Absence is -1 for amounts and 0 for
times, because msgpack's nil would leave holes in Lua's arrays. Texts are UTF-8; `details` and `settlement` are JSON
that Lua never reads.

Adding a field: append it, never insert; releases N and N+1 share a store.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "ABSENT",
    "NEVER",
    "TOMBSTONE_WANTED",
    "AccountOperation",
    "AnyOperation",
    "ApplyGrant",
    "CancelWait",
    "Charge",
    "Commit",
    "Configure",
    "Counter",
    "Details",
    "Evict",
    "Extend",
    "LimitClaim",
    "ListHolds",
    "LoadAccount",
    "Operation",
    "PartitionOperation",
    "ReadBalance",
    "ReadReservation",
    "RebuildAccount",
    "Release",
    "Renew",
    "RenewLease",
    "Reserve",
    "RestoreReservation",
    "RetireReservations",
    "Settlement",
    "VoidGrant",
    "ConfirmFlush",
]

ABSENT = -1
"""An amount that was not given: different from zero."""

NEVER = -2
"""A threshold that never fires, whatever the catalog says."""

TOMBSTONE_WANTED = -2
"""In `Release.tombstone`: the Reserve may still be on its way; the engine looks in SQL and sends the generation."""


class Details(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a reservation is for: kept as JSON in its record and in its ledger entry; Lua never looks inside."""

    request_id: str = msgspec.field(default="", name="r")
    operation: str = msgspec.field(default="", name="o")
    user_id: str = msgspec.field(default="", name="u")
    project_id: str = msgspec.field(default="", name="p")
    quantity: int | None = msgspec.field(default=None, name="q")
    usage: dict[str, int] = msgspec.field(default_factory=dict, name="c")
    attributes: dict[str, str] = msgspec.field(default_factory=dict, name="a")
    labels: dict[str, str] = msgspec.field(default_factory=dict, name="l")


class Settlement(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the call that ended a reservation, or an administrative change, says about it: JSON in the ledger entry."""

    quantity: int | None = msgspec.field(default=None, name="q")
    usage: dict[str, int] = msgspec.field(default_factory=dict, name="c")
    attributes: dict[str, str] = msgspec.field(default_factory=dict, name="a")
    comment: str = msgspec.field(default="", name="m")
    actor: str = msgspec.field(default="", name="w")
    request_id: str = msgspec.field(default="", name="r")
    reservation_id: str = msgspec.field(default="", name="v")


class LimitClaim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One limit that applies to a call, with the windows that may hold the script's now."""

    key: str
    """Names the limit's counter: `limit_key` of `domain.limits`."""
    amount: int
    """Microcredits that may be spent in a window."""
    near: int
    """Charges of this much or more are near the limit: 1 to `amount`."""
    blocks: bool
    """False only tells."""
    windows: tuple[int, ...]
    """Start and end of each candidate, in order; the script takes the one with start <= now < end."""


class Counter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What settled charges have used of one limit in one window."""

    key: str
    start: int
    end: int
    used: int


class AccountOperation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An operation on one account."""

    account_id: str


class Reserve(AccountOperation, frozen=True, array_like=True, tag=1, gc=False):
    """Hold credits."""

    digest: str
    """`reservation_digest(account_id, request_id)`."""
    content: str
    """`content_digest` of everything that makes it the same request."""
    amount: int
    min_amount: int
    """Accept less, down to this; `amount` itself if no minimum was given."""
    ttl: int
    price_version: int
    details: str
    """`Details` as JSON."""
    user_id: str
    """For membership; "" for none."""
    wait: int = 0
    """How long to wait for credits from the first attempt on; 0 for not at all."""
    owner: str = ""
    """Token of the waiter, new for each attempt of a caller; "" without wait."""
    validate_only: bool = False
    silent: bool = False
    """Leaves no ledger entry: a free operation that the catalog does not record. Only with amount 0."""
    entitled: bool = True
    """Whether the account's plan includes the operation."""
    config_seq: int = 0
    """The `config_seq` of the account's configuration that `entitled` and `limits` come from."""
    limits: tuple[LimitClaim, ...] = ()
    """Every limit that applies."""


class Charge(AccountOperation, frozen=True, array_like=True, tag=2, gc=False):
    """Reserve and commit in one step."""

    digest: str
    content: str
    amount: int
    min_amount: int
    policy: int
    """`OveragePolicy`; only ALLOW_WITH_OVERDRAFT takes more than is available."""
    price_version: int
    details: str
    settlement: str
    user_id: str
    wait: int = 0
    owner: str = ""
    validate_only: bool = False
    silent: bool = False
    """Leaves no ledger entry: a free operation that the catalog does not record. Only with amount 0."""
    entitled: bool = True
    """Whether the account's plan includes the operation."""
    config_seq: int = 0
    """The `config_seq` of the account's configuration that `entitled` and `limits` come from."""
    limits: tuple[LimitClaim, ...] = ()
    """Every limit that applies."""


class Commit(AccountOperation, frozen=True, array_like=True, tag=3, gc=False):
    """Charge a reservation."""

    digest: str
    actual: int
    """ABSENT for the whole reserved amount."""
    policy: int
    settlement: str


class Release(AccountOperation, frozen=True, array_like=True, tag=4, gc=False):
    """Give a reservation back."""

    digest: str
    settlement: str
    tombstone: int = ABSENT
    """ABSENT for a Release by reservation id, TOMBSTONE_WANTED for one by request id. The script takes a retire
    generation: where the record is unknown it keeps a RELEASED record of amount 0, if none was retired since."""


class Extend(AccountOperation, frozen=True, array_like=True, tag=5, gc=False):
    """Move a reservation's expiry, add credits, or both."""

    digest: str
    extension: str
    """`extension_digest(digest, request_id)`."""
    content: str
    ttl: int
    """From now; 0 to leave the expiry."""
    additional: int
    """0 for none."""
    wait: int = 0
    owner: str = ""


class ReadBalance(AccountOperation, frozen=True, array_like=True, tag=6, gc=False):
    """Read the totals, and the grants if wanted."""

    with_grants: bool = False
    watch: int = 0
    """Publish every change of the account for this long."""


class ReadReservation(AccountOperation, frozen=True, array_like=True, tag=7, gc=False):
    """Read one record."""

    digest: str


class ApplyGrant(AccountOperation, frozen=True, array_like=True, tag=8, gc=False):
    """Apply a grant that SQL has recorded under this admin_seq."""

    admin_seq: int
    kind: int
    priority: int
    amount: int
    acquire_time: int
    expire_time: int
    """0 for never."""
    max_grants: int
    settlement: str
    """`Settlement` as JSON: comment, actor, request_id, reservation_id."""


class VoidGrant(AccountOperation, frozen=True, array_like=True, tag=9, gc=False):
    """Void what is left of a grant and not reserved."""

    admin_seq: int
    grant: int
    settlement: str


class Configure(AccountOperation, frozen=True, array_like=True, tag=10, gc=False):
    """Set the configuration as of this admin_seq; members as a difference."""

    admin_seq: int
    suspended: bool
    enforcement: int
    overdraft_limit: int
    members_added: tuple[str, ...] = ()
    members_removed: tuple[str, ...] = ()
    config_seq: int = ABSENT
    """The new `config_seq`, if limits, time zone or entitlements changed; ABSENT leaves it."""
    low_balance: int = ABSENT
    """Threshold of the low alert; ABSENT for the catalog's, `NEVER` for none."""
    critical_balance: int = ABSENT


class LoadAccount(AccountOperation, frozen=True, array_like=True, tag=11, gc=False):
    """Bring an account from SQL into Redis, if it is still missing and nothing was evicted since the miss."""

    generation: int
    """The evict generation that the miss answered with."""
    entry_number: int
    charged: int
    granted: int
    expired: int
    voided: int
    debt: int
    suspended: bool
    enforcement: int
    overdraft_limit: int
    admin_seq: int
    members: tuple[str, ...]
    grants: tuple[int, ...]
    """Seven numbers a grant with something left: number, kind, priority, expire_time, acquire_time, remaining, voided
    (0 or 1)."""
    config_seq: int = 0
    low_balance: int = ABSENT
    critical_balance: int = ABSENT
    cycle_seq: int = 0
    """The admin_seq of the last `Renew` with a cap; 0 for none. Grants before it belong to earlier cycles."""
    carry_room: int = 0
    """What the cap of that renewal still leaves for what returns to earlier cycles' grants."""
    carry_kinds: int = 0
    """The kinds that it counted: bit `1 << kind` for each."""
    counters: tuple[Counter, ...] = ()
    """Limit counters whose window may not have ended."""


class RestoreReservation(AccountOperation, frozen=True, array_like=True, tag=12, gc=False):
    """Bring an ended record from SQL into Redis, if it is still missing and nothing was retired since the miss."""

    generation: int
    digest: str
    state: int
    content: str
    reserved: int
    charged: int
    uncollected: int
    late: bool
    create_time: int
    expire_time: int
    settle_time: int
    price_version: int
    entry_number: int
    details: str
    allocations: tuple[int, ...]
    """Three numbers each: grant, kind, amount."""
    windows: tuple[tuple[str, int, int], ...] = ()
    """Key, start and end of the limit windows in which it was reserved."""


class Evict(AccountOperation, frozen=True, array_like=True, tag=13, gc=False):
    """Drop an idle account from Redis: nothing reserved, nobody waiting, all flushed, untouched since `idle_before`."""

    idle_before: int
    admin_seq: int
    """Of the `members` given; another admin_seq in Redis refuses."""
    members: tuple[str, ...]
    counters: tuple[tuple[str, int], ...] = ()
    """Key and start of the account's limit counters that SQL knows."""


class CancelWait(AccountOperation, frozen=True, array_like=True, tag=14, gc=False):
    """Remove a ticket of the queue, if its owner is still this one."""

    ticket: str
    """The digest of the Reserve or Charge, or the extension digest."""
    owner: str


class RebuildAccount(AccountOperation, frozen=True, array_like=True, tag=15, gc=False):
    """Recovery only: replace the account by SQL's state, keeping those of its holds that SQL does not know as ended."""

    load: LoadAccount
    """SQL's state; its generation means nothing here."""
    holds: tuple[str, ...]
    """Digests of the account's ACTIVE records in Redis."""
    ended: tuple[RestoreReservation, ...]
    """Reservations that SQL knows as ended since Redis's state."""


class Renew(AccountOperation, frozen=True, array_like=True, tag=16, gc=False):
    """Begin a billing cycle: carry over, expire the excess, give the cycle's credits, all at once.

    Of what is available of grants of `kinds` that are older than `admin_seq`, min(cap, available) is carried over; the
    excess expires in burn-down order. What open holds return later to those grants fills what the cap still leaves;
    beyond it, it expires.
    """

    admin_seq: int
    kind: int
    priority: int
    amount: int
    """0 gives no grant."""
    acquire_time: int
    expire_time: int
    """0 for never."""
    max_grants: int
    cap: int
    """ABSENT leaves older grants to their own expiry; 0 carries nothing over."""
    kinds: int
    """Which kinds the cap counts: bit `1 << kind` for each."""
    settlement: str
    config_seq: int = ABSENT
    """As in `Configure`."""


class PartitionOperation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An operation on a whole partition."""


class RetireReservations(PartitionOperation, frozen=True, array_like=True, tag=32, gc=False):
    """Remove ended records whose replay window is over and whose entry is flushed."""

    limit: int


class ConfirmFlush(PartitionOperation, frozen=True, array_like=True, tag=33, gc=False):
    """Note what SQL holds, and trim the stream."""

    flushed: int
    trim_before: int
    """Stream elements before this seq go; 0 for none."""


class RenewLease(PartitionOperation, frozen=True, array_like=True, tag=34, gc=False):
    """Take or keep a lease by Redis's clock."""

    name: str
    owner: str
    ttl: int
    """0 gives it back."""


class ListHolds(PartitionOperation, frozen=True, array_like=True, tag=35, gc=False):
    """Read a bounded part of the partition's open reservations in order of expiry."""

    account_id: str
    """Only this account's; "" for all."""
    after_time: int
    after_member: str
    limit: int
    """How many records to look at, at most 1,000."""


AnyOperation = AccountOperation | PartitionOperation
"""What a batch holds, for those who pass operations on without looking at their kind."""

Operation = (
    Reserve
    | Charge
    | Commit
    | Release
    | Extend
    | ReadBalance
    | ReadReservation
    | ApplyGrant
    | VoidGrant
    | Configure
    | LoadAccount
    | RestoreReservation
    | Evict
    | CancelWait
    | RebuildAccount
    | Renew
    | RetireReservations
    | ConfirmFlush
    | RenewLease
    | ListHolds
)
