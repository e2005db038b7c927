"""Requests of `BillingService` to what the ledger takes, and what it returns to protos."""

from __future__ import annotations

from collections.abc import Mapping

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import Plan
from earmark.domain.packs import PackQuote
from earmark.domain.plans import Overrides, normalise_identity
from earmark.ledger.billing import PurchaseRecord, PurchaseState, Quote, QuoteTerms, SubscriptionRecord, Term
from earmark.ledger.billing.terms import paid_until
from earmark.server import checks
from earmark.server.replies import fill_time
from earmark.v1 import billing_service_pb2 as pb

__all__ = [
    "fill_purchase",
    "fill_subscription",
    "identity",
    "overrides",
    "payment_reference",
    "plan_id",
    "purchase_state",
    "quote_of",
    "required_name",
    "term",
    "which_purchase",
]

_MAX_IDENTITY = 256
_MAX_REFERENCE = 256
_MAX_ENTITLEMENTS = 64

_TERMS: dict[int, str] = {number: text for text, number in pb.Subscription.Term.items()}
_STATES: dict[int, str] = {number: text for text, number in pb.Purchase.State.items()}


def required_name(text: str, field: str) -> str:
    """Check a name that must be there: 1 to 128 characters."""
    if not text:
        raise checks.invalid(field, "is missing")
    return checks.name(text, field)


def plan_id(text: str) -> str:
    """Check the name of a plan."""
    return required_name(text, "plan_id")


def term(value: int) -> Term | None:
    """Check a term; None where it is left to the server."""
    known = checks.member_of(value, _TERMS, "term")
    return Term(known) if known else None


def overrides(given: pb.SubscriptionOverrides) -> Overrides:
    """Check what a subscription has instead of what its plan says."""
    credits = checks.amount(given.credits_micros, "overrides.credits_micros")
    cap = checks.amount(given.rollover_cap_micros, "overrides.rollover_cap_micros")
    seats = checks.count(given.seats, "overrides.seats")
    field = "overrides.entitlements"
    if len(given.entitlements) > _MAX_ENTITLEMENTS:
        raise checks.invalid(field, f"has {len(given.entitlements)} entries, {_MAX_ENTITLEMENTS} are allowed")
    entitlements: dict[str, str] = {}
    for name, value in sorted(given.entitlements.items()):
        entitlements |= checks.labels({name: value}, field)
    return Overrides(
        credits=credits if given.HasField("credits_micros") else None,
        rollover_cap=cap if given.HasField("rollover_cap_micros") else None,
        seats=seats if given.HasField("seats") else None,
        entitlements=entitlements,
    )


def identity(text: str, field: str = "identity") -> str:
    """Check and normalise who claims: 1 to 256 characters, of which some are no spaces."""
    normalised = normalise_identity(checks.name(text.strip(), field, _MAX_IDENTITY))
    if not normalised:
        raise checks.invalid(field, "is missing: say who claims, for example by a wallet address")
    return normalised


def payment_reference(text: str) -> str:
    """Check the reference of a payment; "" for none."""
    return checks.name(text, "payment_reference", _MAX_REFERENCE)


def which_purchase(request: pb.ConfirmPurchaseRequest | pb.FailPurchaseRequest) -> tuple[str, str]:
    """Check how a purchase is named: by its id, by its payment's reference, or by both."""
    if not request.purchase_id and not request.payment_reference:
        raise checks.invalid("purchase_id", "is missing; give it, or the payment_reference that it was begun with")
    return checks.name(request.purchase_id, "purchase_id"), payment_reference(request.payment_reference)


def purchase_state(value: int) -> PurchaseState | None:
    """Check a filter by state; None for all."""
    known = checks.member_of(value, _STATES, "state")
    return PurchaseState(known) if known else None


def quote_of(quoted: PackQuote) -> Quote:
    """Return what a purchase keeps of a pack's price."""
    return Quote(
        pack_id=quoted.pack_id,
        credits=quoted.credits,
        bonus=quoted.bonus,
        method=quoted.method,
        price=quoted.price,
        unit_price=quoted.unit_price,
        promotion_id=quoted.promotion_id,
        price_version=quoted.price_version,
        terms=QuoteTerms(
            validity=quoted.validity,
            priority=quoted.priority,
            bonus_validity=quoted.bonus_validity,
            bonus_priority=quoted.bonus_priority,
        ),
    )


def fill_subscription(into: pb.Subscription, record: SubscriptionRecord, plans: Mapping[str, Plan]) -> None:
    """Write a subscription, with what it entitles to under the catalog's plans."""
    own = record.effective(plans)
    into.subscription_id = record.subscription_id
    into.account_id = record.account_id
    into.plan_id = record.plan.plan_id
    into.state = record.state.value  # type: ignore[assignment]  # The numbers are the proto's.
    into.term = record.term.value  # type: ignore[assignment]
    into.credits_micros = own.credits
    fill_time(into.anchor_time, record.anchor_time)
    into.cycle = record.cycle
    fill_time(into.cycle_start_time, record.cycle_start)
    if record.cycle_end:
        fill_time(into.cycle_end_time, record.cycle_end)
        fill_time(into.term_end_time, paid_until(record))
    if record.next_term is not None and record.next_term.plan.plan_id != record.plan.plan_id:
        into.next_plan_id = record.next_term.plan.plan_id
    into.entitlements.update(record.entitlements(plans))
    if own.seats is not None:
        into.seats = own.seats
    if own.rollover is not None:
        into.rollover_cap_micros = MAX_MICROS if own.rollover.cap is None else own.rollover.cap
    fill_time(into.create_time, record.create_time)
    if record.end_time:
        fill_time(into.end_time, record.end_time)


def fill_purchase(into: pb.Purchase, record: PurchaseRecord) -> None:
    """Write a purchase."""
    quote = record.quote
    into.purchase_id = record.purchase_id
    into.account_id = record.account_id
    into.pack_id = quote.pack_id
    into.state = record.state.value  # type: ignore[assignment]  # The numbers are the proto's.
    into.credits_micros = quote.credits
    into.bonus_micros = quote.bonus
    into.price.method = quote.method
    into.price.amount = quote.price
    into.unit_price = quote.unit_price
    into.promotion_id = quote.promotion_id
    into.payment_reference = record.payment_reference
    into.price_version = quote.price_version
    fill_time(into.create_time, record.create_time)
    if record.settle_time:
        fill_time(into.settle_time, record.settle_time)
    into.reason = record.reason
    into.request_id = record.request_id
