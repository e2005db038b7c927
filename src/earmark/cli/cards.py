"""How accounts, balances, grants and reservations are shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from earmark.cli.output import (
    Column,
    credits_or_dash,
    enum_word,
    format_pairs,
    format_time,
    message_fields,
    note_replay,
    print_card,
    print_json,
    print_table,
    timestamp_micros,
)
from earmark.cli.values import UTC_ZONE
from earmark.credits import format_credits

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from earmark.v1.account_pb2 import Account
    from earmark.v1.grant_pb2 import Allocation, Grant
    from earmark.v1.reservation_pb2 import Balance, Reservation

__all__ = [
    "account_rows",
    "allocations_text",
    "balance_rows",
    "print_changed_account",
    "print_grants",
    "reservation_rows",
    "time_of",
]


def time_of(message: Message, field: str, zone: ZoneInfo) -> str:
    """Return a timestamp field as text; "" where it is absent."""
    if not message.HasField(field):
        return ""
    return format_time(timestamp_micros(getattr(message, field)), zone)


def account_rows(account: Account, zone: ZoneInfo) -> Iterable[tuple[str, str]]:
    """Return the rows of an account's card."""
    thresholds, contacts = account.thresholds, account.contacts
    yield "account", account.account_id
    yield "name", account.display_name
    yield "state", enum_word(account, "state")
    yield "enforcement", enum_word(account, "enforcement")
    yield "time zone", account.time_zone
    yield "overdraft limit", format_credits(account.overdraft_limit_micros)
    if thresholds.HasField("low_balance_micros"):
        yield "low balance", format_credits(thresholds.low_balance_micros)
    if thresholds.HasField("critical_balance_micros"):
        yield "critical balance", format_credits(thresholds.critical_balance_micros)
    if thresholds.HasField("expiring_soon"):
        yield "expiring soon within", str(thresholds.expiring_soon.ToTimedelta())
    yield "warn by e-mail", ", ".join(contacts.emails)
    yield "warn at", contacts.webhook_url
    yield "members", ", ".join(f"{member.user_id} ({enum_word(member, 'role')})" for member in account.members)
    yield "labels", format_pairs(account.labels)
    yield "created", time_of(account, "create_time", zone)


def balance_rows(balance: Balance, zone: ZoneInfo) -> Iterable[tuple[str, str]]:
    """Return the rows of a balance; debt and expiry only where there are any."""
    yield "available", format_credits(balance.available_micros)
    yield "reserved", format_credits(balance.reserved_micros)
    yield "charged", format_credits(balance.lifetime_charged_micros)
    if balance.debt_micros:
        yield "debt", format_credits(balance.debt_micros)
    if balance.expiring_soon_micros:
        yield "expiring soon", format_credits(balance.expiring_soon_micros)
    yield "next expiry", time_of(balance, "next_expire_time", zone)


def print_grants(grants: Iterable[Grant], zone: ZoneInfo, *, title: str | None = None) -> None:
    """Print grants as a table: what was given, and where it is now."""
    amounts = ("amount", "available", "reserved", "charged", "expired", "voided", "repaid")
    columns = [Column("grant"), Column("kind"), Column("state"), Column("priority", number=True)]
    columns += [Column(name, number=True, optional=name not in {"amount", "available"}) for name in amounts]
    columns += [Column("expires"), Column("comment", optional=True)]
    rows = (
        [
            grant.grant_id,
            enum_word(grant, "kind"),
            enum_word(grant, "state"),
            str(grant.priority),
            *(credits_or_dash(getattr(grant, f"{name}_micros")) for name in amounts),
            time_of(grant, "expire_time", zone) or "never",
            grant.comment,
        ]
        for grant in grants
    )
    print_table(columns, rows, title=title, empty="No grant.")


def print_changed_account(response: Any, as_json: bool) -> None:
    """Print the answer of a call that changed an account."""
    if as_json:
        print_json(message_fields(response))
        return
    note_replay(response.replayed)
    print_card(account_rows(response.account, UTC_ZONE))


def allocations_text(allocations: Iterable[Allocation]) -> str:
    """Write which grants pay how much: `g1 0.3 + g2 0.08`."""
    return " + ".join(f"{part.grant_id} {format_credits(part.amount_micros)}" for part in allocations)


def reservation_rows(reservation: Reservation, zone: ZoneInfo) -> Iterable[tuple[str, str]]:
    """Return the rows of a reservation's card."""
    state = enum_word(reservation, "state")
    yield "reservation", reservation.reservation_id
    yield "account", reservation.account_id
    yield "state", f"{state}, late" if reservation.late else state
    yield "reserved", format_credits(reservation.reserved_micros)
    if state != "active":
        yield "charged", format_credits(reservation.charged_micros)
    if reservation.uncollected_micros:
        yield "uncollected", format_credits(reservation.uncollected_micros)
    yield "grants", allocations_text(reservation.allocations)
    yield "operation", reservation.operation
    if reservation.HasField("quantity"):
        yield "quantity", str(reservation.quantity)
    yield "usage", format_pairs(reservation.usage.counts)
    yield "attributes", format_pairs(reservation.attributes)
    yield "user", reservation.user_id
    yield "project", reservation.project_id
    yield "labels", format_pairs(reservation.labels)
    yield "request id", reservation.request_id
    yield "created", time_of(reservation, "create_time", zone)
    yield "expires" if state == "active" else "would have expired", time_of(reservation, "expire_time", zone)
    yield "settled", time_of(reservation, "settle_time", zone)
