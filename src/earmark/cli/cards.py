"""How accounts, balances, grants and reservations are shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from earmark.cli.output import (
    Column,
    credits_or_dash,
    enum_word,
    format_money,
    format_pairs,
    format_time,
    message_fields,
    note_replay,
    print_card,
    print_json,
    print_line,
    print_table,
    timestamp_micros,
)
from earmark.cli.values import UTC_ZONE
from earmark.credits import MAX_MICROS, format_credits

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from earmark.v1.account_pb2 import Account
    from earmark.v1.billing_service_pb2 import Purchase, Subscription
    from earmark.v1.catalog_pb2 import Limit
    from earmark.v1.grant_pb2 import Allocation, Grant
    from earmark.v1.reservation_pb2 import Balance, Reservation

__all__ = [
    "account_rows",
    "allocations_text",
    "balance_rows",
    "print_changed_account",
    "print_grants",
    "print_limits",
    "purchase_rows",
    "reservation_rows",
    "subscription_rows",
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
    if thresholds.balance_alerts_off:
        yield "balance alerts", "off"
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


def subscription_rows(subscription: Subscription, zone: ZoneInfo) -> Iterable[tuple[str, str]]:
    """Return the rows of a subscription's card: the plan, its cycle, what it entitles to."""
    term = enum_word(subscription, "term")
    yield "subscription", subscription.subscription_id
    yield "account", subscription.account_id
    yield "plan", subscription.plan_id
    yield "state", enum_word(subscription, "state")
    if subscription.HasField("cycle_end_time"):
        yield "credits", f"{format_credits(subscription.credits_micros)} each cycle, paid by the {term}"
        start, end = (time_of(subscription, f"cycle_{name}_time", zone) for name in ("start", "end"))
        yield "cycle", f"{subscription.cycle}: {start} to {end}"
        yield "paid until", time_of(subscription, "term_end_time", zone)
    else:
        yield "credits", f"{format_credits(subscription.credits_micros)}, once"
    yield "next plan", subscription.next_plan_id
    if subscription.HasField("rollover_cap_micros"):
        cap = subscription.rollover_cap_micros
        yield "rolls over", "all" if cap == MAX_MICROS else f"up to {format_credits(cap)}"
    yield "seats", str(subscription.seats) if subscription.HasField("seats") else "any number"
    yield "entitlements", format_pairs(subscription.entitlements)
    yield "ended", time_of(subscription, "end_time", zone)


def purchase_rows(purchase: Purchase, zone: ZoneInfo) -> Iterable[tuple[str, str]]:
    """Return the rows of a purchase's card."""
    bonus = f" and a bonus of {format_credits(purchase.bonus_micros)}" if purchase.bonus_micros else ""
    yield "purchase", purchase.purchase_id
    yield "account", purchase.account_id
    yield "state", enum_word(purchase, "state")
    yield "pack", purchase.pack_id
    yield "credits", f"{format_credits(purchase.credits_micros)}{bonus}"
    yield "price", f"{format_money([purchase.price])}, {purchase.unit_price} a credit"
    yield "promotion", purchase.promotion_id
    yield "reference", purchase.payment_reference
    yield "begun", time_of(purchase, "create_time", zone)
    yield "settled", time_of(purchase, "settle_time", zone)
    yield "reason", purchase.reason


def print_limits(limits: Iterable[Limit], zone: ZoneInfo, *, title: str | None = None) -> None:
    """Print limits as a table; nothing where there are none."""
    columns = [Column("limit"), Column("amount", number=True), Column("per"), Column("of"), Column("mode")]
    columns += [Column("warns at", number=True), Column("counts from")]
    rows = (
        [
            limit.name,
            format_credits(limit.amount_micros),
            enum_word(limit, "window"),
            _counted(limit),
            enum_word(limit, "mode"),
            f"{limit.near_percent} %",
            time_of(limit, "create_time", zone),
        ]
        for limit in limits
    )
    print_table(columns, rows, title=title)


def _counted(limit: Limit) -> str:
    """Say what a limit counts: the account, each user, user ann."""
    scope = enum_word(limit, "scope")
    if scope == "account":
        return "the account"
    return f"{scope} {limit.subject}" if limit.subject else f"each {scope}"


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
    if response.account.limits:
        print_line("")
        print_limits(response.account.limits, UTC_ZONE, title="limits of its own")


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
    if reservation.price_version:
        yield "priced by", f"version {reservation.price_version} of the catalog"
    yield "user", reservation.user_id
    yield "project", reservation.project_id
    yield "labels", format_pairs(reservation.labels)
    yield "request id", reservation.request_id
    yield "created", time_of(reservation, "create_time", zone)
    yield "expires" if state == "active" else "would have expired", time_of(reservation, "expire_time", zone)
    yield "settled", time_of(reservation, "settle_time", zone)
