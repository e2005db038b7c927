"""What packs cost now: promotions between their two moments, custom amounts with volume rates.

Of several promotions that are in force for a pack, the first of the document counts; they do not add up. The price of
one credit counts the bonus too: it is what a buyer gets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from earmark.credits import MAX_MICROS, format_credits
from earmark.domain.catalog import Catalog, CustomAmount, Pack, Promotion, Validity, VolumeRate
from earmark.domain.money import CENTS, decimals, money_text, scaled_text, unit_price_text
from earmark.domain.states import GrantKind
from earmark.errors import EarmarkError, Reason, error

__all__ = ["Offer", "PackQuote", "custom_prices", "offer", "promotion_in_force", "quote_pack", "volume_rates"]

_CREDIT = 1_000_000
_WHOLE = 100
_DEFAULT_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class Offer:
    """A pack as it is sold at one moment. Amounts in microcredits, prices by method of payment."""

    pack: Pack
    credits: int
    """Without the bonus; 0 for a custom amount that is not chosen yet."""
    bonus: int
    prices: Mapping[str, str]
    """Promotions applied; empty for a custom amount that is not chosen yet."""
    regular_prices: Mapping[str, str]
    unit_prices: Mapping[str, str]
    """Of one credit, with three decimals."""
    promotion: Promotion | None


@dataclass(frozen=True, slots=True)
class PackQuote:
    """What a purchase costs and gives, if it is paid. Amounts in microcredits."""

    pack_id: str
    method: str
    price: str
    regular_price: str
    unit_price: str
    credits: int
    """Without the bonus."""
    bonus: int
    promotion_id: str
    """"" for none."""
    validity: Validity
    priority: int
    bonus_validity: Validity
    bonus_priority: int
    price_version: int


def promotion_in_force(pack: Pack, promotions: Sequence[Promotion], now: int) -> Promotion | None:
    """Return the promotion that counts for a pack at a moment: from `start_time` on, before `end_time`."""
    for promotion in promotions:
        if promotion.start_time <= now < promotion.end_time and _is_about(promotion, pack):
            return promotion
    return None


def _is_about(promotion: Promotion, pack: Pack) -> bool:
    if promotion.packs:
        return pack.pack_id in promotion.packs
    gives = promotion.bonus or promotion.bonus_percent or promotion.discount_percent
    return bool(gives) or pack.pack_id in promotion.prices


def offer(pack: Pack, promotions: Sequence[Promotion], now: int, amount: int | None = None) -> Offer:
    """Return a pack as it is sold now.

    Args:
        pack: The pack.
        promotions: The catalog's.
        now: Microseconds since 1970.
        amount: Of a custom amount, in microcredits and within its bounds; None for none chosen.
    """
    promotion = promotion_in_force(pack, promotions, now)
    if pack.custom is None:
        credits, regular, digits = pack.credits, pack.prices, None
    elif amount is None:
        return Offer(pack, 0, promotion.bonus if promotion else 0, {}, {}, {}, promotion)
    else:
        credits, regular, digits = amount, custom_prices(pack.custom, amount, 0), CENTS
    bonus = _bonus(credits, promotion)
    prices = dict(regular)
    if promotion is not None:
        if promotion.discount_percent:
            if pack.custom is not None and digits is not None:
                prices = dict(custom_prices(pack.custom, credits, promotion.discount_percent))
            else:
                left = Fraction(_WHOLE - promotion.discount_percent, _WHOLE)
                prices = {method: scaled_text(price, left) for method, price in regular.items()}
        prices |= promotion.prices.get(pack.pack_id, {})
    units = {method: unit_price_text(Fraction(price), credits + bonus) for method, price in prices.items()}
    return Offer(pack, credits, bonus, prices, regular, units, promotion)


def _bonus(credits: int, promotion: Promotion | None) -> int:
    if promotion is None:
        return 0
    return promotion.bonus - (-credits * promotion.bonus_percent // _WHOLE)


def custom_prices(custom: CustomAmount, amount: int, discount_percent: int) -> Mapping[str, str]:
    """Return what an amount of microcredits costs: all of it at the rate that it reaches, rounded half up to cents."""
    rate = custom.rates[0]
    for each in custom.rates:
        if each.from_amount <= amount:
            rate = each
    factor = Fraction(amount, _CREDIT) * Fraction(_WHOLE - discount_percent, _WHOLE)
    return {method: money_text(Fraction(price) * factor, CENTS) for method, price in rate.unit_prices.items()}


def volume_rates(custom: CustomAmount, promotion: Promotion | None) -> list[tuple[VolumeRate, Mapping[str, str]]]:
    """Return the rates of a custom amount with the price of one credit now, by method of payment."""
    left = Fraction(_WHOLE - (promotion.discount_percent if promotion is not None else 0), _WHOLE)
    found: list[tuple[VolumeRate, Mapping[str, str]]] = []
    for rate in custom.rates:
        texts = {method: f"{price:f}" for method, price in rate.unit_prices.items()}
        prices = {method: _exact_text(Fraction(text) * left, decimals(text)) for method, text in texts.items()}
        found.append((rate, prices))
    return found


def _exact_text(value: Fraction, digits: int) -> str:
    """Write a value with all its decimals: two more are enough for percents."""
    while (value * 10**digits).denominator != 1:
        digits += 1
    return money_text(value, digits)


def quote_pack(catalog: Catalog, pack_id: str, now: int, method: str = "", amount: int | None = None) -> PackQuote:
    """Price a purchase.

    Args:
        catalog: The one in force.
        pack_id: Which pack.
        now: Microseconds since 1970.
        method: Of payment; "" for the pack's only one.
        amount: Microcredits, for a pack of a custom amount.

    Raises:
        NotFound: PACK_NOT_FOUND.
        InvalidRequest: INVALID_AMOUNT for an amount out of bounds; INVALID_ARGUMENT for a method that the pack has not.
    """
    pack = catalog.packs.get(pack_id)
    if pack is None:
        raise error(Reason.PACK_NOT_FOUND, f"the catalog has no pack {pack_id!r}", {"pack_id": pack_id})
    if pack.custom is not None:
        _check_amount(pack, pack.custom, amount)
    elif amount is not None and amount != pack.credits:
        raise _invalid_amount(f"the pack {pack_id!r} has a fixed number of credits: leave the amount out", amount)
    found = offer(pack, catalog.promotions, now, amount if pack.custom is not None else None)
    if found.credits + found.bonus > MAX_MICROS:
        raise _invalid_amount(f"the pack {pack_id!r} would give more than the largest amount", amount or 0)
    chosen = _method(pack, found.prices, method)
    promotion = found.promotion
    bonus_validity = promotion.validity if promotion is not None else None
    return PackQuote(
        pack_id,
        chosen,
        found.prices[chosen],
        found.regular_prices.get(chosen, found.prices[chosen]),
        found.unit_prices[chosen],
        found.credits,
        found.bonus,
        promotion.promotion_id if promotion is not None else "",
        pack.validity,
        pack.priority,
        catalog.validity.get(GrantKind.PROMOTION, Validity()) if bonus_validity is None else bonus_validity,
        promotion.priority if promotion is not None else catalog.priority.get(GrantKind.PROMOTION, _DEFAULT_PRIORITY),
        catalog.version,
    )


def _check_amount(pack: Pack, custom: CustomAmount, amount: int | None) -> None:
    bounds = f"{format_credits(custom.min_amount)} to {format_credits(custom.max_amount)} credits"
    if amount is None:
        raise _invalid_amount(f"is missing: the pack {pack.pack_id!r} takes {bounds}", 0)
    if not custom.min_amount <= amount <= custom.max_amount:
        given = f"{format_credits(amount)} credits are given"
        raise error(
            Reason.INVALID_AMOUNT,
            f"amount_micros: the pack {pack.pack_id!r} takes {bounds}; {given}",
            {"amount_micros": amount, "min_micros": custom.min_amount, "max_micros": custom.max_amount},
            field="amount_micros",
        )
    if amount % custom.step:
        raise _invalid_amount(f"must be a multiple of {format_credits(custom.step)} credits", amount)


def _invalid_amount(message: str, amount: int) -> EarmarkError:
    return error(Reason.INVALID_AMOUNT, f"amount_micros: {message}", {"amount_micros": amount}, field="amount_micros")


def _method(pack: Pack, prices: Mapping[str, str], method: str) -> str:
    if method in prices:
        return method
    if not method and len(prices) == 1:
        return next(iter(prices))
    said = f"{method!r} is no method of payment of" if method else "is missing: there are several for"
    raise error(
        Reason.INVALID_ARGUMENT, f"method: {said} the pack {pack.pack_id!r}: {', '.join(prices)}", field="method"
    )
