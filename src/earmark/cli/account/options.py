"""Options of the account commands."""

from __future__ import annotations

import sys
import uuid
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from earmark.cli.account.limits import TypedLimit, parse_limit
from earmark.cli.values import Expiry, parse_credits, parse_duration, parse_expiry, parse_zone

__all__ = [
    "AccountZone",
    "BalanceAlertsOff",
    "Clearable",
    "Credits",
    "CriticalBalance",
    "Emails",
    "Enforce",
    "Enforcement",
    "Expires",
    "ExpiringSoon",
    "GrantKind",
    "Kind",
    "Labels",
    "Limits",
    "LowBalance",
    "Name",
    "Overdraft",
    "Priority",
    "Reason",
    "Role",
    "UserId",
    "Webhook",
    "WebhookSecret",
    "new_request_id",
    "read_secret",
]


class GrantKind(StrEnum):
    """Where granted credits come from."""

    FREE = "free"
    SUBSCRIPTION = "subscription"
    PURCHASE = "purchase"
    PROMOTION = "promotion"


class Enforcement(StrEnum):
    """Whether an account refuses or only counts."""

    BLOCK = "block"
    OBSERVE = "observe"


class Role(StrEnum):
    """What a member may do."""

    MEMBER = "member"
    ADMIN = "admin"


class Clearable(StrEnum):
    """What `account update` can empty."""

    NAME = "name"
    THRESHOLDS = "thresholds"
    CONTACTS = "contacts"
    LABELS = "labels"
    LIMITS = "limits"

    @property
    def path(self) -> str:
        """The field's name in an update mask."""
        return "display_name" if self is Clearable.NAME else self.value


Kind = Annotated[GrantKind, typer.Option("--kind", help="Where the credits come from; free ones are used before paid.")]
Priority = Annotated[
    int | None,
    typer.Option(
        "--priority", min=0, max=1_000_000, help="The lowest is used first.", show_default="the catalog's, else 100"
    ),
]
Expires = Annotated[
    Expiry | None,
    typer.Option(
        "--expires",
        parser=parse_expiry,
        metavar="TIME",
        help="Until when they are good: a day (whole, in the account's time zone), a time, 30d, or never.",
        show_default="the catalog's rule of the kind, else never",
    ),
]
AccountZone = Annotated[
    ZoneInfo | None,
    typer.Option(
        "--time-zone", parser=parse_zone, metavar="ZONE", help="The account's IANA time zone.", show_default="UTC"
    ),
]
Overdraft = Annotated[
    int | None,
    typer.Option(
        "--overdraft",
        parser=parse_credits,
        metavar="CREDITS",
        help="How much debt a commit may leave.",
        show_default="0",
    ),
]
Name = Annotated[str | None, typer.Option("--name", metavar="TEXT", help="A name for people.", show_default=False)]
Enforce = Annotated[
    Enforcement | None,
    typer.Option("--enforcement", help="observe counts everything and refuses nothing.", show_default="block"),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="A label; repeat it for more.", show_default=False),
]
LowBalance = Annotated[
    int | None,
    typer.Option(
        "--low-balance", parser=parse_credits, metavar="CREDITS", help="Warn at this balance.", show_default=False
    ),
]
CriticalBalance = Annotated[
    int | None,
    typer.Option(
        "--critical-balance",
        parser=parse_credits,
        metavar="CREDITS",
        help="Warn urgently at this balance.",
        show_default=False,
    ),
]
ExpiringSoon = Annotated[
    int | None,
    typer.Option(
        "--expiring-soon",
        parser=parse_duration,
        metavar="DURATION",
        help="How long before their end credits count as expiring soon.",
        show_default="the catalog's, else 7d",
    ),
]
BalanceAlertsOff = Annotated[
    bool, typer.Option("--balance-alerts-off", help="Never warn of the balance, whatever the catalog says.")
]
Limits = Annotated[
    list[TypedLimit] | None,
    typer.Option(
        "--limit",
        parser=parse_limit,
        metavar="KEY=VALUE,...",
        help="Cap what is spent: name=, window= (day, month, cycle, lifetime), amount= (credits); also scope= "
        "(account, user, project, operation), subject= (which of them; each if absent), mode= (block, notify), near= "
        "(percent at which it warns). Repeat it for more.",
        show_default=False,
    ),
]
Emails = Annotated[
    list[str] | None,
    typer.Option("--email", metavar="ADDRESS", help="Whom to warn; repeat it for more.", show_default=False),
]
Webhook = Annotated[
    str | None, typer.Option("--webhook", metavar="URL", help="Where warnings are posted.", show_default=False)
]
WebhookSecret = Annotated[
    str | None,
    typer.Option(
        "--webhook-secret",
        metavar="TEXT",
        help="Signs what is posted there; - reads it from stdin. The sidecar's own if absent.",
        show_default=False,
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept with the change.", show_default=False)]
UserId = Annotated[str, typer.Argument(metavar="USER", help="The user's id.", show_default=False)]
Credits = Annotated[
    int, typer.Argument(parser=parse_credits, metavar="CREDITS", help="For example 100 or 0.5.", show_default=False)
]


def new_request_id(request_id: str | None) -> str:
    """Return the id that the user chose, else a new one."""
    return request_id or f"cli/{uuid.uuid4()}"


def read_secret(given: str | None) -> str | None:
    """Return a secret as it was given; the first line of stdin for `-`, which no list of processes shows."""
    return sys.stdin.readline().rstrip("\r\n") if given == "-" else given
