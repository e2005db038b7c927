"""Prices in money: decimal texts, computed exactly and rounded half up once."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["CENTS", "decimals", "money_text", "scaled_text", "unit_price_text"]

CENTS = 2
"""Decimals of a computed price, where no more are given."""
_UNIT_PRICE_DECIMALS = 3


def money_text(value: Fraction, digits: int) -> str:
    """Write a value that is not negative with so many decimals, rounded half up.

    Example:
        >>> money_text(Fraction(200, 2350), 3)
        '0.085'
    """
    whole, part = divmod((2 * value * 10**digits + 1) // 2, 10**digits)
    return f"{whole}.{part:0{digits}d}" if digits else str(whole)


def decimals(text: str) -> int:
    """Return how many decimals a text has."""
    return len(text.partition(".")[2])


def scaled_text(text: str, factor: Fraction) -> str:
    """Multiply a price: with the decimals that it had if these are enough, else with at least two."""
    value, digits = Fraction(text) * factor, decimals(text)
    if (value * 10**digits).denominator != 1:
        digits = max(CENTS, digits)
    return money_text(value, digits)


def unit_price_text(price: Fraction, micros: int) -> str:
    """Return the price of one credit when so many microcredits cost `price`, with three decimals."""
    return money_text(price * 1_000_000 / micros, _UNIT_PRICE_DECIMALS)
