"""What billing records of credits, and what it still owes.

Functions of one connection; their transaction is the caller's. Everything has a request id of its own, made of what it
is for: `renewal/<subscription>/<cycle>`, `upgrade/<subscription>/<number>`, `purchase/<purchase>`, `bonus/<purchase>`.
So each is given once, whoever finds it due. Redis may refuse it, to an account that has too many grants: then its id is
free again, and it is recorded anew, later.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, select, text

from earmark.credits import MAX_MICROS
from earmark.domain.ids import ContentDigest
from earmark.domain.states import GrantKind
from earmark.engine.operations import ABSENT, ApplyGrant, Renew, Settlement
from earmark.engine.results import RefusalCode
from earmark.errors import Reason, error
from earmark.ledger.administration import AdminCall, decode_operation, find_request
from earmark.ledger.grants import MAX_PAID_GRANTS, record_grant, record_renewal
from earmark.ledger.models import AdminTicket, NewGrant, NewRenewal
from earmark.ledger.tables import account_totals, accounts, admin_operations, grants

__all__ = [
    "INTERNAL",
    "bonus_request",
    "check_total",
    "give",
    "internal_call",
    "owed_credits",
    "purchase_request",
    "renew",
    "renewal_request",
    "settle_owed",
    "upgrade_request",
]

INTERNAL = ContentDigest("billing")
"""No digest of a caller's request: what carries it was recorded by billing itself, and nobody takes its id."""

_settlement_of = msgspec.json.Decoder(Settlement).decode


def renewal_request(subscription_id: str, cycle: int) -> str:
    """Return the request id of a cycle's credits."""
    return f"renewal/{subscription_id}/{cycle}"


def upgrade_request(subscription_id: str, admin_seq: int) -> str:
    """Return the request id of an upgrade's credits; the number is that of the operation that changed the plan."""
    return f"upgrade/{subscription_id}/{admin_seq}"


def purchase_request(purchase_id: str) -> str:
    """Return the request id of a purchase's credits."""
    return f"purchase/{purchase_id}"


def bonus_request(purchase_id: str) -> str:
    """Return the request id of a purchase's bonus."""
    return f"bonus/{purchase_id}"


def internal_call(account_id: str, request_id: str, now: int, actor: str = "", comment: str = "") -> AdminCall:
    """Return what billing asks for by itself."""
    return AdminCall(account_id, request_id, INTERNAL, now, actor, comment)


def check_total(connection: Connection, account_key: int, account_id: str, amount: int) -> None:
    """Check that an account can hold what a call is about to give it, before anything of the call is recorded.

    Redis would refuse it, for ever, while the plan or the purchase that it belongs to stood.

    Raises:
        InvalidRequest: INVALID_AMOUNT, its lifetime total would pass the largest amount.
    """
    totals = select(account_totals.c.granted, account_totals.c.applied_admin_seq).where(
        account_totals.c.account_key == account_key
    )
    row = connection.execute(totals).one_or_none()
    granted, applied = (0, 0) if row is None else (row.granted, row.applied_admin_seq)
    coming = select(func.coalesce(func.sum(grants.c.amount), 0)).where(
        grants.c.account_key == account_key, grants.c.grant_number > applied
    )
    total = granted + int(connection.execute(coming).scalar_one()) + amount
    if total > MAX_MICROS:
        raise error(
            Reason.INVALID_AMOUNT,
            f"{amount} microcredits: what account {account_id!r} was given altogether would be {total}, more than the "
            f"largest amount, {MAX_MICROS}",
            {"amount_micros": amount, "granted_micros": total},
            field="amount_micros",
        )


def give(connection: Connection, call: AdminCall, grant: NewGrant) -> AdminTicket:
    """Record credits beside those that are there."""
    return record_grant(connection, call, grant, MAX_PAID_GRANTS)


def renew(connection: Connection, call: AdminCall, renewal: NewRenewal) -> AdminTicket:
    """Record the beginning of a cycle."""
    return record_renewal(connection, call, renewal, MAX_PAID_GRANTS)


def settle_owed(
    connection: Connection, account_key: int, account_id: str, request_id: str, now: int
) -> AdminTicket | None:
    """Return the ticket of credits; those that Redis refused are recorded anew. None if there never were any."""
    row = find_request(connection, account_key, request_id)
    if row is not None:
        return AdminTicket(account_id, row.admin_seq, replayed=True, operation=decode_operation(row.operation))
    query = (
        select(admin_operations.c.operation)
        .where(
            admin_operations.c.account_key == account_key,
            admin_operations.c.request_id == request_id,
            admin_operations.c.content == INTERNAL,
        )
        .order_by(admin_operations.c.admin_seq.desc())
        .limit(1)
    )
    packed = connection.execute(query).scalar_one_or_none()
    if packed is None:
        return None
    refused = decode_operation(packed)
    match refused:
        case ApplyGrant():
            said = _settlement_of(refused.settlement)
            call = internal_call(account_id, request_id, now, said.actor, said.comment)
            grant = NewGrant(
                kind=GrantKind(refused.kind),
                amount=refused.amount,
                acquire_time=refused.acquire_time,
                expire_time=refused.expire_time,
                priority=refused.priority,
                comment=said.comment,
                actor=said.actor,
            )
            return give(connection, call, grant)
        case Renew():
            said = _settlement_of(refused.settlement)
            call = internal_call(account_id, request_id, now, said.actor, said.comment)
            renewal = NewRenewal(
                kind=GrantKind(refused.kind),
                amount=refused.amount,
                acquire_time=refused.acquire_time,
                expire_time=refused.expire_time,
                priority=refused.priority,
                cap=None if refused.cap == ABSENT else refused.cap,
                kinds=tuple(kind for kind in GrantKind if refused.kinds >> kind & 1),
                comment=said.comment,
                actor=said.actor,
            )
            return renew(connection, call, renewal)
        case _:
            return None


def owed_credits(connection: Connection, refused_before: int, limit: int) -> list[tuple[int, str, str]]:
    """Return account_key, account_id and request id of credits that Redis refused to accounts with too many grants.

    Only those whose last attempt was recorded before a moment.
    """
    later = admin_operations.alias("later")
    again = (
        select(func.count())
        .select_from(later)
        .where(
            later.c.account_key == admin_operations.c.account_key,
            later.c.request_id == admin_operations.c.request_id,
            later.c.admin_seq > admin_operations.c.admin_seq,
        )
        .scalar_subquery()
    )
    query = (
        select(admin_operations.c.account_key, accounts.c.account_id, admin_operations.c.request_id)
        .join_from(admin_operations, accounts, admin_operations.c.account_key == accounts.c.account_key)
        .where(
            # To the letter as the partial index says it, so that it is used.
            text("admin_operations.state = 2"),
            admin_operations.c.create_time <= refused_before,
            admin_operations.c.content == INTERNAL,
            admin_operations.c.refusal == RefusalCode.TOO_MANY_GRANTS.value,
            again == 0,
        )
        .order_by(admin_operations.c.create_time)
        .limit(limit)
    )
    return [(row.account_key, row.account_id, row.request_id) for row in connection.execute(query)]
