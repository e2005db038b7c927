"""Microcredits: the one unit of every amount, always an integer. 1 credit = 1,000,000 microcredits."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

__all__ = ["MAX_MICROS", "MICROS_PER_CREDIT", "format_credits", "to_credits", "to_micros"]

MICROS_PER_CREDIT = 1_000_000
MAX_MICROS = 2**53 - 1
"""The largest amount and count: the largest integer that Lua's numbers hold exactly."""


def to_micros(credits: Decimal | int | str) -> int:
    """Convert credits to microcredits, exactly.

    Raises:
        TypeError: for a float or a bool: a float is not exact.
        ValueError: for text that is no number, a negative amount, a fraction of a microcredit, or more than MAX_MICROS.

    Example:
        >>> to_micros("0.38")
        380000
    """
    if isinstance(credits, (float, bool)) or not isinstance(credits, (Decimal, int, str)):
        raise TypeError(f"credits must be Decimal, int or str, not {type(credits).__name__}: a float is not exact")
    try:
        amount = Decimal(credits)
    except InvalidOperation:
        raise ValueError(f"{credits!r} is not an amount of credits") from None
    if not amount.is_finite():
        raise ValueError(f"{credits!r} is not an amount of credits")
    if amount < 0:
        raise ValueError(f"{credits} credits: an amount cannot be negative")
    if amount > MAX_MICROS:  # Also keeps the exact conversion below within reach of memory: 1e999999 is refused here.
        raise ValueError(f"{credits} credits is more than the largest amount, {format_credits(MAX_MICROS)}")
    numerator, denominator = amount.as_integer_ratio()
    micros, rest = divmod(numerator * MICROS_PER_CREDIT, denominator)
    if rest:
        raise ValueError(f"{credits} credits: the smallest unit is 0.000001")
    if micros > MAX_MICROS:
        raise ValueError(f"{credits} credits is more than the largest amount, {format_credits(MAX_MICROS)}")
    return micros


def to_credits(micros: int) -> Decimal:
    """Convert microcredits to credits, exactly."""
    return Decimal(micros).scaleb(-6)


def format_credits(micros: int) -> str:
    """Write microcredits as credits: no exponent, no trailing zeros, thousands separated.

    Example:
        >>> format_credits(1_234_500_000)
        '1,234.5'
    """
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), MICROS_PER_CREDIT)
    text = f"{sign}{whole:,}"
    return f"{text}.{fraction:06d}".rstrip("0") if fraction else text
