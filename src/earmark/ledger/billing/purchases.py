"""Purchases. Functions of one connection; each is one transaction."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from sqlalchemy import Connection, Row, insert, update

from earmark.domain.states import GrantKind
from earmark.domain.validity import expire_time
from earmark.ledger.administration import AdminCall, account_key_of, lock_account, replay_of
from earmark.ledger.billing import refusals
from earmark.ledger.billing.credits import (
    bonus_request,
    check_total,
    give,
    internal_call,
    purchase_request,
    settle_owed,
)
from earmark.ledger.billing.models import PurchaseOutcome, PurchaseRecord, PurchaseState, Quote
from earmark.ledger.billing.rows import PURCHASES, current_subscription, new_id, purchase_record, terms_text
from earmark.ledger.configuration import record_changes
from earmark.ledger.models import AdminTicket, NewGrant
from earmark.ledger.tables import accounts
from earmark.ledger.tables.billing import purchases

__all__ = ["confirm", "create", "fail", "list_purchases", "of_request"]


def create(connection: Connection, call: AdminCall, quote: Quote, payment_reference: str) -> PurchaseOutcome:
    """Begin a purchase; see `Billing.create_purchase`."""
    account = lock_account(connection, call.account_id)
    ticket = replay_of(connection, account.account_key, call)
    if ticket is not None:
        query = PURCHASES.where(
            purchases.c.account_key == account.account_key, purchases.c.request_id == call.request_id
        )
        return PurchaseOutcome(purchase_record(connection.execute(query).one()), (ticket,), replayed=True)
    if payment_reference and _by_reference(connection, payment_reference) is not None:
        raise refusals.payment_reference_used(payment_reference)
    check_total(connection, account.account_key, call.account_id, quote.credits + quote.bonus)
    purchase_id = new_id("pur")
    connection.execute(
        insert(purchases).values(
            purchase_id=purchase_id,
            account_key=account.account_key,
            state=PurchaseState.PENDING.value,
            pack_id=quote.pack_id,
            credits=quote.credits,
            bonus=quote.bonus,
            method=quote.method,
            price=quote.price,
            unit_price=quote.unit_price,
            promotion_id=quote.promotion_id,
            terms=terms_text(quote.terms),
            price_version=quote.price_version,
            payment_reference=payment_reference,
            request_id=call.request_id,
            reason="",
            create_time=call.now,
            settle_time=0,
        )
    )
    # Changes nothing of the account; it keeps the request id, which all administration shares.
    ticket = record_changes(connection, call)
    return PurchaseOutcome(_required(connection, purchase_id, ""), (ticket,), replayed=False)


def confirm(connection: Connection, purchase_id: str, payment_reference: str, now: int, actor: str) -> PurchaseOutcome:
    """Give what was bought; see `Billing.confirm_purchase`."""
    account, purchase = _locked(connection, purchase_id, payment_reference)
    match purchase.state:
        case PurchaseState.FAILED:
            raise refusals.purchase_failed(purchase)
        case PurchaseState.CONFIRMED:
            return PurchaseOutcome(purchase, _given(connection, account, purchase, now), replayed=True)
        case PurchaseState.PENDING:
            pass
    check_total(connection, account.account_key, purchase.account_id, purchase.quote.credits + purchase.quote.bonus)
    reference = payment_reference or purchase.payment_reference
    purchase = _settle(connection, purchase, PurchaseState.CONFIRMED, reference, "", now)
    quote, terms = purchase.quote, purchase.quote.terms
    zone = ZoneInfo(account.time_zone)
    bought = NewGrant(
        kind=GrantKind.PURCHASE,
        amount=quote.credits,
        acquire_time=now,
        expire_time=expire_time(terms.validity, now, zone, _cycle_end(connection, account)),
        priority=terms.priority,
        comment=f"{quote.pack_id} for {quote.price} {quote.method}",
        actor=actor,
    )
    call = internal_call(purchase.account_id, purchase_request(purchase.purchase_id), now, actor)
    tickets = [give(connection, call, bought)]
    if quote.bonus:
        bonus = replace(
            bought,
            kind=GrantKind.PROMOTION,
            amount=quote.bonus,
            expire_time=expire_time(terms.bonus_validity, now, zone, _cycle_end(connection, account)),
            priority=terms.bonus_priority,
            comment=f"{quote.promotion_id}: bonus with {quote.pack_id}",
        )
        call = internal_call(purchase.account_id, bonus_request(purchase.purchase_id), now, actor)
        tickets.append(give(connection, call, bonus))
    return PurchaseOutcome(purchase, tuple(tickets), replayed=False)


def fail(connection: Connection, purchase_id: str, payment_reference: str, reason: str, now: int) -> PurchaseOutcome:
    """Note that a payment failed; see `Billing.fail_purchase`."""
    _, purchase = _locked(connection, purchase_id, payment_reference)
    match purchase.state:
        case PurchaseState.FAILED:
            return PurchaseOutcome(purchase, (), replayed=True)
        case PurchaseState.CONFIRMED:
            raise refusals.purchase_confirmed(purchase)
        case PurchaseState.PENDING:
            reference = payment_reference or purchase.payment_reference
            failed = _settle(connection, purchase, PurchaseState.FAILED, reference, reason, now)
            return PurchaseOutcome(failed, (), replayed=False)


def list_purchases(
    connection: Connection, account_id: str, state: PurchaseState | None, limit: int, before: int | None
) -> list[PurchaseRecord]:
    """Return a page of an account's purchases, newest first, those below the key `before`."""
    account_key = account_key_of(connection, account_id)
    query = PURCHASES.where(purchases.c.account_key == account_key).order_by(purchases.c.purchase_key.desc())
    if state is not None:
        query = query.where(purchases.c.state == state.value)
    if before is not None:
        query = query.where(purchases.c.purchase_key < before)
    return [purchase_record(row) for row in connection.execute(query.limit(limit))]


def of_request(connection: Connection, account_id: str, request_id: str) -> PurchaseRecord | None:
    """Return the purchase that a request of the account began, or None."""
    query = PURCHASES.where(accounts.c.account_id == account_id, purchases.c.request_id == request_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else purchase_record(row)


def _required(connection: Connection, purchase_id: str, payment_reference: str) -> PurchaseRecord:
    if purchase_id:
        row = connection.execute(PURCHASES.where(purchases.c.purchase_id == purchase_id)).one_or_none()
        found = None if row is None else purchase_record(row)
    else:
        found = _by_reference(connection, payment_reference)
    if found is None:
        raise refusals.purchase_not_found(purchase_id, payment_reference)
    return found


def _by_reference(connection: Connection, payment_reference: str) -> PurchaseRecord | None:
    query = PURCHASES.where(purchases.c.payment_reference == payment_reference, purchases.c.payment_reference != "")
    row = connection.execute(query).one_or_none()
    return None if row is None else purchase_record(row)


def _locked(connection: Connection, purchase_id: str, payment_reference: str) -> tuple[Row[Any], PurchaseRecord]:
    """Return account and purchase; whoever else settles a purchase of the account waits until this transaction ends."""
    account = lock_account(connection, _required(connection, purchase_id, payment_reference).account_id)
    # As it is behind the lock: it may have been settled while we waited.
    purchase = _required(connection, purchase_id, payment_reference)
    if payment_reference and purchase.payment_reference != payment_reference:
        if purchase.payment_reference:
            raise refusals.other_reference(purchase)
        if _by_reference(connection, payment_reference) is not None:
            raise refusals.payment_reference_used(payment_reference)
    return account, purchase


def _settle(
    connection: Connection, purchase: PurchaseRecord, state: PurchaseState, reference: str, reason: str, now: int
) -> PurchaseRecord:
    connection.execute(
        update(purchases)
        .where(purchases.c.purchase_key == purchase.key, purchases.c.state == PurchaseState.PENDING.value)
        .values(state=state.value, payment_reference=reference, reason=reason, settle_time=now)
    )
    return replace(purchase, state=state, payment_reference=reference, reason=reason, settle_time=now)


def _given(connection: Connection, account: Row[Any], purchase: PurchaseRecord, now: int) -> tuple[AdminTicket, ...]:
    """Return the tickets of what a confirmed purchase gave; what Redis refused is recorded anew."""
    requests = (purchase_request(purchase.purchase_id), bonus_request(purchase.purchase_id))
    found = (
        settle_owed(connection, account.account_key, purchase.account_id, request_id, now) for request_id in requests
    )
    return tuple(sorted((ticket for ticket in found if ticket is not None), key=lambda ticket: ticket.admin_seq))


def _cycle_end(connection: Connection, account: Row[Any]) -> int:
    current = current_subscription(connection, account.account_key)
    return 0 if current is None else current.cycle_end
