"""What a machine may try: intents name accounts and ids by number, and become operations against the present world.

An intent prints as itself, so a failing example can be pasted into a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from earmark.domain.ids import ReservationDigest, content_digest, extension_digest, reservation_digest
from earmark.domain.limits import FOREVER
from earmark.domain.states import Enforcement, GrantKind, OveragePolicy, ReservationState
from earmark.engine.memory import MemoryStore
from earmark.engine.operations import (
    ABSENT,
    ApplyGrant,
    CancelWait,
    Charge,
    Commit,
    Configure,
    ConfirmFlush,
    Evict,
    Extend,
    LimitClaim,
    Operation,
    ReadBalance,
    ReadReservation,
    RebuildAccount,
    Release,
    Renew,
    RenewLease,
    Reserve,
    RetireReservations,
    VoidGrant,
)
from tests.property.ledger import Ledger

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND

ACCOUNTS = ("acme", "{07}", "a{b}:accounts %s '\"", "~" * 128)
"""The last three are hostile: hash tags, quotes, formats, and the longest there may be."""
REQUESTS = 6
DAY = 24 * HOUR

LIMITS = (
    ("burst:0:account:", 10 * SECOND),
    ("daily %s {07}:0:user:b\u00f6b \u4e2d:x", DAY),
    ("hourly:12:project:\"'\\", HOUR),
    ("all:3:account:", FOREVER),
)
"""Keys of limits, and how long their windows are."""
USERS = ("", "ann", "b\u00f6b \u4e2d")


@dataclass
class World:
    """What intents look at."""

    store: MemoryStore
    ledger: Ledger = field(default_factory=Ledger)
    waiting: list[Reserve | Charge | Extend] = field(default_factory=list)
    """What was last told to wait, the latest last."""
    pause: int = 0
    """How long the batch being built will wait before it is sent."""
    administered: dict[str, int] = field(default_factory=dict)
    """Within the batch being built: the admin_seq of the last administrative operation on an account."""

    def config_seq(self, account_id: str) -> int:
        """Return what a sidecar knows of an account's configuration."""
        account = self.store.partition.accounts.get(account_id)
        return account.config_seq if account else self.ledger.rows[account_id].config_seq

    def due_within(self, duration: int) -> bool:
        """Tell whether anything becomes due this soon."""
        soon = self.store.partition.now + duration
        holds = (record.expire_time for record in self.store.partition.records.values() if record.settle_time == 0)
        grants = (
            grant.expire_time
            for account in self.store.partition.accounts.values()
            for grant in account.grants.values()
            if not grant.expired and grant.expire_time
        )
        return any(time <= soon for time in (*holds, *grants))

    def next_admin_seq(self, account_id: str) -> int:
        account = self.store.partition.accounts.get(account_id)
        last = self.administered.get(
            account_id, account.admin_seq if account else self.ledger.rows[account_id].admin_seq
        )
        self.administered[account_id] = last + 1
        return last + 1


class Intent(Protocol):
    """Something to try."""

    def operation(self, world: World, /) -> Operation | None:
        """Return the operation, or None where there is nothing to try it on."""
        ...


def digest_of(account: int, request: int) -> ReservationDigest:
    return reservation_digest(ACCOUNTS[account], f"request-{request}")


def target_digest(world: World, account: int, target: int) -> ReservationDigest:
    """Return the digest of a request number, or from 6 on of a record that is there, the open ones first."""
    if target < REQUESTS:
        return digest_of(account, target)
    records = [record for record in world.store.partition.records.values() if record.account_id == ACCOUNTS[account]]
    open_first = sorted(records, key=lambda record: (record.state, -record.create_time, record.digest))
    if not open_first:
        return digest_of(account, target)
    return ReservationDigest(open_first[(target - REQUESTS) % len(open_first)].digest)


def content_of(*parts: object) -> str:
    return content_digest(repr(parts).encode())


@dataclass(frozen=True)
class Claim:
    """A limit that applies to a call."""

    limit: int
    amount: int
    near_percent: int
    blocks: bool
    shift: int
    """Which window comes first, of two that follow each other: 0 for the present one, -1 for the one before, 1 for the
    one after, which holds no now."""

    def claim(self, world: World) -> LimitClaim:
        key, length = LIMITS[self.limit]
        near = min(self.amount, max(1, self.amount * self.near_percent // 100))
        windows = (0, FOREVER)
        if length != FOREVER:
            now = world.store.partition.now + world.pause
            first = now - now % length + self.shift * length
            windows = (first, first + length, first + length, first + 2 * length)  # type: ignore[assignment]
        return LimitClaim(key, self.amount, near, self.blocks, windows)


@dataclass(frozen=True)
class Rules:
    """What a sidecar says of a call from the account's configuration."""

    claims: tuple[Claim, ...] = ()
    entitled: bool = True
    silent: bool = False
    """If the amount is 0."""
    moved: int = 0
    """Not 0 for another configuration than the account's."""


NO_RULES = Rules()


@dataclass(frozen=True)
class TryReserve:
    account: int
    request: int
    amount: int
    minimum: int | None
    ttl: int
    user: str
    wait: int
    owner: str
    validate_only: bool
    rules: Rules = NO_RULES

    def operation(self, world: World, /) -> Operation:
        minimum = self.amount if self.minimum is None else min(self.minimum, self.amount)
        return Reserve(
            account_id=ACCOUNTS[self.account],
            digest=digest_of(self.account, self.request),
            content=content_of("reserve", self.amount, minimum, self.user),
            amount=self.amount,
            min_amount=minimum,
            ttl=self.ttl,
            price_version=3,
            details=f'{{"r":"request-{self.request}","u":"{self.user}"}}',
            user_id=self.user,
            wait=self.wait,
            owner=self.owner if self.wait else "",
            validate_only=self.validate_only,
            silent=self.rules.silent and self.amount == 0,
            entitled=self.rules.entitled,
            config_seq=world.config_seq(ACCOUNTS[self.account]) + self.rules.moved,
            limits=tuple(claim.claim(world) for claim in self.rules.claims),
        )


@dataclass(frozen=True)
class TryCharge:
    account: int
    request: int
    amount: int
    minimum: int | None
    policy: OveragePolicy
    user: str
    wait: int
    owner: str
    validate_only: bool
    rules: Rules = NO_RULES

    def operation(self, world: World, /) -> Operation:
        minimum = self.amount if self.minimum is None else min(self.minimum, self.amount)
        return Charge(
            account_id=ACCOUNTS[self.account],
            digest=digest_of(self.account, self.request),
            content=content_of("charge", self.amount, minimum, self.policy, self.user),
            amount=self.amount,
            min_amount=minimum,
            policy=self.policy,
            price_version=4,
            details='{"o":"image.generate"}',
            settlement='{"m":"in one step"}',
            user_id=self.user,
            wait=self.wait,
            owner=self.owner if self.wait else "",
            validate_only=self.validate_only,
            silent=self.rules.silent and self.amount == 0,
            entitled=self.rules.entitled,
            config_seq=world.config_seq(ACCOUNTS[self.account]) + self.rules.moved,
            limits=tuple(claim.claim(world) for claim in self.rules.claims),
        )


@dataclass(frozen=True)
class TryCommit:
    account: int
    target: int
    actual: int
    policy: OveragePolicy

    def operation(self, world: World, /) -> Operation:
        return Commit(
            ACCOUNTS[self.account],
            target_digest(world, self.account, self.target),
            self.actual,
            self.policy,
            '{"m":"done"}',
        )


@dataclass(frozen=True)
class TryRelease:
    account: int
    target: int
    tombstone: bool

    def operation(self, world: World, /) -> Operation:
        generation = world.store.partition.retire_generation if self.tombstone else ABSENT
        digest = target_digest(world, self.account, self.target)
        if digest in world.ledger.ended:
            generation = ABSENT  # A server asks SQL first: what ended once is not unknown.
        return Release(ACCOUNTS[self.account], digest, '{"m":"failed"}', generation)


@dataclass(frozen=True)
class TryExtend:
    account: int
    target: int
    extension: int
    ttl: int
    additional: int
    wait: int
    owner: str

    def operation(self, world: World, /) -> Operation:
        digest = target_digest(world, self.account, self.target)
        return Extend(
            account_id=ACCOUNTS[self.account],
            digest=digest,
            extension=extension_digest(digest, f"extension-{self.extension}"),
            content=content_of("extend", self.additional),
            ttl=self.ttl,
            additional=self.additional,
            wait=self.wait,
            owner=self.owner if self.wait else "",
        )


@dataclass(frozen=True)
class TryCancel:
    """Cancels one of those who wait, or nobody."""

    account: int
    waiter: int
    owner: str

    def operation(self, world: World, /) -> Operation:
        account = world.store.partition.accounts.get(ACCOUNTS[self.account])
        tickets = [ticket.key for ticket in account.queue] if account else []
        key = tickets[self.waiter % len(tickets)] if tickets else digest_of(self.account, self.waiter)
        return CancelWait(ACCOUNTS[self.account], key, self.owner)


@dataclass(frozen=True)
class TryAgain:
    """Sends again what waits, as a heartbeat or as somebody else's repeat."""

    waiter: int
    owner: str

    def operation(self, world: World, /) -> Operation | None:
        if not world.waiting:
            return None
        operation = world.waiting[self.waiter % len(world.waiting)]
        return msgspec.structs.replace(operation, owner=self.owner)


@dataclass(frozen=True)
class TryForeign:
    """A forged reservation id: one account's name with another's reservation."""

    account: int
    other: int
    target: int
    commit: bool

    def operation(self, world: World, /) -> Operation:
        digest = target_digest(world, self.other, self.target)
        if self.commit:
            return Commit(ACCOUNTS[self.account], digest, ABSENT, OveragePolicy.ALLOW_IF_AVAILABLE, "{}")
        return Release(ACCOUNTS[self.account], digest, "{}")


@dataclass(frozen=True)
class TryRead:
    account: int
    request: int | None

    def operation(self, _world: World, /) -> Operation:
        if self.request is None:
            return ReadBalance(ACCOUNTS[self.account], with_grants=True)
        return ReadReservation(ACCOUNTS[self.account], digest_of(self.account, self.request))


@dataclass(frozen=True)
class TryGrant:
    account: int
    amount: int
    kind: GrantKind
    priority: int
    life: int | None
    """From now to its expiry; negative for one that comes too late."""
    max_grants: int
    skew: int
    """0 for the next admin_seq, -1 for a repeat, +1 for one that overtakes."""

    def operation(self, world: World, /) -> Operation:
        account_id = ACCOUNTS[self.account]
        now = world.store.partition.now
        return ApplyGrant(
            account_id=account_id,
            admin_seq=_skewed(world, account_id, self.skew),
            kind=self.kind,
            priority=self.priority,
            amount=self.amount,
            acquire_time=now - MINUTE,
            expire_time=0 if self.life is None else now + self.life,
            max_grants=self.max_grants,
            settlement='{"m":"a grant"}',
        )


@dataclass(frozen=True)
class TryVoid:
    account: int
    grant: int
    """How many admin_seqs back."""
    skew: int

    def operation(self, world: World, /) -> Operation:
        account_id = ACCOUNTS[self.account]
        admin_seq = _skewed(world, account_id, self.skew)
        grant = max(1, admin_seq - self.grant)
        return VoidGrant(account_id, admin_seq, grant, '{"m":"void"}')


@dataclass(frozen=True)
class TryConfigure:
    account: int
    suspended: bool
    enforcement: Enforcement
    overdraft_limit: int
    members_added: tuple[str, ...]
    members_removed: tuple[str, ...]
    skew: int
    low_balance: int = ABSENT
    critical_balance: int = ABSENT
    moves: bool = False
    """Whether limits, time zone or entitlements change."""

    def operation(self, world: World, /) -> Operation:
        account_id = ACCOUNTS[self.account]
        admin_seq = _skewed(world, account_id, self.skew)
        return Configure(
            account_id=account_id,
            admin_seq=admin_seq,
            suspended=self.suspended,
            enforcement=self.enforcement,
            overdraft_limit=self.overdraft_limit,
            members_added=self.members_added,
            members_removed=self.members_removed,
            config_seq=admin_seq if self.moves else ABSENT,
            low_balance=self.low_balance,
            critical_balance=self.critical_balance,
        )


@dataclass(frozen=True)
class TryRenew:
    account: int
    amount: int
    kind: GrantKind
    life: int | None
    max_grants: int
    cap: int
    kinds: tuple[GrantKind, ...]
    skew: int
    moves: bool = False

    def operation(self, world: World, /) -> Operation:
        account_id = ACCOUNTS[self.account]
        now = world.store.partition.now
        admin_seq = _skewed(world, account_id, self.skew)
        return Renew(
            account_id=account_id,
            admin_seq=admin_seq,
            kind=self.kind,
            priority=100,
            amount=self.amount,
            acquire_time=now,
            expire_time=0 if self.life is None else now + self.life,
            max_grants=self.max_grants,
            cap=self.cap,
            kinds=sum(1 << kind for kind in self.kinds),
            settlement='{"m":"renewed"}',
            config_seq=admin_seq if self.moves else ABSENT,
        )


def _skewed(world: World, account_id: str, skew: int) -> int:
    if skew == 0:
        return world.next_admin_seq(account_id)
    account = world.store.partition.accounts.get(account_id)
    last = world.administered.get(account_id, account.admin_seq if account else 0)
    return last if skew < 0 else last + 2


@dataclass(frozen=True)
class TryLoad:
    account: int
    stale: bool

    def operation(self, world: World, /) -> Operation:
        generation = world.store.partition.evict_generation - (1 if self.stale else 0)
        return world.ledger.load(ACCOUNTS[self.account], generation)


@dataclass(frozen=True)
class TryRebuild:
    """What a recovery does that finds SQL and Redis equal: nothing may change. Alone in its batch."""

    account: int

    def operation(self, world: World, /) -> Operation | None:
        account_id = ACCOUNTS[self.account]
        partition = world.store.partition
        account = partition.accounts.get(account_id)
        if account is None or account.queue or world.due_within(SECOND):
            return None
        held = tuple(
            digest
            for digest, record in partition.records.items()
            if record.account_id == account_id and record.state is ReservationState.ACTIVE
        )
        return RebuildAccount(account_id, world.ledger.load(account_id, 0), held, ())


@dataclass(frozen=True)
class TryRestore:
    account: int
    target: int
    stale: bool

    def operation(self, world: World, /) -> Operation | None:
        generation = world.store.partition.retire_generation - (1 if self.stale else 0)
        return world.ledger.restore(target_digest(world, self.account, self.target), generation)


@dataclass(frozen=True)
class TryEvict:
    account: int
    idle: bool
    skew: int

    def operation(self, world: World, /) -> Operation:
        account_id = ACCOUNTS[self.account]
        account = world.store.partition.accounts.get(account_id)
        return Evict(
            account_id,
            world.store.partition.now if self.idle else 0,
            (account.admin_seq if account else 0) + self.skew,
            tuple(sorted(account.members)) if account else (),
            tuple(world.ledger.rows[account_id].counters),
        )


@dataclass(frozen=True)
class TryFlush:
    lag: int
    """How many records SQL is behind."""

    def operation(self, world: World, /) -> Operation:
        flushed = max(0, len(world.store.stream) - self.lag)
        return ConfirmFlush(flushed, 0)


@dataclass(frozen=True)
class TryRetire:
    limit: int

    def operation(self, _world: World, /) -> Operation:
        return RetireReservations(self.limit)


@dataclass(frozen=True)
class TryLease:
    name: str
    owner: str
    ttl: int

    def operation(self, _world: World, /) -> Operation:
        return RenewLease(self.name, self.owner, self.ttl)
