"""Cycles and terms of a subscription: what happens when one is over. Functions of one connection; their transaction is
the caller's, who has locked the account.

What was paid lasts: a downgrade, another term and a cancellation take effect when the term is over, which for a term of
a month is the cycle.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from sqlalchemy import Connection, Row

from earmark.domain.catalog import Catalog, CycleKind, Plan
from earmark.domain.cycles import cycle, next_end
from earmark.domain.limits import FOREVER
from earmark.domain.plans import Overrides, carried, effective_plan
from earmark.domain.validity import expire_time
from earmark.ledger.administration import AdminCall
from earmark.ledger.billing.credits import give, internal_call, renew, renewal_request
from earmark.ledger.billing.models import (
    SubscriptionEvent,
    SubscriptionRecord,
    SubscriptionState,
    Term,
)
from earmark.ledger.billing.rows import add_event, add_subscription, had_plan, new_id, save_subscription
from earmark.ledger.configuration import record_configuration
from earmark.ledger.models import AdminTicket, NewGrant, NewRenewal

__all__ = ["advance", "begin_subscription", "begin_term_now", "cycle_grant", "end_subscription", "paid_until"]

_CYCLES_AT_ONCE = 60
"""That one transaction catches up with; the next one goes on."""


def begin_subscription(
    connection: Connection,
    account: Row[Any],
    call: AdminCall,
    catalog: Catalog,
    plan: Plan,
    term: Term,
    overrides: Overrides,
    event: SubscriptionEvent,
) -> tuple[SubscriptionRecord, list[AdminTicket]]:
    """Begin the first cycle now, and give its credits, in full."""
    own = effective_plan(plan, overrides)
    first = cycle(own.cycle, call.now, ZoneInfo(account.time_zone), 1)
    credits = _credits(connection, account.account_key, own)
    subscription = SubscriptionRecord(
        key=0,
        subscription_id=new_id("sub"),
        account_id=call.account_id,
        time_zone=account.time_zone,
        state=SubscriptionState.ACTIVE,
        plan=plan,
        catalog_version=catalog.version,
        overrides=overrides,
        term=term,
        credits=credits,
        anchor_time=first.start,
        cycle=1,
        cycle_start=first.start,
        cycle_end=_end(first.end),
        term_last_cycle=term.cycles,
        next_term_paid=False,
        next_term=None,
        create_time=call.now,
        end_time=0,
    )
    subscription = add_subscription(connection, account, subscription)
    configured = record_configuration(connection, call)
    add_event(connection, account.account_key, configured.admin_seq, subscription, event, call.now)
    tickets = [configured]
    if credits:
        request_id = renewal_request(subscription.subscription_id, 1)
        giving = internal_call(call.account_id, request_id, call.now, call.actor)
        tickets.append(give(connection, giving, cycle_grant(account, subscription, own, credits, call)))
    return subscription, tickets


def cycle_grant(
    account: Row[Any], subscription: SubscriptionRecord, own: Plan, amount: int, call: AdminCall
) -> NewGrant:
    """Return credits that are acquired now, in the subscription's present cycle."""
    return NewGrant(
        kind=own.grant_kind,
        amount=amount,
        acquire_time=call.now,
        expire_time=expire_time(own.validity, call.now, ZoneInfo(account.time_zone), subscription.cycle_end),
        priority=own.priority,
        comment=_comment(own, subscription.cycle),
        actor=call.actor,
    )


def advance(
    connection: Connection, account: Row[Any], subscription: SubscriptionRecord, catalog: Catalog, now: int
) -> tuple[SubscriptionRecord, list[AdminTicket]]:
    """Do what is due: begin each cycle whose time has come, in order, each once; end, change or wait between terms.

    The cycle moves in the transaction that records its credits, so that whoever comes second finds nothing due.
    """
    found, tickets = subscription, list[AdminTicket]()
    for _ in range(_CYCLES_AT_ONCE):
        moves = subscription.state in (SubscriptionState.ACTIVE, SubscriptionState.CANCELLING)
        if not moves or not subscription.cycle_end or subscription.cycle_end > now:
            break
        if subscription.cycle >= subscription.term_last_cycle and not subscription.next_term_paid:
            if subscription.state is SubscriptionState.CANCELLING:
                request_id = f"end/{subscription.subscription_id}"
                call = internal_call(subscription.account_id, request_id, now)
                subscription, ended = end_subscription(connection, account, subscription, call, subscription.cycle_end)
                tickets.append(ended)
                break
            if _next_plan(subscription, catalog).confirmed_renewal:
                subscription = replace(subscription, state=SubscriptionState.AWAITING_RENEWAL)
                request_id = f"await/{subscription.subscription_id}/{subscription.cycle}"
                call = internal_call(subscription.account_id, request_id, now)
                tickets.append(_configure(connection, account, subscription, call, SubscriptionEvent.AWAITING))
                break
        start, number = subscription.cycle_end, subscription.cycle + 1
        subscription, begun = _begin_cycle(connection, account, subscription, catalog, number, start, start, now)
        tickets += begun
    if subscription is not found:
        save_subscription(connection, subscription)
    return subscription, tickets


def begin_term_now(
    connection: Connection,
    account: Row[Any],
    subscription: SubscriptionRecord,
    catalog: Catalog,
    call: AdminCall,
    event: SubscriptionEvent,
) -> tuple[SubscriptionRecord, list[AdminTicket]]:
    """Begin the term that was waited for. The anchor stays: it begins with the cycle that holds now; what passed
    unpaid gives nothing.
    """
    zone = ZoneInfo(account.time_zone)
    kind = _next_plan(subscription, catalog).cycle
    number, start = subscription.cycle + 1, subscription.cycle_end
    while (end := next_end(kind, subscription.anchor_time, zone, start)) <= call.now:
        number, start = number + 1, end
    waiting = replace(subscription, state=SubscriptionState.ACTIVE, cycle=number - 1, term_last_cycle=number - 1)
    configured = record_configuration(connection, call)
    begun, tickets = _begin_cycle(connection, account, waiting, catalog, number, start, call.now, call.now)
    save_subscription(connection, begun)
    add_event(connection, account.account_key, configured.admin_seq, begun, event, call.now)
    return begun, [configured, *tickets]


def end_subscription(
    connection: Connection, account: Row[Any], subscription: SubscriptionRecord, call: AdminCall, end_time: int
) -> tuple[SubscriptionRecord, AdminTicket]:
    """End a subscription; its credits stay."""
    ended = replace(subscription, state=SubscriptionState.ENDED, end_time=end_time, next_term=None)
    ticket = _configure(connection, account, ended, call, SubscriptionEvent.ENDED)
    save_subscription(connection, ended)
    return ended, ticket


def paid_until(subscription: SubscriptionRecord) -> int:
    """Return when what was paid is over; 0 for a plan without cycles."""
    if not subscription.has_cycles or not subscription.cycle_end:
        return 0
    last = subscription.term_last_cycle
    if subscription.next_term_paid:
        following = subscription.next_term
        last += (subscription.term if following is None else following.term).cycles
    zone, end = ZoneInfo(subscription.time_zone), subscription.cycle_end
    for _ in range(last - subscription.cycle):
        end = next_end(subscription.plan.cycle, subscription.anchor_time, zone, end)
    return end


def _begin_cycle(
    connection: Connection,
    account: Row[Any],
    subscription: SubscriptionRecord,
    catalog: Catalog,
    number: int,
    start: int,
    acquired: int,
    now: int,
) -> tuple[SubscriptionRecord, list[AdminTicket]]:
    """Begin a cycle: what its predecessor's plan lets go on is carried over, and its own plan's credits are given."""
    zone = ZoneInfo(account.time_zone)
    before = subscription.effective(catalog.plans)
    term_begins = number > subscription.term_last_cycle
    following = subscription.next_term if term_begins else None
    plan = subscription.plan if following is None else following.plan
    plan = catalog.plans.get(plan.plan_id, plan)
    overrides = subscription.overrides if following is None else following.overrides
    term = subscription.term if following is None else following.term
    own = effective_plan(plan, overrides)
    end = _end(next_end(own.cycle, subscription.anchor_time, zone, start))
    changes = plan.plan_id != subscription.plan.plan_id
    credits = _credits(connection, account.account_key, own) if changes else own.credits
    begun = replace(
        subscription,
        plan=plan,
        catalog_version=catalog.version,
        overrides=overrides,
        term=term,
        credits=credits,
        cycle=number,
        cycle_start=start,
        cycle_end=end,
        term_last_cycle=number - 1 + term.cycles if term_begins else subscription.term_last_cycle,
        next_term_paid=subscription.next_term_paid and not term_begins,
        next_term=None if term_begins else subscription.next_term,
    )
    tickets = []
    if following is not None:
        request_id = f"change/{subscription.subscription_id}/{number}"
        call = internal_call(subscription.account_id, request_id, now)
        tickets.append(_configure(connection, account, begun, call, SubscriptionEvent.CHANGED))
    cap, kinds = carried(before)
    if credits or cap is not None:
        renewal = NewRenewal(
            kind=own.grant_kind,
            amount=credits,
            acquire_time=acquired,
            expire_time=expire_time(own.validity, acquired, zone, end),
            priority=own.priority,
            cap=cap,
            kinds=kinds,
            comment=_comment(own, number),
        )
        call = internal_call(subscription.account_id, renewal_request(subscription.subscription_id, number), now)
        tickets.append(renew(connection, call, renewal))
    return begun, tickets


def _configure(
    connection: Connection,
    account: Row[Any],
    subscription: SubscriptionRecord,
    call: AdminCall,
    event: SubscriptionEvent,
) -> AdminTicket:
    ticket = record_configuration(connection, call)
    add_event(connection, account.account_key, ticket.admin_seq, subscription, event, call.now)
    return ticket


def _next_plan(subscription: SubscriptionRecord, catalog: Catalog) -> Plan:
    plan = subscription.plan if subscription.next_term is None else subscription.next_term.plan
    return catalog.plans.get(plan.plan_id, plan)


def _credits(connection: Connection, account_key: int, own: Plan) -> int:
    """Return what beginning with a plan gives: credits that come once come once for an account."""
    if own.cycle is CycleKind.ONCE and had_plan(connection, account_key, own.plan_id):
        return 0
    return own.credits


def _end(moment: int) -> int:
    return 0 if moment >= FOREVER else moment


def _comment(own: Plan, number: int) -> str:
    name = own.display_name or own.plan_id
    return name if own.cycle is CycleKind.ONCE else f"{name}, cycle {number}"
