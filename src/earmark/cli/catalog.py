"""`earmark catalog`: check, install and print catalogs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from enum import StrEnum, unique
from typing import Annotated, Any

import typer

from earmark.cli.account.options import new_request_id
from earmark.cli.connection import Connection, connected
from earmark.cli.exits import ExitStatus
from earmark.cli.groups import CommandGroup
from earmark.cli.options import Json, RequestId
from earmark.cli.output import (
    Column,
    format_money,
    format_pairs,
    message_fields,
    note,
    print_json,
    print_line,
    print_table,
)
from earmark.credits import MAX_MICROS, format_credits

__all__ = ["commands"]

commands = CommandGroup("Check, install and print catalogs: what is sold, and what it costs.")

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A YAML file, or preset:NAME.", show_default=False)]
Prices = Annotated[bool, typer.Option("--prices", help="The action matrix.")]
Plans = Annotated[bool, typer.Option("--plans", help="The plans.")]
Packs = Annotated[bool, typer.Option("--packs", help="The packs, with their prices now.")]


@unique
class _Part(StrEnum):
    PRICES = "prices"
    PLANS = "plans"
    PACKS = "packs"


@commands.add("earmark catalog check catalog.yaml", "earmark catalog check preset:inspira")
def check(source: Source) -> None:
    """Check a document, without a sidecar. Each problem is a line: path:line:column: field: what is wrong."""
    catalog = _read(source)[1]
    print_line(
        f"{source}: {len(catalog.operations)} operations, {len(catalog.plans)} plans, {len(catalog.packs)} packs, "
        f"{len(catalog.promotions)} promotions, {len(catalog.limits)} limits"
    )


@commands.add("earmark catalog presets")
def presets() -> None:
    """List the catalogs that ship with Earmark; `earmark catalog show preset:NAME` prints one."""
    from earmark.catalogs import PRESETS, parse_catalog, read_source

    columns = [Column("preset"), *(Column(title, number=True) for title in ("operations", "plans", "packs"))]
    rows = []
    for name in PRESETS:
        catalog = parse_catalog(read_source(f"preset:{name}"))
        counts = (len(catalog.operations), len(catalog.plans), len(catalog.packs))
        rows.append([f"preset:{name}", *map(str, counts)])
    print_table(columns, rows)


@commands.add(
    "earmark catalog apply catalog.yaml",
    "earmark catalog apply preset:workspace --dry-run",
)
@connected
def apply(
    connection: Connection,
    source: Source,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Let the sidecar check it, and install nothing.")] = False,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Install a document as the next version; every sidecar uses it within seconds, without a restart."""
    from earmark.v1.catalog_service_pb2 import ApplyCatalogRequest

    document = _read(source)[0]
    request = ApplyCatalogRequest(document=document, validate_only=dry_run, request_id=new_request_id(request_id))
    response = connection.call(connection.catalogs.ApplyCatalog, request)
    if as_json:
        print_json(message_fields(response))
        return
    version = response.catalog.version
    if response.unchanged:
        print_line(f"version {version} is this document already")
    else:
        print_line(f"version {version} would be installed" if dry_run else f"version {version} is installed")


@commands.add(
    "earmark catalog show",
    "earmark catalog show --prices",
    "earmark catalog show --version 3 > catalog-3.yaml",
    "earmark catalog show preset:amisi --plans --packs",
)
@connected
def show(
    connection: Connection,
    source: Annotated[
        str | None,
        typer.Argument(metavar="[SOURCE]", help="A file or preset, without a sidecar.", show_default="the installed"),
    ] = None,
    prices: Prices = False,
    plans: Plans = False,
    packs: Packs = False,
    version: Annotated[
        int, typer.Option("--version", min=0, metavar="N", help="Of the document; 0 for the latest.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Print the document that is installed, or its prices, plans and packs as tables."""
    parts = [part for part, wanted in zip(_Part, (prices, plans, packs), strict=True) if wanted]
    if version and (parts or source is not None):
        raise typer.BadParameter("goes with the installed document alone", param_hint="'--version'")
    if not parts:
        _print_document(connection, source, version, as_json)
        return
    lists = {part: list(_of_source(source, part) if source else _installed(connection, part)) for part in parts}
    if as_json:
        print_json({part.value: [message_fields(row) for row in rows] for part, rows in lists.items()})
        return
    for at, (part, rows) in enumerate(lists.items()):
        if at:
            print_line("")
        title = part.value.capitalize() if len(lists) > 1 else None
        match part:
            case _Part.PRICES:
                _print_prices(rows, title)
            case _Part.PLANS:
                _print_plans(rows, title)
            case _Part.PACKS:
                _print_packs(rows, title)


def _read(source: str) -> tuple[str, Any]:
    """Return a document and its catalog; print what is wrong with it and end otherwise."""
    from earmark.catalogs import InvalidCatalog, parse_catalog, read_source

    document = read_source(source)
    try:
        return document, parse_catalog(document)
    except InvalidCatalog as invalid:
        for problem in invalid.problems:
            said = f"{problem.path}: {problem.message}" if problem.path else problem.message
            note(f"{source}:{problem.line}:{problem.column}: {said}" if problem.line else f"{source}: {said}")
        raise typer.Exit(ExitStatus.REFUSED) from None


def _print_document(connection: Connection, source: str | None, version: int, as_json: bool) -> None:
    from earmark.v1.catalog_service_pb2 import GetCatalogRequest

    if source is not None:
        document = _read(source)[0]
        if as_json:
            print_json({"document": document})
        else:
            sys.stdout.write(document)
        return
    catalog = connection.call(connection.catalogs.GetCatalog, GetCatalogRequest(version=version)).catalog
    if as_json:
        print_json(message_fields(catalog))
    else:
        sys.stdout.write(catalog.document)


def _installed(connection: Connection, part: _Part) -> Iterable[Any]:
    from earmark.v1 import catalog_service_pb2 as pb

    match part:
        case _Part.PRICES:
            yield from connection.call(connection.catalogs.ListPrices, pb.ListPricesRequest()).prices
        case _Part.PLANS:
            yield from connection.call(connection.catalogs.ListPlans, pb.ListPlansRequest()).plans
        case _Part.PACKS:
            yield from connection.call(connection.catalogs.ListPacks, pb.ListPacksRequest()).packs


def _of_source(source: str, part: _Part) -> Iterable[Any]:
    from earmark.domain.packs import offer
    from earmark.server.catalog_forms import fill_pack, fill_plan, fill_price
    from earmark.v1 import catalog_pb2 as pb

    catalog = _read(source)[1]
    match part:
        case _Part.PRICES:
            for operation in catalog.operations.values():
                price = pb.OperationPrice()
                fill_price(price, operation)
                yield price
        case _Part.PLANS:
            for plan in catalog.plans.values():
                row = pb.Plan()
                fill_plan(row, plan)
                yield row
        case _Part.PACKS:
            for pack in catalog.packs.values():
                sold = pb.Pack()
                fill_pack(sold, offer(pack, catalog.promotions, time.time_ns() // 1_000))
                yield sold


def _print_prices(prices: list[Any], title: str | None) -> None:
    columns = [Column("operation"), Column("name", optional=True), Column("category", optional=True)]
    columns += [Column("attributes", optional=True), Column("price"), Column("requires", optional=True)]
    columns += [Column("recorded", optional=True)]
    rows = []
    for price in prices:
        recorded = "" if price.recorded else "no"
        name = [price.operation, price.display_name, price.category]
        rows.append([*name, "", price.text, price.requires, recorded])
        for line in price.lines:
            attributes = format_pairs(line.attributes) or "any other"
            rows.append(["", "", "", attributes, line.text, line.requires, ""])
    print_table(columns, rows, title=title, empty="The catalog has no operations.")


def _print_plans(plans: list[Any], title: str | None) -> None:
    columns = [Column("plan"), Column("name", optional=True), Column("credits", number=True), Column("given")]
    columns += [Column("month", optional=True), Column("year", optional=True), Column("rolls over", optional=True)]
    columns += [
        Column("validity"),
        Column("seats"),
        Column("entitlements", optional=True),
        Column("text", optional=True),
    ]
    rows = []
    for plan in plans:
        rollover = ""
        if plan.HasField("rollover_cap_micros"):
            cap = plan.rollover_cap_micros
            rollover = "all" if cap == MAX_MICROS else f"up to {format_credits(cap)}"
        given = "once, on a claim" if plan.claimed else "once" if plan.once else "each cycle"
        credits = "custom" if plan.custom else format_credits(plan.credits_micros)
        rows.append(
            [
                plan.plan_id,
                plan.display_name,
                credits,
                given,
                format_money(plan.monthly_prices),
                format_money(plan.yearly_prices),
                rollover,
                plan.validity_text,
                str(plan.seats) if plan.HasField("seats") else "any",
                format_pairs(plan.entitlements),
                plan.text,
            ]
        )
    print_table(columns, rows, title=title, empty="The catalog has no plans.")


def _print_packs(packs: list[Any], title: str | None) -> None:
    columns = [Column("pack"), Column("name", optional=True), Column("credits", number=True)]
    columns += [Column("bonus", number=True, optional=True), Column("price"), Column("per credit")]
    columns += [Column("regular", optional=True), Column("promotion", optional=True), Column("validity")]
    rows = []
    for pack in packs:
        named = [pack.pack_id, pack.display_name]
        bonus = format_credits(pack.bonus_micros) if pack.bonus_micros else ""
        if not pack.custom:
            regular = format_money(pack.regular_prices) if list(pack.regular_prices) != list(pack.prices) else ""
            credits, price = format_credits(pack.credits_micros), format_money(pack.prices)
            units = format_money(pack.unit_prices)
            rows.append([*named, credits, bonus, price, units, regular, pack.promotion_id, pack.validity_text])
            continue
        bounds = f"{format_credits(pack.min_micros)} to {format_credits(pack.max_micros)}"
        rows.append([*named, bounds, bonus, "by amount", "", "", pack.promotion_id, pack.validity_text])
        rows.extend(
            ["", "", f"from {format_credits(rate.from_micros)}", "", "", format_money(rate.prices), "", "", ""]
            for rate in pack.rates
        )
    print_table(columns, rows, title=title, empty="The catalog has no packs.")
