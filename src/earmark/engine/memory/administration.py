"""Grants, voids, configuration; loads, restores and evictions."""

from __future__ import annotations

from earmark.credits import MAX_MICROS
from earmark.domain.states import EntryKind, ReservationState
from earmark.engine.memory.model import Account, Allocations, Counter, Grant, Record
from earmark.engine.memory.partition import Partition
from earmark.engine.operations import (
    ABSENT,
    ApplyGrant,
    Configure,
    Evict,
    LoadAccount,
    RebuildAccount,
    Renew,
    RestoreReservation,
    VoidGrant,
)
from earmark.engine.results import Applied, RefusalCode, Refused

__all__ = ["administer", "evict", "load", "rebuild", "restore"]

Administrative = ApplyGrant | VoidGrant | Configure | Renew


def _applied(partition: Partition, account: Account, *, fresh: bool) -> Applied:
    return Applied(account.admin_seq, fresh, partition.balance(account))


def administer(partition: Partition, account: Account, operation: Administrative) -> Applied | Refused:
    """Apply an administrative operation if it is the next one; otherwise change nothing."""
    if operation.admin_seq != account.admin_seq + 1:
        return _applied(partition, account, fresh=False)
    account.admin_seq = operation.admin_seq
    refused: Refused | None = None
    match operation:
        case ApplyGrant():
            refused = _apply_grant(partition, account, operation)
        case VoidGrant():
            refused = _void_grant(partition, account, operation)
        case Configure():
            _configure(partition, account, operation)
        case Renew():
            refused = _renew(partition, account, operation)
    account.changed(partition.now)
    return refused or _applied(partition, account, fresh=True)


def _refuse(
    partition: Partition,
    account: Account,
    operation: ApplyGrant | VoidGrant | Renew,
    code: RefusalCode,
    numbers: tuple[int, ...] = (),
) -> Refused:
    # The admin_seq is consumed all the same: the operations behind it must not wait for ever.
    partition.append(
        EntryKind.ADMIN_REFUSED,
        account,
        time=partition.now,
        admin_seq=operation.admin_seq,
        settlement=operation.settlement,
        refusal=code,
    )
    return Refused(code, numbers)


def _no_room(partition: Partition, account: Account, operation: ApplyGrant | Renew) -> Refused | None:
    if account.granted + operation.amount > MAX_MICROS:
        return _refuse(partition, account, operation, RefusalCode.INVALID_AMOUNT)
    gives = isinstance(operation, ApplyGrant) or operation.amount > 0
    if gives and len(account.grants) >= operation.max_grants:
        return _refuse(partition, account, operation, RefusalCode.TOO_MANY_GRANTS, (operation.max_grants,))
    return None


def _apply_grant(partition: Partition, account: Account, operation: ApplyGrant) -> Refused | None:
    refused = _no_room(partition, account, operation)
    if refused is None:
        _give(partition, account, operation)
    return refused


def _give(partition: Partition, account: Account, operation: ApplyGrant | Renew, *, carry_room: int = ABSENT) -> None:
    now = partition.now
    grant = Grant(
        number=operation.admin_seq,
        kind=operation.kind,
        priority=operation.priority,
        expire_time=operation.expire_time,
        acquire_time=operation.acquire_time,
        remaining=operation.amount,
    )
    # One whose moment passed on its way never becomes available, so it repays nothing.
    late = grant.ended_by(now)
    repaid = 0 if late else min(account.debt, grant.remaining)
    grant.remaining -= repaid
    account.debt -= repaid
    account.grants[grant.number] = grant
    account.granted += operation.amount
    partition.append(
        EntryKind.GRANT,
        account,
        time=now,
        amount=operation.amount,
        allocations={grant.key: operation.amount},
        admin_seq=operation.admin_seq,
        settlement=operation.settlement,
        grant=grant,
        expire_time=operation.expire_time,
        carry_room=carry_room,
    )
    if repaid:
        partition.append_about_grant(EntryKind.DEBT_REPAID, account, grant, repaid, time=now)
    if late and grant.remaining:
        amount = grant.remaining
        grant.remaining = 0
        account.expired += amount
        partition.append_about_grant(EntryKind.GRANT_EXPIRED, account, grant, amount, time=now)


def _renew(partition: Partition, account: Account, operation: Renew) -> Refused | None:
    refused = _no_room(partition, account, operation)
    if refused is not None:
        return refused
    carry_room = ABSENT
    if operation.cap != ABSENT:
        _carry_over(partition, account, operation)
        carry_room = account.carry_room
    if operation.config_seq != ABSENT:
        account.config_seq = operation.config_seq
    if operation.amount:
        _give(partition, account, operation, carry_room=carry_room)
    else:
        partition.append(
            EntryKind.CONFIGURED,
            account,
            time=partition.now,
            admin_seq=operation.admin_seq,
            settlement=operation.settlement,
            carry_room=carry_room,
        )
    return None


def _carry_over(partition: Partition, account: Account, operation: Renew) -> None:
    partition.caps[account.account_id] = operation.cap
    account.cycle_seq = operation.admin_seq
    account.carry_kinds = operation.kinds
    earlier = [grant for grant in account.burn_down() if account.carries(grant)]
    total = sum(grant.remaining for grant in earlier)
    account.carry_room = max(0, operation.cap - total)
    excess = max(0, total - operation.cap)
    for grant in earlier:
        part = min(excess, grant.remaining)
        if part:
            excess -= part
            grant.remaining -= part
            account.expired += part
            partition.append_about_grant(EntryKind.GRANT_EXPIRED, account, grant, part, time=partition.now)


def _void_grant(partition: Partition, account: Account, operation: VoidGrant) -> Refused | None:
    grant = account.grants.get(operation.grant)
    if grant is None:
        return _refuse(partition, account, operation, RefusalCode.GRANT_NOT_FOUND)
    amount = grant.remaining
    grant.remaining = 0
    grant.voided = True
    account.voided += amount
    partition.append(
        EntryKind.GRANT_VOIDED,
        account,
        time=partition.now,
        amount=amount,
        allocations={grant.key: amount},
        admin_seq=operation.admin_seq,
        settlement=operation.settlement,
        grant=grant,
    )
    return None


def _configure(partition: Partition, account: Account, operation: Configure) -> None:
    account.suspended = operation.suspended
    account.enforcement = operation.enforcement
    account.overdraft_limit = operation.overdraft_limit
    if operation.config_seq != ABSENT:
        account.config_seq = operation.config_seq
    account.low_balance = operation.low_balance
    account.critical_balance = operation.critical_balance
    account.members -= set(operation.members_removed)
    account.members |= set(operation.members_added)
    partition.append(EntryKind.CONFIGURED, account, time=partition.now, admin_seq=operation.admin_seq)


def load(partition: Partition, operation: LoadAccount) -> Applied | Refused:
    """Bring an account from SQL, if it is still missing and nothing was evicted since the miss."""
    present = partition.accounts.get(operation.account_id)
    if present is not None:
        return _applied(partition, present, fresh=False)
    if operation.generation != partition.evict_generation:
        return Refused(RefusalCode.STALE, (partition.evict_generation, partition.flushed))
    account = _from_sql(partition, operation)
    partition.accounts[account.account_id] = account
    _settle_arrival(partition, account)
    return _applied(partition, account, fresh=True)


def _settle_arrival(partition: Partition, account: Account) -> None:
    """Settle what became due while the account was away, before what follows in this very batch could spend it."""
    ended = [grant for grant in account.grants.values() if grant.ended_by(partition.now)]
    for grant in sorted(ended, key=lambda grant: (grant.expire_time, grant.number)):
        partition.expire_grant(account, grant)
    # Holds that dissolved with a lost Redis make their credits available again: debt is repaid first.
    repaid = min(account.debt, account.available)
    if repaid:
        for (number, _), amount in account.take(repaid).items():
            account.debt -= amount
            grant = account.grants[number]
            partition.append_about_grant(EntryKind.DEBT_REPAID, account, grant, amount, time=partition.now)
        account.changed(partition.now)


def _from_sql(partition: Partition, operation: LoadAccount) -> Account:
    return Account(
        account_id=operation.account_id,
        version=partition.now,
        touched=partition.now,
        entry_number=operation.entry_number,
        charged=operation.charged,
        granted=operation.granted,
        expired=operation.expired,
        voided=operation.voided,
        debt=operation.debt,
        suspended=operation.suspended,
        enforcement=operation.enforcement,
        overdraft_limit=operation.overdraft_limit,
        admin_seq=operation.admin_seq,
        config_seq=operation.config_seq,
        low_balance=operation.low_balance,
        critical_balance=operation.critical_balance,
        cycle_seq=operation.cycle_seq,
        carry_room=operation.carry_room,
        carry_kinds=operation.carry_kinds,
        members=set(operation.members),
        grants={grant.number: grant for grant in _grants(operation.grants)},
        counters={
            (counter.key, counter.start): Counter(
                counter.key, counter.start, counter.end, used=counter.used, charged=counter.used
            )
            for counter in operation.counters
            if counter.end > partition.now
        },
    )


def _grants(numbers: tuple[int, ...]) -> list[Grant]:
    rows = [numbers[start : start + 7] for start in range(0, len(numbers), 7)]
    return [
        Grant(number, kind, priority, expire_time, acquire_time, remaining, voided=voided == 1)
        for number, kind, priority, expire_time, acquire_time, remaining, voided in rows
    ]


def restore(partition: Partition, account: Account, operation: RestoreReservation) -> Applied | Refused:
    """Bring an ended record from SQL, if it is still missing and nothing was retired since the miss."""
    if operation.digest in partition.records:
        return _applied(partition, account, fresh=False)
    if operation.generation != partition.retire_generation:
        return Refused(RefusalCode.STALE, (partition.retire_generation, partition.flushed))
    partition.records[operation.digest] = _ended(partition, operation)
    return _applied(partition, account, fresh=True)


def _ended(partition: Partition, operation: RestoreReservation) -> Record:
    numbers = operation.allocations
    allocations: Allocations = {
        (numbers[start], numbers[start + 1]): numbers[start + 2] for start in range(0, len(numbers), 3)
    }
    state = ReservationState(operation.state)
    observed = operation.uncollected if state is ReservationState.EXPIRED else 0
    return Record(
        digest=operation.digest,
        account_id=operation.account_id,
        state=state,
        content=operation.content,
        reserved=operation.reserved,
        charged=operation.charged,
        uncollected=operation.uncollected,
        late=operation.late,
        create_time=operation.create_time,
        expire_time=operation.expire_time,
        settle_time=operation.settle_time,
        price_version=operation.price_version,
        details=operation.details,
        allocations=allocations,
        whole=operation.reserved + observed,
        windows=operation.windows,
        ended_at=partition.now,
    )


def evict(partition: Partition, account: Account, operation: Evict) -> Applied | Refused:
    """Drop an idle account that SQL holds completely."""
    in_use = (
        any(
            record.account_id == account.account_id and record.state is ReservationState.ACTIVE
            for record in partition.records.values()
        )
        or any(ticket.kept(partition.now) for ticket in account.queue)
        or account.entry_seq > partition.flushed
        or account.touched > operation.idle_before
        or account.admin_seq != operation.admin_seq
    )
    if in_use:
        return Refused(RefusalCode.STALE, ())
    del partition.accounts[account.account_id]
    partition.evict_generation += 1
    return _applied(partition, account, fresh=True)


def rebuild(partition: Partition, operation: RebuildAccount) -> Applied:
    """Replace an account by SQL's state; the holds that SQL does not know as ended keep what their grants can give."""
    account = _from_sql(partition, operation.load)
    previous = partition.accounts.get(operation.account_id)
    if previous is not None:
        account.version = max(partition.now, previous.version + 1)
    partition.accounts[account.account_id] = account
    for ended in operation.ended:
        partition.records[ended.digest] = _ended(partition, ended)
    for digest in operation.holds:
        record = partition.records.get(digest)
        if record is not None and record.state is ReservationState.ACTIVE:
            _hold_again(account, record)
    _settle_arrival(partition, account)
    return _applied(partition, account, fresh=True)


def _hold_again(account: Account, record: Record) -> None:
    kept: Allocations = {}
    for (number, kind), amount in record.allocations.items():
        grant = account.grants.get(number)
        part = min(amount, grant.remaining) if grant else 0
        if grant and part:
            grant.remaining -= part
            grant.held += part
            kept[number, kind] = part
    record.allocations = kept
    record.reserved = sum(kept.values())
    record.whole = record.reserved + record.uncollected
    for window in record.windows:
        counter = account.counter(window)
        counter.used += record.counted
        counter.refs += 1
