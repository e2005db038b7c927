"""The state of one partition, and the steps that every operation is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from earmark.domain.states import AlertKind, EntryKind, ReservationState
from earmark.engine.memory.limits import end_window, near_limits, uncount_hold, window_uses
from earmark.engine.memory.model import Account, Allocations, Counter, Grant, Lease, Mark, Record, flatten
from earmark.engine.operations import ABSENT
from earmark.engine.records import Alert, StreamRecord, WindowUse
from earmark.engine.results import Applied, BalanceView, Done, RefusalCode, Refused, Warned

__all__ = ["MAX_DUE", "Ending", "Partition"]

MAX_DUE = 256
"""Due events that one script settles."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What must be known of a reservation before it ends."""

    room_before: int
    """The account's carry room."""
    silent: bool


@dataclass(frozen=True, slots=True)
class _Due:
    """Something whose time has come."""

    time: int
    rank: int
    """At one instant: holds, then grants, then windows of limits."""
    name: bytes
    number: int
    account: Account
    what: Record | Grant | Counter

    def order(self) -> tuple[int, int, bytes, int]:
        """Sort by time, and at one instant by kind and id."""
        return self.time, self.rank, self.name, self.number


@dataclass(slots=True)
class Partition:
    """One partition. `now` is the time of the batch that runs."""

    replay_window: int
    horizon: int
    now: int = 0
    flushed: int = 0
    evict_generation: int = 0
    retire_generation: int = 0
    accounts: dict[str, Account] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    stream: list[StreamRecord] = field(default_factory=list)
    """Every settled event; the seq of a record is its index plus one."""
    low_balance: int = ABSENT
    """Default threshold of accounts without one of their own; ABSENT for none. So is the next."""
    critical_balance: int = ABSENT
    caps: dict[str, int] = field(default_factory=dict)
    """By account the last rollover cap that was applied: only for the invariants, a renewal needs none before it."""
    marks: list[Mark] = field(default_factory=list)
    """What charges of limits the transition that runs has reached."""

    def balance(self, account: Account) -> BalanceView:
        """Show an account's totals now."""
        return account.balance(self.now, self.horizon)

    def done(self, account: Account, record: Record, *, replayed: bool = False, would_refuse: bool = False) -> Done:
        """Answer with a record and the present balance."""
        notices = (*self._balance_notice(account), *near_limits(account, record))
        return Done(replayed, record.view(), self.balance(account), would_refuse, notices)

    def done_for_good(self, account: Account, record: Record, *, would_refuse: bool = False) -> Done:
        """Answer the call that ended a reservation; from here on only its entry, if it has one, has the details."""
        answer = self.done(account, record, would_refuse=would_refuse)
        if record.entry_seq:
            record.details = ""
        return answer

    def applied(self, account: Account, *, fresh: bool) -> Applied:
        """Answer what is neither spending nor reading."""
        return Applied(account.admin_seq, fresh, self.balance(account))

    def find(self, account: Account, digest: str) -> Record | None:
        """Return a record of this account: a forged id may pair an account with another's digest."""
        record = self.records.get(digest)
        return record if record is not None and record.account_id == account.account_id else None

    # Thresholds

    def _thresholds(self, account: Account) -> list[tuple[AlertKind, int]]:
        """Return the thresholds in force, the low one first."""
        low = self.low_balance if account.low_balance == ABSENT else account.low_balance
        critical = self.critical_balance if account.critical_balance == ABSENT else account.critical_balance
        both = ((AlertKind.LOW_BALANCE, low), (AlertKind.CRITICAL_BALANCE, critical))
        return [(kind, threshold) for kind, threshold in both if threshold >= 0]

    def _balance_notice(self, account: Account) -> list[Warned]:
        """Return the gravest threshold at or below which the balance is."""
        reached = [
            Warned(kind, threshold) for kind, threshold in self._thresholds(account) if account.kept <= threshold
        ]
        return reached[-1:]

    @contextmanager
    def transition(self, account: Account) -> Iterator[None]:
        """Run one operation or due event of an account; its last record says which thresholds it crossed."""
        before = account.kept
        first = len(self.stream)
        self.marks = []
        yield
        if len(self.stream) == first:
            return
        after = account.kept
        crossed = [
            Alert(kind, threshold, balance=after)
            for kind, threshold in self._thresholds(account)
            if before > threshold >= after
        ]
        crossed += [Alert(AlertKind.LIMIT_NEAR, mark, limit.key, limit.amount, after) for mark, limit in self.marks]
        self.stream[-1] = msgspec.structs.replace(self.stream[-1], alerts=tuple(crossed))

    # Entries

    def append(
        self,
        kind: EntryKind,
        account: Account,
        *,
        time: int,
        amount: int = 0,
        allocations: Allocations | None = None,
        admin_seq: int = 0,
        settlement: str = "",
        record: Record | None = None,
        grant: Grant | None = None,
        expire_time: int = 0,
        refusal: RefusalCode | None = None,
        windows: tuple[WindowUse, ...] = (),
        carry_room: int = ABSENT,
    ) -> None:
        """Append a record to the stream, with the next entry number if it is a ledger entry."""
        numbered = kind < EntryKind.CONFIGURED
        if numbered:
            account.entry_number += 1
        self.stream.append(
            StreamRecord(
                kind=kind,
                account_id=account.account_id,
                entry_number=account.entry_number if numbered else 0,
                time=time,
                amount=amount,
                available_after=account.available,
                allocations=flatten(allocations or {}),
                admin_seq=admin_seq,
                settlement=settlement,
                digest=record.digest if record else "",
                reserved=record.reserved if record else 0,
                uncollected=record.uncollected if record else 0,
                late=int(record.late) if record else 0,
                create_time=record.create_time if record else 0,
                expire_time=record.expire_time if record else expire_time,
                price_version=record.price_version if record else 0,
                content=record.content if record else "",
                details=record.details if record else "",
                grant=grant.number if grant else 0,
                grant_kind=grant.kind if grant else 0,
                refusal=refusal or 0,
                windows=windows,
                carry_room=carry_room,
            )
        )
        account.entry_seq = len(self.stream)
        if record:
            record.entry_seq = len(self.stream)

    def end(
        self,
        kind: EntryKind,
        account: Account,
        record: Record,
        ending: Ending,
        *,
        counted: int = 0,
        settlement: str = "",
    ) -> None:
        """Note that a reservation has ended, by an entry if it is not silent."""
        record.ended_at = self.now
        if not ending.silent:
            self.append(
                kind,
                account,
                time=record.settle_time,
                amount=record.charged,
                allocations=record.allocations,
                settlement=settlement,
                record=record,
                windows=window_uses(record, counted),
                carry_room=account.carry_room if account.carry_room != ending.room_before else ABSENT,
            )

    def append_about_grant(self, kind: EntryKind, account: Account, grant: Grant, amount: int, *, time: int) -> None:
        """Append an entry that moves an amount of one grant."""
        self.append(kind, account, time=time, amount=amount, allocations={grant.key: amount}, grant=grant)

    # Credits that come back

    def give_back(
        self, account: Account, record: Record, allocations: Allocations, time: int
    ) -> list[tuple[EntryKind, Grant, int]]:
        """Return what a reservation held to its grants as of `time`; tell the entries of what cannot become available.

        The entry that ended the reservation stands before these.
        """
        effects: list[tuple[EntryKind, Grant, int]] = []
        for (number, _), amount in allocations.items():
            grant = account.grants[number]
            grant.held -= amount
            if grant.voided:
                account.voided += amount
                effects.append((EntryKind.GRANT_VOIDED, grant, amount))
            elif grant.ended_by(time):
                account.expired += amount
                effects.append((EntryKind.GRANT_EXPIRED, grant, amount))
            else:
                effects += self._make_available(account, record, grant, amount)
        return effects

    def _make_available(
        self, account: Account, record: Record, grant: Grant, amount: int
    ) -> list[tuple[EntryKind, Grant, int]]:
        free = record.returns_freely(account.cycle_seq, amount) if account.carries(grant) else amount
        repaid = min(account.debt, amount)
        account.debt -= repaid
        beyond_free = max(0, amount - max(free, repaid))
        carried = min(account.carry_room, beyond_free)
        excess = beyond_free - carried
        account.carry_room -= carried
        account.expired += excess
        grant.remaining += amount - repaid - excess
        effects = ((EntryKind.DEBT_REPAID, grant, repaid), (EntryKind.GRANT_EXPIRED, grant, excess))
        return [effect for effect in effects if effect[2]]

    def append_effects(self, account: Account, effects: list[tuple[EntryKind, Grant, int]], time: int) -> None:
        """Append what `give_back` told."""
        for kind, grant, amount in effects:
            self.append_about_grant(kind, account, grant, amount, time=time)

    # Due events

    def settle_due(self) -> bool:
        """Settle what is due, the earliest first, at most MAX_DUE; tell whether more is left."""
        due = [
            _Due(record.expire_time, 0, record.digest.encode(), 0, self.accounts[record.account_id], record)
            for record in self.records.values()
            if record.state is ReservationState.ACTIVE and record.expire_time <= self.now
        ]
        for account_id, account in self.accounts.items():
            due += [
                _Due(grant.expire_time, 1, account_id.encode(), grant.number, account, grant)
                for grant in account.grants.values()
                if not grant.expired and grant.ended_by(self.now)
            ]
            due += [
                _Due(counter.end, 2, account_id.encode(), counter.start, account, counter)
                for counter in account.counters.values()
                if not counter.ended and counter.end <= self.now
            ]
        for event in sorted(due, key=_Due.order)[:MAX_DUE]:
            match event.what:
                case Record():
                    self._expire_hold(event.account, event.what)
                case Grant():
                    self.expire_grant(event.account, event.what)
                case Counter():
                    end_window(event.account, event.what)
        return len(due) > MAX_DUE

    def _expire_hold(self, account: Account, record: Record) -> None:
        with self.transition(account):
            time = record.expire_time
            ending = Ending(account.carry_room, silent=record.ends_silently(0, 0))
            effects = self.give_back(account, record, record.allocations, time)
            uncount_hold(account, record, record.counted)
            record.state = ReservationState.EXPIRED
            record.settle_time = time
            record.allocations = {}
            self.end(EntryKind.EXPIRED_HOLD, account, record, ending)
            self.append_effects(account, effects, time)
            account.changed(self.now)

    def expire_grant(self, account: Account, grant: Grant) -> None:
        """Let what is available of a grant expire; what is reserved still pays for its generations."""
        with self.transition(account):
            grant.expired = True
            amount = grant.remaining
            if amount:
                grant.remaining = 0
                account.expired += amount
                # The last moment at which it was usable, so that a grant "until the 27th" expires on the 27th.
                self.append_about_grant(EntryKind.GRANT_EXPIRED, account, grant, amount, time=grant.expire_time - 1)
                account.changed(self.now)

    def insufficient(self, available: int, required: int) -> Refused:
        """Refuse for the balance, with its numbers."""
        return Refused(RefusalCode.INSUFFICIENT_CREDITS, (available, required, max(0, required - available)))
