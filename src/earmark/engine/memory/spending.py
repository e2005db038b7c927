"""Reserve and Charge on an account that is present."""

from __future__ import annotations

from dataclasses import dataclass

from earmark.credits import MAX_MICROS
from earmark.domain.states import EntryKind, OveragePolicy, ReservationState
from earmark.engine.memory.limits import count_charge, count_hold, overflows, room_within, windows_at
from earmark.engine.memory.model import Account, Record, Window
from earmark.engine.memory.partition import Ending, Partition
from earmark.engine.memory.queue import Turn, leave, turn_of
from earmark.engine.operations import Charge, Reserve
from earmark.engine.results import ConfigurationMoved, Done, RefusalCode, Refused, Waiting

__all__ = ["charge", "reserve"]


@dataclass(frozen=True, slots=True)
class _Allowed:
    """A call that everything but the balance allows."""

    amount: int
    """What the limits leave of what was asked for."""
    windows: tuple[Window, ...]
    would_refuse: bool
    """On an account that observes: entitlement or a limit would have refused."""


_Answer = Done | Refused | ConfigurationMoved


def _before_balance(partition: Partition, account: Account, operation: Reserve | Charge) -> _Allowed | _Answer:
    """Answer what comes before the balance: the replay, the configuration, every refusal for another reason."""
    record = partition.find(account, operation.digest)
    if record is not None:
        leave(account, operation.digest)
        if record.content in ("", operation.content):
            return partition.done(account, record, replayed=True)
        return Refused(RefusalCode.REQUEST_ID_REUSED, ())
    windows = windows_at(operation.limits, partition.now)
    if windows is None or operation.config_seq != account.config_seq:
        return ConfigurationMoved(partition.now, account.config_seq)
    allowed = _allow(account, operation, windows)
    if isinstance(allowed, Refused) and operation.wait:
        leave(account, operation.digest)
    return allowed


def _allow(account: Account, operation: Reserve | Charge, windows: tuple[Window, ...]) -> _Allowed | Refused:
    if account.suspended:
        return Refused(RefusalCode.ACCOUNT_SUSPENDED, ())
    if account.members and operation.user_id not in account.members:
        return Refused(RefusalCode.NOT_A_MEMBER, ())
    allowed: int | Refused
    if operation.entitled:
        allowed = room_within(account, operation.limits, windows, operation.amount, operation.min_amount)
    else:
        allowed = Refused(RefusalCode.NOT_ENTITLED, ())
    if account.observes:
        return _Allowed(operation.amount, windows, would_refuse=isinstance(allowed, Refused))
    if isinstance(allowed, Refused):
        return allowed
    return _Allowed(allowed, windows, would_refuse=False)


def reserve(partition: Partition, account: Account, operation: Reserve) -> _Answer | Waiting:
    """Hold the amount, or down to the minimum what there is."""
    allowed = _before_balance(partition, account, operation)
    if not isinstance(allowed, _Allowed):
        return allowed
    available = account.available
    affordable = available >= operation.min_amount
    if account.observes:
        leave(account, operation.digest)
    else:
        refusal = _balance_refusal(partition, account, operation, available, affordable=affordable)
        if refusal is not None:
            return refusal
    reserved = min(available, allowed.amount)
    uncollected = allowed.amount - reserved if account.observes else 0
    if overflows(account, allowed.windows, reserved + uncollected):
        return Refused(RefusalCode.INVALID_AMOUNT, ())
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
        windows=allowed.windows,
        silent=operation.silent,
    )
    would_refuse = account.observes and (allowed.would_refuse or not affordable)
    if operation.validate_only:
        return _validated(partition, account, record, would_refuse=would_refuse)
    record.allocations = {}
    account.hold_for(record, reserved)
    count_hold(account, operation.limits, record)
    partition.records[record.digest] = record
    account.changed(partition.now)
    return partition.done(account, record, would_refuse=would_refuse)


def _validated(partition: Partition, account: Account, record: Record, *, would_refuse: bool) -> Done:
    record.digest = ""
    record.windows = ()
    return partition.done(account, record, would_refuse=would_refuse)


def charge(partition: Partition, account: Account, operation: Charge) -> _Answer | Waiting:
    """Reserve and commit in one step."""
    allowed = _before_balance(partition, account, operation)
    if not isinstance(allowed, _Allowed):
        return allowed
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
    taken = min(available, allowed.amount)
    debt = min(account.overdraft_room, allowed.amount - taken) if overdraws and not account.observes else 0
    charged = taken + debt
    # With a minimum a smaller charge is what was asked for; the others owe what they could not pay.
    uncollected = allowed.amount - charged if overdraws or account.observes else 0
    counted = charged + (uncollected if account.observes else 0)
    if account.charged + charged > MAX_MICROS or overflows(account, allowed.windows, counted):
        return Refused(RefusalCode.INVALID_AMOUNT, ())
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
        windows=allowed.windows,
        silent=operation.silent,
    )
    would_refuse = account.observes and (allowed.would_refuse or not affordable)
    if operation.validate_only:
        return _validated(partition, account, record, would_refuse=would_refuse)
    account.take(taken)
    account.debt += debt
    account.charged += charged
    partition.marks += count_charge(account, operation.limits, record, counted)
    partition.records[record.digest] = record
    ending = Ending(account.carry_room, silent=record.ends_silently(charged, uncollected))
    partition.end(EntryKind.CHARGE, account, record, ending, counted=counted, settlement=operation.settlement)
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
