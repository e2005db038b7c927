"""What a catalog says, as values: operations and price rules, plans, packs, promotions, limits, thresholds.

Pure data. Documents become these values in `earmark.catalogs`; prices are computed from them in `domain.pricing`, the
expiry of grants in `domain.validity`, cycles in `domain.cycles`, windows in `domain.limits`. Amounts are microcredits,
durations microseconds. Prices in money are decimal texts: only the price of one credit is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum, unique
from typing import Protocol

from earmark.domain.states import GrantKind

__all__ = [
    "AttributePrice",
    "DEFAULT_HORIZON",
    "Catalog",
    "CurrentCatalog",
    "CycleKind",
    "CustomAmount",
    "FixedPrice",
    "FreePrice",
    "LimitMode",
    "LimitRule",
    "LimitScope",
    "LimitWindow",
    "Operation",
    "Pack",
    "PerUnitPrice",
    "Plan",
    "PriceRow",
    "PriceRule",
    "Promotion",
    "RangePrice",
    "Rollover",
    "Rounding",
    "Thresholds",
    "TokenPrice",
    "UnitRule",
    "Validity",
    "ValidityKind",
    "VolumeRate",
]


DEFAULT_HORIZON = 7 * 86_400_000_000
"""Within this credits count as expiring soon where no catalog says otherwise: 7 days (contract: `Balance`)."""


@unique
class ValidityKind(StrEnum):
    """What ends a grant."""

    NEVER = "never"
    DAYS = "days"
    """`count` days after acquisition, through the last day of the account's time zone."""
    MONTHS = "months"
    """`count` months after acquisition, through the last day; month ends are kept (31 January + 1 month)."""
    CALENDAR_MONTH = "calendar_month"
    """The end of the month of acquisition, in the account's time zone."""
    CYCLE = "cycle"
    """The end of the billing cycle that gave it; the calendar month without one."""


@dataclass(frozen=True, slots=True)
class Validity:
    """For how long credits can be used."""

    kind: ValidityKind = ValidityKind.NEVER
    count: int = 0


@unique
class Rounding(Enum):
    """What happens to a part of a step."""

    UP = "up"
    """A begun step counts whole."""
    EXACT = "exact"
    """A part of a step costs its part; the sum is rounded up to a microcredit."""


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """The same for each unit of quantity."""

    amount: int


@dataclass(frozen=True, slots=True)
class FreePrice:
    """Costs nothing."""


@dataclass(frozen=True, slots=True)
class PerUnitPrice:
    """`amount` for each `step` units of a count, at least `minimum` for a call whose count is above zero."""

    amount: int
    step: int = 1
    count: str = ""
    """Which usage count; "" for the quantity."""
    minimum: int = 0
    rounding: Rounding = Rounding.UP


@dataclass(frozen=True, slots=True)
class RangePrice:
    """Between two amounts for each unit: reserves the upper one, and the Commit must say what it was."""

    min_amount: int
    max_amount: int


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Input, output and cached input tokens; amounts for each `per` tokens, the sum rounded up to a microcredit.

    Usage counts are `input_tokens`, `output_tokens`, `cached_input_tokens`; cached ones are a part of the input.
    """

    input_amount: int
    output_amount: int
    cached_input_amount: int
    per: int = 1_000_000
    minimum: int = 0


UnitRule = FixedPrice | FreePrice | PerUnitPrice | RangePrice | TokenPrice


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A line of a table over attributes: it fits when each of its attributes has one of the named values."""

    attributes: Mapping[str, tuple[str, ...]]
    rule: UnitRule
    requires: str = ""
    """Name of the entitlement that this line takes, instead of the operation's; "" for none of its own."""


@dataclass(frozen=True, slots=True)
class AttributePrice:
    """A table over attributes: the first line that fits; else the default; without one, UNPRICEABLE."""

    rows: tuple[PriceRow, ...]
    default: UnitRule | None = None


PriceRule = UnitRule | AttributePrice


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that can be generated."""

    name: str
    price: PriceRule
    display_name: str = ""
    unit: str = ""
    """What a unit is, for example `message`."""
    category: str = ""
    requires: str = ""
    """Name of the entitlement that it takes; "" for none."""
    record: bool = True
    """Whether a free one leaves a ledger entry."""
    text: str = ""
    """The price in words, if the document says its own; else it is made from the rule."""


@unique
class CycleKind(StrEnum):
    """When a plan gives its credits."""

    MONTHLY = "monthly"
    """Each month from the day of subscription on."""
    CALENDAR_MONTH = "calendar_month"
    """On the first of each month of the account's time zone; at once, and in full, when it joins in mid-month."""
    ONCE = "once"


@dataclass(frozen=True, slots=True)
class Rollover:
    """What of the unused credits goes on into the next cycle."""

    cap: int | None
    """At most this much; None for any amount."""
    kinds: tuple[GrantKind, ...] = (GrantKind.SUBSCRIPTION,)
    """Which grants count and are cut."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an account can subscribe to."""

    plan_id: str
    credits: int
    """Of each cycle; 0 for a custom plan, whose subscriptions say their own."""
    display_name: str = ""
    rank: int = 0
    """A plan of a higher rank is an upgrade; by default its place in the document."""
    grant_kind: GrantKind = GrantKind.SUBSCRIPTION
    priority: int = 100
    validity: Validity = Validity()
    cycle: CycleKind = CycleKind.MONTHLY
    rollover: Rollover | None = None
    """None: nothing is cut at a renewal, grants end by their validity alone."""
    monthly_prices: Mapping[str, str] = field(default_factory=dict)
    """Decimal text by method of payment."""
    yearly_prices: Mapping[str, str] = field(default_factory=dict)
    entitlements: Mapping[str, str] = field(default_factory=dict)
    """As text: true, false, a number or a word."""
    seats: int | None = None
    """Members at most; None for any number."""
    claimed: bool = False
    """Only through ClaimFreePlan, once for each identity."""
    only_new: bool = False
    """Only for accounts that never had a plan."""
    confirmed_renewal: bool = False
    """A renewal waits for ConfirmRenewal."""
    custom: bool = False
    limits: tuple[LimitRule, ...] = ()
    """Over the catalog's of the same name."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class VolumeRate:
    """The price of one credit from an amount on."""

    from_amount: int
    unit_prices: Mapping[str, Decimal]
    """By method of payment."""


@dataclass(frozen=True, slots=True)
class CustomAmount:
    """A pack whose buyer chooses the amount."""

    min_amount: int
    max_amount: int
    step: int
    rates: tuple[VolumeRate, ...]
    """By `from_amount`, rising; the first begins at or below `min_amount`."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A number of credits for sale."""

    pack_id: str
    credits: int
    """0 for a custom amount."""
    prices: Mapping[str, str] = field(default_factory=dict)
    """Decimal text by method of payment."""
    display_name: str = ""
    priority: int = 100
    validity: Validity = Validity()
    custom: CustomAmount | None = None


@dataclass(frozen=True, slots=True)
class Promotion:
    """A bonus, or a lower price, between two moments."""

    promotion_id: str
    start_time: int
    end_time: int
    packs: tuple[str, ...] = ()
    """Of which packs; all if empty."""
    bonus: int = 0
    """Microcredits that each purchase gets besides."""
    bonus_percent: int = 0
    discount_percent: int = 0
    prices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Price by pack and method of payment, instead of the pack's."""
    validity: Validity | None = None
    """Of the bonus; None for that of promotion grants."""
    priority: int = 100
    display_name: str = ""


@unique
class LimitScope(StrEnum):
    """What a limit counts."""

    ACCOUNT = "account"
    USER = "user"
    PROJECT = "project"
    OPERATION = "operation"


@unique
class LimitWindow(StrEnum):
    """For how long a limit counts."""

    DAY = "day"
    MONTH = "month"
    CYCLE = "cycle"
    LIFETIME = "lifetime"


@unique
class LimitMode(StrEnum):
    """What happens at a limit."""

    BLOCK = "block"
    NOTIFY = "notify"


@dataclass(frozen=True, slots=True)
class LimitRule:
    """Caps what may be spent in a window."""

    name: str
    scope: LimitScope
    window: LimitWindow
    amount: int
    mode: LimitMode = LimitMode.BLOCK
    subject: str = ""
    """Which user, project or operation; "" for each by itself. Nothing to say for an account."""
    near_percent: int = 80
    created_seq: int = 0
    """Of an account's own limit, the admin_seq that created it: a limit that is made anew counts anew."""
    create_time: int = 0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """At or below which balances accounts are warned, unless they say their own; None for never."""

    low_balance: int | None = None
    critical_balance: int | None = None


_NO_RULES: Mapping[GrantKind, Validity] = {}


@dataclass(frozen=True, slots=True)
class Catalog:
    """One version of what is sold. Mappings keep the order of the document."""

    version: int
    """0 for none."""
    name: str = ""
    operations: Mapping[str, Operation] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    packs: Mapping[str, Pack] = field(default_factory=dict)
    promotions: tuple[Promotion, ...] = ()
    limits: tuple[LimitRule, ...] = ()
    """Of every account that does not replace them by name."""
    thresholds: Thresholds = Thresholds()
    validity: Mapping[GrantKind, Validity] = field(default_factory=lambda: _NO_RULES)
    """Of grants whose CreateGrant names no expiry, by kind; never for a kind that is not named."""
    priority: Mapping[GrantKind, int] = field(default_factory=dict)
    """Of grants whose CreateGrant names no priority, by kind; 100 for a kind that is not named."""
    horizon: int = DEFAULT_HORIZON
    """Within this credits count as expiring soon."""
    default_plan: str = ""
    """The plan that every new account gets; "" for none."""
    analytics_entitlement: str = ""
    """What usage reports take; "" for nothing."""
    alerts_entitlement: str = ""
    """What thresholds and contacts of an account take; "" for nothing."""
    strict: bool = False
    """Whether an operation that is not listed is refused even when the call gives its amount."""


class CurrentCatalog(Protocol):
    """Where the catalog in force is read; another object after every change."""

    @property
    def current(self) -> Catalog:
        """Return it; an empty one of version 0 while none is installed."""
        ...
