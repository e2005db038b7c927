"""The common part of every administrative change: one transaction that numbers it, remembers its request, and keeps
what is to be relayed to Redis. Functions of one connection; their transaction is the caller's.

Several changes of one account may share a transaction, each under its own request id: `grants.record_grant`,
`grants.record_renewal`, `configuration.record_configuration`. Relay their tickets in the order of their admin_seqs once
the transaction has ended; if the process dies before, the background relay does.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, text, update

from earmark.domain.ids import ContentDigest
from earmark.errors import EarmarkError, Reason, error
from earmark.ledger.models import AdminOperation, AdminState, AdminTicket
from earmark.ledger.tables import accounts, admin_operations

__all__ = [
    "AdminCall",
    "AdminOperation",
    "account_key_of",
    "account_not_found",
    "decode_operation",
    "encode_operation",
    "find_request",
    "lock_account",
    "record_operation",
    "replay_of",
    "request_reused",
    "store_operation",
]

decode_operation = msgspec.msgpack.Decoder(AdminOperation).decode
encode_operation = msgspec.msgpack.Encoder().encode


class AdminCall(msgspec.Struct, frozen=True):
    """Who asks for a change, and under which request id. Of the same request id the first content stands for ever."""

    account_id: str
    request_id: str
    content: ContentDigest
    now: int
    actor: str = ""
    comment: str = ""


def account_not_found(account_id: str) -> EarmarkError:
    """Return the error for an account that does not exist."""
    return error(Reason.ACCOUNT_NOT_FOUND, f"no account has the id {account_id!r}", {"account_id": account_id})


def request_reused(request_id: str) -> EarmarkError:
    """Return the error for a request id that stands for another content."""
    return error(
        Reason.REQUEST_ID_REUSED,
        f"the request_id {request_id!r} was used for another request",
        {"request_id": request_id},
    )


def account_key_of(connection: Connection, account_id: str) -> int:
    """Return an account's key.

    Raises:
        NotFound: ACCOUNT_NOT_FOUND.
    """
    query = select(accounts.c.account_key).where(accounts.c.account_id == account_id)
    key = connection.execute(query).scalar_one_or_none()
    if key is None:
        raise account_not_found(account_id)
    return int(key)


def lock_account(connection: Connection, account_id: str) -> Row[Any]:
    """Return the account's row; no other administrative change of it can begin before this transaction ends.

    Raises:
        NotFound: ACCOUNT_NOT_FOUND.
    """
    # FOR NO KEY UPDATE: rows that refer to the account may be inserted meanwhile. SQLite has one writer anyway.
    query = select(accounts).where(accounts.c.account_id == account_id).with_for_update(key_share=True)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise account_not_found(account_id)
    return row


def replay_of(connection: Connection, account_key: int, call: AdminCall) -> AdminTicket | None:
    """Return the ticket of an earlier call with this request id; a refused one gave its id back.

    Raises:
        AlreadyExists: REQUEST_ID_REUSED, if that call had another content.
    """
    row = find_request(connection, account_key, call.request_id)
    if row is None:
        return None
    if row.content != call.content or not row.operation:
        raise request_reused(call.request_id)
    return AdminTicket(call.account_id, row.admin_seq, replayed=True, operation=decode_operation(row.operation))


def find_request(connection: Connection, account_key: int, request_id: str) -> Row[*tuple[Any, ...]] | None:
    """Return admin_seq, content and operation of the call with this request id that was not refused."""
    query = select(admin_operations.c.admin_seq, admin_operations.c.content, admin_operations.c.operation).where(
        admin_operations.c.account_key == account_key,
        admin_operations.c.request_id == request_id,
        # To the letter as the partial index says it, so that it is used.
        text("state <> 2"),
    )
    found: Row[*tuple[Any, ...]] | None = connection.execute(query).one_or_none()
    return found


def record_operation(
    connection: Connection, account_key: int, call: AdminCall, operation: AdminOperation
) -> AdminTicket:
    """Store an operation under its admin_seq, which must be the account's last + 1."""
    moved = (
        update(accounts)
        .where(accounts.c.account_key == account_key, accounts.c.admin_seq == operation.admin_seq - 1)
        .values(admin_seq=operation.admin_seq)
    )
    if connection.execute(moved).rowcount != 1:
        raise RuntimeError(f"account {call.account_id!r} was not locked for administration")
    store_operation(connection, account_key, call, operation.admin_seq, AdminState.PENDING, encode_operation(operation))
    return AdminTicket(call.account_id, operation.admin_seq, replayed=False, operation=operation)


def store_operation(
    connection: Connection, account_key: int, call: AdminCall, admin_seq: int, state: AdminState, operation: bytes
) -> None:
    """Insert the row of an operation; the creation of the account has no operation."""
    connection.execute(
        insert(admin_operations).values(
            account_key=account_key,
            admin_seq=admin_seq,
            request_id=call.request_id,
            content=call.content,
            state=state.value,
            refusal=0,
            operation=operation,
            actor=call.actor,
            comment=call.comment,
            create_time=call.now,
        )
    )
