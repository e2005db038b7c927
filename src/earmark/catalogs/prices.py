"""The part of a document that says what operations cost."""

from __future__ import annotations

from enum import StrEnum, unique
from math import prod

from earmark.catalogs.fields import MAX_KEY, MAX_NAME, MAX_VALUE, Field, Section
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

__all__ = ["read_operations"]

_MAX_ROWS = 256
_MAX_ATTRIBUTES = 16
_MAX_COMBINATIONS = 256
_PRICE = "a number of credits, free, or a map with fixed, range, per_unit, tokens or table"
_UNIT_PRICE = "a number of credits, free, or a map with fixed, range, per_unit or tokens"
_FREE = "free"


@unique
class _RoundingWord(StrEnum):
    UP = "up"
    EXACT = "exact"


def read_operations(section: Section | None) -> dict[str, Operation]:
    """Read every operation."""
    if section is None:
        return {}
    found: dict[str, Operation] = {}
    for name, field in section.named("an operation", MAX_NAME, plain=False):
        operation = _operation(name, field)
        if operation is not None:
            found[name] = operation
    return found


def _operation(name: str, field: Field) -> Operation | None:
    if field.is_scalar:  # chat.message: 1
        price = _price(field)
        return None if price is None else Operation(name, price)
    section = field.section(f"its price ({_PRICE}), or a map with price")
    if section is None:
        return None
    given = section.need("price", _PRICE)
    price = _price(given) if given is not None else None
    display_name, category = section.get("name"), section.get("category")
    unit, requires, record, text = (section.get(key) for key in ("unit", "requires", "record", "text"))
    recorded = record.boolean() if record is not None else True
    if record is not None and recorded is False and price is not None and not _is_free(price):
        record.wrong("only a free operation may leave no entry")
    section.end()
    if price is None:
        return None
    return Operation(
        name,
        price,
        display_name=_prose(display_name, MAX_NAME),
        unit=_prose(unit, MAX_KEY),
        category=_prose(category, MAX_NAME),
        requires=_prose(requires, MAX_KEY),
        record=recorded is not False,
        text=_prose(text),
    )


def _prose(field: Field | None, longest: int = MAX_VALUE) -> str:
    return (field.prose(longest=longest) or "") if field is not None else ""


def _is_free(price: PriceRule) -> bool:
    if isinstance(price, AttributePrice):
        rules = [row.rule for row in price.rows] + ([price.default] if price.default is not None else [])
        return all(_is_free(rule) for rule in rules)
    return isinstance(price, FreePrice) or price == FixedPrice(0)


def _price(field: Field) -> PriceRule | None:
    if not field.is_scalar:
        section = field.section(_PRICE)
        if section is None:
            return None
        if "table" in section.names():
            return _table(section)
    return _unit_price(field, _PRICE)


def _unit_price(field: Field, what: str = _UNIT_PRICE) -> UnitRule | None:
    if field.is_scalar:
        if field.scalar(what) == _FREE:
            return FreePrice()
        amount = field.amount(what)
        return None if amount is None else FixedPrice(amount)
    section = field.section(what)
    if section is None:
        return None
    kinds = [name for name in ("fixed", "range", "per_unit", "tokens") if name in section.names()]
    if len(kinds) != 1:
        if "table" in section.names():
            section.wrong("a table cannot stand inside a table: list its lines in one")
        elif kinds:
            section.wrong(f"a price is one of {', '.join(kinds)}, not several")
        else:
            section.wrong(f"expected {what}")
            for name in ("fixed", "range", "per_unit", "tokens"):
                section.get(name)
            section.end()
        return None
    given = section.get(kinds[0])
    assert given is not None
    match kinds[0]:
        case "fixed":
            amount = given.amount()
            section.end()
            return None if amount is None else FixedPrice(amount)
        case "range":
            section.end()
            return _range(given)
        case "per_unit":
            return _per_unit(section, given)
        case _:
            section.end()
            return _tokens(given)


def _range(field: Field) -> RangePrice | None:
    bounds = field.items("two amounts of credits, for example [1, 3]")
    if not bounds:
        return None
    if len(bounds) != 2:
        field.wrong(f"expected two amounts of credits, for example [1, 3]; {len(bounds)} are given")
        return None
    least, most = bounds[0].amount(), bounds[1].amount()
    if least is None or most is None:
        return None
    if least >= most:
        field.wrong("the first amount must be below the second; a single amount is a fixed price")
        return None
    return RangePrice(least, most)


def _per_unit(section: Section, given: Field) -> PerUnitPrice | None:
    amount = given.amount()
    step, count, minimum, rounding = (section.get(name) for name in ("step", "count", "minimum", "rounding"))
    section.end()
    words = rounding.choice(_RoundingWord) if rounding is not None else None
    steps = step.integer("a whole number of units", 1) if step is not None else 1
    named = count.prose("the name of a usage count", MAX_KEY) if count is not None else ""
    least = minimum.amount() if minimum is not None else 0
    if amount is None or steps is None or named is None or least is None:
        return None
    return PerUnitPrice(amount, steps, named, least, Rounding.EXACT if words is _RoundingWord.EXACT else Rounding.UP)


def _tokens(field: Field) -> TokenPrice | None:
    section = field.section("a map with input, output, and perhaps cached_input, per and minimum")
    if section is None:
        return None
    given, output = (section.need(name, "an amount of credits") for name in ("input", "output"))
    cached, per, minimum = (section.get(name) for name in ("cached_input", "per", "minimum"))
    section.end()
    amounts = [each.amount() if each is not None else None for each in (given, output)]
    cached_amount = cached.amount() if cached is not None else amounts[0]
    per_tokens = per.integer("a whole number of tokens", 1) if per is not None else 1_000_000
    least = minimum.amount() if minimum is not None else 0
    if amounts[0] is None or amounts[1] is None or cached_amount is None or per_tokens is None or least is None:
        return None
    return TokenPrice(amounts[0], amounts[1], cached_amount, per_tokens, least)


def _table(section: Section) -> AttributePrice | None:
    table, default = section.get("table"), section.get("default")
    assert table is not None
    section.end()
    lines = table.items("a list of lines with when and price")
    if not lines:
        table.wrong("expected at least one line with when and price")
        return None
    if len(lines) > _MAX_ROWS:
        table.wrong(f"has {len(lines)} lines, {_MAX_ROWS} are allowed")
        return None
    rows = [_row(line) for line in lines]
    _refuse_unreachable(lines, rows)
    otherwise: UnitRule | None = None
    if default is not None:
        refused = default.is_scalar and default.scalar(_UNIT_PRICE) == "refuse"
        otherwise = None if refused else _unit_price(default, f"{_UNIT_PRICE}, or refuse")
    return AttributePrice(tuple(row for row in rows if row is not None), otherwise)


def _row(line: Field) -> PriceRow | None:
    section = line.section("a line with when and price")
    if section is None:
        return None
    when, price = section.need("when", "a map of attributes"), section.need("price", _UNIT_PRICE)
    requires = section.get("requires")
    section.end()
    conditions = when.section("a map of attributes with their values") if when is not None else None
    rule = _unit_price(price) if price is not None else None
    if when is None or conditions is None or rule is None:
        return None
    attributes: dict[str, tuple[str, ...]] = {}
    for name, field in conditions.named("an attribute", MAX_KEY, plain=False):
        values = [value.prose("a value, or a list of values", MAX_VALUE) for value in field.one_or_more("a value")]
        attributes[name] = tuple(value for value in values if value is not None)
    if not 0 < len(attributes) <= _MAX_ATTRIBUTES:
        when.wrong(f"expected 1 to {_MAX_ATTRIBUTES} attributes; what fits everything is the table's default")
        return None
    if prod(len(values) for values in attributes.values()) > _MAX_COMBINATIONS:
        when.wrong(f"stands for more than {_MAX_COMBINATIONS} combinations of values")
        return None
    return PriceRow(attributes, rule, _prose(requires, MAX_KEY))


def _refuse_unreachable(lines: list[Field], rows: list[PriceRow | None]) -> None:
    """A line that an earlier one hides can only be a mistake."""
    for at, row in enumerate(rows):
        for before, earlier in enumerate(rows[:at]):
            if row is not None and earlier is not None and _covers(earlier, row):
                lines[at].wrong(f"never applies: line {before + 1} of the table fits everything that this one fits")
                break


def _covers(earlier: PriceRow, row: PriceRow) -> bool:
    return all(
        name in row.attributes and set(row.attributes[name]) <= set(values)
        for name, values in earlier.attributes.items()
    )
