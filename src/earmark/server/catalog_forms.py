"""Catalogs to protos: prices, plans, packs, limits."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from earmark.catalogs.current import CatalogVersion
from earmark.credits import MAX_MICROS
from earmark.domain.catalog import (
    AttributePrice,
    Catalog,
    CycleKind,
    FixedPrice,
    FreePrice,
    LimitMode,
    LimitRule,
    LimitScope,
    LimitWindow,
    Operation,
    PerUnitPrice,
    Plan,
    PriceRow,
    PriceRule,
    RangePrice,
    TokenPrice,
)
from earmark.domain.estimates import Covering
from earmark.domain.packs import Offer, volume_rates
from earmark.domain.price_text import operation_text, price_text
from earmark.domain.pricing import unit_bounds
from earmark.domain.validity import validity_text
from earmark.server.replies import fill_time
from earmark.v1 import catalog_pb2 as pb
from earmark.v1 import metering_service_pb2 as metering

__all__ = ["SCOPES", "WINDOWS", "fill_catalog", "fill_covering", "fill_limit", "fill_pack", "fill_plan", "fill_price"]

_SECOND = 1_000_000

SCOPES = {
    LimitScope.ACCOUNT: pb.Limit.SCOPE_ACCOUNT,
    LimitScope.USER: pb.Limit.SCOPE_USER,
    LimitScope.PROJECT: pb.Limit.SCOPE_PROJECT,
    LimitScope.OPERATION: pb.Limit.SCOPE_OPERATION,
}
WINDOWS = {
    LimitWindow.DAY: pb.Limit.WINDOW_DAY,
    LimitWindow.MONTH: pb.Limit.WINDOW_MONTH,
    LimitWindow.CYCLE: pb.Limit.WINDOW_CYCLE,
    LimitWindow.LIFETIME: pb.Limit.WINDOW_LIFETIME,
}
_MODES = {LimitMode.BLOCK: pb.Limit.MODE_BLOCK, LimitMode.NOTIFY: pb.Limit.MODE_NOTIFY}


def fill_catalog(into: pb.Catalog, catalog: Catalog, document: str, record: CatalogVersion | None) -> None:
    """Write a version; without a record it is not installed."""
    into.version = catalog.version
    into.document = document
    into.name = catalog.name
    into.horizon.seconds, rest = divmod(catalog.horizon, _SECOND)
    into.horizon.nanos = rest * 1_000
    for limit in catalog.limits:
        fill_limit(into.limits.add(), limit)
    if record is not None:
        into.actor = record.actor
        fill_time(into.create_time, record.create_time)


def fill_limit(into: pb.Limit, limit: LimitRule) -> None:
    """Write a limit."""
    into.name = limit.name
    into.scope = SCOPES[limit.scope]
    into.subject = limit.subject
    into.window = WINDOWS[limit.window]
    into.amount_micros = limit.amount
    into.mode = _MODES[limit.mode]
    into.near_percent = limit.near_percent
    if limit.create_time:
        fill_time(into.create_time, limit.create_time)


def fill_price(into: pb.OperationPrice, operation: Operation) -> None:
    """Write a row of the action matrix."""
    into.operation = operation.name
    into.display_name = operation.display_name
    into.rule = _rule(operation.price)
    into.text = operation_text(operation)
    into.requires = operation.requires
    into.recorded = operation.record
    into.unit = operation.unit
    into.category = operation.category
    _fill_bounds(into, operation.price)
    if isinstance(operation.price, AttributePrice):
        for row in operation.price.rows:
            for attributes in _combinations(row):
                line = into.lines.add()
                _fill_line(line, attributes, row.rule, operation.unit)
                line.requires = row.requires
        if operation.price.default is not None:
            _fill_line(into.lines.add(), {}, operation.price.default, operation.unit)


def _fill_line(into: pb.PriceLine, attributes: Mapping[str, str], rule: PriceRule, unit: str) -> None:
    into.attributes.update(attributes)
    into.text = price_text(rule, unit)
    _fill_bounds(into, rule)


def _fill_bounds(into: pb.OperationPrice | pb.PriceLine, rule: PriceRule) -> None:
    into.min_micros, most = unit_bounds(rule)
    if most is not None:
        into.max_micros = most


def _combinations(row: PriceRow) -> list[dict[str, str]]:
    """Return each combination of the values that a line of a table fits."""
    combinations: list[dict[str, str]] = [{}]
    for name, values in row.attributes.items():
        combinations = [{**each, name: value} for each in combinations for value in values]
    return combinations


def _rule(price: PriceRule) -> pb.OperationPrice.Rule:
    match price:
        case FixedPrice():
            return pb.OperationPrice.RULE_FIXED
        case FreePrice():
            return pb.OperationPrice.RULE_FREE
        case PerUnitPrice():
            return pb.OperationPrice.RULE_PER_UNIT
        case RangePrice():
            return pb.OperationPrice.RULE_RANGE
        case TokenPrice():
            return pb.OperationPrice.RULE_TOKENS
        case AttributePrice():
            return pb.OperationPrice.RULE_BY_ATTRIBUTES


def fill_plan(into: pb.Plan, plan: Plan) -> None:
    """Write a plan."""
    into.plan_id = plan.plan_id
    into.display_name = plan.display_name
    into.credits_micros = plan.credits
    into.grant_kind = plan.grant_kind.value  # type: ignore[assignment]  # The numbers are the proto's.
    _fill_money(into.monthly_prices, plan.monthly_prices)
    _fill_money(into.yearly_prices, plan.yearly_prices)
    if plan.rollover is not None:
        # Any amount is what no balance can pass.
        into.rollover_cap_micros = MAX_MICROS if plan.rollover.cap is None else plan.rollover.cap
    into.entitlements.update(plan.entitlements)
    if plan.seats is not None:
        into.seats = plan.seats
    into.once = plan.cycle is CycleKind.ONCE
    into.claimed = plan.claimed
    into.confirmed_renewal = plan.confirmed_renewal
    into.custom = plan.custom
    into.text = plan.text
    into.validity_text = validity_text(plan.validity)


def fill_pack(into: pb.Pack, offered: Offer, method: str = "") -> None:
    """Write a pack as it is sold now; `method` leaves the prices of others out."""
    pack, custom, promotion = offered.pack, offered.pack.custom, offered.promotion
    into.pack_id = pack.pack_id
    into.display_name = pack.display_name
    into.credits_micros = offered.credits
    _fill_money(into.prices, offered.prices, method)
    _fill_money(into.regular_prices, offered.regular_prices, method)
    _fill_money(into.unit_prices, offered.unit_prices, method)
    into.bonus_micros = offered.bonus
    into.promotion_id = promotion.promotion_id if promotion is not None else ""
    into.validity_text = validity_text(pack.validity)
    if custom is not None:
        into.custom = True
        into.min_micros = custom.min_amount
        into.max_micros = custom.max_amount
        for rate, prices in volume_rates(custom, promotion):
            row = into.rates.add()
            row.from_micros = rate.from_amount
            _fill_money(row.prices, prices, method)


def fill_covering(into: metering.CoveringPack, covering: Covering, method: str = "") -> None:
    """Write packs that cover a shortfall."""
    fill_pack(into.pack, covering.offer, method)
    into.count = covering.count
    into.credits_micros = covering.credits
    _fill_money(into.prices, covering.prices, method)


def _fill_money(into: RepeatedCompositeFieldContainer[pb.Money], prices: Mapping[str, str], method: str = "") -> None:
    for name, amount in prices.items():
        if not method or name == method:
            into.add(method=name, amount=amount)
