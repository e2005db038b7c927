"""An account's statement: what Earmark reports of its time, beside what its book says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from earmark.cli.demo.month.book import Book, Use
from earmark.cli.output import Column, enum_word, print_line, print_table
from earmark.credits import format_credits
from earmark.errors import EarmarkError, Reason

if TYPE_CHECKING:
    from earmark.cli.connection import Connection
    from earmark.cli.demo.month.player import Account, Player

__all__ = ["Statement", "disagreements", "print_statement", "read_statement"]

_USES = ("charged", "succeeded", "failed", "crashed")


@dataclass(slots=True)
class Statement:
    """What Earmark says of an account. Amounts in microcredits."""

    account_id: str
    available: int
    reserved: int
    came: Counter[str] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    """By kind of credits, from the summary."""
    uses: dict[str, Use] = field(default_factory=dict)
    """By operation: from the usage report, or, where the plan includes none, from the ledger's entries."""
    alerts: Counter[str] = field(default_factory=Counter)


def read_statement(player: Player, account: Account) -> Statement:
    """Read balance, summary, usage and alerts of an account, from when it joined on.

    Raises:
        EarmarkError: the sidecar's refusal.
    """
    from earmark.v1.ledger_service_pb2 import GetMonthlySummaryRequest, ListNotificationsRequest
    from earmark.v1.metering_service_pb2 import GetBalanceRequest

    account_id, call, connection = account.account_id, player.call, player.connection
    balance = call(connection.metering.GetBalance, GetBalanceRequest(account_id=account_id)).balance
    found = Statement(account_id, balance.available_micros, balance.reserved_micros)
    asked = GetMonthlySummaryRequest(account_id=account_id)
    asked.start_time.FromDatetime(account.since - timedelta(hours=1))
    summary = call(connection.ledger.GetMonthlySummary, asked)
    for line in summary.kinds:
        kind = enum_word(line, "kind")
        found.came[kind] = line.carried_in_micros + line.allocated_micros
        found.charged[kind] = line.consumed_micros
        found.expired[kind] = line.expired_micros
        found.left[kind] = line.remaining_micros
    found.uses = _read_uses(player, account)
    alerts = ListNotificationsRequest(account_id=account_id, page_size=1_000)
    for notification in call(connection.ledger.ListNotifications, alerts).notifications:
        found.alerts[enum_word(notification, "kind")] += 1
    return found


def _read_uses(player: Player, account: Account) -> dict[str, Use]:
    from earmark.v1.ledger_service_pb2 import GetUsageReportRequest

    by_operation = GetUsageReportRequest.GROUP_BY_OPERATION
    request = GetUsageReportRequest(account_id=account.account_id, group_by=[by_operation])
    request.start_time.FromDatetime(account.since - timedelta(hours=1))
    try:
        rows = player.call(player.connection.ledger.GetUsageReport, request).rows
    except EarmarkError as refusal:
        if refusal.reason != Reason.NOT_ENTITLED:
            raise
        return _sum_entries(player.connection, account.account_id)
    return {
        row.operation: Use(row.charged_micros, row.succeeded_count, row.failed_count, row.expired_count) for row in rows
    }


def _sum_entries(connection: Connection, account_id: str) -> dict[str, Use]:
    from earmark.v1.ledger_service_pb2 import ExportLedgerRequest

    uses: dict[str, Use] = {}
    for part in connection.stream(connection.ledger.ExportLedger, ExportLedgerRequest(account_id=account_id)):
        for entry in part.entries:
            kind = enum_word(entry, "kind")
            if kind not in {"charge", "release", "expired-hold"}:
                continue
            use = uses.setdefault(entry.operation, Use())
            use.charged += entry.amount_micros
            use.succeeded += kind == "charge"
            use.failed += kind == "release"
            use.crashed += kind == "expired-hold"
    return uses


def disagreements(seen: Statement, book: Book) -> Iterator[str]:
    """Yield a sentence for every figure that does not agree with the book."""
    about = seen.account_id
    amounts = [("available", seen.available, book.available), ("reserved", seen.reserved, 0)]
    for kind in sorted({*seen.came, *book.came}):
        amounts += [
            (f"{kind} credits that came", seen.came[kind], book.came[kind]),
            (f"{kind} credits that were used", seen.charged[kind], book.charged[kind]),
            (f"{kind} credits that expired", seen.expired[kind], book.expired[kind]),
            (f"{kind} credits that are left", seen.left[kind], book.left(kind)),
        ]
    counts = []
    for operation in sorted({*seen.uses, *book.uses}):
        theirs, ours = seen.uses.get(operation, Use()), book.uses.get(operation, Use())
        amounts.append((f"{operation}: charged", theirs.charged, ours.charged))
        counts += [(f"{operation}: {name}", getattr(theirs, name), getattr(ours, name)) for name in _USES[1:]]
    for kind in sorted({*seen.alerts, *book.alerts} - ({"limit-near"} if book.rules.limited else set())):
        counts.append((f"alerts {kind}", seen.alerts[kind], book.alerts[kind]))
    for what, there, here in amounts:
        if there != here:
            yield f"{about}: {what}: {format_credits(there)} instead of {format_credits(here)} credits"
    for what, there, here in counts:
        if there != here:
            yield f"{about}: {what}: {there} instead of {here}"


def print_statement(seen: Statement, book: Book) -> None:
    """Print what Earmark says of an account."""
    kinds = [[kind, *_cells(seen, kind)] for kind in seen.came]
    if len(kinds) > 1:
        kinds.append(["together", *(format_credits(sum(each.values())) for each in _sums(seen))])
    columns = [Column("credits"), *(Column(name, number=True) for name in ("came", "used", "expired", "left"))]
    print_table(columns, kinds, title=f"{seen.account_id}, {book.zone.key}")
    rows = [
        [operation, format_credits(use.charged), *(str(getattr(use, name) or "-") for name in _USES[1:])]
        for operation, use in sorted(seen.uses.items(), key=lambda item: (-item[1].charged, item[0]))
    ]
    print_table([Column("operation"), *(Column(name, number=True) for name in _USES)], rows)
    alerts = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.alerts.items())) or "none"
    print_line(f"Alerts: {alerts}. Refused for lack of credits: {book.refused}.")
    print_line("")


def _cells(seen: Statement, kind: str) -> list[str]:
    return [format_credits(each[kind]) for each in _sums(seen)]


def _sums(seen: Statement) -> tuple[Counter[str], ...]:
    return seen.came, seen.charged, seen.expired, seen.left
