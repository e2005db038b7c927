"""SQL as the engine sees it: accounts and ended reservations that Redis does not hold."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, select, text

from earmark.domain.ids import ReservationDigest
from earmark.domain.states import EntryKind, ReservationState
from earmark.engine.operations import LoadAccount, RestoreReservation
from earmark.ledger.administration import decode_operation
from earmark.ledger.connections import Database
from earmark.ledger.counters import decode_windows, open_counters
from earmark.ledger.models import AdminOperation
from earmark.ledger.stores import read_position
from earmark.ledger.tables import (
    account_totals,
    accounts,
    admin_operations,
    entries,
    entry_allocations,
    grants,
    members,
)

__all__ = ["SqlArchive"]


_STATES = {
    EntryKind.CHARGE: ReservationState.COMMITTED,
    EntryKind.RELEASE: ReservationState.RELEASED,
    EntryKind.EXPIRED_HOLD: ReservationState.EXPIRED,
}


class SqlArchive:
    """Implements `earmark.engine.ports.Archive`."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def read_account(self, account_id: str, partition: int) -> tuple[int, LoadAccount | None]:
        """Return the flushed position, and the account as flushed entries and applied administration confirm it."""
        now = self._clock()
        return await self._database.read(lambda connection: _read_account(connection, account_id, partition, now))

    async def read_reservation(
        self, account_id: str, digest: ReservationDigest, partition: int
    ) -> tuple[int, RestoreReservation | None]:
        """Return the flushed position, and an ended reservation as its last entry tells."""
        return await self._database.read(
            lambda connection: _read_reservation(connection, account_id, digest, partition)
        )

    async def read_admin_operations(self, account_id: str, after_admin_seq: int) -> list[AdminOperation]:
        """Return the account's administrative operations after this admin_seq, in order, refused ones too."""
        query = (
            select(admin_operations.c.operation)
            .join_from(admin_operations, accounts)
            .where(
                accounts.c.account_id == account_id,
                # The creation of the account has the number 0, and nothing to relay.
                admin_operations.c.admin_seq > max(after_admin_seq, 0),
            )
            .order_by(admin_operations.c.admin_seq)
        )
        return await self._database.read(
            lambda connection: [decode_operation(packed) for packed in connection.execute(query).scalars()]
        )


def _flushed(connection: Connection, partition: int) -> int:
    position = read_position(connection, partition)
    if position is None:
        raise LookupError(f"the store has no partition {partition}")
    return position.flushed_seq


def _read_account(connection: Connection, account_id: str, partition: int, now: int) -> tuple[int, LoadAccount | None]:
    flushed = _flushed(connection, partition)
    query = select(account_totals).join_from(accounts, account_totals).where(accounts.c.account_id == account_id)
    totals = connection.execute(query).one_or_none()
    if totals is None:
        return flushed, None
    applied = totals.applied_admin_seq
    member_ids = connection.execute(
        select(members.c.user_id)
        .where(
            members.c.account_key == totals.account_key,
            members.c.added_seq <= applied,
            members.c.removed_seq.is_(None) | (members.c.removed_seq > applied),
        )
        .order_by(members.c.user_id)
    ).scalars()
    live = connection.execute(
        # To the letter as the partial index says it, so that it is used.
        select(grants).where(text("open"), grants.c.account_key == totals.account_key).order_by(grants.c.grant_number)
    )
    packed = [
        number
        for grant in live
        for number in (
            grant.grant_number,
            grant.kind,
            grant.priority,
            grant.expire_time,
            grant.acquire_time,
            grant.amount - grant.charged - grant.expired - grant.voided - grant.repaid,
            int(grant.void),
        )
    ]
    return flushed, LoadAccount(
        account_id=account_id,
        generation=0,
        entry_number=totals.entry_number,
        charged=totals.charged,
        granted=totals.granted,
        expired=totals.expired,
        voided=totals.voided,
        debt=totals.borrowed - totals.repaid,
        suspended=totals.suspended,
        enforcement=totals.enforcement,
        overdraft_limit=totals.overdraft_limit,
        admin_seq=applied,
        members=tuple(member_ids),
        grants=tuple(packed),
        config_seq=totals.config_seq,
        low_balance=totals.low_balance,
        critical_balance=totals.critical_balance,
        cycle_seq=totals.cycle_seq,
        carry_room=totals.carry_room,
        carry_kinds=totals.carry_kinds,
        counters=open_counters(connection, [totals.account_key], now)[totals.account_key],
    )


def _read_reservation(
    connection: Connection, account_id: str, digest: ReservationDigest, partition: int
) -> tuple[int, RestoreReservation | None]:
    flushed = _flushed(connection, partition)
    # By the digest alone, which no two accounts share: SQLite would rather read the account's whole history.
    query = (
        select(entries, accounts.c.account_id)
        .join_from(entries, accounts, entries.c.account_key == accounts.c.account_key)
        .where(entries.c.digest == digest)
    )
    about = [row for row in connection.execute(query) if row.account_id == account_id and row.kind in _STATES]
    if not about:
        return flushed, None
    # A late commit comes after the expiry, and is what counts.
    entry = max(about, key=lambda row: row.entry_number)
    allocations = connection.execute(
        select(entry_allocations.c.grant_number, entry_allocations.c.kind, entry_allocations.c.amount)
        .where(
            entry_allocations.c.account_key == entry.account_key,
            entry_allocations.c.entry_number == entry.entry_number,
        )
        .order_by(entry_allocations.c.position)
    )
    return flushed, RestoreReservation(
        account_id=account_id,
        generation=0,
        digest=digest,
        state=_STATES[EntryKind(entry.kind)].value,
        content=entry.content,
        reserved=entry.reserved,
        charged=entry.amount,
        uncollected=entry.uncollected,
        late=bool(entry.late),
        create_time=entry.reservation_create_time,
        expire_time=entry.expire_time,
        settle_time=entry.time,
        price_version=entry.price_version,
        entry_number=entry.entry_number,
        details=entry.details,
        allocations=tuple(number for allocation in allocations for number in allocation),
        windows=tuple((use.key, use.start, use.end) for use in decode_windows(entry.windows)) if entry.windows else (),
    )
