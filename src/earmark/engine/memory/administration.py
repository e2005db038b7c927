"""Grants, voids, renewals, configuration."""

from __future__ import annotations

from earmark.credits import MAX_MICROS
from earmark.domain.states import EntryKind
from earmark.engine.memory.model import Account, Grant
from earmark.engine.memory.partition import Partition
from earmark.engine.operations import ABSENT, ApplyGrant, Configure, Renew, VoidGrant
from earmark.engine.results import Applied, RefusalCode, Refused

__all__ = ["administer"]

Administrative = ApplyGrant | VoidGrant | Configure | Renew


def administer(partition: Partition, account: Account, operation: Administrative) -> Applied | Refused:
    """Apply an administrative operation if it is the next one; otherwise change nothing."""
    if operation.admin_seq != account.admin_seq + 1:
        return partition.applied(account, fresh=False)
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
    return refused or partition.applied(account, fresh=True)


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
