"""Loads, restores, evictions and rebuilds: accounts and ended records come from SQL and go."""

from __future__ import annotations

from earmark.domain.states import EntryKind, ReservationState
from earmark.engine.memory.model import Account, Allocations, Counter, Grant, Record
from earmark.engine.memory.partition import Partition
from earmark.engine.operations import Evict, LoadAccount, RebuildAccount, RestoreReservation
from earmark.engine.results import Applied, RefusalCode, Refused

__all__ = ["evict", "load", "rebuild", "restore"]


def load(partition: Partition, operation: LoadAccount) -> Applied | Refused:
    """Bring an account from SQL, if it is still missing and nothing was evicted since the miss."""
    present = partition.accounts.get(operation.account_id)
    if present is not None:
        return partition.applied(present, fresh=False)
    if operation.generation != partition.evict_generation:
        return Refused(RefusalCode.STALE, (partition.evict_generation, partition.flushed))
    account = _from_sql(partition, operation)
    partition.accounts[account.account_id] = account
    _settle_arrival(partition, account)
    return partition.applied(account, fresh=True)


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
        return partition.applied(account, fresh=False)
    if operation.generation != partition.retire_generation:
        return Refused(RefusalCode.STALE, (partition.retire_generation, partition.flushed))
    partition.records[operation.digest] = _ended(partition, operation)
    return partition.applied(account, fresh=True)


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
    return partition.applied(account, fresh=True)


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
    return partition.applied(account, fresh=True)


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
