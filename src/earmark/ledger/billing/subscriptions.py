"""What callers do with subscriptions. Functions of one connection; each is one transaction.

Each first locks the account, then answers a repeat, then does what is due, then what is asked. The caller's request id
stands in the operation that tells Redis of the change (which Redis never refuses); credits have ids of their own.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, Row, text

from earmark.domain.catalog import Catalog, CycleKind, Plan
from earmark.domain.plans import Change, Overrides, change_of_plan, difference, effective_plan
from earmark.errors import Reason, error
from earmark.ledger.administration import AdminCall, lock_account, replay_of
from earmark.ledger.billing import refusals
from earmark.ledger.billing.credits import (
    check_total,
    give,
    internal_call,
    renewal_request,
    settle_owed,
    upgrade_request,
)
from earmark.ledger.billing.models import (
    NextTerm,
    SubscriptionEvent,
    SubscriptionOutcome,
    SubscriptionRecord,
    SubscriptionState,
    Term,
)
from earmark.ledger.billing.rows import (
    add_event,
    current_subscription,
    event_of,
    had_any_plan,
    had_plan,
    latest_subscription,
    new_id,
    save_subscription,
    subscription_by_key,
    subscription_not_found,
)
from earmark.ledger.billing.terms import (
    advance,
    begin_subscription,
    begin_term_now,
    cycle_grant,
    end_subscription,
)
from earmark.ledger.configuration import record_changes, record_configuration
from earmark.ledger.models import AdminTicket

__all__ = ["cancel", "change", "claim", "claim_identity", "confirm_renewal", "create", "subscribe_default"]


def create(
    connection: Connection, call: AdminCall, catalog: Catalog, plan_id: str, term: Term, overrides: Overrides
) -> SubscriptionOutcome:
    """Subscribe an account; see `Billing.create_subscription`."""
    account = lock_account(connection, call.account_id)
    if (before := _replayed(connection, account, call)) is not None:
        return before
    plan = refusals.plan_of(catalog, plan_id)
    if plan.claimed:
        raise refusals.must_be_claimed(plan)
    refusals.check_overrides(plan, overrides)
    if plan.only_new and had_any_plan(connection, account.account_key):
        raise refusals.only_for_new_accounts(call.account_id, plan_id)
    current, tickets = _advanced(connection, account, catalog, call.now)
    if current is not None:
        if current.has_cycles or plan.cycle is CycleKind.ONCE:
            raise refusals.already_subscribed(current)
        # A plan whose credits came once has nothing that could still end: a real one takes its place.
        tickets.append(_superseded(connection, account, current, call))
    check_total(connection, account.account_key, call.account_id, effective_plan(plan, overrides).credits)
    subscription, begun = begin_subscription(
        connection, account, call, catalog, plan, term, overrides, SubscriptionEvent.CREATED
    )
    return SubscriptionOutcome(subscription, SubscriptionEvent.CREATED, (*tickets, *begun), replayed=False)


def subscribe_default(
    connection: Connection, account_id: str, catalog: Catalog, now: int
) -> SubscriptionOutcome | None:
    """Give an account that never had a plan the catalog's default one; None if there is nothing to do."""
    plan = catalog.plans.get(catalog.default_plan)
    if plan is None:
        return None
    account = lock_account(connection, account_id)
    if had_any_plan(connection, account.account_key):
        return None
    call = internal_call(account_id, f"default/{new_id('sub')}", now)
    subscription, tickets = begin_subscription(
        connection, account, call, catalog, plan, Term.MONTH, Overrides(), SubscriptionEvent.CREATED
    )
    return SubscriptionOutcome(subscription, SubscriptionEvent.CREATED, tuple(tickets), replayed=False)


def change(
    connection: Connection,
    call: AdminCall,
    catalog: Catalog,
    plan_id: str,
    term: Term | None,
    overrides: Overrides | None,
) -> SubscriptionOutcome:
    """Change plan or term; see `Billing.change_plan`."""
    account = lock_account(connection, call.account_id)
    if (before := _replayed(connection, account, call)) is not None:
        return before
    current, tickets = _required(connection, account, catalog, call)
    plan = refusals.plan_of(catalog, plan_id)
    if plan_id == current.plan.plan_id:
        overrides = current.overrides if overrides is None else overrides
    elif plan.claimed:
        raise refusals.must_be_claimed(plan)
    wanted = NextTerm(plan, term or current.term, overrides or Overrides())
    refusals.check_overrides(plan, wanted.overrides)
    new = effective_plan(plan, wanted.overrides)
    present = current.effective(catalog.plans)
    if current.state is SubscriptionState.AWAITING_RENEWAL:
        waiting = replace(current, next_term=wanted)
        if new.confirmed_renewal:
            outcome = _plan_change(connection, account, waiting, call)
        else:
            # Nothing is to be paid for it, so that there is nothing to wait for.
            event = SubscriptionEvent.CHANGED
            begun, given = begin_term_now(connection, account, waiting, catalog, call, event)
            outcome = SubscriptionOutcome(begun, event, tuple(given), replayed=False)
    else:
        match change_of_plan(present, new):
            case Change.NOW:
                outcome = _upgrade(connection, account, current, wanted, new, catalog, call)
            case Change.ANEW:
                outcome = _begin_anew(connection, account, current, wanted, catalog, call)
            case Change.LATER:
                planned = replace(current, state=SubscriptionState.ACTIVE, next_term=wanted)
                outcome = _plan_change(connection, account, planned, call)
            case _:
                following = None if wanted.term is current.term or not current.has_cycles else wanted
                kept = replace(current, state=SubscriptionState.ACTIVE, next_term=following)
                outcome = _plan_change(connection, account, kept, call)
    return replace(outcome, tickets=(*tickets, *outcome.tickets))


def cancel(connection: Connection, call: AdminCall, catalog: Catalog) -> SubscriptionOutcome:
    """Cancel a subscription; see `Billing.cancel_subscription`."""
    account = lock_account(connection, call.account_id)
    if (before := _replayed(connection, account, call)) is not None:
        return before
    current, tickets = _required(connection, account, catalog, call)
    if current.state is SubscriptionState.AWAITING_RENEWAL or not current.has_cycles:
        # Nothing that was paid is left.
        ended, ticket = end_subscription(connection, account, current, call, call.now)
        return SubscriptionOutcome(ended, SubscriptionEvent.ENDED, (*tickets, ticket), replayed=False)
    cancelled = replace(current, state=SubscriptionState.CANCELLING, next_term=None)
    outcome = _plan_change(connection, account, cancelled, call, SubscriptionEvent.CANCELLED)
    return replace(outcome, tickets=(*tickets, *outcome.tickets))


def confirm_renewal(connection: Connection, call: AdminCall, catalog: Catalog) -> SubscriptionOutcome:
    """Note that the next term is paid; see `Billing.confirm_renewal`."""
    account = lock_account(connection, call.account_id)
    if (before := _replayed(connection, account, call)) is not None:
        return before
    current, tickets = _required(connection, account, catalog, call)
    if current.state is SubscriptionState.AWAITING_RENEWAL:
        event = SubscriptionEvent.CONFIRMED
        begun, given = begin_term_now(connection, account, current, catalog, call, event)
        return SubscriptionOutcome(begun, event, (*tickets, *given), replayed=False)
    following = current.plan if current.next_term is None else current.next_term.plan
    if current.state is SubscriptionState.CANCELLING:
        raise refusals.renewal_not_due(current, "is cancelled; ChangePlan to the same plan takes that back")
    if not current.has_cycles or not catalog.plans.get(following.plan_id, following).confirmed_renewal:
        raise refusals.renewal_not_due(current, "renews without being confirmed")
    if current.next_term_paid:
        raise refusals.renewal_not_due(current, "is paid for the next term already")
    paid = replace(current, next_term_paid=True)
    outcome = _plan_change(connection, account, paid, call, SubscriptionEvent.CONFIRMED_EARLY)
    return replace(outcome, tickets=(*tickets, *outcome.tickets))


def claim(
    connection: Connection, call: AdminCall, catalog: Catalog, identity: str, plan_id: str
) -> SubscriptionOutcome:
    """Claim a free plan for a normalised identity; see `Billing.claim_free_plan`."""
    account = lock_account(connection, call.account_id)
    if (before := _replayed(connection, account, call)) is not None:
        return before
    plan = _claimed_plan(catalog, plan_id)
    if not claim_identity(connection, account.account_key, identity, plan.plan_id, call.now):
        raise refusals.free_plan_claimed(identity, plan.plan_id)
    if plan.only_new and had_any_plan(connection, account.account_key):
        raise refusals.only_for_new_accounts(call.account_id, plan.plan_id)
    current, tickets = _advanced(connection, account, catalog, call.now)
    if current is not None:
        raise refusals.already_subscribed(current)
    check_total(connection, account.account_key, call.account_id, plan.credits)
    event = SubscriptionEvent.CLAIMED
    subscription, begun = begin_subscription(connection, account, call, catalog, plan, Term.MONTH, Overrides(), event)
    return SubscriptionOutcome(subscription, event, (*tickets, *begun), replayed=False)


def claim_identity(connection: Connection, account_key: int, identity: str, plan_id: str, now: int) -> bool:
    """Note that a normalised identity has claimed; return False if it had before.

    Of two who claim at the same moment the second one waits here until the first one's transaction has ended.
    """
    insert_once = text(
        "INSERT INTO claimed_identities (identity, account_key, plan_id, create_time) "
        "VALUES (:identity, :account_key, :plan_id, :now) ON CONFLICT (identity) DO NOTHING"
    )
    values = {"identity": identity, "account_key": account_key, "plan_id": plan_id, "now": now}
    return connection.execute(insert_once, values).rowcount == 1


def _claimed_plan(catalog: Catalog, plan_id: str) -> Plan:
    if plan_id:
        plan = refusals.plan_of(catalog, plan_id)
        if not plan.claimed:
            raise error(
                Reason.INVALID_ARGUMENT,
                f"plan_id: the plan {plan_id!r} is not claimed: use CreateSubscription",
                {"plan_id": plan_id},
                field="plan_id",
            )
        return plan
    claimed = [plan for plan in catalog.plans.values() if plan.claimed]
    if not claimed:
        raise error(Reason.PLAN_NOT_FOUND, "plan_id: the catalog has no plan that can be claimed", {"plan_id": ""})
    if len(claimed) > 1:
        names = ", ".join(plan.plan_id for plan in claimed)
        raise error(
            Reason.INVALID_ARGUMENT, f"plan_id: several plans can be claimed, say which: {names}", field="plan_id"
        )
    return claimed[0]


def _replayed(connection: Connection, account: Row[Any], call: AdminCall) -> SubscriptionOutcome | None:
    """Return what an earlier call with this request id did; credits that Redis refused then are recorded anew."""
    ticket = replay_of(connection, account.account_key, call)
    if ticket is None:
        return None
    noted = event_of(connection, account.account_key, ticket.admin_seq)
    if noted is None:
        raise RuntimeError(f"operation {ticket.admin_seq} of account {call.account_id!r} is about no subscription")
    subscription, event = subscription_by_key(connection, noted.subscription_key), SubscriptionEvent(noted.event)
    subscription_id = subscription.subscription_id
    tickets = [ticket]
    match event:
        case SubscriptionEvent.UPGRADED:
            request_id = upgrade_request(subscription_id, ticket.admin_seq)
        case SubscriptionEvent.CREATED | SubscriptionEvent.CLAIMED | SubscriptionEvent.CONFIRMED:
            request_id = renewal_request(subscription_id, noted.cycle)
        case _:
            request_id = ""
    if request_id:
        given = settle_owed(connection, account.account_key, call.account_id, request_id, call.now)
        tickets += [] if given is None else [given]
    return SubscriptionOutcome(subscription, event, tuple(tickets), replayed=True)


def _advanced(
    connection: Connection, account: Row[Any], catalog: Catalog, now: int
) -> tuple[SubscriptionRecord | None, list[AdminTicket]]:
    """Return the account's subscription as it is now, whether the cycle job has been there or not."""
    current = current_subscription(connection, account.account_key)
    if current is None:
        return None, []
    current, tickets = advance(connection, account, current, catalog, now)
    return (None if current.state is SubscriptionState.ENDED else current), tickets


def _required(
    connection: Connection, account: Row[Any], catalog: Catalog, call: AdminCall
) -> tuple[SubscriptionRecord, list[AdminTicket]]:
    current, tickets = _advanced(connection, account, catalog, call.now)
    if current is not None:
        return current, tickets
    ended = latest_subscription(connection, account.account_key)
    if ended is None:
        raise subscription_not_found(call.account_id)
    raise refusals.subscription_ended(ended)


def _superseded(connection: Connection, account: Row[Any], current: SubscriptionRecord, call: AdminCall) -> AdminTicket:
    ending = internal_call(call.account_id, f"end/{current.subscription_id}", call.now, call.actor)
    return end_subscription(connection, account, current, ending, call.now)[1]


def _plan_change(
    connection: Connection,
    account: Row[Any],
    subscription: SubscriptionRecord,
    call: AdminCall,
    event: SubscriptionEvent = SubscriptionEvent.CHANGE_PLANNED,
) -> SubscriptionOutcome:
    """Write what takes effect later. Nothing that calls are derived from changes now; Redis only learns the number."""
    save_subscription(connection, subscription)
    ticket = record_changes(connection, call)
    add_event(connection, account.account_key, ticket.admin_seq, subscription, event, call.now)
    return SubscriptionOutcome(subscription, event, (ticket,), replayed=False)


def _upgrade(
    connection: Connection,
    account: Row[Any],
    current: SubscriptionRecord,
    wanted: NextTerm,
    new: Plan,
    catalog: Catalog,
    call: AdminCall,
) -> SubscriptionOutcome:
    """Put the plan in force and give the difference; anchor, cycle and what was paid stay."""
    once = new.cycle is CycleKind.ONCE
    extra = difference(current.credits, new)
    if (
        once
        and wanted.plan.plan_id != current.plan.plan_id
        and had_plan(connection, account.account_key, wanted.plan.plan_id)
    ):
        extra = 0
    check_total(connection, account.account_key, call.account_id, extra)
    upgraded = replace(
        current,
        state=SubscriptionState.ACTIVE,
        plan=wanted.plan,
        catalog_version=catalog.version,
        overrides=wanted.overrides,
        credits=current.credits + extra,
        cycle_end=0 if once else current.cycle_end,
        next_term=None if once or wanted.term is current.term else wanted,
    )
    save_subscription(connection, upgraded)
    ticket = record_configuration(connection, call)
    event = SubscriptionEvent.UPGRADED
    add_event(connection, account.account_key, ticket.admin_seq, upgraded, event, call.now)
    tickets = [ticket]
    if extra:
        request_id = upgrade_request(upgraded.subscription_id, ticket.admin_seq)
        giving = internal_call(call.account_id, request_id, call.now, call.actor)
        tickets.append(give(connection, giving, cycle_grant(account, upgraded, new, extra, call)))
    return SubscriptionOutcome(upgraded, event, tuple(tickets), replayed=False)


def _begin_anew(
    connection: Connection,
    account: Row[Any],
    current: SubscriptionRecord,
    wanted: NextTerm,
    catalog: Catalog,
    call: AdminCall,
) -> SubscriptionOutcome:
    new = effective_plan(wanted.plan, wanted.overrides)
    check_total(connection, account.account_key, call.account_id, new.credits)
    ended = _superseded(connection, account, current, call)
    event = SubscriptionEvent.CREATED
    subscription, tickets = begin_subscription(
        connection, account, call, catalog, wanted.plan, wanted.term, wanted.overrides, event
    )
    return SubscriptionOutcome(subscription, event, (ended, *tickets), replayed=False)
