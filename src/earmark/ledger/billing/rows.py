"""Subscriptions and purchases as rows. Functions of one connection; their transaction is the caller's."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, text, update

from earmark.domain.catalog import Plan
from earmark.domain.plans import Overrides
from earmark.errors import EarmarkError, Reason, error
from earmark.ledger.billing.models import (
    NextTerm,
    PurchaseRecord,
    PurchaseState,
    Quote,
    QuoteTerms,
    SubscriptionEvent,
    SubscriptionRecord,
    SubscriptionState,
    Term,
)
from earmark.ledger.tables import accounts
from earmark.ledger.tables.billing import purchases, subscription_events, subscriptions

__all__ = [
    "PURCHASES",
    "SUBSCRIPTIONS",
    "add_event",
    "add_subscription",
    "current_subscription",
    "event_of",
    "had_any_plan",
    "had_plan",
    "latest_subscription",
    "new_id",
    "purchase_record",
    "save_subscription",
    "subscription_by_key",
    "subscription_not_found",
    "subscription_record",
    "terms_text",
]

_encode = msgspec.json.Encoder().encode
_plan_of = msgspec.json.Decoder(Plan).decode
_overrides_of = msgspec.json.Decoder(Overrides).decode
_next_of = msgspec.json.Decoder(NextTerm).decode
_terms_of = msgspec.json.Decoder(QuoteTerms).decode

SUBSCRIPTIONS = select(subscriptions, accounts.c.account_id, accounts.c.time_zone).join_from(subscriptions, accounts)
PURCHASES = select(purchases, accounts.c.account_id).join_from(purchases, accounts)


def new_id(prefix: str) -> str:
    """Return an id that nobody has, and nobody guesses."""
    return f"{prefix}_{secrets.token_hex(10)}"


def subscription_not_found(account_id: str) -> EarmarkError:
    """Return the error for an account without a subscription."""
    return error(
        Reason.SUBSCRIPTION_NOT_FOUND, f"account {account_id!r} never had a subscription", {"account_id": account_id}
    )


def current_subscription(connection: Connection, account_key: int) -> SubscriptionRecord | None:
    """Return the subscription that has not ended, or None."""
    # To the letter as the partial index says it, so that it is used.
    query = SUBSCRIPTIONS.where(subscriptions.c.account_key == account_key, text("subscriptions.state <> 4"))
    row = connection.execute(query).one_or_none()
    return None if row is None else subscription_record(row)


def latest_subscription(connection: Connection, account_key: int) -> SubscriptionRecord | None:
    """Return the newest subscription, ended ones too, or None."""
    query = (
        SUBSCRIPTIONS.where(subscriptions.c.account_key == account_key)
        .order_by(subscriptions.c.subscription_key.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else subscription_record(row)


def subscription_by_key(connection: Connection, key: int) -> SubscriptionRecord:
    """Return a subscription that exists."""
    return subscription_record(connection.execute(SUBSCRIPTIONS.where(subscriptions.c.subscription_key == key)).one())


def had_any_plan(connection: Connection, account_key: int) -> bool:
    """Return whether the account has or had a subscription."""
    query = select(subscriptions.c.subscription_key).where(subscriptions.c.account_key == account_key).limit(1)
    return connection.execute(query).one_or_none() is not None


def had_plan(connection: Connection, account_key: int, plan_id: str) -> bool:
    """Return whether the account ever was on a plan."""
    on_it = (
        SubscriptionEvent.CREATED,
        SubscriptionEvent.CLAIMED,
        SubscriptionEvent.UPGRADED,
        SubscriptionEvent.CHANGED,
        SubscriptionEvent.IMPORTED,
    )
    query = (
        select(subscription_events.c.admin_seq)
        .where(
            subscription_events.c.account_key == account_key,
            subscription_events.c.plan_id == plan_id,
            subscription_events.c.event.in_([event.value for event in on_it]),
        )
        .limit(1)
    )
    return connection.execute(query).one_or_none() is not None


def add_event(
    connection: Connection,
    account_key: int,
    admin_seq: int,
    subscription: SubscriptionRecord,
    event: SubscriptionEvent,
    now: int,
) -> None:
    """Note what happened, under the number of the operation that was recorded with it."""
    connection.execute(
        insert(subscription_events).values(
            account_key=account_key,
            admin_seq=admin_seq,
            subscription_key=subscription.key,
            event=event.value,
            plan_id=subscription.plan.plan_id,
            cycle=subscription.cycle,
            time=now,
        )
    )


def event_of(connection: Connection, account_key: int, admin_seq: int) -> Row[*tuple[Any, ...]] | None:
    """Return subscription_key, event and cycle of what was noted under this number, or None."""
    query = select(
        subscription_events.c.subscription_key, subscription_events.c.event, subscription_events.c.cycle
    ).where(subscription_events.c.account_key == account_key, subscription_events.c.admin_seq == admin_seq)
    found: Row[*tuple[Any, ...]] | None = connection.execute(query).one_or_none()
    return found


def add_subscription(connection: Connection, account: Row[Any], subscription: SubscriptionRecord) -> SubscriptionRecord:
    """Insert a subscription; return it with its key."""
    created = connection.execute(
        insert(subscriptions).values(
            subscription_id=subscription.subscription_id,
            account_key=account.account_key,
            partition=account.partition,
            create_time=subscription.create_time,
            **_values(subscription),
        )
    )
    assert created.inserted_primary_key is not None
    return msgspec.structs.replace(subscription, key=int(created.inserted_primary_key[0]))


def save_subscription(connection: Connection, subscription: SubscriptionRecord) -> None:
    """Write what may have changed of a subscription."""
    connection.execute(
        update(subscriptions)
        .where(subscriptions.c.subscription_key == subscription.key)
        .values(**_values(subscription))
    )


def _values(subscription: SubscriptionRecord) -> dict[str, Any]:
    renews = subscription.state in (SubscriptionState.ACTIVE, SubscriptionState.CANCELLING)
    following = subscription.next_term
    return {
        "state": subscription.state.value,
        "plan_id": subscription.plan.plan_id,
        "plan": _encode(subscription.plan).decode(),
        "catalog_version": subscription.catalog_version,
        "overrides": _encode(subscription.overrides).decode(),
        "term": subscription.term.value,
        "credits": subscription.credits,
        "anchor_time": subscription.anchor_time,
        "cycle": subscription.cycle,
        "cycle_start": subscription.cycle_start,
        "cycle_end": subscription.cycle_end,
        "term_last_cycle": subscription.term_last_cycle,
        "next_term_paid": subscription.next_term_paid,
        "next_change": "" if following is None else _encode(following).decode(),
        "due_time": subscription.cycle_end if renews else 0,
        "end_time": subscription.end_time,
    }


def subscription_record(row: Row[Any]) -> SubscriptionRecord:
    """Return a subscription from a row of `SUBSCRIPTIONS`."""
    return SubscriptionRecord(
        key=row.subscription_key,
        subscription_id=row.subscription_id,
        account_id=row.account_id,
        time_zone=row.time_zone,
        state=SubscriptionState(row.state),
        plan=_plan_of(row.plan),
        catalog_version=row.catalog_version,
        overrides=_overrides_of(row.overrides),
        term=Term(row.term),
        credits=row.credits,
        anchor_time=row.anchor_time,
        cycle=row.cycle,
        cycle_start=row.cycle_start,
        cycle_end=row.cycle_end,
        term_last_cycle=row.term_last_cycle,
        next_term_paid=row.next_term_paid,
        next_term=_next_of(row.next_change) if row.next_change else None,
        create_time=row.create_time,
        end_time=row.end_time,
    )


def terms_text(terms: QuoteTerms) -> str:
    """Return the terms of a quote as they are stored."""
    return _encode(terms).decode()


def purchase_record(row: Row[Any]) -> PurchaseRecord:
    """Return a purchase from a row of `PURCHASES`."""
    return PurchaseRecord(
        key=row.purchase_key,
        purchase_id=row.purchase_id,
        account_id=row.account_id,
        state=PurchaseState(row.state),
        quote=Quote(
            pack_id=row.pack_id,
            credits=row.credits,
            bonus=row.bonus,
            method=row.method,
            price=row.price,
            unit_price=row.unit_price,
            promotion_id=row.promotion_id,
            price_version=row.price_version,
            terms=_terms_of(row.terms),
        ),
        payment_reference=row.payment_reference,
        request_id=row.request_id,
        reason=row.reason,
        create_time=row.create_time,
        settle_time=row.settle_time,
    )
