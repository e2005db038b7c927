"""What a flush will write: which records are new, and what they change in the projections. Pure: no I/O.

Totals are summed here per account and per grant first: ten thousand entries of a hundred accounts become ten thousand
inserts and a hundred updates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from earmark.domain.states import EntryKind
from earmark.engine.records import StreamElement, StreamRecord
from earmark.ledger.flush.alerts import NewNotification, alerted
from earmark.ledger.models import Conflict

__all__ = [
    "AccountDelta",
    "FlushPlan",
    "GrantDelta",
    "PlannedEntry",
    "Standing",
    "WindowDelta",
    "account_ids_of",
    "plan_flush",
]

PlannedEntry = tuple[int, int, int, StreamRecord]
"""Account key, seq, epoch, record."""

_FIRST_UNNUMBERED = 20
_BREATH = 128
# A renewal leaves the one or the other, as it gives credits or not.
_CONFIGURING = frozenset({EntryKind.CONFIGURED, EntryKind.GRANT})


@dataclass(slots=True)
class Standing:
    """Where an account stands in SQL before the flush."""

    account_key: int
    partition: int
    entry_number: int
    admin_seq: int
    """The last that SQL has recorded."""
    applied_admin_seq: int


@dataclass(slots=True)
class AccountDelta:
    """What the flush adds to an account's totals, and where the account stands after it."""

    account_key: int
    entry_number: int
    applied_admin_seq: int
    granted: int = 0
    charged: int = 0
    expired: int = 0
    voided: int = 0
    borrowed: int = 0
    repaid: int = 0
    uncollected: int = 0
    changed: bool = False


@dataclass(slots=True)
class GrantDelta:
    """What the flush adds to what was used of a grant."""

    account_key: int
    grant_number: int
    applied: bool = False
    void: bool = False
    charged: int = 0
    expired: int = 0
    voided: int = 0
    repaid: int = 0


@dataclass(slots=True)
class WindowDelta:
    """What the flush adds to what was used of a limit in one window."""

    end: int
    used: int = 0


@dataclass(slots=True)
class FlushPlan:
    """What to write, once `known` turned out to be in the ledger already, with the same content."""

    flushed_seq: int
    entries: list[PlannedEntry] = field(default_factory=list)
    known: list[PlannedEntry] = field(default_factory=list)
    """Entries whose number the ledger has already: they must be the same."""
    passed_over: int = 0
    """Records without a number that the ledger has applied already."""
    accounts: dict[str, AccountDelta] = field(default_factory=dict)
    grants: dict[tuple[int, int], GrantDelta] = field(default_factory=dict)
    applied: list[tuple[int, int]] = field(default_factory=list)
    """Account key and admin_seq of administrative operations that took effect."""
    configuring: list[tuple[int, int]] = field(default_factory=list)
    """Those of them that may have changed the configuration or begun a cycle, as their operations tell."""
    refused: list[tuple[int, int, int]] = field(default_factory=list)
    """Account key, admin_seq and refusal code."""
    carry_rooms: dict[int, int] = field(default_factory=dict)
    """What the cap of the last renewal still leaves, by account key."""
    counters: dict[tuple[int, str, int], WindowDelta] = field(default_factory=dict)
    """By account key, limit key and start of the window."""
    notifications: list[NewNotification] = field(default_factory=list)

    @property
    def changed_accounts(self) -> list[AccountDelta]:
        """The accounts of new records, in the order of their keys: all flushes lock rows in one order."""
        return sorted((delta for delta in self.accounts.values() if delta.changed), key=lambda delta: delta.account_key)

    @property
    def changed_grants(self) -> list[GrantDelta]:
        """The grants of new records, in the order of their keys."""
        return [self.grants[key] for key in sorted(self.grants)]

    @property
    def changed_counters(self) -> list[tuple[int, str, int, int, int]]:
        """Account key, limit key, start, end and what is added, in the order of their keys."""
        return [(*key, self.counters[key].end, self.counters[key].used) for key in sorted(self.counters)]


def account_ids_of(elements: Sequence[tuple[int, StreamElement]]) -> list[str]:
    """Return the accounts that the elements are about."""
    return list({record.account_id for _, element in elements for record in element.records})


def plan_flush(
    partition: int,
    expected_flushed_seq: int,
    elements: Sequence[tuple[int, StreamElement]],
    standings: Mapping[str, Standing],
    breathe: Callable[[], None],
) -> FlushPlan | Conflict:
    """Decide what to write.

    Args:
        partition: The partition whose stream the elements are of.
        expected_flushed_seq: The position that the elements continue.
        elements: The stream's elements with the seq of their last record.
        standings: The accounts of the elements, as the transaction sees them.
        breathe: Called now and then, so that a long plan lets other threads run.
    """
    plan = FlushPlan(expected_flushed_seq)
    until_breath = _BREATH
    for last_seq, element in elements:
        seq = element.first_seq
        if seq <= plan.flushed_seq or last_seq != seq + len(element.records) - 1:
            message = f"partition {partition}: the element {last_seq} does not follow {plan.flushed_seq}"
            return Conflict("", 0, message)
        for record in element.records:
            problem = _add(plan, partition, seq, element.epoch, record, standings)
            if problem is not None:
                return problem
            seq += 1
        plan.flushed_seq = last_seq
        until_breath -= len(element.records)
        if until_breath <= 0:
            breathe()
            until_breath = _BREATH
    return plan


def _add(
    plan: FlushPlan,
    partition: int,
    seq: int,
    epoch: int,
    record: StreamRecord,
    standings: Mapping[str, Standing],
) -> Conflict | None:
    account_id = record.account_id
    account = plan.accounts.get(account_id)
    if account is None:
        standing = standings.get(account_id)
        if standing is None:
            return _conflict(record, "the ledger does not know the account")
        if standing.partition != partition:
            return _conflict(record, f"the account belongs to partition {standing.partition}, not to {partition}")
        account = AccountDelta(standing.account_key, standing.entry_number, standing.applied_admin_seq)
        plan.accounts[account_id] = account
    key = account.account_key
    if record.kind < _FIRST_UNNUMBERED:
        number = record.entry_number
        if number <= account.entry_number:
            if number > standings[account_id].entry_number:
                return _conflict(record, "the number stands twice in the stream")
            plan.known.append((key, seq, epoch, record))
            return None
        if number != account.entry_number + 1:
            return _conflict(record, f"the ledger's last entry of the account is {account.entry_number}")
        account.entry_number = number
        plan.entries.append((key, seq, epoch, record))
    elif record.admin_seq <= account.applied_admin_seq:
        plan.passed_over += 1
        return None
    account.changed = True
    if record.admin_seq:
        problem = _administer(plan, account, record, standings[account_id].admin_seq)
        if problem is not None:
            return problem
    if record.windows or record.alerts or record.carry_room >= 0:
        _limit_and_alert(plan, account, record)
    match record.kind:
        case EntryKind.CHARGE:
            borrowed = record.amount
            allocations = record.allocations
            for at in range(0, len(allocations), 3):
                amount = allocations[at + 2]
                borrowed -= amount
                _grant(plan, key, allocations[at]).charged += amount
            if borrowed < 0:
                return _conflict(record, "the allocations are more than the charge")
            account.charged += record.amount
            account.borrowed += borrowed
            account.uncollected += record.uncollected
        case EntryKind.GRANT:
            account.granted += record.amount
            _grant(plan, key, record.grant).applied = True
        case EntryKind.GRANT_EXPIRED:
            account.expired += record.amount
            _grant(plan, key, record.grant).expired += record.amount
        case EntryKind.GRANT_VOIDED:
            account.voided += record.amount
            grant = _grant(plan, key, record.grant)
            grant.voided += record.amount
            grant.void |= record.admin_seq > 0
        case EntryKind.DEBT_REPAID:
            account.repaid += record.amount
            _grant(plan, key, record.grant).repaid += record.amount
        case EntryKind.RELEASE | EntryKind.EXPIRED_HOLD | EntryKind.REPAIR | EntryKind.CONFIGURED:
            pass
        case EntryKind.ADMIN_REFUSED:
            pass
        case unknown:
            return _conflict(record, f"this release does not know records of the kind {unknown}")
    return None


def _administer(plan: FlushPlan, account: AccountDelta, record: StreamRecord, recorded: int) -> Conflict | None:
    admin_seq = record.admin_seq
    if admin_seq != account.applied_admin_seq + 1:
        return _conflict(record, f"admin_seq {admin_seq} does not follow the ledger's {account.applied_admin_seq}")
    if admin_seq > recorded:
        return _conflict(record, f"the ledger has recorded no administrative operation {admin_seq}")
    account.applied_admin_seq = admin_seq
    if record.kind == EntryKind.ADMIN_REFUSED:
        plan.refused.append((account.account_key, admin_seq, record.refusal))
        return None
    plan.applied.append((account.account_key, admin_seq))
    if record.kind in _CONFIGURING:
        plan.configuring.append((account.account_key, admin_seq))
    return None


def _limit_and_alert(plan: FlushPlan, account: AccountDelta, record: StreamRecord) -> None:
    key = account.account_key
    for use in record.windows:
        if use.amount:
            # PostgreSQL cannot store NUL, and a key that holds one must not stop the partition.
            at = key, use.key.replace("\0", "\ufffd"), use.start
            plan.counters.setdefault(at, WindowDelta(use.end)).used += use.amount
    if record.carry_room >= 0:
        plan.carry_rooms[key] = record.carry_room
    for alert in record.alerts:
        plan.notifications.append(alerted(key, account.entry_number, record, alert))


def _grant(plan: FlushPlan, account_key: int, number: int) -> GrantDelta:
    grant = plan.grants.get((account_key, number))
    if grant is None:
        grant = plan.grants[account_key, number] = GrantDelta(account_key, number)
    return grant


def _conflict(record: StreamRecord, why: str) -> Conflict:
    return Conflict(
        record.account_id,
        record.entry_number,
        f"account {record.account_id!r}, entry {record.entry_number}: {why}",
    )
