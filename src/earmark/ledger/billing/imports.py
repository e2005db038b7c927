"""What an account of another system brings of its plan: for `Imports.bring`, within its transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from earmark.domain.catalog import Catalog
from earmark.domain.cycles import cycle_at
from earmark.domain.limits import FOREVER
from earmark.domain.plans import Overrides, effective_plan
from earmark.ledger.administration import lock_account
from earmark.ledger.billing import refusals
from earmark.ledger.billing.credits import internal_call
from earmark.ledger.billing.models import SubscriptionEvent, SubscriptionRecord, SubscriptionState, Term
from earmark.ledger.billing.rows import add_event, add_subscription, new_id
from earmark.ledger.billing.subscriptions import claim_identity
from earmark.ledger.configuration import record_configuration
from earmark.ledger.tables import accounts

__all__ = ["imported_identities", "imported_subscription"]

Extra = Callable[[Connection, int, int], None]


def imported_subscription(
    catalog: Catalog, plan_id: str, term: Term, anchor: int, overrides: Overrides | None = None
) -> Extra:
    """Return what lets a subscription go on: its present cycle has given its credits, the next one gives them here.

    Args:
        catalog: The one in force.
        plan_id: Its plan; a claimed one too.
        term: For how long a payment pays; terms are counted from the anchor.
        anchor: The beginning of its first cycle, in microseconds; not in the future.
        overrides: What it has instead of what its plan says.

    Raises:
        NotFound: PLAN_NOT_FOUND, from what is returned.
        InvalidRequest: INVALID_ARGUMENT, the plan is custom and its credits are not given.
    """
    own_ones = overrides or Overrides()

    def bring(connection: Connection, account_key: int, now: int) -> None:
        plan = refusals.plan_of(catalog, plan_id, "subscription.plan_id")
        refusals.check_overrides(plan, own_ones)
        query = select(accounts.c.account_id).where(accounts.c.account_key == account_key)
        account = lock_account(connection, connection.execute(query).scalar_one())
        own = effective_plan(plan, own_ones)
        present = cycle_at(own.cycle, anchor, ZoneInfo(account.time_zone), now)
        subscription = SubscriptionRecord(
            key=0,
            subscription_id=new_id("sub"),
            account_id=account.account_id,
            time_zone=account.time_zone,
            state=SubscriptionState.ACTIVE,
            plan=plan,
            catalog_version=catalog.version,
            overrides=own_ones,
            term=term,
            credits=own.credits,
            anchor_time=anchor,
            cycle=present.number,
            cycle_start=present.start,
            cycle_end=0 if present.end >= FOREVER else present.end,
            term_last_cycle=-(-present.number // term.cycles) * term.cycles,
            next_term_paid=False,
            next_term=None,
            create_time=now,
            end_time=0,
        )
        subscription = add_subscription(connection, account, subscription)
        call = internal_call(account.account_id, f"import/{subscription.subscription_id}", now)
        ticket = record_configuration(connection, call)
        add_event(connection, account_key, ticket.admin_seq, subscription, SubscriptionEvent.IMPORTED, now)

    return bring


def imported_identities(identities: Sequence[str], plan_id: str = "") -> Extra:
    """Return what notes that normalised identities have claimed a free plan before.

    Raises:
        AlreadyExists: FREE_PLAN_CLAIMED, from what is returned, if another account has claimed for one of them.
    """

    def bring(connection: Connection, account_key: int, now: int) -> None:
        for identity in identities:
            if not claim_identity(connection, account_key, identity, plan_id, now):
                raise refusals.free_plan_claimed(identity, plan_id)

    return bring
