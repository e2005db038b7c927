"""Prices, estimates and quotes: what something would cost. Amounts in credits as Decimal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from earmark.client.amounts import quantity_number, usage_counts
from earmark.client.values import Balance, Notice
from earmark.credits import format_credits, to_credits
from earmark.v1 import catalog_pb2
from earmark.v1 import metering_service_pb2 as pb

__all__ = [
    "CoveringPack",
    "Estimate",
    "EstimatedItem",
    "Item",
    "Price",
    "PriceLine",
    "Quote",
    "estimate_request",
]


@dataclass(frozen=True, slots=True)
class Item:
    """A part of what is planned: an operation with `quantity` or `usage`, and what its price depends on."""

    operation: str
    quantity: int | None = None
    """How many units; 1 if neither this nor `usage` is given."""
    usage: Mapping[str, int] | None = None
    """Named counts, for example `{"input_tokens": 90_000}`."""
    attributes: Mapping[str, str] = field(default_factory=dict)


def estimate_request(
    account_id: str | None, items: Sequence[Item | str], buffer_percent: int, method: str
) -> pb.EstimateRequest:
    """Build the message.

    Raises:
        TypeError, ValueError: what cannot be sent.
    """
    if isinstance(items, str):
        raise TypeError("items is a list of items, not one name")
    request = pb.EstimateRequest(account_id=account_id or "", buffer_percent=buffer_percent, method=method)
    for given in items:
        item = Item(given) if isinstance(given, str) else given
        row = request.items.add(operation=item.operation, attributes=item.attributes)
        if item.quantity is not None:
            row.quantity = quantity_number(item.quantity)
        if item.usage is not None:
            row.usage.counts.update(usage_counts(item.usage))
            row.usage.SetInParent()
    return request


def _prices(given: Sequence[catalog_pb2.Money]) -> Mapping[str, Decimal]:
    return MappingProxyType({price.method: Decimal(price.amount) for price in given})


@dataclass(frozen=True, slots=True)
class PriceLine:
    """The price for one combination of attributes."""

    attributes: Mapping[str, str]
    """One that is left out may have any value."""
    text: str
    least: Decimal
    """The least that one unit can cost."""
    most: Decimal | None
    """The most that one unit can cost; None where the catalog sets no bound."""
    requires: str
    """The entitlement that it takes instead of the operation's; empty for none of its own."""

    @classmethod
    def of(cls, message: catalog_pb2.PriceLine) -> PriceLine:
        """Read it from the wire."""
        most = to_credits(message.max_micros) if message.HasField("max_micros") else None
        attributes = MappingProxyType(dict(message.attributes))
        return cls(attributes, message.text, to_credits(message.min_micros), most, message.requires)


@dataclass(frozen=True, slots=True)
class Price:
    """One operation of the catalog with its price."""

    operation: str
    display_name: str
    rule: str
    """"fixed", "per_unit", "by_attributes", "range", "free" or "tokens"."""
    text: str
    """The price in words."""
    least: Decimal
    """The least that one unit can cost."""
    most: Decimal | None
    """The most that one unit can cost; None where the catalog sets no bound."""
    lines: tuple[PriceLine, ...]
    """Those of a table over attributes."""
    requires: str
    """The entitlement that it takes; empty for none."""
    unit: str
    category: str

    @classmethod
    def of(cls, message: catalog_pb2.OperationPrice) -> Price:
        """Read it from the wire."""
        return cls(
            operation=message.operation,
            display_name=message.display_name,
            rule=catalog_pb2.OperationPrice.Rule.Name(message.rule).removeprefix("RULE_").lower(),
            text=message.text,
            least=to_credits(message.min_micros),
            most=to_credits(message.max_micros) if message.HasField("max_micros") else None,
            lines=tuple(PriceLine.of(line) for line in message.lines),
            requires=message.requires,
            unit=message.unit,
            category=message.category,
        )


@dataclass(frozen=True, slots=True)
class EstimatedItem:
    """What one item of an estimate costs, without the buffer."""

    least: Decimal
    most: Decimal
    text: str
    """The price in words."""
    affordable: int | None
    """How many the balance affords if nothing else is done; None when it is free, or without an account."""


@dataclass(frozen=True, slots=True)
class CoveringPack:
    """A pack that would cover a shortfall."""

    pack_id: str
    display_name: str
    count: int
    """How many of it."""
    amount: Decimal
    """Credits that they give together."""
    prices: Mapping[str, Decimal]
    """What they cost together, by method of payment."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What everything would cost. `print(estimate)` says it in one line."""

    items: tuple[EstimatedItem, ...]
    """In the order of the request."""
    least: Decimal
    """The least that all can cost, with the buffer."""
    most: Decimal
    """The most that all can cost, with the buffer."""
    sufficient: bool
    """Whether what is available covers the most; true without an account."""
    shortfall: Decimal
    """What is missing for the most."""
    available: Decimal
    packs: tuple[CoveringPack, ...]
    """That would cover the shortfall, the cheapest way first."""
    price_version: int

    @classmethod
    def of(cls, message: pb.EstimateResponse) -> Estimate:
        """Read it from the wire."""
        return cls(
            items=tuple(
                EstimatedItem(
                    to_credits(item.min_micros),
                    to_credits(item.max_micros),
                    item.text,
                    item.affordable_quantity if item.HasField("affordable_quantity") else None,
                )
                for item in message.items
            ),
            least=to_credits(message.min_micros),
            most=to_credits(message.max_micros),
            sufficient=message.sufficient,
            shortfall=to_credits(message.shortfall_micros),
            available=to_credits(message.available_micros),
            packs=tuple(
                CoveringPack(
                    covering.pack.pack_id,
                    covering.pack.display_name,
                    covering.count,
                    to_credits(covering.credits_micros),
                    _prices(covering.prices),
                )
                for covering in message.packs
            ),
            price_version=message.price_version,
        )

    def __str__(self) -> str:
        total = _text(self.most) if self.least == self.most else f"{_text(self.least)} to {_text(self.most)}"
        if self.shortfall:
            return f"{total} credits; {_text(self.available)} available: {_text(self.shortfall)} are missing"
        return f"{total} credits"


def _text(amount: Decimal) -> str:
    return format_credits(int(amount.scaleb(6)))


@dataclass(frozen=True, slots=True)
class Quote:
    """What a reserve would hold now."""

    amount: Decimal
    """Credits that it would hold; less than the price if a minimum was accepted."""
    price_version: int
    """The version of the catalog that prices it; 0 for an amount."""
    balance: Balance
    """As it is, without the hold."""
    notices: tuple[Notice, ...]

    @classmethod
    def of(cls, response: pb.ReserveResponse) -> Quote:
        """Read it from the wire."""
        return cls(
            amount=to_credits(response.reservation.reserved_micros),
            price_version=response.reservation.price_version,
            balance=Balance.of(response.balance),
            notices=tuple(Notice.of(notice) for notice in response.notices),
        )
