"""The errors of billing, in words that one can act on."""

from __future__ import annotations

from earmark.domain.catalog import Catalog, Plan
from earmark.domain.plans import Overrides
from earmark.errors import EarmarkError, Reason, error
from earmark.ledger.billing.models import PurchaseRecord, SubscriptionRecord

__all__ = [
    "already_subscribed",
    "check_overrides",
    "free_plan_claimed",
    "must_be_claimed",
    "only_for_new_accounts",
    "other_reference",
    "payment_reference_used",
    "plan_of",
    "purchase_confirmed",
    "purchase_failed",
    "purchase_not_found",
    "renewal_not_due",
    "subscription_ended",
]


def plan_of(catalog: Catalog, plan_id: str, field: str = "plan_id") -> Plan:
    """Return a plan of the catalog.

    Raises:
        NotFound: PLAN_NOT_FOUND.
    """
    plan = catalog.plans.get(plan_id)
    if plan is None:
        known = ", ".join(catalog.plans) or "none"
        raise error(
            Reason.PLAN_NOT_FOUND,
            f"{field}: the catalog has no plan {plan_id!r}; it has {known}",
            {"plan_id": plan_id, "price_version": catalog.version},
        )
    return plan


def check_overrides(plan: Plan, overrides: Overrides) -> None:
    """Refuse a custom plan whose subscription does not say its credits.

    Raises:
        InvalidRequest: INVALID_ARGUMENT.
    """
    if plan.custom and overrides.credits is None:
        raise error(
            Reason.INVALID_ARGUMENT,
            f"overrides.credits_micros: the plan {plan.plan_id!r} is custom: say the credits of each cycle",
            {"plan_id": plan.plan_id},
            field="overrides.credits_micros",
        )


def must_be_claimed(plan: Plan) -> EarmarkError:
    """Return the error for a plan that only ClaimFreePlan gives."""
    return error(
        Reason.INVALID_ARGUMENT,
        f"plan_id: the plan {plan.plan_id!r} can only be claimed: use ClaimFreePlan, with an identity",
        {"plan_id": plan.plan_id},
        field="plan_id",
    )


def already_subscribed(current: SubscriptionRecord) -> EarmarkError:
    """Return the error for an account that has a subscription."""
    return error(
        Reason.ALREADY_SUBSCRIBED,
        f"account {current.account_id!r} is subscribed to {current.plan.plan_id!r} already: use ChangePlan",
        {"subscription_id": current.subscription_id, "plan_id": current.plan.plan_id},
    )


def free_plan_claimed(identity: str, plan_id: str) -> EarmarkError:
    """Return the error for an identity that has claimed."""
    return error(
        Reason.FREE_PLAN_CLAIMED,
        f"identity: {identity[:64]!r} has claimed a free plan already; each identity may do so once",
        {"identity": identity, "plan_id": plan_id},
    )


def only_for_new_accounts(account_id: str, plan_id: str) -> EarmarkError:
    """Return the error for an account that is too late for a plan for new ones."""
    return error(
        Reason.FREE_PLAN_CLAIMED,
        f"the plan {plan_id!r} is for accounts that never had a plan, and {account_id!r} had one",
        {"account_id": account_id, "plan_id": plan_id},
    )


def subscription_ended(ended: SubscriptionRecord) -> EarmarkError:
    """Return the error for a subscription that is over."""
    return error(
        Reason.SUBSCRIPTION_ENDED,
        f"the subscription of account {ended.account_id!r} to {ended.plan.plan_id!r} has ended: use CreateSubscription",
        {"subscription_id": ended.subscription_id, "plan_id": ended.plan.plan_id, "end_time_micros": ended.end_time},
    )


def renewal_not_due(current: SubscriptionRecord, why: str) -> EarmarkError:
    """Return the error for a confirmation that nothing waits for."""
    return error(
        Reason.RENEWAL_NOT_DUE,
        f"the subscription of account {current.account_id!r} to {current.plan.plan_id!r} {why}",
        {
            "subscription_id": current.subscription_id,
            "plan_id": current.plan.plan_id,
            "cycle": current.cycle,
            "cycle_end_time_micros": current.cycle_end,
        },
    )


def purchase_not_found(purchase_id: str, payment_reference: str) -> EarmarkError:
    """Return the error for a purchase that does not exist."""
    said = f"the id {purchase_id[:64]!r}" if purchase_id else f"the payment_reference {payment_reference[:64]!r}"
    return error(
        Reason.PURCHASE_NOT_FOUND,
        f"no purchase has {said}",
        {"purchase_id": purchase_id[:256], "payment_reference": payment_reference[:256]},
    )


def payment_reference_used(payment_reference: str) -> EarmarkError:
    """Return the error for a reference that stands for another purchase."""
    return error(
        Reason.PAYMENT_REFERENCE_USED,
        f"payment_reference: {payment_reference[:64]!r} belongs to another purchase",
        {"payment_reference": payment_reference},
        field="payment_reference",
    )


def other_reference(purchase: PurchaseRecord) -> EarmarkError:
    """Return the error for a reference that contradicts the purchase's own."""
    return error(
        Reason.INVALID_ARGUMENT,
        f"payment_reference: the purchase {purchase.purchase_id!r} has the reference "
        f"{purchase.payment_reference[:64]!r}",
        {"purchase_id": purchase.purchase_id, "payment_reference": purchase.payment_reference},
        field="payment_reference",
    )


def purchase_failed(purchase: PurchaseRecord) -> EarmarkError:
    """Return the error for a payment that was said to have failed."""
    return error(
        Reason.PURCHASE_FAILED,
        f"the purchase {purchase.purchase_id!r} has failed and gave nothing: begin another one",
        {"purchase_id": purchase.purchase_id, "reason": purchase.reason},
    )


def purchase_confirmed(purchase: PurchaseRecord) -> EarmarkError:
    """Return the error for a purchase that cannot fail any more."""
    return error(
        Reason.PURCHASE_CONFIRMED,
        f"the purchase {purchase.purchase_id!r} is confirmed: its credits were given, and there are no refunds",
        {"purchase_id": purchase.purchase_id, "credits_micros": purchase.quote.credits},
    )
