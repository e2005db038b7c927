"""Prices in words, for help pages and ledger entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from earmark.credits import MICROS_PER_CREDIT, format_credits
from earmark.domain.catalog import (
    AttributePrice,
    FixedPrice,
    FreePrice,
    Operation,
    PerUnitPrice,
    PriceRule,
    RangePrice,
    TokenPrice,
)
from earmark.domain.pricing import unit_bounds, unit_rule

__all__ = ["applied_text", "operation_text", "price_text"]


def operation_text(operation: Operation) -> str:
    """Return the price of an operation in words: the document's own if it has any.

    Example: `1 credit per message`, `0.38 to 1.92 credits per image, by size and quality`, `2 to 5 credits`, `free`.
    """
    return operation.text or price_text(operation.price, operation.unit)


def applied_text(operation: Operation, attributes: Mapping[str, str]) -> str:
    """Return the price that holds for these attributes, in words: of a table the line that fits.

    Raises:
        InvalidRequest: UNPRICEABLE, if no line fits.
    """
    if isinstance(operation.price, AttributePrice):
        return price_text(unit_rule(operation, attributes), operation.unit)
    return operation_text(operation)


def price_text(rule: PriceRule, unit: str = "") -> str:
    """Return a price in words; `unit` is what one of the operation is."""
    per = f" per {unit}" if unit else ""
    match rule:
        case FreePrice():
            return "free"
        case FixedPrice(amount=0):
            return "free"
        case FixedPrice(amount=amount):
            return f"{_credits(amount)}{per}"
        case RangePrice(min_amount=least, max_amount=most):
            return f"{format_credits(least)} to {_credits(most)}{per}"
        case PerUnitPrice(amount=amount, step=step, count=count, minimum=minimum):
            what = count.replace("_", " ") if count else (unit or "unit")
            many = f"{step:,} {what if count else _plural(what)}" if step > 1 else _singular(what, named=bool(count))
            return f"{_credits(amount)} per {many}{_at_least(minimum)}"
        case TokenPrice(input_amount=given, output_amount=output, cached_input_amount=cached, per=per_tokens):
            parts = (
                f"{_credits(given)} per {per_tokens:,} input tokens, {format_credits(output)} per {per_tokens:,} output"
            )
            if cached != given:
                parts += f", {format_credits(cached)} per {per_tokens:,} cached input"
            return parts + _at_least(rule.minimum)
        case AttributePrice(rows=rows):
            least, most_of_all = unit_bounds(rule)
            names = _listed(list(dict.fromkeys(name for row in rows for name in row.attributes)))
            if most_of_all is None:
                price = f"from {_credits(least)}"
            elif most_of_all == 0:
                return "free"
            elif least == most_of_all:
                price = _credits(least)
            else:
                price = f"{format_credits(least)} to {_credits(most_of_all)}"
            return f"{price}{per}, by {names}" if per else f"{price} by {names}"


def _credits(amount: int) -> str:
    return f"{format_credits(amount)} credit{'' if amount == MICROS_PER_CREDIT else 's'}"


def _at_least(minimum: int) -> str:
    return f", at least {_credits(minimum)}" if minimum else ""


def _plural(word: str) -> str:
    return word if word.endswith("s") else f"{word}s"


def _singular(word: str, *, named: bool) -> str:
    return word.removesuffix("s") if named else word


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
