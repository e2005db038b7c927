"""The seam where a catalog plugs in: what a request without an amount costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from earmark.domain.ids import ReservationDigest
from earmark.errors import Reason, error

__all__ = ["Measure", "NoCatalog", "Price", "Pricing"]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is to be priced, checked for form. Usage is sorted by key; None is absence."""

    operation: str
    quantity: int | None
    usage: Mapping[str, int] | None
    attributes: Mapping[str, str]
    min_amount: int | None = None
    """Microcredits."""
    min_quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What it costs, in microcredits; `version` is the catalog's, above 0."""

    amount: int
    min_amount: int
    version: int


class Pricing(Protocol):
    """A catalog, as validation sees it. Both methods are pure look-ups in memory: they run on the hot path."""

    def price(self, account_id: str, measure: Measure) -> Price:
        """Price a Reserve or Charge.

        Raises:
            InvalidRequest: UNKNOWN_OPERATION, UNPRICEABLE or INVALID_AMOUNT.
        """
        ...

    def price_actual(self, account_id: str, digest: ReservationDigest, measure: Measure, field: str) -> int:
        """Price what a Commit used or an Extend adds, as its reservation was priced; `field` is what named it.

        Raises:
            InvalidRequest: UNPRICEABLE or INVALID_AMOUNT.
        """
        ...


class NoCatalog:
    """No catalog is installed: every request must give its amount."""

    def price(self, account_id: str, measure: Measure) -> Price:  # noqa: ARG002 - a catalog looks at it
        """Refuse."""
        raise error(
            Reason.UNKNOWN_OPERATION,
            f"operation: no catalog is installed, so {measure.operation!r} has no price: give amount_micros",
            field="operation",
        )

    def price_actual(
        self,
        account_id: str,  # noqa: ARG002 - a catalog looks at them
        digest: ReservationDigest,  # noqa: ARG002
        measure: Measure,  # noqa: ARG002
        field: str,
    ) -> int:
        """Refuse."""
        raise error(
            Reason.UNPRICEABLE,
            f"{field}: the reservation was made by amount, so only an amount in microcredits can settle or extend it",
            field=field,
        )
