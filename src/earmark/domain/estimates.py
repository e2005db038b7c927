"""What a plan of many generations would cost, whether the balance covers it, and which packs would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import Catalog, CustomAmount, Operation, Pack, Promotion
from earmark.domain.money import scaled_text
from earmark.domain.packs import Offer, offer
from earmark.domain.price_text import applied_text
from earmark.domain.pricing import affordable_quantity, quote
from earmark.errors import Reason, error

__all__ = ["Covering", "Estimate", "EstimatedItem", "Item", "covering_packs", "estimate"]

_WHOLE = 100


@dataclass(frozen=True, slots=True)
class Item:
    """A part of what is planned; at most one of quantity and usage is given."""

    operation: Operation
    quantity: int | None
    usage: Mapping[str, int] | None
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EstimatedItem:
    """What an item costs, in microcredits, without the buffer."""

    min_amount: int
    max_amount: int
    text: str
    """Its price in words."""
    affordable: int | None
    """How many units the balance affords at the upper price, if nothing else is done (of what is priced by usage: how
    many times that usage); None when it costs nothing, or without a balance."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What everything costs, in microcredits, with the buffer."""

    items: tuple[EstimatedItem, ...]
    min_amount: int
    max_amount: int
    sufficient: bool
    """Whether the balance covers `max_amount`; true without one."""
    shortfall: int
    """What it lacks."""


@dataclass(frozen=True, slots=True)
class Covering:
    """A number of one pack that gives at least the shortfall."""

    offer: Offer
    """Of one, with the amount chosen."""
    count: int
    credits: int
    """What all give together, bonus included, in microcredits."""
    prices: Mapping[str, str]
    """What all cost together, by method of payment."""


def estimate(items: Sequence[Item], buffer_percent: int = 0, available: int | None = None) -> Estimate:
    """Price a list of items.

    Args:
        items: In any order; the answer keeps it.
        buffer_percent: Added to the sums, which are then rounded up.
        available: The balance in microcredits; None to price only.

    Raises:
        InvalidRequest: UNPRICEABLE, or INVALID_AMOUNT for a sum beyond the largest amount; the field names the item.
    """
    priced = tuple(_priced(f"items[{at}].", item, available) for at, item in enumerate(items))
    least = _buffered(sum(item.min_amount for item in priced), buffer_percent)
    most = _buffered(sum(item.max_amount for item in priced), buffer_percent)
    if most > MAX_MICROS:
        raise error(Reason.INVALID_AMOUNT, "items: their sum is more than the largest amount", field="items")
    shortfall = 0 if available is None else max(0, most - available)
    return Estimate(priced, least, most, not shortfall, shortfall)


def _priced(within: str, item: Item, available: int | None) -> EstimatedItem:
    found = quote(item.operation, item.quantity, item.usage, item.attributes, within=within)
    affordable = None
    if available is not None:
        affordable = affordable_quantity(item.operation, item.usage, item.attributes, available)
    text = applied_text(item.operation, item.attributes)
    return EstimatedItem(found.min_amount, found.max_amount, text, affordable)


def _buffered(amount: int, percent: int) -> int:
    return -(-amount * (_WHOLE + percent) // _WHOLE)


def covering_packs(catalog: Catalog, shortfall: int, now: int, method: str = "") -> tuple[Covering, ...]:
    """Return for each pack how many of it give at least the shortfall, the cheapest way first.

    Args:
        catalog: The one in force.
        shortfall: Microcredits; nothing covers 0.
        now: Microseconds since 1970: promotions count.
        method: Only packs with this method of payment. With "", prices in the method that most packs have decide, and
            packs without it come last.
    """
    if shortfall <= 0:
        return ()
    offers = {pack_id: offer(pack, catalog.promotions, now, _least(pack)) for pack_id, pack in catalog.packs.items()}
    methods = Counter(name for each in offers.values() for name in each.prices)
    deciding = method or next((name for name, _ in methods.most_common(1)), "")
    found = []
    for each in offers.values():
        if method and method not in each.prices:
            continue
        custom = each.pack.custom
        if custom is None:
            found.append(_several(each, shortfall))
        else:
            found.append(_cheapest_amount(catalog, each, custom, shortfall, now, deciding))
    return tuple(sorted(found, key=lambda covering: _order(covering, deciding)))


def _least(pack: Pack) -> int | None:
    return pack.custom.min_amount if pack.custom is not None else None


def _order(covering: Covering, method: str) -> tuple[bool, Fraction, int]:
    price = covering.prices.get(method)
    return price is None, Fraction(price or 0), covering.credits


def _several(one: Offer, shortfall: int) -> Covering:
    gives = one.credits + one.bonus
    count = -(-shortfall // gives)
    prices = {method: scaled_text(price, Fraction(count)) for method, price in one.prices.items()}
    return Covering(one, count, count * gives, prices)


def _cheapest_amount(
    catalog: Catalog, least: Offer, custom: CustomAmount, shortfall: int, now: int, method: str
) -> Covering:
    """Choose the amount: what just covers it, or more where a better rate makes more cost less."""
    needed = _amount_for(custom, least.promotion, shortfall)
    amounts = {min(needed, custom.max_amount - custom.max_amount % custom.step)}
    for rate in custom.rates:
        stepped = -(-rate.from_amount // custom.step) * custom.step
        if needed < stepped <= custom.max_amount:
            amounts.add(stepped)
    ways = [_several(offer(least.pack, catalog.promotions, now, amount), shortfall) for amount in amounts]
    return min(ways, key=lambda covering: _order(covering, method))


def _amount_for(custom: CustomAmount, promotion: Promotion | None, shortfall: int) -> int:
    """Return the least amount that covers a shortfall together with its bonus, in whole steps."""
    bonus, percent = (promotion.bonus, promotion.bonus_percent) if promotion is not None else (0, 0)
    bare = -(-max(0, shortfall - bonus) * _WHOLE // (_WHOLE + percent))
    return max(custom.min_amount, -(-bare // custom.step) * custom.step)
