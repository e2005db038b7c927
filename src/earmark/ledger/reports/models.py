"""Values that reports take and return. Amounts in microcredits, times in microseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique

from msgspec import Struct

from earmark.domain.states import GrantKind

__all__ = ["GroupBy", "MonthlySummary", "OrderBy", "SummaryLine", "UsageQuery", "UsageReport", "UsageRow"]


@unique
class GroupBy(IntEnum):
    """What a row stands for; the numbers are those of the public proto."""

    OPERATION = 1
    USER = 2
    PROJECT = 3
    DAY = 4
    MONTH = 5


@unique
class OrderBy(IntEnum):
    """How rows are ordered; the numbers are those of the public proto."""

    DEFAULT = 0
    """Days and months by time; others by what was charged, the most first."""
    KEY = 1
    CHARGED = 2
    COUNT = 3


class UsageQuery(Struct, frozen=True):
    """Selects what to sum."""

    account_id: str
    start_time: int
    end_time: int
    """Before; not before `start_time`."""
    group_by: tuple[GroupBy, ...]
    """One to three different ones, not days and months together."""
    operation: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    order_by: OrderBy = OrderBy.DEFAULT
    limit: int = 1_000


@dataclass(slots=True)
class UsageRow:
    """The sums of one group."""

    operation: str = ""
    user_id: str = ""
    project_id: str = ""
    start_time: int = 0
    """The first moment of the day or month; 0 when grouped by neither."""
    charged: int = 0
    uncollected: int = 0
    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    quantity: int = 0
    """Units of what was charged; stays at 2^53 - 1 instead of passing it."""
    previous_charged: int = 0
    """What was charged in the range of the same length before: of the row's day or month, or of the whole range."""


class UsageReport(Struct, frozen=True):
    """A usage report."""

    rows: tuple[UsageRow, ...]
    """At most `limit`. Groups of which nothing settled in the range have none."""
    total: UsageRow
    """Of all rows, those beyond the limit included."""
    row_count: int


class SummaryLine(Struct, frozen=True):
    """What came, went and is left of grants of one kind, or of several.

    carried_in + allocated = consumed + expired + voided + repaid + remaining; what open reservations hold remains.
    """

    kind: GrantKind | None = None
    """None for several together."""
    carried_in: int = 0
    allocated: int = 0
    consumed: int = 0
    expired: int = 0
    voided: int = 0
    repaid: int = 0

    @property
    def remaining(self) -> int:
        """What was left at the end of the range."""
        return self.carried_in + self.allocated - self.consumed - self.expired - self.voided - self.repaid


class MonthlySummary(Struct, frozen=True):
    """What came, went and is left in a range of time."""

    total: SummaryLine
    free: SummaryLine
    """FREE, PROMOTION, ADJUSTMENT."""
    purchased: SummaryLine
    subscription: SummaryLine
    kinds: tuple[SummaryLine, ...]
    """Of each kind that had anything, by its number."""
    borrowed: int
    """What no grant paid and became debt."""
    uncollected: int
