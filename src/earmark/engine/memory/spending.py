"""Reserve, Charge, Commit, Release and Extend on an account that is present."""

from __future__ import annotations

from dataclasses import dataclass

from earmark.credits import MAX_MICROS
from earmark.domain.states import EntryKind, OveragePolicy, ReservationState
from earmark.engine.memory.model import Account, Allocations, Record
from earmark.engine.memory.partition import Partition
from earmark.engine.memory.queue import Turn, leave, turn_of
from earmark.engine.operations import ABSENT, Charge, Commit, Extend, Release, Reserve
from earmark.engine.results import Done, RefusalCode, Refused, ReservationMissing, Waiting

__all__ = ["charge", "commit", "extend", "release", "reserve"]

MAX_LIFE = 24 * 3600 * 1_000_000
"""A hold ends at most this long after its creation."""
MAX_EXTENSIONS = 64
EXTEND_MARGIN = 1_000_000
"""How far beyond its wait a queued Extend keeps the hold alive."""


def _before_balance(partition: Partition, account: Account, operation: Reserve | Charge) -> Done | Refused | None:
    """Answer what comes before the balance: the replay, suspension, membership."""
    record = partition.find(account, operation.digest)
    if record is not None:
        leave(account, operation.digest)
        if record.content in ("", operation.content):
            return partition.done(account, record, replayed=True)
        return Refused(RefusalCode.REQUEST_ID_REUSED, ())
    refusal = None
    if account.suspended:
        refusal = RefusalCode.ACCOUNT_SUSPENDED
    elif account.members and operation.user_id not in account.members:
        refusal = RefusalCode.NOT_A_MEMBER
    if refusal is not None:
        if operation.wait:
            leave(account, operation.digest)
        return Refused(refusal, ())
    return None


def reserve(partition: Partition, account: Account, operation: Reserve) -> Done | Refused | Waiting:
    """Hold the amount, or down to the minimum what there is."""
    early = _before_balance(partition, account, operation)
    if early is not None:
        return early
    available = account.available
    affordable = available >= operation.min_amount
    if account.observes:
        leave(account, operation.digest)
    else:
        refusal = _balance_refusal(partition, account, operation, available, affordable=affordable)
        if refusal is not None:
            return refusal
    reserved = min(available, operation.amount)
    uncollected = operation.amount - reserved if account.observes else 0
    record = Record(
        digest=operation.digest,
        account_id=account.account_id,
        state=ReservationState.ACTIVE,
        content=operation.content,
        reserved=reserved,
        charged=0,
        uncollected=uncollected,
        late=False,
        create_time=partition.now,
        expire_time=partition.now + operation.ttl,
        settle_time=0,
        price_version=operation.price_version,
        details=operation.details,
        allocations=account.plan(reserved),
        whole=reserved + uncollected,
    )
    if operation.validate_only:
        record.digest = ""
    else:
        account.hold(reserved)
        partition.records[record.digest] = record
        account.changed(partition.now)
    return partition.done(account, record, would_refuse=not affordable)


def charge(partition: Partition, account: Account, operation: Charge) -> Done | Refused | Waiting:
    """Reserve and commit in one step."""
    early = _before_balance(partition, account, operation)
    if early is not None:
        return early
    overdraws = operation.policy == OveragePolicy.ALLOW_WITH_OVERDRAFT
    available = account.available
    within_reach = available + (account.overdraft_room if overdraws else 0)
    affordable = within_reach >= operation.min_amount
    if account.observes:
        leave(account, operation.digest)
    else:
        refusal = _balance_refusal(partition, account, operation, within_reach, affordable=affordable)
        if refusal is not None:
            return refusal
    taken = min(available, operation.amount)
    debt = min(account.overdraft_room, operation.amount - taken) if overdraws and not account.observes else 0
    charged = taken + debt
    if account.charged + charged > MAX_MICROS:
        return Refused(RefusalCode.INVALID_AMOUNT, ())
    # With a minimum a smaller charge is what was asked for; the others owe what they could not pay.
    uncollected = operation.amount - charged if overdraws or account.observes else 0
    record = Record(
        digest=operation.digest,
        account_id=account.account_id,
        state=ReservationState.COMMITTED,
        content=operation.content,
        reserved=charged,
        charged=charged,
        uncollected=uncollected,
        late=False,
        create_time=partition.now,
        expire_time=partition.now,
        settle_time=partition.now,
        price_version=operation.price_version,
        details=operation.details,
        allocations=account.plan(taken),
        whole=charged,
    )
    would_refuse = account.observes and not affordable
    if operation.validate_only:
        record.digest = ""
        return partition.done(account, record, would_refuse=would_refuse)
    account.take(taken)
    account.debt += debt
    account.charged += charged
    partition.records[record.digest] = record
    _append_charge(partition, account, record, operation.settlement)
    account.changed(partition.now)
    return partition.done_for_good(account, record, would_refuse=would_refuse)


def _balance_refusal(
    partition: Partition, account: Account, operation: Reserve | Charge, within_reach: int, *, affordable: bool
) -> Refused | Waiting | None:
    insufficient = partition.insufficient(within_reach, operation.min_amount)
    if operation.validate_only:
        return None if affordable else insufficient
    match turn_of(account, operation.digest, operation, partition.now, affordable=affordable):
        case Turn.TAKE:
            return None
        case Turn.WAIT:
            return Waiting(account.available, operation.min_amount)
        case Turn.REFUSE:
            return insufficient


def _append_charge(partition: Partition, account: Account, record: Record, settlement: str) -> None:
    partition.append(
        EntryKind.CHARGE,
        account,
        time=partition.now,
        amount=record.charged,
        allocations=record.allocations,
        settlement=settlement,
        record=record,
    )


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
    if account.charged + charged > MAX_MICROS:
        return Refused(RefusalCode.INVALID_AMOUNT, ())

    consumed, rest = _split(record.allocations, actual)
    for (number, _), amount in consumed.items():
        account.grants[number].held -= amount
    effects = partition.give_back(account, rest, partition.now)
    record.allocations = _merged(consumed, account.take(beyond.available))
    _settle_commit(partition, account, record, charged, actual - charged, beyond.debt, operation)
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
    if account.charged + charged > MAX_MICROS:
        return Refused(RefusalCode.INVALID_AMOUNT, ())

    record.late = True
    record.allocations = account.take(beyond.available)
    _settle_commit(partition, account, record, charged, actual - charged, beyond.debt, operation)
    account.changed(partition.now)
    would_refuse = short and account.observes and operation.policy != OveragePolicy.ALLOW_WITH_OVERDRAFT
    return partition.done_for_good(account, record, would_refuse=would_refuse)


def _settle_commit(
    partition: Partition,
    account: Account,
    record: Record,
    charged: int,
    uncollected: int,
    debt: int,
    operation: Commit,
) -> None:
    account.charged += charged
    account.debt += debt
    record.state = ReservationState.COMMITTED
    record.charged = charged
    record.uncollected = uncollected
    record.settle_time = partition.now
    _append_charge(partition, account, record, operation.settlement)


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


def _merged(first: Allocations, second: Allocations) -> Allocations:
    merged = dict(first)
    for key, amount in second.items():
        merged[key] = merged.get(key, 0) + amount
    return merged


def release(partition: Partition, account: Account, operation: Release) -> Done | Refused | ReservationMissing:
    """Give a reservation back."""
    record = partition.find(account, operation.digest)
    if record is None:
        return _release_unknown(partition, account, operation)
    match record.state:
        case ReservationState.ACTIVE:
            effects = partition.give_back(account, record.allocations, partition.now)
            record.state = ReservationState.RELEASED
            record.uncollected = 0  # Nothing is missing of what failed.
            record.settle_time = partition.now
            record.allocations = {}
            partition.append(
                EntryKind.RELEASE, account, time=partition.now, settlement=operation.settlement, record=record
            )
            partition.append_effects(account, effects, partition.now)
            account.changed(partition.now)
            return partition.done_for_good(account, record)
        case ReservationState.RELEASED:
            return partition.done(account, record, replayed=True)
        case ReservationState.EXPIRED:
            return partition.done(account, record)
        case ReservationState.COMMITTED:
            return Refused(RefusalCode.ALREADY_COMMITTED, (record.charged,))


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


def extend(partition: Partition, account: Account, operation: Extend) -> Done | Refused | ReservationMissing | Waiting:
    """Move a reservation's expiry, add credits, or both."""
    record = partition.find(account, operation.digest)
    if record is None:
        return ReservationMissing(partition.retire_generation, partition.flushed)
    early = _before_extension(partition, account, record, operation)
    if early is not None:
        leave(account, operation.extension)
        return early

    additional = operation.additional
    available = account.available
    affordable = available >= additional
    if additional and not account.observes:
        match turn_of(account, operation.extension, operation, partition.now, affordable=affordable):
            case Turn.TAKE:
                pass
            case Turn.WAIT:
                _move_expiry(record, partition.now + operation.wait + EXTEND_MARGIN)
                return Waiting(available, additional)
            case Turn.REFUSE:
                return partition.insufficient(available, additional)
    if operation.ttl:
        _move_expiry(record, partition.now + operation.ttl)
    if additional:
        taken = min(available, additional)
        record.allocations = _merged(record.allocations, account.hold(taken))
        record.reserved += taken
        record.uncollected += additional - taken
        record.whole += additional
        record.extensions[operation.extension] = operation.content
        account.changed(partition.now)
    return partition.done(account, record, would_refuse=not affordable)


def _before_extension(
    partition: Partition, account: Account, record: Record, operation: Extend
) -> Done | Refused | None:
    known = record.extensions.get(operation.extension)
    if known is not None:
        if known == operation.content:
            return partition.done(account, record, replayed=True)
        return Refused(RefusalCode.REQUEST_ID_REUSED, ())
    match record.state:
        case ReservationState.COMMITTED:
            return Refused(RefusalCode.ALREADY_COMMITTED, (record.charged,))
        case ReservationState.RELEASED:
            return Refused(RefusalCode.ALREADY_RELEASED, ())
        case ReservationState.EXPIRED:
            return Refused(RefusalCode.RESERVATION_EXPIRED, (account.available, 0, 0))
        case ReservationState.ACTIVE:
            pass
    if operation.additional:
        if account.suspended:
            return Refused(RefusalCode.ACCOUNT_SUSPENDED, ())
        if len(record.extensions) >= MAX_EXTENSIONS:
            return Refused(RefusalCode.TOO_MANY_EXTENSIONS, (MAX_EXTENSIONS,))
        if record.whole + operation.additional > MAX_MICROS:
            return Refused(RefusalCode.INVALID_AMOUNT, ())
    return None


def _move_expiry(record: Record, expire_time: int) -> None:
    record.expire_time = max(record.expire_time, min(expire_time, record.create_time + MAX_LIFE))
