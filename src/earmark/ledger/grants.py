"""Grants in SQL. Functions of one connection; their transaction is the caller's."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, text

from earmark.domain.ids import format_grant_id, parse_reservation_id
from earmark.domain.states import EntryKind, GrantKind
from earmark.engine.operations import ABSENT, ApplyGrant, Renew, Settlement, VoidGrant
from earmark.errors import EarmarkError, Reason, error
from earmark.ledger.administration import AdminCall, account_key_of, lock_account, record_operation, replay_of
from earmark.ledger.models import AdminState, AdminTicket, GrantRecord, NewGrant, NewRenewal
from earmark.ledger.tables import accounts, entries, grants

__all__ = [
    "MAX_PAID_GRANTS",
    "due_accounts",
    "list_grants",
    "read_grant",
    "record_grant",
    "record_renewal",
    "record_void",
]

MAX_PAID_GRANTS = 1024
"""How many live grants an account may have when a renewal or a purchase adds one."""

_ENDING = frozenset({EntryKind.CHARGE, EntryKind.RELEASE, EntryKind.EXPIRED_HOLD})

_encode = msgspec.json.Encoder().encode


def record_grant(connection: Connection, call: AdminCall, grant: NewGrant, max_grants: int) -> AdminTicket:
    """Record a grant; its number is the ticket's admin_seq. See `Accounts.record_grant` for what it raises."""
    account = lock_account(connection, call.account_id)
    replay = replay_of(connection, account.account_key, call)
    if replay is not None:
        return replay
    if grant.kind == GrantKind.ADJUSTMENT and grant.reservation_id:
        # The account is locked: no other adjustment can come between this sum and the insert.
        _check_adjustment(connection, account.account_key, call.account_id, grant)
    admin_seq = account.admin_seq + 1
    settlement = Settlement(
        comment=grant.comment,
        actor=grant.actor,
        request_id=call.request_id,
        reservation_id=grant.reservation_id,
    )
    operation = ApplyGrant(
        account_id=call.account_id,
        admin_seq=admin_seq,
        kind=grant.kind.value,
        priority=grant.priority,
        amount=grant.amount,
        acquire_time=grant.acquire_time,
        expire_time=grant.expire_time,
        max_grants=max_grants,
        settlement=_encode(settlement).decode(),
    )
    _insert(connection, account.account_key, admin_seq, call, grant)
    return record_operation(connection, account.account_key, call, operation)


def record_renewal(
    connection: Connection, call: AdminCall, renewal: NewRenewal, max_grants: int = MAX_PAID_GRANTS
) -> AdminTicket:
    """Record the beginning of a billing cycle; its grant's number is the ticket's admin_seq.

    The caller moves the subscription's cycle in the same transaction, and makes the request id of the cycle
    (`renewal/<subscription>/<cycle>`), so that each cycle begins once, whoever finds it due. Carry-over and excess are
    Redis's to compute, in the transition that applies this.

    It carries no `config_seq`, because Redis may refuse it (TOO_MANY_GRANTS, INVALID_AMOUNT) and what sidecars derive
    calls from must not wait for an operation that never takes effect: where the plan changes too, call
    `configuration.record_configuration` beside it.

    Returns:
        The ticket, `replayed` if this request id had recorded the renewal before.

    Raises:
        NotFound: ACCOUNT_NOT_FOUND.
        AlreadyExists: REQUEST_ID_REUSED, if the request id stands for another content.
    """
    account = lock_account(connection, call.account_id)
    replay = replay_of(connection, account.account_key, call)
    if replay is not None:
        return replay
    admin_seq = account.admin_seq + 1
    settlement = Settlement(comment=renewal.comment, actor=renewal.actor, request_id=call.request_id)
    operation = Renew(
        account_id=call.account_id,
        admin_seq=admin_seq,
        kind=renewal.kind.value,
        priority=renewal.priority,
        amount=renewal.amount,
        acquire_time=renewal.acquire_time,
        expire_time=renewal.expire_time,
        max_grants=max_grants,
        cap=ABSENT if renewal.cap is None else renewal.cap,
        kinds=sum(1 << kind for kind in set(renewal.kinds)),
        settlement=_encode(settlement).decode(),
    )
    if renewal.amount:
        grant = NewGrant(
            kind=renewal.kind,
            amount=renewal.amount,
            acquire_time=renewal.acquire_time,
            expire_time=renewal.expire_time,
            priority=renewal.priority,
            comment=renewal.comment,
            actor=renewal.actor,
        )
        _insert(connection, account.account_key, admin_seq, call, grant)
    return record_operation(connection, account.account_key, call, operation)


def record_void(connection: Connection, call: AdminCall, number: int) -> AdminTicket:
    """Record that a grant is to be voided; see `Accounts.record_void`."""
    account = lock_account(connection, call.account_id)
    replay = replay_of(connection, account.account_key, call)
    if replay is not None:
        return replay
    if _find(connection, account.account_key, number) is None:
        raise _grant_not_found(call.account_id, number)
    settlement = Settlement(comment=call.comment, actor=call.actor, request_id=call.request_id)
    operation = VoidGrant(
        account_id=call.account_id,
        admin_seq=account.admin_seq + 1,
        grant=number,
        settlement=_encode(settlement).decode(),
    )
    return record_operation(connection, account.account_key, call, operation)


def read_grant(connection: Connection, account_id: str, number: int) -> GrantRecord:
    """Return a grant; see `Accounts.get_grant`."""
    row = _find(connection, account_key_of(connection, account_id), number)
    if row is None:
        raise _grant_not_found(account_id, number)
    return _record(account_id, row)


def list_grants(connection: Connection, account_id: str, limit: int, before: int | None) -> list[GrantRecord]:
    """Return a page of grants; see `Accounts.list_grants`."""
    account_key = account_key_of(connection, account_id)
    query = (
        select(grants)
        .where(grants.c.account_key == account_key, grants.c.state != AdminState.REFUSED.value)
        .order_by(grants.c.grant_number.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(grants.c.grant_number < before)
    return [_record(account_id, row) for row in connection.execute(query)]


def due_accounts(connection: Connection, now: int, limit: int) -> list[str]:
    """Return accounts with due grants; see `Accounts.accounts_with_due_grants`."""
    due = (
        select(grants.c.account_key, func.min(grants.c.expire_time).label("first"))
        # To the letter as the partial index says it, so that it is used.
        .where(text("open AND expire_time > 0"), grants.c.expire_time <= now)
        .group_by(grants.c.account_key)
        .order_by("first", grants.c.account_key)
        .limit(limit)
        .subquery()
    )
    query = (
        select(accounts.c.account_id)
        .join_from(due, accounts, due.c.account_key == accounts.c.account_key)
        .order_by(due.c.first, due.c.account_key)
    )
    return list(connection.execute(query).scalars())


def _insert(connection: Connection, account_key: int, number: int, call: AdminCall, grant: NewGrant) -> None:
    """Insert a grant that a flushed record will confirm, or refuse."""
    connection.execute(
        insert(grants).values(
            account_key=account_key,
            grant_number=number,
            kind=grant.kind.value,
            amount=grant.amount,
            priority=grant.priority,
            acquire_time=grant.acquire_time,
            expire_time=grant.expire_time,
            create_time=call.now,
            comment=grant.comment,
            actor=grant.actor,
            reservation_id=grant.reservation_id,
            request_id=call.request_id,
            state=AdminState.PENDING.value,
            void=False,
            open=False,
            charged=0,
            expired=0,
            voided=0,
            repaid=0,
        )
    )


def _check_adjustment(connection: Connection, account_key: int, account_id: str, grant: NewGrant) -> None:
    owner, digest = parse_reservation_id(grant.reservation_id)
    # By the digest alone, which no two accounts share: SQLite would rather read the account's whole history.
    query = select(entries.c.account_key, entries.c.entry_number, entries.c.kind, entries.c.amount).where(
        entries.c.digest == digest
    )
    about = [row for row in connection.execute(query) if row.account_key == account_key and row.kind in _ENDING]
    if not about or owner != account_id:
        raise error(
            Reason.RESERVATION_NOT_FOUND,
            f"the account has no ended reservation {grant.reservation_id[:64]!r}",
            {"reservation_id": grant.reservation_id},
        )
    ended = max(about, key=lambda row: row.entry_number)
    charged = ended.amount if ended.kind == EntryKind.CHARGE else 0
    adjusted = int(
        connection.execute(
            select(func.coalesce(func.sum(grants.c.amount), 0)).where(
                grants.c.account_key == account_key,
                grants.c.reservation_id == grant.reservation_id,
                text("reservation_id <> ''"),
                grants.c.kind == GrantKind.ADJUSTMENT.value,
                grants.c.state != AdminState.REFUSED.value,
            )
        ).scalar_one()
    )
    if adjusted + grant.amount > charged:
        raise error(
            Reason.ADJUSTMENT_EXCEEDS_CHARGE,
            f"the reservation was charged {charged} microcredits and {adjusted} of them are made good already: "
            f"{grant.amount} more is too much",
            {"charged_micros": charged, "adjusted_micros": adjusted, "required_micros": grant.amount},
        )


def _find(connection: Connection, account_key: int, number: int) -> Row[Any] | None:
    query = select(grants).where(
        grants.c.account_key == account_key,
        grants.c.grant_number == number,
        grants.c.state != AdminState.REFUSED.value,
    )
    return connection.execute(query).one_or_none()


def _grant_not_found(account_id: str, number: int) -> EarmarkError:
    grant_id = format_grant_id(number)
    return error(Reason.GRANT_NOT_FOUND, f"account {account_id!r} has no grant {grant_id}", {"grant_id": grant_id})


def _record(account_id: str, row: Row[Any]) -> GrantRecord:
    return GrantRecord(
        account_id=account_id,
        number=row.grant_number,
        kind=GrantKind(row.kind),
        amount=row.amount,
        priority=row.priority,
        acquire_time=row.acquire_time,
        expire_time=row.expire_time,
        create_time=row.create_time,
        comment=row.comment,
        actor=row.actor,
        reservation_id=row.reservation_id,
        request_id=row.request_id,
        pending=row.state == AdminState.PENDING.value,
        void=row.void,
        charged=row.charged,
        expired=row.expired,
        voided=row.voided,
        repaid=row.repaid,
    )
