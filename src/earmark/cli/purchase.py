"""`earmark purchase`: packs on their way from the quote to the credits, over gRPC."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from earmark.cli.account.options import Reason, new_request_id
from earmark.cli.cards import balance_rows, print_grants, purchase_rows, time_of
from earmark.cli.connection import Connection, connected
from earmark.cli.groups import CommandGroup
from earmark.cli.options import AccountId, Json, Limit, RequestId, TimeZone
from earmark.cli.output import (
    Column,
    enum_word,
    format_money,
    message_fields,
    note,
    note_replay,
    print_card,
    print_json,
    print_line,
    print_table,
)
from earmark.cli.paging import pages
from earmark.cli.values import UTC_ZONE, parse_credits
from earmark.credits import format_credits

if TYPE_CHECKING:
    from earmark.v1.billing_service_pb2 import Purchase

__all__ = ["commands"]

commands = CommandGroup("Sell packs: quote one, then say that it was paid, or was not. Money moves elsewhere.")


class State(StrEnum):
    """Where a purchase stands."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    FAILED = "failed"


PurchaseId = Annotated[
    str,
    typer.Argument(metavar="PURCHASE", help="Its id; or name it by --reference.", show_default=False),
]
Reference = Annotated[
    str,
    typer.Option("--reference", metavar="TEXT", help="The payment's; unique among all purchases.", show_default=False),
]


@commands.add(
    "earmark purchase create acme starter",
    "earmark purchase create acme creator --method USDT --reference tx-9f2c",
    "earmark purchase create acme custom --amount 2500 --method INSPI",
)
@connected
def create(
    connection: Connection,
    account_id: AccountId,
    pack_id: Annotated[str, typer.Argument(metavar="PACK", help="A pack of the catalog.", show_default=False)],
    amount: Annotated[
        int | None,
        typer.Option(
            "--amount",
            parser=parse_credits,
            metavar="CREDITS",
            help="How much, of a pack of a custom amount.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option("--method", metavar="NAME", help="Of payment.", show_default="the pack's only one"),
    ] = "",
    reference: Reference = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Begin a purchase. It keeps today's price, and gives nothing until it is confirmed."""
    from earmark.v1.billing_service_pb2 import CreatePurchaseRequest

    request = CreatePurchaseRequest(
        account_id=account_id,
        request_id=new_request_id(request_id),
        pack_id=pack_id,
        amount_micros=amount,
        method=method,
        payment_reference=reference,
    )
    response = connection.call(connection.billing.CreatePurchase, request)
    if as_json:
        print_json(message_fields(response))
        return
    note_replay(response.replayed)
    print_card(purchase_rows(response.purchase, UTC_ZONE))


@commands.add(
    "earmark purchase confirm p17 --reference tx-9f2c",
    "earmark purchase confirm --reference tx-9f2c    by the reference that it was begun with",
)
@connected
def confirm(
    connection: Connection,
    purchase_id: PurchaseId = "",
    reference: Reference = "",
    as_json: Json = False,
) -> None:
    """Say that a payment has arrived: gives the credits, once, however often it is repeated."""
    from earmark.v1.billing_service_pb2 import ConfirmPurchaseRequest

    _check_named(purchase_id, reference)
    request = ConfirmPurchaseRequest(purchase_id=purchase_id, payment_reference=reference)
    response = connection.call(connection.billing.ConfirmPurchase, request)
    if as_json:
        print_json(message_fields(response))
        return
    if response.replayed:
        note("It had been confirmed before: nothing more was given.")
    print_card([*purchase_rows(response.purchase, UTC_ZONE), *balance_rows(response.balance, UTC_ZONE)])
    print_line("")
    print_grants(response.grants, UTC_ZONE)


@commands.add(
    "earmark purchase fail p17 --reason 'card declined'",
    "earmark purchase fail --reference tx-9f2c",
)
@connected
def fail(
    connection: Connection,
    purchase_id: PurchaseId = "",
    reference: Reference = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Say that a payment failed: nothing is given."""
    from earmark.v1.billing_service_pb2 import FailPurchaseRequest

    _check_named(purchase_id, reference)
    request = FailPurchaseRequest(purchase_id=purchase_id, payment_reference=reference, reason=reason)
    response = connection.call(connection.billing.FailPurchase, request)
    if as_json:
        print_json(message_fields(response))
        return
    if response.replayed:
        note("It had failed before.")
    print_card(purchase_rows(response.purchase, UTC_ZONE))


@commands.add(
    "earmark purchase list acme",
    "earmark purchase list acme --state pending --json | jq -r '.[].purchase_id'",
    name="list",
)
@connected
def list_purchases(
    connection: Connection,
    account_id: AccountId,
    state: Annotated[State | None, typer.Option("--state", help="Only those.", show_default="all")] = None,
    limit: Limit = 50,
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """List an account's purchases, newest first."""
    from earmark.v1.billing_service_pb2 import ListPurchasesRequest

    request = ListPurchasesRequest(
        account_id=account_id, state=f"STATE_{state.upper()}" if state else None, page_size=min(limit + 1, 1_000)
    )
    found = list(islice(pages(connection, connection.billing.ListPurchases, request, "purchases"), limit + 1))
    if as_json:
        print_json([message_fields(purchase) for purchase in found[:limit]])
    else:
        columns = [Column("purchase"), Column("state"), Column("pack"), Column("credits", number=True)]
        columns += [Column("bonus", number=True, optional=True), Column("price"), Column("per credit", number=True)]
        columns += [Column("promotion", optional=True), Column("reference", optional=True), Column("begun")]
        columns += [Column("settled", optional=True), Column("reason", optional=True)]
        print_table(columns, (_row(purchase, time_zone) for purchase in found[:limit]), empty="No purchase.")
    if len(found) > limit:
        note(f"There are more: these are the newest {limit}; --limit shows more.")


def _row(purchase: Purchase, zone: ZoneInfo) -> list[str]:
    return [
        purchase.purchase_id,
        enum_word(purchase, "state"),
        purchase.pack_id,
        format_credits(purchase.credits_micros),
        format_credits(purchase.bonus_micros) if purchase.bonus_micros else "",
        format_money([purchase.price]),
        purchase.unit_price,
        purchase.promotion_id,
        purchase.payment_reference,
        time_of(purchase, "create_time", zone),
        time_of(purchase, "settle_time", zone),
        purchase.reason,
    ]


def _check_named(purchase_id: str, reference: str) -> None:
    if not purchase_id and not reference:
        raise typer.BadParameter("name the purchase by its id, or by --reference")
