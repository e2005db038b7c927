"""`earmark account grant|adjust|void|grants`: the credits that an account was given."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from earmark.cli.account.creation import create_grant
from earmark.cli.account.group import commands
from earmark.cli.account.options import Credits, Expires, GrantKind, Kind, Priority, Reason, new_request_id
from earmark.cli.cards import balance_rows, print_grants
from earmark.cli.connection import Connection, connected
from earmark.cli.options import AccountId, Comment, Json, Limit, RequestId, TimeZone
from earmark.cli.output import message_fields, note, note_replay, print_card, print_json, print_line
from earmark.cli.paging import pages
from earmark.cli.values import UTC_ZONE, Expiry, parse_zone

__all__: list[str] = []


def _print_grant(response: Any, zone: ZoneInfo, as_json: bool) -> None:
    if as_json:
        print_json(message_fields(response))
        return
    note_replay(response.replayed)
    print_card([("account", response.balance.account_id), *balance_rows(response.balance, zone)])
    print_line("")
    print_grants([response.grant], zone)


def _zone_of(connection: Connection, account_id: str, expires: Expiry | None) -> ZoneInfo:
    """Return the account's own zone, in which "until 27 July" is meant; only asked for where it matters."""
    from earmark.v1.account_service_pb2 import GetAccountRequest

    if expires is None or not expires.needs_zone:
        return UTC_ZONE
    account = connection.call(connection.accounts.GetAccount, GetAccountRequest(account_id=account_id)).account
    return parse_zone(account.time_zone or "UTC")


@commands.add(
    "earmark account grant acme 100",
    "earmark account grant acme 25 --kind promotion --expires 30d --comment 'spring campaign'",
    "earmark account grant acme 500 --kind purchase --request-id invoice-2026-0117",
)
@connected
def grant(
    connection: Connection,
    account_id: AccountId,
    amount: Credits,
    kind: Kind = GrantKind.FREE,
    priority: Priority = None,
    expires: Expires = None,
    comment: Comment = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Give an account credits; answers when they can be spent."""
    zone = _zone_of(connection, account_id, expires)
    response = create_grant(
        connection,
        account_id,
        amount,
        kind,
        new_request_id(request_id),
        priority=priority,
        expires=expires,
        zone=zone,
        comment=comment,
    )
    _print_grant(response, zone, as_json)


@commands.add("earmark account adjust acme 0.38 --reservation AQxy... --comment 'the image was black'")
@connected
def adjust(
    connection: Connection,
    account_id: AccountId,
    amount: Credits,
    reservation: Annotated[
        str,
        typer.Option(
            "--reservation", metavar="ID", help="Whose charge is made good; never beyond it.", show_default=False
        ),
    ],
    priority: Priority = None,
    expires: Expires = None,
    comment: Comment = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Make good a charge: give back some or all of what a reservation was charged."""
    zone = _zone_of(connection, account_id, expires)
    response = create_grant(
        connection,
        account_id,
        amount,
        "adjustment",
        new_request_id(request_id),
        priority=priority,
        expires=expires,
        zone=zone,
        comment=comment,
        reservation_id=reservation,
    )
    _print_grant(response, zone, as_json)


@commands.add("earmark account void acme g3 --reason 'the payment was reversed'")
@connected
def void(
    connection: Connection,
    account_id: AccountId,
    grant_id: Annotated[str, typer.Argument(metavar="GRANT", help="For example g3.", show_default=False)],
    reason: Reason = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Take back what is left of a grant; open reservations on it still pay."""
    from earmark.v1.account_service_pb2 import VoidGrantRequest

    request = VoidGrantRequest(
        account_id=account_id, request_id=new_request_id(request_id), grant_id=grant_id, reason=reason
    )
    _print_grant(connection.call(connection.accounts.VoidGrant, request), UTC_ZONE, as_json)


@commands.add("earmark account grants acme", "earmark account grants acme --json")
@connected
def grants(
    connection: Connection,
    account_id: AccountId,
    limit: Limit = 100,
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """List an account's grants, newest first, with what became of each."""
    from earmark.v1.account_service_pb2 import ListGrantsRequest

    request = ListGrantsRequest(account_id=account_id, page_size=min(limit + 1, 1_000))
    found = list(islice(pages(connection, connection.accounts.ListGrants, request, "grants"), limit + 1))
    if as_json:
        print_json([message_fields(item) for item in found[:limit]])
    else:
        print_grants(found[:limit], time_zone)
    if len(found) > limit:
        note(f"There are more: these are the newest {limit}; --limit shows more.")
