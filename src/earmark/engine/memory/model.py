"""What a partition holds: accounts, their grants and waiters, and reservation records, as plain objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from earmark.domain.states import Enforcement, ReservationState, burn_down_rank
from earmark.engine.operations import ABSENT
from earmark.engine.results import BalanceView, ReservationView

__all__ = [
    "TICKET_LIFE",
    "Account",
    "Allocations",
    "Counter",
    "Grant",
    "Lease",
    "Mark",
    "Record",
    "Ticket",
    "Window",
    "flatten",
    "merged",
]

TICKET_LIFE = 5_000_000
"""Microseconds after which a ticket that nobody repeated has lapsed."""

Allocations = dict[tuple[int, int], int]
"""Microcredits by grant (number and kind), in the order in which they were taken."""

Window = tuple[str, int, int]
"""Key of a limit's counter, start and end of the window."""


def flatten(allocations: Mapping[tuple[int, int], int]) -> tuple[int, ...]:
    """Return three numbers an allocation: grant, kind, amount."""
    return tuple(number for (grant, kind), amount in allocations.items() for number in (grant, kind, amount))


def merged(first: Allocations, second: Allocations) -> Allocations:
    """Return the sum of two allocations, the first one's grants first."""
    both = dict(first)
    for key, amount in second.items():
        both[key] = both.get(key, 0) + amount
    return both


@dataclass(slots=True)
class Grant:
    """What is left of a grant: `remaining` is available, `held` is reserved."""

    number: int
    kind: int
    priority: int
    expire_time: int
    """0 for never."""
    acquire_time: int
    remaining: int
    held: int = 0
    voided: bool = False
    expired: bool = False
    """Whether its expiry has been settled."""

    @property
    def live(self) -> bool:
        """Whether anything is left of it."""
        return self.remaining > 0 or self.held > 0

    @property
    def key(self) -> tuple[int, int]:
        """The grant in an allocation."""
        return self.number, self.kind

    def ended_by(self, time: int) -> bool:
        """Tell whether the grant had expired at this time."""
        return 0 < self.expire_time <= time

    def burn_down_key(self) -> tuple[int, bool, int, int, int, int]:
        """Sort by who is spent first: priority, then what expires first, then free before paid, then the oldest."""
        return (
            self.priority,
            self.expire_time == 0,
            self.expire_time,
            burn_down_rank(self.kind),
            self.acquire_time,
            self.number,
        )


@dataclass(slots=True)
class Counter:
    """What one limit's window counts."""

    key: str
    start: int
    end: int
    used: int = 0
    """Reserved and charged."""
    charged: int = 0
    refs: int = 0
    """Open reservations that were made in the window."""
    amount: int = 0
    """The limit, as the last call that counted here said; 0 until one does."""
    near: int = 0
    blocks: bool = False
    ended: bool = False
    """Whether its end has been settled: it goes with its last reference."""


Mark = tuple[int, Counter]
"""A number of microcredits that the charges of a counter have just reached."""


@dataclass(slots=True)
class Ticket:
    """A place in the queue of an account."""

    key: str
    owner: str
    deadline: int
    seen: int

    def kept(self, now: int) -> bool:
        """Tell whether its caller still repeats."""
        return now < self.seen + TICKET_LIFE

    def live(self, now: int) -> bool:
        """Tell whether it holds up those behind it."""
        return self.kept(now) and now < self.deadline


@dataclass(slots=True)
class Lease:
    """Who may do a job of the partition, and until when."""

    owner: str
    until: int


@dataclass(slots=True)
class Record:
    """A reservation."""

    digest: str
    account_id: str
    state: ReservationState
    content: str
    """"" for a tombstone: a Release that came before its Reserve."""
    reserved: int
    charged: int
    uncollected: int
    late: bool
    create_time: int
    expire_time: int
    settle_time: int
    price_version: int
    details: str
    allocations: Allocations
    whole: int
    """What a Commit without an actual means: reserved, and on an account that observes also what could not be."""
    windows: tuple[Window, ...] = ()
    """The limit windows in which it was reserved."""
    silent: bool = False
    """Leaves no entry, unless it comes to hold or charge something after all."""
    cycle: int = 0
    """The account's `cycle_seq` when it last took credits."""
    kept: int = 0
    """What it took in that cycle from earlier cycles' grants: the cap had let it through, so it returns in full."""
    extensions: dict[str, str] = field(default_factory=dict)
    """Content by extension digest, of those that added credits."""
    ended_at: int = 0
    """The `now` that settled it; it is retired a replay window later."""
    entry_seq: int = 0
    """Seq of the entry that ended it; 0 if it has none or SQL is known to hold it."""

    @property
    def counted(self) -> int:
        """What an open reservation counts in its windows."""
        return self.reserved + self.uncollected

    def ends_silently(self, charged: int, uncollected: int) -> bool:
        """Tell whether an ending with these amounts leaves no entry."""
        return self.silent and self.counted == 0 and charged == 0 and uncollected == 0

    def returns_freely(self, cycle_seq: int, amount: int) -> int:
        """Return how much of what returns to an earlier cycle's grant needs no room of the cap, and use it up."""
        free = min(self.kept, amount) if self.cycle == cycle_seq else 0
        self.kept -= free
        return free

    def view(self) -> ReservationView:
        """Show the record as results do."""
        return ReservationView(
            digest=self.digest,
            state=self.state,
            reserved=self.reserved,
            charged=self.charged,
            uncollected=self.uncollected,
            late=int(self.late),
            create_time=self.create_time,
            expire_time=self.expire_time,
            settle_time=self.settle_time,
            price_version=self.price_version,
            allocations=flatten(self.allocations),
            details=self.details,
            account_id=self.account_id,
        )


@dataclass(slots=True)
class Account:
    """Totals and configuration of an account, its grants and its queue."""

    account_id: str
    version: int
    touched: int
    entry_number: int = 0
    entry_seq: int = 0
    """Seq of its last record in the stream."""
    charged: int = 0
    granted: int = 0
    expired: int = 0
    voided: int = 0
    debt: int = 0
    suspended: bool = False
    enforcement: int = Enforcement.BLOCK
    overdraft_limit: int = 0
    admin_seq: int = 0
    members: set[str] = field(default_factory=set)
    config_seq: int = 0
    low_balance: int = ABSENT
    """Threshold of its own, NEVER, or ABSENT for the default; so is the next."""
    critical_balance: int = ABSENT
    cycle_seq: int = 0
    """The admin_seq of the last renewal with a cap; grants before it belong to earlier cycles."""
    carry_room: int = 0
    """What the cap of that renewal still leaves for what returns to earlier cycles' grants."""
    carry_kinds: int = 0
    """The kinds that it counted: bit `1 << kind` for each."""
    grants: dict[int, Grant] = field(default_factory=dict)
    counters: dict[tuple[str, int], Counter] = field(default_factory=dict)
    """By key and start of the window."""
    queue: list[Ticket] = field(default_factory=list)

    @property
    def available(self) -> int:
        """Microcredits that can be reserved or charged."""
        return sum(grant.remaining for grant in self.grants.values())

    @property
    def reserved(self) -> int:
        """Microcredits that open reservations hold."""
        return sum(grant.held for grant in self.grants.values())

    @property
    def overdraft_room(self) -> int:
        """Microcredits by which the debt may still grow."""
        return max(0, self.overdraft_limit - self.debt)

    @property
    def observes(self) -> bool:
        """Whether it counts and refuses nothing for its balance."""
        return self.enforcement == Enforcement.OBSERVE

    @property
    def kept(self) -> int:
        """Microcredits that are available or reserved: what thresholds look at."""
        return self.available + self.reserved

    def counter(self, window: Window) -> Counter:
        """Return the counter of a window; make it if there is none."""
        key, start, end = window
        return self.counters.setdefault((key, start), Counter(key, start, end))

    def carries(self, grant: Grant) -> bool:
        """Tell whether the rollover cap counts what returns to this grant."""
        return grant.number < self.cycle_seq and bool(self.carry_kinds >> grant.kind & 1)

    def burn_down(self) -> Iterator[Grant]:
        """Yield the grants in the order in which they are spent."""
        yield from sorted(self.grants.values(), key=Grant.burn_down_key)

    def plan(self, amount: int) -> Allocations:
        """Say which grants would give this amount; it must be available."""
        allocations: Allocations = {}
        for grant in self.burn_down():
            part = min(amount, grant.remaining)
            if part:
                allocations[grant.key] = part
                amount -= part
        assert amount == 0, "planned more than is available"
        return allocations

    def take(self, amount: int) -> Allocations:
        """Take this amount out of what is available; the caller says where it goes."""
        allocations = self.plan(amount)
        for (number, _), part in allocations.items():
            self.grants[number].remaining -= part
        return allocations

    def hold(self, amount: int) -> Allocations:
        """Turn this amount from available to reserved."""
        allocations = self.take(amount)
        for (number, _), part in allocations.items():
            self.grants[number].held += part
        return allocations

    def hold_for(self, record: Record, amount: int) -> None:
        """Hold this amount for a reservation, besides what it holds already."""
        if record.cycle != self.cycle_seq:
            record.cycle, record.kept = self.cycle_seq, 0
        taken = self.hold(amount)
        record.kept += sum(part for (number, _), part in taken.items() if self.carries(self.grants[number]))
        record.allocations = merged(record.allocations, taken)

    def changed(self, now: int) -> None:
        """Note that an operation or a due event changed the account."""
        self.grants = {number: grant for number, grant in self.grants.items() if grant.live}
        self.version += 1
        self.touched = now

    def balance(self, now: int, horizon: int) -> BalanceView:
        """Show the totals as results do."""
        expiring = [grant for grant in self.grants.values() if grant.remaining and grant.expire_time]
        return BalanceView(
            available=self.available,
            reserved=self.reserved,
            debt=self.debt,
            charged=self.charged,
            expiring_soon=sum(grant.remaining for grant in expiring if grant.expire_time <= now + horizon),
            next_expire_time=min((grant.expire_time for grant in expiring), default=0),
            version=self.version,
            entry_number=self.entry_number,
        )
