"""What an operation costs: integers only, pure, and quick enough for every call of the hot path.

* Quantity is 1 where neither quantity nor usage is given. Zero units cost nothing, whatever the rule; a `minimum`
  applies to every call whose count is above zero.
* A rule takes either a quantity (fixed, range, per unit of quantity) or usage (per unit of a named count, tokens); the
  other is UNPRICEABLE rather than silently free. A free operation takes both.
* A range reserves its upper bound. Only an amount in microcredits says what it really took: a Commit without an actual,
  or with a quantity other than zero, is ACTUAL_REQUIRED. Guessing a bound would charge what nobody measured.
* A table looks at the attributes that its lines name, to the letter; others are only recorded.
* A product beyond the largest amount is INVALID_AMOUNT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from earmark.credits import MAX_MICROS, format_credits
from earmark.domain.catalog import (
    AttributePrice,
    FixedPrice,
    FreePrice,
    Operation,
    PerUnitPrice,
    PriceRow,
    PriceRule,
    RangePrice,
    Rounding,
    TokenPrice,
    UnitRule,
)
from earmark.errors import EarmarkError, Reason, error

__all__ = [
    "Quote",
    "affordable_quantity",
    "needs_actual",
    "price_actual",
    "quote",
    "quote_min",
    "requirement",
    "unit_bounds",
    "unit_rule",
]

INPUT_TOKENS = "input_tokens"
OUTPUT_TOKENS = "output_tokens"
CACHED_INPUT_TOKENS = "cached_input_tokens"


class Quote(NamedTuple):
    """What something costs, in microcredits. A tuple, because one is made for every call."""

    min_amount: int
    max_amount: int
    """What is reserved."""
    needs_actual: bool
    """Whether the Commit must give an amount: a range."""
    units: int
    """Of quantity; 1 where usage is priced."""


def quote(
    operation: Operation,
    quantity: int | None,
    usage: Mapping[str, int] | None,
    attributes: Mapping[str, str],
    *,
    within: str = "",
) -> Quote:
    """Price a call.

    Args:
        operation: What is generated.
        quantity: Units, not negative; None for 1.
        usage: Named counts, not negative; at most one of quantity and usage is given.
        attributes: What the price may depend on.
        within: Prefix of the field that an error names, for example `items[3].`.

    Raises:
        InvalidRequest: UNPRICEABLE, or INVALID_AMOUNT for a product beyond the largest amount.
    """
    rule = unit_rule(operation, attributes, within=within)
    units = 1 if quantity is None else quantity
    if isinstance(rule, FixedPrice):
        if usage is not None:
            raise _not_by_usage(operation, f"{within}usage")
        amount = rule.amount * units
        if amount > MAX_MICROS:
            raise _too_much(operation, amount, f"{within}quantity")
        return Quote(amount, amount, needs_actual=False, units=units)
    if isinstance(rule, RangePrice):
        if usage is not None:
            raise _not_by_usage(operation, f"{within}usage")
        amount = rule.max_amount * units
        if amount > MAX_MICROS:
            raise _too_much(operation, amount, f"{within}quantity")
        return Quote(rule.min_amount * units, amount, needs_actual=True, units=units)
    amount = _measured(operation, rule, quantity, usage, f"{within}quantity", f"{within}usage")
    return Quote(amount, amount, needs_actual=False, units=units)


def quote_min(operation: Operation, quantity: int | None, min_quantity: int, attributes: Mapping[str, str]) -> int:
    """Price the least quantity that a Reserve or Charge accepts, at its upper bound, in microcredits.

    Raises:
        InvalidRequest: INVALID_AMOUNT if it is more than `quantity`; UNPRICEABLE if the operation is priced by usage.
    """
    units = 1 if quantity is None else quantity
    if min_quantity > units:
        raise error(
            Reason.INVALID_AMOUNT,
            f"min_quantity: {min_quantity} is more than the quantity, {units}",
            {"min_quantity": min_quantity, "quantity": units},
            field="min_quantity",
        )
    rule = unit_rule(operation, attributes)
    if isinstance(rule, TokenPrice) or (isinstance(rule, PerUnitPrice) and rule.count):
        raise error(
            Reason.UNPRICEABLE,
            f"min_quantity: {operation.name} is priced by usage: give min_amount_micros",
            field="min_quantity",
        )
    return quote(operation, min_quantity, None, attributes).max_amount


def price_actual(
    operation: Operation,
    quantity: int | None,
    usage: Mapping[str, int] | None,
    attributes: Mapping[str, str],
    *,
    field: str,
) -> int:
    """Price what a Commit used, in microcredits: exactly one of quantity and usage is given. `field` named it.

    Raises:
        InvalidRequest: ACTUAL_REQUIRED for a range, unless it is zero units; UNPRICEABLE, INVALID_AMOUNT.
    """
    rule = unit_rule(operation, attributes)
    match rule:
        case FixedPrice(amount=unit):
            if quantity is None:
                raise _not_by_usage(operation, field)
            amount = unit * quantity
            if amount > MAX_MICROS:
                raise _too_much(operation, amount, field)
            return amount
        case RangePrice():
            if quantity == 0:
                return 0
            raise actual_required(operation, field)
        case FreePrice() | PerUnitPrice() | TokenPrice():
            return _measured(operation, rule, quantity, usage, field, field)


def needs_actual(operation: Operation, attributes: Mapping[str, str]) -> bool:
    """Return whether a Commit must say the amount: the price is a range.

    Raises:
        InvalidRequest: UNPRICEABLE, if no line of the table fits the attributes.
    """
    return isinstance(unit_rule(operation, attributes), RangePrice)


def actual_required(operation: Operation, field: str = "amount_micros") -> EarmarkError:
    """Build the error for a Commit of a range that says no amount."""
    return error(
        Reason.ACTUAL_REQUIRED,
        f"{field}: {operation.name} has a price range: the Commit must say its amount_micros",
        field=field,
    )


def unit_rule(operation: Operation, attributes: Mapping[str, str], *, within: str = "") -> UnitRule:
    """Return the rule that prices an operation with these attributes.

    Raises:
        InvalidRequest: UNPRICEABLE, if no line of the table fits and it has no default.
    """
    price = operation.price
    if not isinstance(price, AttributePrice):
        return price
    row = _fitting(price, attributes)
    if row is not None:
        return row.rule
    if price.default is not None:
        return price.default
    raise _no_line(operation, price, attributes, f"{within}attributes")


def requirement(operation: Operation, attributes: Mapping[str, str]) -> str:
    """Return the entitlement that a call takes, "" for none: that of the line that fits, else the operation's."""
    price = operation.price
    row = _fitting(price, attributes) if isinstance(price, AttributePrice) else None
    return row.requires if row is not None and row.requires else operation.requires


def _fitting(price: AttributePrice, attributes: Mapping[str, str]) -> PriceRow | None:
    for row in price.rows:
        for key, values in row.attributes.items():
            if attributes.get(key) not in values:
                break
        else:
            return row
    return None


def unit_bounds(rule: PriceRule) -> tuple[int, int | None]:
    """Return the least and the most that one unit can cost, in microcredits; None where usage sets no bound."""
    match rule:
        case FixedPrice(amount=amount):
            return amount, amount
        case FreePrice():
            return 0, 0
        case RangePrice(min_amount=least, max_amount=most):
            return least, most
        case PerUnitPrice(count=""):
            amount = _counted(rule, 1)
            return amount, amount
        case PerUnitPrice(minimum=minimum) | TokenPrice(minimum=minimum):
            return minimum, None
        case AttributePrice(rows=rows, default=default):
            rules = [row.rule for row in rows] + ([] if default is None else [default])
            bounds = [unit_bounds(each) for each in rules]
            upper = [top for _, top in bounds if top is not None]
            return min(bottom for bottom, _ in bounds), max(upper) if len(upper) == len(bounds) else None


def affordable_quantity(
    operation: Operation, usage: Mapping[str, int] | None, attributes: Mapping[str, str], available: int
) -> int | None:
    """Return how many units `available` microcredits afford at the upper price; None for what costs nothing.

    Of what is priced by usage: how many times that usage.

    Raises:
        InvalidRequest: UNPRICEABLE, INVALID_AMOUNT.
    """
    rule = unit_rule(operation, attributes)
    match rule:
        case FreePrice():
            return None
        case FixedPrice(amount=amount) | RangePrice(max_amount=amount):
            return available // amount if amount else None
        case PerUnitPrice(count="", amount=amount, step=step, minimum=minimum, rounding=rounding):
            if available < minimum:
                return 0
            if not amount:
                return None
            return available // amount * step if rounding is Rounding.UP else available * step // amount
        case PerUnitPrice() | TokenPrice():
            amount = _measured(operation, rule, None, usage, "quantity", "usage")
            return available // amount if amount else None


def _measured(
    operation: Operation,
    rule: FreePrice | PerUnitPrice | TokenPrice,
    quantity: int | None,
    usage: Mapping[str, int] | None,
    quantity_field: str,
    usage_field: str,
) -> int:
    if isinstance(rule, FreePrice):
        return 0
    if isinstance(rule, TokenPrice):
        if usage is None:
            field = usage_field if quantity is None else quantity_field
            raise _not_by_quantity(operation, f"{INPUT_TOKENS} and {OUTPUT_TOKENS}", field)
        amount, field = _tokens(operation, rule, usage, usage_field), usage_field
    elif rule.count:
        if usage is None or rule.count not in usage:
            field = usage_field if quantity is None else quantity_field
            raise _not_by_quantity(operation, rule.count, field)
        amount, field = _counted(rule, usage[rule.count]), usage_field
    else:
        if usage is not None:
            raise _not_by_usage(operation, usage_field)
        amount, field = _counted(rule, 1 if quantity is None else quantity), quantity_field
    if amount > MAX_MICROS:
        raise _too_much(operation, amount, field)
    return amount


def _counted(rule: PerUnitPrice, count: int) -> int:
    return max(_steps(rule, count), rule.minimum) if count else 0


def _steps(rule: PerUnitPrice, count: int) -> int:
    if rule.rounding is Rounding.UP:
        return -(-count // rule.step) * rule.amount
    return -(-count * rule.amount // rule.step)


def _tokens(operation: Operation, rule: TokenPrice, usage: Mapping[str, int], field: str) -> int:
    given = usage.get(INPUT_TOKENS)
    output = usage.get(OUTPUT_TOKENS)
    if given is None and output is None:
        raise _not_by_quantity(operation, f"{INPUT_TOKENS} and {OUTPUT_TOKENS}", field)
    cached = usage.get(CACHED_INPUT_TOKENS, 0)
    fresh = (given or 0) - cached
    if fresh < 0:
        raise error(
            Reason.INVALID_AMOUNT,
            f"{field}: {cached} cached_input_tokens are more than the {given or 0} input_tokens that they are part of",
            {CACHED_INPUT_TOKENS: cached, INPUT_TOKENS: given or 0},
            field=field,
        )
    total = fresh * rule.input_amount + cached * rule.cached_input_amount + (output or 0) * rule.output_amount
    amount = -(-total // rule.per)
    return max(amount, rule.minimum) if given or output else 0


def _too_much(operation: Operation, amount: int, field: str) -> EarmarkError:
    return error(
        Reason.INVALID_AMOUNT,
        f"{field}: {operation.name} would cost {format_credits(amount)} credits, "
        f"more than the largest amount, {format_credits(MAX_MICROS)}",
        field=field,
    )


def _not_by_usage(operation: Operation, field: str) -> EarmarkError:
    return error(
        Reason.UNPRICEABLE, f"{field}: {operation.name} is priced by quantity, not by usage: give quantity", field=field
    )


def _not_by_quantity(operation: Operation, names: str, field: str) -> EarmarkError:
    return error(
        Reason.UNPRICEABLE, f"{field}: {operation.name} is priced by usage: give usage with {names}", field=field
    )


def _no_line(operation: Operation, price: AttributePrice, attributes: Mapping[str, str], field: str) -> EarmarkError:
    names = list(dict.fromkeys(name for row in price.rows for name in row.attributes))
    given = ", ".join(f"{name}={attributes[name]!r}" for name in names if name in attributes)
    why = f"no line of its table fits {given}" if given else "none of them is given"
    return error(
        Reason.UNPRICEABLE,
        f"{field}: {operation.name} is priced by {', '.join(names)}, and {why}",
        field=field,
    )
