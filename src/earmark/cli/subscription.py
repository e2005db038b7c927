"""`earmark subscription`: the plan of an account, over gRPC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from earmark.cli.account.options import Reason, new_request_id
from earmark.cli.cards import balance_rows, subscription_rows
from earmark.cli.connection import Connection, connected
from earmark.cli.groups import CommandGroup
from earmark.cli.options import AccountId, Json, RequestId, TimeZone
from earmark.cli.output import message_fields, note_replay, print_card, print_json, print_line
from earmark.cli.values import UTC_ZONE, parse_credits, parse_pairs
from earmark.credits import MAX_MICROS

if TYPE_CHECKING:
    from earmark.v1.billing_service_pb2 import SubscriptionOverrides

__all__ = ["commands", "parse_rollover"]

commands = CommandGroup("Subscribe accounts to plans of the catalog, and change or end that.")


class Term(StrEnum):
    """For how long one payment pays; credits come every month either way."""

    MONTH = "month"
    YEAR = "year"


def parse_rollover(text: str) -> int:
    """Return the microcredits that may roll over: credits as they were typed, or `all`."""
    return MAX_MICROS if text.strip().lower() == "all" else parse_credits(text)


PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="A plan of the catalog.", show_default=False)]
Credits = Annotated[
    int | None,
    typer.Option(
        "--credits",
        parser=parse_credits,
        metavar="CREDITS",
        help="Of each cycle, instead of the plan's.",
        show_default=False,
    ),
]
Rollover = Annotated[
    int | None,
    typer.Option(
        "--rollover",
        parser=parse_rollover,
        metavar="CREDITS",
        help="How much rolls over at most, instead of the plan's; or all.",
        show_default=False,
    ),
]
Seats = Annotated[
    int | None,
    typer.Option("--seats", min=0, metavar="N", help="Members, instead of the plan's number.", show_default=False),
]
Entitlements = Annotated[
    list[str] | None,
    typer.Option(
        "--entitlement",
        metavar="NAME=VALUE",
        help="Over the plan's of that name; repeat it for more.",
        show_default=False,
    ),
]


def _overrides(
    credits: int | None, rollover: int | None, seats: int | None, entitlements: Sequence[str] | None
) -> SubscriptionOverrides | None:
    """Return what differs from the plan; None if nothing does."""
    from earmark.v1.billing_service_pb2 import SubscriptionOverrides

    if credits is None and rollover is None and seats is None and not entitlements:
        return None
    return SubscriptionOverrides(
        credits_micros=credits,
        rollover_cap_micros=rollover,
        seats=seats,
        entitlements=parse_pairs(entitlements or (), "--entitlement"),
    )


def _term(term: Term | None) -> str | None:
    return f"TERM_{term.upper()}" if term else None


def _print(response: Any, as_json: bool, *, said: str = "", zone: ZoneInfo = UTC_ZONE) -> None:
    """Print what a change answered: what is in force now, what is planned, and what the account has."""
    if as_json:
        print_json(message_fields(response))
        return
    note_replay(response.replayed)
    if said:
        print_line(said)
        print_line("")
    rows: Iterable[tuple[str, str]] = subscription_rows(response.subscription, zone)
    if "balance" in response.DESCRIPTOR.fields_by_name:
        rows = [*rows, *balance_rows(response.balance, zone)]
    print_card(rows)


@commands.add(
    "earmark subscription create acme pro",
    "earmark subscription create acme business --term year",
    "earmark subscription create bigco enterprise --credits 5000 --rollover 10000 --seats 80 --entitlement sla=gold",
)
@connected
def create(
    connection: Connection,
    account_id: AccountId,
    plan_id: PlanId,
    term: Annotated[Term | None, typer.Option("--term", help="What is paid at once.", show_default="month")] = None,
    credits: Credits = None,
    rollover: Rollover = None,
    seats: Seats = None,
    entitlement: Entitlements = None,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Subscribe an account to a plan, and give it the credits of the first cycle."""
    from earmark.v1.billing_service_pb2 import CreateSubscriptionRequest

    request = CreateSubscriptionRequest(
        account_id=account_id,
        request_id=new_request_id(request_id),
        plan_id=plan_id,
        term=_term(term),
        overrides=_overrides(credits, rollover, seats, entitlement),
    )
    _print(connection.call(connection.billing.CreateSubscription, request), as_json)


@commands.add("earmark subscription show acme", "earmark subscription show acme --json | jq .entitlements")
@connected
def show(
    connection: Connection,
    account_id: AccountId,
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """Show an account's latest subscription, and what it entitles to."""
    from earmark.v1.billing_service_pb2 import GetSubscriptionRequest

    request = GetSubscriptionRequest(account_id=account_id)
    subscription = connection.call(connection.billing.GetSubscription, request).subscription
    if as_json:
        print_json(message_fields(subscription))
    else:
        print_card(subscription_rows(subscription, time_zone))


@commands.add(
    "earmark subscription change acme business",
    "earmark subscription change acme pro --term year",
    "earmark subscription change bigco enterprise --credits 8000",
)
@connected
def change(
    connection: Connection,
    account_id: AccountId,
    plan_id: PlanId,
    term: Annotated[
        Term | None, typer.Option("--term", help="What is paid at once from then on.", show_default="as it is")
    ] = None,
    credits: Credits = None,
    rollover: Rollover = None,
    seats: Seats = None,
    entitlement: Entitlements = None,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Move an account to another plan.

    An upgrade is at once and gives the difference of the credits. A downgrade, or another term, waits for the end of
    what was paid; the present plan takes back what was planned.
    """
    from earmark.v1.billing_service_pb2 import ChangePlanRequest

    request = ChangePlanRequest(
        account_id=account_id,
        request_id=new_request_id(request_id),
        plan_id=plan_id,
        term=_term(term),
        overrides=_overrides(credits, rollover, seats, entitlement),
    )
    response = connection.call(connection.billing.ChangePlan, request)
    said = "In force at once." if response.immediate else "Planned for the end of what was paid."
    _print(response, as_json, said=said)


@commands.add("earmark subscription cancel acme --reason 'moved to another team'")
@connected
def cancel(
    connection: Connection,
    account_id: AccountId,
    reason: Reason = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """End a subscription when what was paid is over; its credits stay as long as they are valid."""
    from earmark.v1.billing_service_pb2 import CancelSubscriptionRequest

    request = CancelSubscriptionRequest(account_id=account_id, request_id=new_request_id(request_id), reason=reason)
    _print(connection.call(connection.billing.CancelSubscription, request), as_json)


@commands.add("earmark subscription confirm acme --request-id invoice-2026-08")
@connected
def confirm(
    connection: Connection,
    account_id: AccountId,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Say that the next term is paid, for plans whose renewal waits for that."""
    from earmark.v1.billing_service_pb2 import ConfirmRenewalRequest

    request = ConfirmRenewalRequest(account_id=account_id, request_id=new_request_id(request_id))
    _print(connection.call(connection.billing.ConfirmRenewal, request), as_json)


@commands.add(
    "earmark subscription claim acme 0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B",
    "earmark subscription claim acme ann@example.com --plan free",
)
@connected
def claim(
    connection: Connection,
    account_id: AccountId,
    identity: Annotated[
        str,
        typer.Argument(
            metavar="IDENTITY",
            help="Who claims, for example a wallet address; the case of its letters does not matter.",
            show_default=False,
        ),
    ],
    plan: Annotated[
        str,
        typer.Option("--plan", metavar="PLAN", help="Which plan.", show_default="the catalog's only claimed one"),
    ] = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Give an account a free plan, once for each identity."""
    from earmark.v1.billing_service_pb2 import ClaimFreePlanRequest

    request = ClaimFreePlanRequest(
        account_id=account_id, request_id=new_request_id(request_id), identity=identity, plan_id=plan
    )
    _print(connection.call(connection.billing.ClaimFreePlan, request), as_json)
