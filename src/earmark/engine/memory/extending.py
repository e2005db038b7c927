"""Extend on an account that is present."""

from __future__ import annotations

from earmark.credits import MAX_MICROS
from earmark.domain.states import ReservationState
from earmark.engine.memory.limits import count_addition, exceeded_by, overflows
from earmark.engine.memory.model import Account, Record
from earmark.engine.memory.partition import Partition
from earmark.engine.memory.queue import Turn, leave, turn_of
from earmark.engine.operations import Extend
from earmark.engine.results import Done, RefusalCode, Refused, ReservationMissing, Waiting

__all__ = ["extend"]

MAX_LIFE = 24 * 3600 * 1_000_000
"""A hold ends at most this long after its creation."""
MAX_EXTENSIONS = 64
EXTEND_MARGIN = 1_000_000
"""How far beyond its wait a queued Extend keeps the hold alive."""


def extend(partition: Partition, account: Account, operation: Extend) -> Done | Refused | ReservationMissing | Waiting:
    """Move a reservation's expiry, add credits, or both."""
    record = partition.find(account, operation.digest)
    if record is None:
        return ReservationMissing(partition.retire_generation, partition.flushed)
    early = _before_extension(partition, account, record, operation)
    additional = operation.additional
    exceeded = exceeded_by(account, record, additional) if additional else None
    if early is None and not account.observes:
        early = exceeded
    if early is not None:
        leave(account, operation.extension)
        return early

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
        account.hold_for(record, taken)
        record.reserved += taken
        record.uncollected += additional - taken
        record.whole += additional
        count_addition(account, record, taken if not account.observes else additional)
        record.extensions[operation.extension] = operation.content
        account.changed(partition.now)
    return partition.done(account, record, would_refuse=not affordable or exceeded is not None)


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
        if record.whole + operation.additional > MAX_MICROS or overflows(account, record.windows, operation.additional):
            return Refused(RefusalCode.INVALID_AMOUNT, ())
    return None


def _move_expiry(record: Record, expire_time: int) -> None:
    record.expire_time = max(record.expire_time, min(expire_time, record.create_time + MAX_LIFE))
