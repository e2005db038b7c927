"""Requests of `Estimate` to what the domain prices, and estimates to protos."""

from __future__ import annotations

from dataclasses import dataclass

from earmark.domain.catalog import Catalog
from earmark.domain.estimates import Estimate, Item, covering_packs, estimate
from earmark.server import checks
from earmark.server.catalog_forms import fill_covering
from earmark.server.pricing import unknown_operation
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["Planned", "check_estimate", "fill_estimate"]

_MAX_ITEMS = 1_000
_MAX_BUFFER = 1_000
_MAX_METHOD = 64


@dataclass(frozen=True, slots=True)
class Planned:
    """A request that was checked."""

    items: tuple[Item, ...]
    buffer_percent: int
    method: str
    """Of payment; "" for all."""

    def priced(self, available: int | None) -> Estimate:
        """Price it; `available` is the balance in microcredits, None to price only."""
        return estimate(self.items, self.buffer_percent, available)


def check_estimate(request: pb.EstimateRequest, catalog: Catalog) -> Planned:
    """Check an Estimate.

    Raises:
        InvalidRequest: a field is beyond its bounds, or UNKNOWN_OPERATION.
    """
    if request.account_id:
        checks.account_id(request.account_id)
    if not 0 < len(request.items) <= _MAX_ITEMS:
        raise checks.invalid("items", f"there are {len(request.items)}; give 1 to {_MAX_ITEMS:,}")
    if not 0 <= request.buffer_percent <= _MAX_BUFFER:
        raise checks.invalid("buffer_percent", f"{request.buffer_percent} is not between 0 and {_MAX_BUFFER:,}")
    method = checks.name(request.method, "method", _MAX_METHOD)
    items = tuple(_item(item, f"items[{at}]", catalog) for at, item in enumerate(request.items))
    return Planned(items, request.buffer_percent, method)


def _item(item: pb.EstimateItem, field: str, catalog: Catalog) -> Item:
    if not item.operation:
        raise checks.invalid(f"{field}.operation", "is missing")
    name = checks.name(item.operation, f"{field}.operation")
    quantity = checks.count(item.quantity, f"{field}.quantity") if item.HasField("quantity") else None
    usage = checks.usage_counts(item.usage.counts, f"{field}.usage.counts") if item.HasField("usage") else None
    if quantity is not None and usage is not None:
        raise checks.invalid(f"{field}.usage", "give either quantity or usage, not both")
    attributes = checks.attributes(item.attributes, f"{field}.attributes")
    operation = catalog.operations.get(name)
    if operation is None:
        raise unknown_operation(catalog, name, f"{field}.operation")
    return Item(operation, quantity, usage, attributes)


def fill_estimate(
    into: pb.EstimateResponse, planned: Planned, catalog: Catalog, available: int | None, now: int
) -> None:
    """Price what is planned and write the answer.

    Raises:
        InvalidRequest: UNPRICEABLE or INVALID_AMOUNT.
    """
    found = planned.priced(available)
    for item in found.items:
        row = into.items.add(min_micros=item.min_amount, max_micros=item.max_amount, text=item.text)
        if item.affordable is not None:
            row.affordable_quantity = item.affordable
    into.min_micros = found.min_amount
    into.max_micros = found.max_amount
    into.sufficient = found.sufficient
    into.shortfall_micros = found.shortfall
    if available is not None:
        into.available_micros = available
    for covering in covering_packs(catalog, found.shortfall, now, planned.method):
        fill_covering(into.packs.add(), covering, planned.method)
    into.price_version = catalog.version
