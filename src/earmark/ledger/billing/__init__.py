"""Billing in SQL: subscriptions, free plans and purchases."""

from earmark.ledger.billing.models import (
    NextTerm,
    PurchaseOutcome,
    PurchaseRecord,
    PurchaseState,
    Quote,
    QuoteTerms,
    SubscriptionEvent,
    SubscriptionOutcome,
    SubscriptionRecord,
    SubscriptionState,
    Term,
)
from earmark.ledger.billing.repository import Billing, Renewed
from earmark.ledger.billing.seats import seat_check

__all__ = [
    "Billing",
    "NextTerm",
    "PurchaseOutcome",
    "PurchaseRecord",
    "PurchaseState",
    "Quote",
    "QuoteTerms",
    "Renewed",
    "SubscriptionEvent",
    "SubscriptionOutcome",
    "SubscriptionRecord",
    "SubscriptionState",
    "Term",
    "seat_check",
]
