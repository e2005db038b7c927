"""`earmark ledger alerts`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.cards import time_of
from earmark.cli.connection import Connection, connected
from earmark.cli.ledger.group import commands
from earmark.cli.options import Json, Limit, TimeZone
from earmark.cli.output import Column, enum_word, message_fields, note, print_json, print_table
from earmark.cli.paging import pages
from earmark.cli.values import UTC_ZONE
from earmark.credits import format_credits

if TYPE_CHECKING:
    from earmark.v1.ledger_service_pb2 import Notification

__all__: list[str] = []


class AlertKind(StrEnum):
    """What an alert warns of."""

    LOW_BALANCE = "low-balance"
    CRITICAL_BALANCE = "critical-balance"
    EXPIRING_SOON = "expiring-soon"
    LIMIT_NEAR = "limit-near"


@commands.add(
    "earmark ledger alerts acme",
    "earmark ledger alerts --kind critical-balance",
    "earmark ledger alerts acme --json | jq '.[].deliveries[] | select(.state != \"DELIVERY_STATE_DELIVERED\")'",
)
@connected
def alerts(
    connection: Connection,
    account_id: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="The account; all if absent.", show_default=False)
    ] = "",
    kind: Annotated[AlertKind | None, typer.Option("--kind", help="Only those.", show_default="all")] = None,
    limit: Limit = 50,
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """List alerts, newest first, and how far their delivery is."""
    from earmark.v1.ledger_service_pb2 import ListNotificationsRequest

    request = ListNotificationsRequest(
        account_id=account_id,
        kind=f"KIND_{kind.upper().replace('-', '_')}" if kind else None,
        page_size=min(limit + 1, 1_000),
    )
    found = list(islice(pages(connection, connection.ledger.ListNotifications, request, "notifications"), limit + 1))
    if as_json:
        print_json([message_fields(alert) for alert in found[:limit]])
    else:
        columns = [] if account_id else [Column("account")]
        columns += [Column("time"), Column("kind"), Column("message"), Column("balance", number=True)]
        columns += [Column("caused by", optional=True), Column("sent to", optional=True)]
        rows = (
            [
                *([] if account_id else [alert.account_id]),
                time_of(alert, "create_time", time_zone),
                enum_word(alert, "kind"),
                alert.message,
                format_credits(alert.balance_micros),
                f"entry {alert.entry_number}" if alert.entry_number else alert.grant_id,
                "; ".join(_deliveries(alert.deliveries)),
            ]
            for alert in found[:limit]
        )
        print_table(columns, rows, empty="No alert.")
    if len(found) > limit:
        note(f"There are more: these are the newest {limit}; --limit shows more.")


def _deliveries(deliveries: Iterable[Notification.Delivery]) -> Iterable[str]:
    """Say of each receiver how far its delivery is: tries and the last failure only where it took more than one."""
    for delivery in deliveries:
        state = enum_word(delivery, "state")
        tries = f" after {delivery.attempts} tries" if delivery.attempts > 1 else ""
        error = f" ({delivery.error})" if delivery.error and state != "delivered" else ""
        yield f"{delivery.channel} {delivery.target}: {state}{tries}{error}"
