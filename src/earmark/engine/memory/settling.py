"""Commit and Release on an account that is present."""

from __future__ import annotations

from dataclasses import dataclass

from earmark.credits import MAX_MICROS
from earmark.domain.states import EntryKind, OveragePolicy, ReservationState
from earmark.engine.memory.limits import count_late, overflows, settle_hold, uncount_hold
from earmark.engine.memory.model import Account, Allocations, Record, merged
from earmark.engine.memory.partition import Ending, Partition
from earmark.engine.memory.queue import leave
from earmark.engine.operations import ABSENT, Commit, Release
from earmark.engine.results import Done, RefusalCode, Refused, ReservationMissing

__all__ = ["commit", "release"]


def commit(partition: Partition, account: Account, operation: Commit) -> Done | Refused | ReservationMissing:
    """Charge a reservation."""
    record = partition.find(account, operation.digest)
    if record is None:
        return ReservationMissing(partition.retire_generation, partition.flushed)
    actual = record.whole if operation.actual == ABSENT else operation.actual
    match record.state:
        case ReservationState.ACTIVE:
            return _commit_active(partition, account, record, actual, operation)
        case ReservationState.EXPIRED:
            return _commit_late(partition, account, record, actual, operation)
        case ReservationState.RELEASED:
            return Refused(RefusalCode.ALREADY_RELEASED, ())
        case ReservationState.COMMITTED:
            if actual == record.charged + record.uncollected:
                return partition.done(account, record, replayed=True)
            return Refused(RefusalCode.ALREADY_COMMITTED, (record.charged,))


@dataclass(frozen=True, slots=True)
class _Beyond:
    """What pays for an amount that no hold covers."""

    available: int
    debt: int


def _beyond_hold(account: Account, amount: int, policy: int) -> _Beyond:
    available = min(amount, account.available)
    overdraws = policy == OveragePolicy.ALLOW_WITH_OVERDRAFT and not account.observes
    return _Beyond(available, min(amount - available, account.overdraft_room) if overdraws else 0)


def _commit_active(
    partition: Partition, account: Account, record: Record, actual: int, operation: Commit
) -> Done | Refused:
    excess = max(0, actual - record.reserved)
    rejected = excess > 0 and operation.policy == OveragePolicy.REJECT
    if rejected and not account.observes:
        return Refused(RefusalCode.OVERAGE_REJECTED, (record.reserved, actual, excess))
    beyond = _beyond_hold(account, excess, operation.policy)
    charged = actual - excess + beyond.available + beyond.debt
    held = record.counted
    counted = actual if account.observes else charged
    if account.charged + charged > MAX_MICROS or overflows(account, record.windows, counted - held):
        return Refused(RefusalCode.INVALID_AMOUNT, ())

    ending = Ending(account.carry_room, silent=record.ends_silently(charged, actual - charged))
    consumed, rest = _split(record.allocations, actual)
    for (number, _), amount in consumed.items():
        account.grants[number].held -= amount
    effects = partition.give_back(account, record, rest, partition.now)
    record.allocations = merged(consumed, account.take(beyond.available))
    _settle(account, record, charged, actual - charged, beyond.debt, partition.now)
    partition.marks += settle_hold(account, record, held, counted)
    partition.end(EntryKind.CHARGE, account, record, ending, counted=counted, settlement=operation.settlement)
    partition.append_effects(account, effects, partition.now)
    account.changed(partition.now)
    return partition.done_for_good(account, record, would_refuse=rejected)


def _commit_late(
    partition: Partition, account: Account, record: Record, actual: int, operation: Commit
) -> Done | Refused:
    available = account.available
    short = available < actual
    if short and not account.observes and operation.policy != OveragePolicy.ALLOW_WITH_OVERDRAFT:
        return Refused(RefusalCode.RESERVATION_EXPIRED, (available, actual, actual - available))
    beyond = _beyond_hold(account, actual, operation.policy)
    charged = beyond.available + beyond.debt
    counted = actual if account.observes else charged
    if account.charged + charged > MAX_MICROS or overflows(account, record.windows, counted):
        return Refused(RefusalCode.INVALID_AMOUNT, ())

    ending = Ending(account.carry_room, silent=record.ends_silently(charged, actual - charged))
    record.late = True
    record.allocations = account.take(beyond.available)
    _settle(account, record, charged, actual - charged, beyond.debt, partition.now)
    partition.marks += count_late(account, record, counted, partition.now)
    partition.end(EntryKind.CHARGE, account, record, ending, counted=counted, settlement=operation.settlement)
    account.changed(partition.now)
    would_refuse = short and account.observes and operation.policy != OveragePolicy.ALLOW_WITH_OVERDRAFT
    return partition.done_for_good(account, record, would_refuse=would_refuse)


def _settle(account: Account, record: Record, charged: int, uncollected: int, debt: int, now: int) -> None:
    account.charged += charged
    account.debt += debt
    record.state = ReservationState.COMMITTED
    record.charged = charged
    record.uncollected = uncollected
    record.settle_time = now


def _split(allocations: Allocations, amount: int) -> tuple[Allocations, Allocations]:
    """Cut allocations into the first `amount` of them and the rest."""
    consumed: Allocations = {}
    rest: Allocations = {}
    for key, held in allocations.items():
        part = min(amount, held)
        amount -= part
        if part:
            consumed[key] = part
        if held - part:
            rest[key] = held - part
    return consumed, rest


def release(partition: Partition, account: Account, operation: Release) -> Done | Refused | ReservationMissing:
    """Give a reservation back."""
    record = partition.find(account, operation.digest)
    if record is None:
        return _release_unknown(partition, account, operation)
    match record.state:
        case ReservationState.ACTIVE:
            return _release_active(partition, account, record, operation)
        case ReservationState.RELEASED:
            return partition.done(account, record, replayed=True)
        case ReservationState.EXPIRED:
            return partition.done(account, record)
        case ReservationState.COMMITTED:
            return Refused(RefusalCode.ALREADY_COMMITTED, (record.charged,))


def _release_active(partition: Partition, account: Account, record: Record, operation: Release) -> Done:
    ending = Ending(account.carry_room, silent=record.ends_silently(0, 0))
    effects = partition.give_back(account, record, record.allocations, partition.now)
    uncount_hold(account, record, record.counted)
    record.state = ReservationState.RELEASED
    record.uncollected = 0  # Nothing is missing of what failed.
    record.settle_time = partition.now
    record.allocations = {}
    partition.end(EntryKind.RELEASE, account, record, ending, settlement=operation.settlement)
    partition.append_effects(account, effects, partition.now)
    account.changed(partition.now)
    return partition.done_for_good(account, record)


def _release_unknown(partition: Partition, account: Account, operation: Release) -> Done | ReservationMissing:
    if operation.tombstone != partition.retire_generation or operation.digest in partition.records:
        return ReservationMissing(partition.retire_generation, partition.flushed)
    # The Reserve may still be on its way; it will find that it was given up.
    now = partition.now
    record = Record(
        digest=operation.digest,
        account_id=account.account_id,
        state=ReservationState.RELEASED,
        content="",
        reserved=0,
        charged=0,
        uncollected=0,
        late=False,
        create_time=now,
        expire_time=now,
        settle_time=now,
        price_version=0,
        details="{}",
        allocations={},
        whole=0,
        ended_at=now,
    )
    leave(account, operation.digest)
    partition.records[operation.digest] = record
    return partition.done(account, record)
