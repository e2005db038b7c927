"""Values that the ledger takes and returns. Amounts in microcredits, times and durations in microseconds.

Times count from 1970-01-01 UTC; 0 stands for "none" (a grant that never expires).
"""

from __future__ import annotations

from enum import IntEnum, unique

from msgspec import UNSET, Struct, UnsetType, field

from earmark.domain.catalog import LimitRule
from earmark.domain.ids import ContentDigest, ReservationDigest
from earmark.domain.states import Enforcement, EntryKind, GrantKind, Outcome, ReservationState
from earmark.engine.operations import ApplyGrant, Configure, Counter, Details, Renew, Settlement, VoidGrant
from earmark.engine.records import WindowUse

__all__ = [
    "AccountChanges",
    "AccountConfiguration",
    "AccountProjection",
    "AccountRecord",
    "AdminOperation",
    "AdminOutcome",
    "AdminState",
    "AdminTicket",
    "Allocation",
    "AppliedConfiguration",
    "Conflict",
    "Contacts",
    "DeliveryState",
    "EndedReservation",
    "EntryFilter",
    "EntryPage",
    "EntryPosition",
    "EntryRecord",
    "Fenced",
    "FlushOutcome",
    "GrantProjection",
    "GrantRecord",
    "MemberRecord",
    "MemberRole",
    "NewAccount",
    "NewGrant",
    "NewRenewal",
    "PartitionPosition",
    "StoreIdentity",
    "Thresholds",
    "Written",
]


class StoreIdentity(Struct, frozen=True):
    """What Redis and SQL must agree on before they may be used together."""

    store_id: str
    """A UUID as text."""
    partitions: int
    format: int
    for_tests: bool
    """Whether the store has a test clock."""


class PartitionPosition(Struct, frozen=True):
    """How far a partition is flushed, and which epoch may flush it."""

    epoch: int
    flushed_seq: int


class Written(Struct, frozen=True):
    """The flush is durable."""

    flushed_seq: int
    entries: int
    """Entries inserted now."""
    passed_over: int
    """Records that the ledger held already, with the same content."""


class Fenced(Struct, frozen=True):
    """Another flusher went on, or the epoch was raised: nothing was written."""

    position: PartitionPosition | None
    """Where the partition stands; None if the store has no such partition."""


class Conflict(Struct, frozen=True):
    """The records contradict the ledger: nothing was written, and repeating will not help."""

    account_id: str
    """"" when the conflict is not about one account."""
    entry_number: int
    """0 when the conflict is not about one entry."""
    message: str
    """One sentence for the operator."""


FlushOutcome = Written | Fenced | Conflict


@unique
class MemberRole(IntEnum):
    """What a member may do; the numbers are those of the public proto."""

    MEMBER = 1
    ADMIN = 2


class MemberRecord(Struct, frozen=True):
    """A user who may spend an account's credits."""

    user_id: str
    role: MemberRole
    create_time: int


class Thresholds(Struct, frozen=True, omit_defaults=True):
    """When an account's holder is warned; None for what the catalog says."""

    low_balance: int | None = None
    critical_balance: int | None = None
    expiring_soon: int | None = None
    """How long before their expiry credits are expiring soon; 0 for never."""
    balance_alerts_off: bool = False
    """Never warns of the balance, whatever the catalog says."""


class Contacts(Struct, frozen=True, omit_defaults=True):
    """Where alerts go."""

    emails: tuple[str, ...] = ()
    webhook_url: str = ""
    webhook_secret: str = ""
    """Signs what the webhook receives; "" for the server's own."""


@unique
class DeliveryState(IntEnum):
    """How far a delivery is; the numbers are those of the public proto."""

    PENDING = 1
    DELIVERED = 2
    FAILED = 3


class NewAccount(Struct, frozen=True):
    """What `Accounts.create` stores. Everything is valid already: the ledger checks no forms."""

    account_id: str
    display_name: str = ""
    time_zone: str = "UTC"
    overdraft_limit: int = 0
    enforcement: Enforcement = Enforcement.BLOCK
    thresholds: Thresholds = Thresholds()
    contacts: Contacts = Contacts()
    labels: dict[str, str] = field(default_factory=dict)
    limits: tuple[LimitRule, ...] = ()
    """Each name once. `created_seq` and `create_time` are the ledger's to say, here and in `AccountChanges`."""


class AccountChanges(Struct, frozen=True):
    """What `Accounts.update` changes; UNSET leaves a field as it is."""

    display_name: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    overdraft_limit: int | UnsetType = UNSET
    enforcement: Enforcement | UnsetType = UNSET
    thresholds: Thresholds | UnsetType = UNSET
    contacts: Contacts | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    limits: tuple[LimitRule, ...] | UnsetType = UNSET
    """All of them: one that is not named any more ends."""


class AccountRecord(Struct, frozen=True):
    """An account as last configured (`admin_seq`); Redis may not have applied all of it (`applied_admin_seq`)."""

    account_id: str
    partition: int
    display_name: str
    suspended: bool
    enforcement: Enforcement
    time_zone: str
    overdraft_limit: int
    thresholds: Thresholds
    contacts: Contacts
    labels: dict[str, str]
    create_time: int
    update_time: int
    admin_seq: int
    applied_admin_seq: int
    members: tuple[MemberRecord, ...] = ()
    """By user id; left out (empty) in lists."""
    limits: tuple[LimitRule, ...] = ()
    """Its own ones, in the order in which they were given."""
    config_seq: int = 0
    """As in `AccountConfiguration`."""


class AccountConfiguration(Struct, frozen=True):
    """What sidecars derive an account's calls from, and may keep under its `config_seq`."""

    account_id: str
    config_seq: int
    """The admin_seq of the last recorded change of this; 0 for none. Redis may not have applied it yet."""
    time_zone: str
    previous_time_zone: str
    """"" if it never changed."""
    zone_change_time: int
    """0 if it never changed. Windows that began before it are those of the previous time zone."""
    create_time: int
    """Where lifetime windows of limits of the catalog begin."""
    enforcement: Enforcement
    thresholds: Thresholds
    limits: tuple[LimitRule, ...]
    """Its own ones."""


class NewGrant(Struct, frozen=True):
    """What `Accounts.record_grant` stores."""

    kind: GrantKind
    amount: int
    acquire_time: int
    expire_time: int = 0
    """0 for never."""
    priority: int = 100
    comment: str = ""
    actor: str = ""
    reservation_id: str = ""
    """The public id of the reservation whose charge an ADJUSTMENT makes good."""


class NewRenewal(Struct, frozen=True):
    """What `record_renewal` stores: the beginning of a billing cycle, with its credits. See `Renew`."""

    kind: GrantKind
    amount: int
    """0 gives no grant."""
    acquire_time: int
    expire_time: int = 0
    """0 for never."""
    priority: int = 100
    cap: int | None = None
    """How much of older grants of `kinds` is carried over; None leaves them to their own expiry."""
    kinds: tuple[GrantKind, ...] = ()
    """Which kinds the cap counts."""
    comment: str = ""
    actor: str = ""


class GrantRecord(Struct, frozen=True):
    """A grant with what flushed entries used of it."""

    account_id: str
    number: int
    """The admin_seq that created it; `format_grant_id` makes the public id."""
    kind: GrantKind
    amount: int
    priority: int
    acquire_time: int
    expire_time: int
    create_time: int
    comment: str
    actor: str
    reservation_id: str
    request_id: str
    pending: bool
    """Recorded, but no flushed record says that Redis has applied it."""
    void: bool
    """VoidGrant was applied: what returns from open reservations is voided too."""
    charged: int
    expired: int
    voided: int
    repaid: int

    @property
    def remaining(self) -> int:
        """What flushed entries left of it: available, or held by open reservations."""
        return self.amount - self.charged - self.expired - self.voided - self.repaid


AdminOperation = ApplyGrant | VoidGrant | Configure | Renew
"""What SQL records and Redis applies in the order of the admin_seqs."""


class AdminTicket(Struct, frozen=True):
    """An administrative operation that SQL has recorded, ready to be relayed to Redis."""

    account_id: str
    admin_seq: int
    replayed: bool
    """An earlier call with this request id had recorded it."""
    operation: AdminOperation


@unique
class AdminState(IntEnum):
    """How far an administrative operation is, as flushed records tell."""

    PENDING = 0
    APPLIED = 1
    REFUSED = 2


class AdminOutcome(Struct, frozen=True):
    """How an administrative operation ended."""

    state: AdminState
    refusal: int
    """`RefusalCode` if it was refused, else 0."""


class Allocation(Struct, frozen=True):
    """The part of one grant that an entry used or gave back."""

    grant: int
    kind: GrantKind
    amount: int


class EntryPosition(Struct, frozen=True):
    """Where an entry stands in lists and exports; opaque to callers, who pass it back for the next page."""

    time: int
    account_key: int
    entry_number: int


class EntryRecord(Struct, frozen=True):
    """One ledger entry."""

    position: EntryPosition
    account_id: str
    entry_number: int
    kind: EntryKind
    amount: int
    available_after: int
    debt: int
    """The part of a charge that became debt."""
    time: int
    allocations: tuple[Allocation, ...]
    digest: ReservationDigest | None
    """The reservation that it is about; of an adjustment, the one that it makes good."""
    reserved: int
    uncollected: int
    late: bool
    reservation_create_time: int
    expire_time: int
    """The reservation's; for GRANT the grant's."""
    price_version: int
    content: ContentDigest
    request_id: str
    admin_seq: int
    grant: int
    """The grant's number, for GRANT, GRANT_EXPIRED, GRANT_VOIDED, DEBT_REPAID; else 0."""
    grant_kind: int
    details: Details
    settlement: Settlement
    partition: int
    seq: int
    epoch: int
    windows: tuple[WindowUse, ...] = ()
    """What it counts for in the windows of limits."""

    @property
    def outcome(self) -> Outcome | None:
        """How the generation ended; None for entries that are about none."""
        match self.kind:
            case EntryKind.CHARGE:
                return Outcome.SUCCEEDED
            case EntryKind.RELEASE:
                return Outcome.FAILED
            case EntryKind.EXPIRED_HOLD:
                return Outcome.EXPIRED
            case _:
                return None


class EntryFilter(Struct, frozen=True):
    """Selects entries: they must pass every field that is set."""

    account_id: str | None = None
    start_time: int | None = None
    """At or after."""
    end_time: int | None = None
    """Before."""
    kinds: tuple[EntryKind, ...] = ()
    """Any of these; all if empty."""
    operation: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    """All of these."""
    min_amount: int | None = None
    max_amount: int | None = None
    outcome: Outcome | None = None
    digest: ReservationDigest | None = None
    request_id: str | None = None
    entry_number: int | None = None


class EntryPage(Struct, frozen=True):
    """A page of entries."""

    entries: tuple[EntryRecord, ...]
    """As many as were asked for at most; fewer, even none, where what passes is rare: a page looks only so far."""
    next: EntryPosition | None
    """What the next page continues; None at the end."""


class EndedReservation(Struct, frozen=True):
    """A reservation that ended, as its last entry tells."""

    account_id: str
    digest: ReservationDigest
    state: ReservationState
    reserved: int
    charged: int
    uncollected: int
    late: bool
    create_time: int
    expire_time: int
    settle_time: int
    price_version: int
    entry_number: int
    allocations: tuple[Allocation, ...]
    details: Details
    settlement: Settlement


class GrantProjection(Struct, frozen=True):
    """What flushed entries left of a grant."""

    number: int
    kind: GrantKind
    remaining: int
    expire_time: int
    void: bool


class AppliedConfiguration(Struct, frozen=True):
    """What Redis has of an account's configuration as of `applied_admin_seq`. Field by field an integer."""

    suspended: int
    enforcement: int
    overdraft_limit: int
    config_seq: int
    low_balance: int
    critical_balance: int
    cycle_seq: int
    carry_kinds: int
    members: int
    """How many there are."""


class AccountProjection(Struct, frozen=True):
    """An account's totals as flushed entries make them, for comparison with Redis."""

    account_id: str
    entry_number: int
    applied_admin_seq: int
    granted: int
    charged: int
    expired: int
    voided: int
    repaid: int
    debt: int
    uncollected: int
    grants: tuple[GrantProjection, ...]
    """Those with something left, by number."""
    configuration: AppliedConfiguration
    carry_room: int
    counters: tuple[Counter, ...]
    """Those whose window may not have ended."""
