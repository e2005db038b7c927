"""What a call costs by the catalog: prices of operations when credits are reserved, and of what was really used.

Pure look-ups in memory, on the hot path: the catalog that is in force, and those that priced reservations which are
still open. One that is not in memory is `CatalogWanted` before the call can be priced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import AttributePrice, Catalog, CurrentCatalog, Operation, PriceRule, RangePrice
from earmark.domain.pricing import actual_required, needs_actual, price_actual, quote, quote_min, requirement, unit_rule
from earmark.engine.operations import Details
from earmark.errors import EarmarkError, Reason, error
from earmark.server.deferred import CatalogWanted

__all__ = ["CatalogVersions", "Measure", "Price", "Pricing", "unknown_operation"]

_decode_details = msgspec.json.Decoder(Details).decode


class Measure(msgspec.Struct, frozen=True, gc=False):
    """What is to be priced, checked for form. Usage is sorted by key; None is absence."""

    operation: str
    quantity: int | None
    usage: Mapping[str, int] | None
    attributes: Mapping[str, str]
    min_amount: int | None = None
    """Microcredits."""
    min_quantity: int | None = None


class Price(msgspec.Struct, frozen=True, gc=False):
    """What a Reserve or Charge costs, in microcredits."""

    amount: int
    min_amount: int
    version: int
    """The catalog's; 0 for an amount that the caller gave."""
    quantity: int | None = None
    """How many units it was priced by; None where usage was priced, or nothing."""
    silent: bool = False
    """Whether the catalog leaves it out of the ledger."""
    requires: str = ""
    """The entitlement that it takes."""


class CatalogVersions(CurrentCatalog, Protocol):
    """The catalogs that were installed."""

    def kept(self, version: int) -> Catalog | None:
        """Return a version that is in memory."""
        ...

    async def require(self, version: int) -> Catalog:
        """Return a version, from SQL if need be, and keep it in memory.

        Raises:
            NotFound: CATALOG_NOT_FOUND.
            Unavailable: SQL is away.
        """
        ...


class Pricing:
    """Prices calls. One for a server; used from its event loop only."""

    def __init__(self, catalogs: CatalogVersions) -> None:
        self.catalogs = catalogs
        self._inspected: Catalog | None = None
        self._ranges = False

    def price(self, measure: Measure, *, charging: bool) -> Price:
        """Price a Reserve, or a Charge if `charging`.

        Raises:
            InvalidRequest: UNKNOWN_OPERATION, UNPRICEABLE, INVALID_AMOUNT; ACTUAL_REQUIRED for a Charge of a range.
        """
        catalog = self.catalogs.current
        operation = catalog.operations.get(measure.operation)
        if operation is None:
            raise unknown_operation(catalog, measure.operation)
        attributes = measure.attributes
        quoted = quote(operation, measure.quantity, measure.usage, attributes)
        if charging and quoted.needs_actual and quoted.max_amount:
            raise actual_required(operation)
        amount = least = quoted.max_amount
        if measure.min_quantity is not None:
            least = quote_min(operation, measure.quantity, measure.min_quantity, attributes)
        if measure.min_amount is not None:
            if measure.min_amount > amount:
                raise _minimum_above(measure.min_amount, amount)
            # With both minima neither is undercut.
            least = measure.min_amount if measure.min_quantity is None else max(least, measure.min_amount)
        return Price(
            amount,
            least,
            catalog.version,
            quoted.units if measure.usage is None else None,
            not amount and not operation.record,
            requirement(operation, attributes),
        )

    def given(self, amount: int, least: int, operation: str, attributes: Mapping[str, str]) -> Price:
        """Return the price of a call that gives its amount: the operation's name need not be in the catalog.

        Raises:
            InvalidRequest: UNKNOWN_OPERATION, if the catalog is strict.
        """
        if operation:
            catalog = self.catalogs.current
            listed = catalog.operations.get(operation)
            if listed is not None:
                return Price(amount, least, 0, None, not amount and not listed.record, requirement(listed, attributes))
            if catalog.strict:
                raise unknown_operation(catalog, operation)
        return Price(amount, least, 0)

    def actual(
        self,
        version: int,
        details: str,
        quantity: int | None,
        usage: Mapping[str, int] | None,
        attributes: Mapping[str, str],
        field: str,
    ) -> int:
        """Price what a Commit used, as its reservation was priced; `field` is what named it.

        Args:
            version: The catalog that priced the reservation; 0 for none.
            details: The reservation's `Details` as JSON.
            quantity: Units; None if usage is given.
            usage: Counts; None if a quantity is given.
            attributes: Override those of the reservation.
            field: For errors.

        Raises:
            InvalidRequest: UNPRICEABLE, INVALID_AMOUNT; ACTUAL_REQUIRED for a range.
            CatalogWanted: the version is not in memory.
        """
        operation, reserved = self._reserved(version, details, field)
        return price_actual(operation, quantity, usage, _merged(reserved, attributes), field=field)

    def addition(
        self, version: int, details: str, quantity: int | None, usage: Mapping[str, int] | None, field: str
    ) -> int:
        """Price what an Extend adds: of a range, its upper bound. As `actual` otherwise.

        Raises:
            InvalidRequest: UNPRICEABLE, INVALID_AMOUNT.
            CatalogWanted: the version is not in memory.
        """
        operation, reserved = self._reserved(version, details, field)
        rule = unit_rule(operation, reserved.attributes)
        if not isinstance(rule, RangePrice):
            return price_actual(operation, quantity, usage, reserved.attributes, field=field)
        if quantity is None:
            message = f"{field}: {operation.name} is priced by quantity, not by usage"
            raise error(Reason.UNPRICEABLE, message, field=field)
        amount = rule.max_amount * quantity
        if amount > MAX_MICROS:
            raise error(
                Reason.INVALID_AMOUNT,
                f"{field}: {quantity} of {operation.name} cost more than the largest amount",
                {field: quantity},
                field=field,
            )
        return amount

    @property
    def may_need_actual(self) -> bool:
        """Whether a Commit without an actual must be looked at: some operation has, or may have had, a price range."""
        current = self.catalogs.current
        if current is not self._inspected:
            # Ranges of earlier catalogs count too: their reservations may be open. Of those that were replaced before
            # this process saw them nothing is known, so they may have had some.
            unseen = self._inspected is None and current.version > 1
            self._inspected = current
            self._ranges = self._ranges or unseen or any(map(_has_range, current.operations.values()))
        return self._ranges

    def check_whole(self, version: int, details: str, attributes: Mapping[str, str]) -> None:
        """Check a Commit that says no actual.

        Raises:
            InvalidRequest: ACTUAL_REQUIRED, if the reservation holds the upper bound of a range.
            CatalogWanted: the version is not in memory.
        """
        if not version:
            return
        operation, reserved = self._reserved(version, details, "amount_micros")
        if needs_actual(operation, _merged(reserved, attributes)):
            raise actual_required(operation)

    def _reserved(self, version: int, details: str, field: str) -> tuple[Operation, Details]:
        if not version:
            raise error(
                Reason.UNPRICEABLE,
                f"{field}: the reservation was made by amount, so only an amount in microcredits can settle or extend "
                "it",
                field=field,
            )
        catalog = self.catalogs.kept(version)
        if catalog is None:
            raise CatalogWanted(version)
        reserved = _decode_details(details)
        operation = catalog.operations.get(reserved.operation)
        if operation is None:
            raise unknown_operation(catalog, reserved.operation)
        return operation, reserved


def _merged(reserved: Details, attributes: Mapping[str, str]) -> Mapping[str, str]:
    return {**reserved.attributes, **attributes} if attributes else reserved.attributes


def _has_range(operation: Operation) -> bool:
    price: PriceRule | None = operation.price
    if isinstance(price, AttributePrice):
        return any(isinstance(rule, RangePrice) for rule in (price.default, *(row.rule for row in price.rows)))
    return isinstance(price, RangePrice)


def unknown_operation(catalog: Catalog, operation: str, field: str = "operation") -> EarmarkError:
    """Build the error of an operation that a catalog does not have."""
    if not catalog.version:
        message = f"{field}: no catalog is installed, so {operation!r} has no price: give amount_micros"
    else:
        message = f"{field}: {operation!r} is not in the catalog (version {catalog.version})"
    return error(Reason.UNKNOWN_OPERATION, message, {"price_version": catalog.version}, field=field)


def _minimum_above(least: int, amount: int) -> EarmarkError:
    return error(
        Reason.INVALID_AMOUNT,
        f"min_amount_micros: {least} is more than the price, {amount}",
        {"min_amount_micros": least, "amount_micros": amount},
        field="min_amount_micros",
    )
