"""What is planned, as people type it: `OPERATION[:QUANTITY][,ATTRIBUTE=VALUE…]`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import typer

from earmark.cli.values import parse_pairs
from earmark.credits import MAX_MICROS

__all__ = ["PlannedItem", "parse_item"]

_NUMBER = re.compile(r"[0-9]{1,16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One item of an estimate."""

    operation: str
    quantity: int | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    """Counts by name, for what is priced by them; empty for a quantity."""
    attributes: Mapping[str, str] = field(default_factory=dict)


def parse_item(text: str) -> PlannedItem:
    """Return an item.

    Raises:
        typer.BadParameter: one sentence.

    Example:
        >>> parse_item("image.generate:4,size=1024x1024").quantity
        4
        >>> dict(parse_item("chat:input_tokens=900+output_tokens=200").usage)
        {'input_tokens': 900, 'output_tokens': 200}
    """
    head, _, rest = text.strip().partition(",")
    attributes = parse_pairs(rest.split(","), "ITEM") if rest else {}
    operation, colon, counted = head.rpartition(":")
    if not colon:
        operation = head
    if not operation:
        raise typer.BadParameter(f"{text!r} names no operation", param_hint="'ITEM'")
    if not colon:
        return PlannedItem(operation, attributes=attributes)
    if "=" not in counted:
        return PlannedItem(operation, _count(counted, text), attributes=attributes)
    usage = {name: _count(number, text) for name, number in parse_pairs(counted.split("+"), "ITEM").items()}
    return PlannedItem(operation, usage=usage, attributes=attributes)


def _count(number: str, text: str) -> int:
    if _NUMBER.fullmatch(number) is None or int(number) > MAX_MICROS:
        raise typer.BadParameter(
            f"{text!r}: {number!r} is no number of units; write OPERATION:4 or OPERATION:input_tokens=900",
            param_hint="'ITEM'",
        )
    return int(number)
