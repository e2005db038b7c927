"""`earmark estimate`: what something would cost, and whether an account has enough for it, over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.connection import Connection, connected
from earmark.cli.items import PlannedItem, parse_item
from earmark.cli.options import Json
from earmark.cli.output import (
    Column,
    format_money,
    format_pairs,
    message_fields,
    print_card,
    print_json,
    print_line,
    print_table,
)
from earmark.credits import MICROS_PER_CREDIT, format_credits

if TYPE_CHECKING:
    from earmark.v1.metering_service_pb2 import EstimatedItem, EstimateResponse

__all__ = ["EXAMPLES", "estimate"]

EXAMPLES = (
    "earmark estimate acme image.generate:20,size=1024x1024,quality=high video.generate:2 --buffer 20",
    "earmark estimate chat.message:500                       prices only",
    "earmark estimate acme chat:input_tokens=90000+output_tokens=20000",
    "earmark estimate acme image.generate:20 --json | jq -e .sufficient",
)


@connected
def estimate(
    connection: Connection,
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="[ACCOUNT] ITEM...",
            help="ITEM is OPERATION, OPERATION:QUANTITY or OPERATION:COUNT=N+COUNT=N, with ,ATTRIBUTE=VALUE behind it "
            "for each attribute of the price.",
            show_default=False,
        ),
    ],
    account: Annotated[
        str,
        typer.Option(
            "--account",
            metavar="ACCOUNT",
            help="Whose balance; takes every argument for an ITEM.",
            show_default=False,
        ),
    ] = "",
    buffer: Annotated[
        int, typer.Option("--buffer", min=0, max=1_000, metavar="PERCENT", help="Added to the sums.")
    ] = 0,
    method: Annotated[
        str,
        typer.Option("--method", metavar="NAME", help="Only packs that can be paid so.", show_default="all"),
    ] = "",
    as_json: Json = False,
) -> None:
    """Price what is planned, by the catalog, and compare it with what an account has. Nothing is stored.

    The first argument is the account, unless it has a colon or a comma, or the catalog has an operation of that name.
    """
    from earmark.v1.metering_service_pb2 import EstimateRequest

    if not account and len(items) > 1 and not _is_item(connection, items[0]):
        account, *items = items
    planned = [parse_item(text) for text in items]
    request = EstimateRequest(account_id=account, buffer_percent=buffer, method=method)
    for item in planned:
        message = request.items.add(operation=item.operation, quantity=item.quantity, attributes=item.attributes)
        if item.usage:
            message.usage.counts.update(item.usage)
    response = connection.call(connection.metering.Estimate, request)
    if as_json:
        print_json(message_fields(response))
        return
    _print_items(planned, response)
    print_line("")
    _print_sums(response, buffer, account)


def _is_item(connection: Connection, text: str) -> bool:
    from earmark.v1.catalog_service_pb2 import ListPricesRequest

    if ":" in text or "," in text:
        return True
    prices = connection.call(connection.catalogs.ListPrices, ListPricesRequest(operation_prefix=text)).prices
    return any(price.operation == text for price in prices)


def _print_items(planned: Sequence[PlannedItem], response: EstimateResponse) -> None:
    columns = [Column("operation"), Column("quantity"), Column("attributes", optional=True), Column("price")]
    columns += [Column("costs", number=True), Column("affordable", number=True, optional=True)]
    rows = (
        [
            item.operation,
            format_pairs(item.usage) or str(1 if item.quantity is None else item.quantity),
            format_pairs(item.attributes),
            priced.text,
            _range(priced.min_micros, priced.max_micros),
            _affordable(priced),
        ]
        for item, priced in zip(planned, response.items, strict=True)
    )
    print_table(columns, rows)


def _affordable(priced: EstimatedItem) -> str:
    return f"{priced.affordable_quantity:,}" if priced.HasField("affordable_quantity") else ""


def _print_sums(response: EstimateResponse, buffer: int, account: str) -> None:
    total = _range(response.min_micros, response.max_micros)
    unit = "credit" if response.min_micros == response.max_micros == MICROS_PER_CREDIT else "credits"
    rows = [("total", f"{total} {unit}{f', with {buffer} % more' if buffer else ''}")]
    if account:
        rows.append(("available", f"{format_credits(response.available_micros)} of {account}"))
        missing = f"no, {format_credits(response.shortfall_micros)} are missing"
        rows.append(("sufficient", "yes" if response.sufficient else missing))
    rows.append(("catalog", f"version {response.price_version}"))
    print_card(rows)
    if response.packs:
        print_line("")
    columns = [Column("pack"), Column("name", optional=True), Column("times", number=True)]
    columns += [Column("gives", number=True), Column("for")]
    packs = (
        [
            covering.pack.pack_id,
            covering.pack.display_name,
            str(covering.count),
            format_credits(covering.credits_micros),
            format_money(covering.prices),
        ]
        for covering in response.packs
    )
    print_table(columns, packs, title="packs that would cover it")


def _range(least: int, most: int) -> str:
    return format_credits(most) if least == most else f"{format_credits(least)} to {format_credits(most)}"
