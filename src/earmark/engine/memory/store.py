"""The reference store: executes batches exactly as the semantics say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from earmark.domain.states import ReservationState
from earmark.engine.memory.administration import administer
from earmark.engine.memory.extending import extend
from earmark.engine.memory.model import Account, Lease
from earmark.engine.memory.partition import Partition
from earmark.engine.memory.queue import leave, ticket_of
from earmark.engine.memory.residence import evict, load, rebuild, restore
from earmark.engine.memory.settling import commit, release
from earmark.engine.memory.spending import charge, reserve
from earmark.engine.operations import (
    ABSENT,
    AccountOperation,
    ApplyGrant,
    CancelWait,
    Charge,
    Commit,
    Configure,
    ConfirmFlush,
    Evict,
    Extend,
    ListHolds,
    LoadAccount,
    Operation,
    ReadBalance,
    ReadReservation,
    RebuildAccount,
    Release,
    Renew,
    RenewLease,
    Reserve,
    RestoreReservation,
    RetireReservations,
    VoidGrant,
)
from earmark.engine.records import StreamRecord
from earmark.engine.results import (
    AccountMissing,
    Again,
    BalanceRead,
    HoldsRead,
    LeaseRenewed,
    ReservationMissing,
    ReservationRead,
    Result,
    Swept,
)

__all__ = ["MemoryStore"]

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR

_OnAccount = (
    Reserve
    | Charge
    | Commit
    | Release
    | Extend
    | ReadBalance
    | ReadReservation
    | ApplyGrant
    | VoidGrant
    | Configure
    | Renew
    | RestoreReservation
    | Evict
    | CancelWait
)


class MemoryStore:
    """One partition in memory: slow, single-threaded, and obviously right."""

    def __init__(
        self,
        *,
        replay_window: int = HOUR,
        horizon: int = 7 * DAY,
        low_balance: int = ABSENT,
        critical_balance: int = ABSENT,
    ) -> None:
        """Begin empty.

        Args:
            replay_window: how long ended records stay, in microseconds.
            horizon: what `expiring_soon` looks ahead, in microseconds.
            low_balance: threshold of accounts that have none of their own, in microcredits; ABSENT for none.
            critical_balance: the same.
        """
        self.partition = Partition(
            replay_window=replay_window, horizon=horizon, low_balance=low_balance, critical_balance=critical_balance
        )
        self.due_left = False
        """Whether the last batch left due events behind."""

    @property
    def stream(self) -> list[StreamRecord]:
        """Everything that was settled, in order; the seq of a record is its index plus one."""
        return self.partition.stream

    def execute(self, operations: Sequence[Operation], now: int) -> tuple[Result, ...]:
        """Execute a batch at `now` (microseconds since 1970; never before the last batch's)."""
        self.partition.now = max(now, self.partition.now)
        self.due_left = self.partition.settle_due()
        return tuple(self._execute(operation) for operation in operations)

    def _execute(self, operation: Operation) -> Result:
        partition = self.partition
        if self.due_left and isinstance(operation, AccountOperation):
            return Again()
        match operation:
            case LoadAccount():
                return load(partition, operation)
            case RebuildAccount():
                return rebuild(partition, operation)
            case RetireReservations():
                return Swept(self._retire(operation.limit))
            case ConfirmFlush():
                return self._confirm_flush(operation)
            case RenewLease():
                return self._renew_lease(operation)
            case ListHolds():
                return self._list_holds(operation)
            case _:
                account = partition.accounts.get(operation.account_id)
                if account is None:
                    return AccountMissing(partition.evict_generation, partition.flushed)
                with partition.transition(account):
                    return self._on_account(account, operation)

    def _on_account(self, account: Account, operation: _OnAccount) -> Result:
        partition = self.partition
        match operation:
            case Reserve():
                return reserve(partition, account, operation)
            case Charge():
                return charge(partition, account, operation)
            case Commit():
                return commit(partition, account, operation)
            case Release():
                return release(partition, account, operation)
            case Extend():
                return extend(partition, account, operation)
            case ReadBalance():
                return self._read_balance(account, with_grants=operation.with_grants)
            case ReadReservation():
                record = partition.find(account, operation.digest)
                if record is None:
                    return ReservationMissing(partition.retire_generation, partition.flushed)
                return ReservationRead(record.view())
            case ApplyGrant() | VoidGrant() | Configure() | Renew():
                return administer(partition, account, operation)
            case RestoreReservation():
                return restore(partition, account, operation)
            case Evict():
                return evict(partition, account, operation)
            case CancelWait():
                ticket = ticket_of(account, operation.ticket, partition.now)
                owned = ticket is not None and ticket.owner == operation.owner
                if owned:
                    leave(account, operation.ticket)
                return partition.applied(account, fresh=owned)

    def _read_balance(self, account: Account, *, with_grants: bool) -> BalanceRead:
        rows = [
            (
                grant.number,
                grant.kind,
                grant.priority,
                grant.expire_time,
                grant.acquire_time,
                grant.remaining,
                grant.held,
                int(grant.voided),
            )
            for grant in (account.burn_down() if with_grants else ())
        ]
        return BalanceRead(self.partition.balance(account), tuple(number for row in rows for number in row))

    def _retire(self, limit: int) -> int:
        partition = self.partition
        over = sorted(
            (record.ended_at, record.digest, record.entry_seq)
            for record in partition.records.values()
            if record.state is not ReservationState.ACTIVE
            and record.ended_at + partition.replay_window <= partition.now
        )[:limit]
        # What settled after the first that SQL does not hold is not in SQL either.
        over = list(takewhile(lambda ended: ended[2] <= partition.flushed, over))
        for _, digest, _ in over:
            del partition.records[digest]
        if over:
            partition.retire_generation += 1
        return len(over)

    def _confirm_flush(self, operation: ConfirmFlush) -> Swept:
        partition = self.partition
        partition.flushed = max(partition.flushed, operation.flushed)
        return Swept(0)

    def _renew_lease(self, operation: RenewLease) -> LeaseRenewed:
        leases, now = self.partition.leases, self.partition.now
        lease = leases.get(operation.name)
        if lease is not None and lease.owner != operation.owner and now < lease.until:
            return LeaseRenewed(held=False, until=lease.until)
        if operation.ttl == 0:
            leases.pop(operation.name, None)
            return LeaseRenewed(held=False, until=now)
        leases[operation.name] = Lease(operation.owner, now + operation.ttl)
        return LeaseRenewed(held=True, until=now + operation.ttl)

    def _list_holds(self, operation: ListHolds) -> HoldsRead:
        after = (operation.after_time, operation.after_member)
        held = sorted(
            (
                record
                for record in self.partition.records.values()
                if record.state is ReservationState.ACTIVE and (record.expire_time, record.digest) > after
            ),
            key=lambda record: (record.expire_time, record.digest),
        )
        page = held[: operation.limit]
        more = len(held) > len(page)
        views = tuple(record.view() for record in page if operation.account_id in ("", record.account_id))
        return HoldsRead(views, page[-1].expire_time if more else 0, page[-1].digest if more else "")
