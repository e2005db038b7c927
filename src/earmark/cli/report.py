"""`earmark report`: what was used, and what came, went and is left, over gRPC."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from earmark.cli.connection import Connection, connected_for
from earmark.cli.groups import CommandGroup
from earmark.cli.options import AccountId
from earmark.cli.output import (
    Column,
    credits_or_dash,
    enum_word,
    format_time,
    message_fields,
    note,
    print_json,
    print_table,
    progress_bar,
    timestamp_micros,
)
from earmark.cli.values import Moment, parse_moment, parse_zone
from earmark.credits import format_credits

if TYPE_CHECKING:
    from earmark.v1.ledger_service_pb2 import (
        GetMonthlySummaryResponse,
        GetUsageReportResponse,
        SummaryLine,
        UsageRow,
    )

__all__ = ["commands"]

REPORT_SECONDS = 60.0

commands = CommandGroup("Sum the ledger: what was used, and what came, went and is left.")


class ReportFormat(StrEnum):
    """How a report is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class GroupBy(StrEnum):
    """What a row stands for."""

    OPERATION = "operation"
    USER = "user"
    PROJECT = "project"
    DAY = "day"
    MONTH = "month"


class OrderBy(StrEnum):
    """How rows are ordered."""

    KEY = "key"
    CHARGED = "charged"
    COUNT = "count"


_FIELDS = {
    GroupBy.OPERATION: "operation",
    GroupBy.USER: "user_id",
    GroupBy.PROJECT: "project_id",
    GroupBy.DAY: "start_time",
    GroupBy.MONTH: "start_time",
}
_SUMS = (
    "charged_micros",
    "uncollected_micros",
    "succeeded_count",
    "failed_count",
    "expired_count",
    "quantity",
    "previous_charged_micros",
)
_LINES = (
    "carried_in_micros",
    "allocated_micros",
    "consumed_micros",
    "expired_micros",
    "voided_micros",
    "repaid_micros",
    "remaining_micros",
)

From = Annotated[
    Moment | None,
    typer.Option(
        "--from",
        parser=parse_moment,
        metavar="TIME",
        help="From then on: a day, a time, or 7d (ago).",
        show_default="the beginning of the account's month",
    ),
]
To = Annotated[
    Moment | None,
    typer.Option(
        "--to", parser=parse_moment, metavar="TIME", help="Before then; a day counts whole.", show_default="now"
    ),
]
Zone = Annotated[
    ZoneInfo | None,
    typer.Option(
        "--time-zone",
        parser=parse_zone,
        metavar="ZONE",
        help="IANA zone of --from, --to and the range that is shown; rows are days and months of the account.",
        show_default="the account's",
    ),
]
Format = Annotated[ReportFormat, typer.Option("--format", help="How to write. CSV and JSON hold microcredits.")]


def _groups(text: str) -> list[GroupBy]:
    try:
        return [GroupBy(word.strip().lower()) for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r}: name one to three of {', '.join(GroupBy)}, with commas") from None


def _name(flag: str, help_text: str) -> Any:
    return typer.Option(flag, metavar="NAME", help=help_text, show_default=False)


@commands.add(
    "earmark report usage acme",
    "earmark report usage acme --group-by user,operation --from 2026-07-01 --to 2026-07-31",
    "earmark report usage acme --group-by day --operation image --format csv > images.csv",
)
@connected_for(REPORT_SECONDS)
def usage(
    connection: Connection,
    account_id: AccountId,
    *,
    group_by: Annotated[
        str, typer.Option("--group-by", metavar="WHAT", help=f"One to three of {', '.join(GroupBy)}, with commas.")
    ] = "operation",
    start: From = None,
    end: To = None,
    operation: Annotated[str, _name("--operation", "Only this operation.")] = "",
    user: Annotated[str, _name("--user", "Only this user.")] = "",
    project: Annotated[str, _name("--project", "Only this project.")] = "",
    order_by: Annotated[
        OrderBy | None,
        typer.Option("--order-by", help="How to order rows.", show_default="days by time, others by what was charged"),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, metavar="N", help="At most so many rows.")
    ] = 1_000,
    requesting_user: Annotated[
        str,
        typer.Option("--as-user", metavar="ID", help="Ask as this member, who must be an admin.", show_default=False),
    ] = "",
    output_format: Format = ReportFormat.TABLE,
    time_zone: Zone = None,
) -> None:
    """Say what was used: charged credits, and how many generations succeeded, failed and expired.

    The trend compares with the range of the same length before; of a day or month, with the days before it.
    """
    from earmark.v1.ledger_service_pb2 import GetUsageReportRequest

    groups = _groups(group_by)
    days_of = _zone_of(connection, account_id)
    zone = time_zone or days_of
    request = GetUsageReportRequest(
        account_id=account_id,
        group_by=[f"GROUP_BY_{group.name}" for group in groups],
        operation=operation,
        user_id=user,
        project_id=project,
        order_by=f"ORDER_BY_{order_by.name}" if order_by else None,
        limit=limit,
        requesting_user_id=requesting_user,
    )
    _set_range(request, start, end, zone)
    report = _asked(connection, connection.ledger.GetUsageReport, request)
    match output_format:
        case ReportFormat.JSON:
            print_json(message_fields(report))
        case ReportFormat.CSV:
            names = [*dict.fromkeys(_FIELDS[group] for group in groups), *_SUMS]
            _print_csv(names, ([fields[name] for name in names] for fields in map(message_fields, report.rows)))
        case ReportFormat.TABLE:
            _print_usage(report, groups, zone, days_of)
    if report.row_count > len(report.rows):
        note(f"There are {report.row_count:,} rows: these are the first {len(report.rows):,}; --limit shows more.")


@commands.add(
    "earmark report monthly acme",
    "earmark report monthly acme --from 2026-07-01 --to 2026-07-31 --format json",
)
@connected_for(REPORT_SECONDS)
def monthly(
    connection: Connection,
    account_id: AccountId,
    *,
    start: From = None,
    end: To = None,
    output_format: Format = ReportFormat.TABLE,
    time_zone: Zone = None,
) -> None:
    """Say what came, went and is left of each kind of credits, in a month or any other range.

    Carried in + allocated = consumed + expired + voided + repaid + remaining. What open reservations hold remains.
    """
    from earmark.v1.ledger_service_pb2 import GetMonthlySummaryRequest

    zone = time_zone or _zone_of(connection, account_id)
    request = GetMonthlySummaryRequest(account_id=account_id)
    _set_range(request, start, end, zone)
    summary = _asked(connection, connection.ledger.GetMonthlySummary, request)
    match output_format:
        case ReportFormat.JSON:
            print_json(message_fields(summary))
        case ReportFormat.CSV:
            rows = ([name, *(getattr(line, field) for field in _LINES)] for name, line in _lines(summary))
            _print_csv(["credits", *_LINES], rows)
        case ReportFormat.TABLE:
            _print_summary(summary, zone)


def _zone_of(connection: Connection, account_id: str) -> ZoneInfo:
    from earmark.v1.account_service_pb2 import GetAccountRequest

    account = connection.call(connection.accounts.GetAccount, GetAccountRequest(account_id=account_id)).account
    return parse_zone(account.time_zone or "UTC")


def _set_range(request: Any, start: Moment | None, end: Moment | None, zone: ZoneInfo) -> None:
    if start is not None:
        request.start_time.FromMicroseconds(start.since(zone))
    if end is not None:
        request.end_time.FromMicroseconds(end.until(zone))


def _asked(connection: Connection, method: Any, request: Any) -> Any:
    with progress_bar(counts=False) as progress:
        progress.add_task("summing", total=None)
        return connection.call(method, request)


def _range_text(report: GetUsageReportResponse | GetMonthlySummaryResponse, zone: ZoneInfo) -> str:
    start, end = timestamp_micros(report.start_time), timestamp_micros(report.end_time)
    return f"{format_time(start, zone, timespec='seconds')} to {format_time(end, zone, timespec='seconds')}"


def _print_usage(report: GetUsageReportResponse, groups: Sequence[GroupBy], zone: ZoneInfo, days_of: ZoneInfo) -> None:
    columns = [Column(group.value) for group in groups]
    columns += [Column("charged", number=True), Column("uncollected", number=True, optional=True)]
    columns += [Column(title, number=True) for title in ("succeeded", "failed", "expired", "quantity", "before")]
    columns += [Column("trend", number=True)]
    rows = [[*(_key(row, group, days_of) for group in groups), *_sums(row)] for row in report.rows]
    if rows:
        rows.append(["total", *("" for _ in groups[1:]), *_sums(report.total)])
    print_table(columns, rows, title=_range_text(report, zone), empty="Nothing was used.")


def _key(row: UsageRow, group: GroupBy, zone: ZoneInfo) -> str:
    match group:
        case GroupBy.DAY:
            return format_time(timestamp_micros(row.start_time), zone)[: len("2026-07-27")]
        case GroupBy.MONTH:
            return format_time(timestamp_micros(row.start_time), zone)[: len("2026-07")]
        case _:
            return str(getattr(row, _FIELDS[group])) or "-"


def _sums(row: UsageRow) -> list[str]:
    return [
        format_credits(row.charged_micros),
        credits_or_dash(row.uncollected_micros),
        f"{row.succeeded_count:,}",
        f"{row.failed_count:,}",
        f"{row.expired_count:,}",
        f"{row.quantity:,}",
        credits_or_dash(row.previous_charged_micros),
        _trend(row.charged_micros, row.previous_charged_micros),
    ]


def _trend(now: int, before: int) -> str:
    if before == 0:
        return "new" if now else ""
    return f"{(200 * (now - before) + before) // (2 * before):+,} %"


def _lines(summary: GetMonthlySummaryResponse) -> Iterator[tuple[str, SummaryLine]]:
    for line in summary.kinds:
        yield enum_word(line, "kind"), line
    yield "all free", summary.free
    yield "all purchased", summary.purchased
    yield "all subscription", summary.subscription
    yield "total", summary.total


def _print_summary(summary: GetMonthlySummaryResponse, zone: ZoneInfo) -> None:
    titles = ("carried in", "allocated", "consumed", "expired", "voided", "repaid", "remaining")
    columns = [Column("credits"), *(Column(title, number=True) for title in titles)]
    rows = [[name, *(credits_or_dash(getattr(line, field)) for field in _LINES)] for name, line in _lines(summary)]
    print_table(columns, rows, title=_range_text(summary, zone))
    if summary.borrowed_micros:
        note(f"Besides, {format_credits(summary.borrowed_micros)} credits became debt.")
    if summary.uncollected_micros:
        note(f"Besides, {format_credits(summary.uncollected_micros)} credits could not be charged.")


def _print_csv(names: Sequence[str], rows: Iterator[list[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
