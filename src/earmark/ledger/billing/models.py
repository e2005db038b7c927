"""Values of billing. Amounts in microcredits, times in microseconds since 1970; 0 stands for "none"."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, unique

from msgspec import Struct

from earmark.domain.catalog import CycleKind, Plan, Validity
from earmark.domain.cycles import CYCLES_OF_A_YEAR
from earmark.domain.plans import Overrides, effective_plan
from earmark.ledger.models import AdminTicket

__all__ = [
    "NextTerm",
    "PurchaseOutcome",
    "PurchaseRecord",
    "PurchaseState",
    "Quote",
    "QuoteTerms",
    "SubscriptionEvent",
    "SubscriptionOutcome",
    "SubscriptionRecord",
    "SubscriptionState",
    "Term",
]


@unique
class SubscriptionState(IntEnum):
    """Where a subscription stands; the numbers are those of the public proto."""

    ACTIVE = 1
    CANCELLING = 2
    AWAITING_RENEWAL = 3
    ENDED = 4


@unique
class Term(IntEnum):
    """For how long one payment pays; the numbers are those of the public proto."""

    MONTH = 1
    YEAR = 2

    @property
    def cycles(self) -> int:
        """How many cycles a payment pays."""
        return CYCLES_OF_A_YEAR if self is Term.YEAR else 1


@unique
class SubscriptionEvent(IntEnum):
    """What happened to a subscription."""

    CREATED = 1
    CLAIMED = 2
    UPGRADED = 3
    """A plan that took effect at once, with the difference of its credits."""
    CHANGE_PLANNED = 4
    """A change that takes effect when what was paid is over, or the withdrawal of one."""
    CHANGED = 5
    """What was planned took effect."""
    CANCELLED = 6
    ENDED = 7
    AWAITING = 8
    CONFIRMED = 9
    """A term that was waited for began."""
    CONFIRMED_EARLY = 10
    IMPORTED = 11


class NextTerm(Struct, frozen=True):
    """What a subscription goes on with when what was paid is over."""

    plan: Plan
    term: Term
    overrides: Overrides = Overrides()


class SubscriptionRecord(Struct, frozen=True, kw_only=True):
    """A subscription as of its last change; its cycle may be over until the cycle job has been there."""

    key: int
    subscription_id: str
    account_id: str
    time_zone: str
    """The account's."""
    state: SubscriptionState
    plan: Plan
    """As the catalog had it when the cycle began, without the overrides; see `effective`."""
    catalog_version: int
    overrides: Overrides
    term: Term
    credits: int
    """What the present cycle has given."""
    anchor_time: int
    cycle: int
    cycle_start: int
    cycle_end: int
    """0 for a cycle that never ends."""
    term_last_cycle: int
    """The last cycle that is paid, but for an early confirmation."""
    next_term_paid: bool
    next_term: NextTerm | None
    create_time: int
    end_time: int
    """0 before it ended."""

    @property
    def entitled(self) -> bool:
        """Whether it is paid: one that awaits its renewal, or has ended, entitles to nothing."""
        return self.state in (SubscriptionState.ACTIVE, SubscriptionState.CANCELLING)

    @property
    def has_cycles(self) -> bool:
        """Whether its credits come again."""
        return self.plan.cycle is not CycleKind.ONCE

    def effective(self, plans: Mapping[str, Plan]) -> Plan:
        """Return its plan as it has it: today's catalog's, or that of the last one that had it, with its overrides."""
        return effective_plan(plans.get(self.plan.plan_id, self.plan), self.overrides)

    def entitlements(self, plans: Mapping[str, Plan]) -> Mapping[str, str]:
        """Return what it entitles to now."""
        return self.effective(plans).entitlements if self.entitled else {}


class SubscriptionOutcome(Struct, frozen=True):
    """What a call about a subscription did. Relay its tickets, then answer."""

    subscription: SubscriptionRecord
    event: SubscriptionEvent
    tickets: tuple[AdminTicket, ...]
    """In the order of their admin_seqs; credits come last."""
    replayed: bool


@unique
class PurchaseState(IntEnum):
    """Where a purchase stands; the numbers are those of the public proto."""

    PENDING = 1
    CONFIRMED = 2
    FAILED = 3


class QuoteTerms(Struct, frozen=True):
    """What the credits of a purchase will be like when it is paid."""

    validity: Validity
    priority: int
    bonus_validity: Validity
    bonus_priority: int


class Quote(Struct, frozen=True):
    """What is bought, and for how much."""

    pack_id: str
    credits: int
    bonus: int
    """What a promotion adds."""
    method: str
    price: str
    """Decimal text."""
    unit_price: str
    """Of one credit, rounded half up to three decimals where it needs more."""
    promotion_id: str
    price_version: int
    terms: QuoteTerms


class PurchaseRecord(Struct, frozen=True, kw_only=True):
    """A purchase."""

    key: int
    purchase_id: str
    account_id: str
    state: PurchaseState
    quote: Quote
    payment_reference: str
    request_id: str
    reason: str
    create_time: int
    settle_time: int


class PurchaseOutcome(Struct, frozen=True):
    """What a call about a purchase did. Relay its tickets, then answer."""

    purchase: PurchaseRecord
    tickets: tuple[AdminTicket, ...]
    """Of a confirmed one: the credits, then the bonus."""
    replayed: bool
