"""The usage report: what was charged and how generations ended, by operation, user, project, day and month.

The ranges of its rows, and those before them for the trend, are cut into ranges that do not overlap; each is summed
once and added to every row that it belongs to.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from earmark.credits import MAX_MICROS
from earmark.domain.days import first_of_month, local_date, next_month, start_of_day
from earmark.ledger.administration import account_not_found
from earmark.ledger.reports.models import GroupBy, OrderBy, UsageQuery, UsageReport, UsageRow
from earmark.ledger.reports.pieces import DAY, HOUR, cut
from earmark.ledger.reports.sources import bounded_sum, exact_sum, last_entry_time, read_pieces
from earmark.ledger.tables import accounts

__all__ = ["read_usage"]

_NAMES = {GroupBy.OPERATION: "operation", GroupBy.USER: "user_id", GroupBy.PROJECT: "project_id"}
_USES = ("charged", "uncollected", "succeeded", "failed", "expired", "quantity")
_BOUNDED = frozenset({"uncollected", "quantity"})
_BY_OPERATION = ("usage_hours", "hour", HOUR)
_BY_EVERYTHING = ("usage_days", "day", DAY)

# Formatted twice: with the report, and with each piece.
_ROLLED_UP = """
    SELECT {{piece}} AS piece, {names}{sums} FROM {table}
    WHERE account_key = {account} AND {period} >= {{start}} AND {period} < {{end}}{filters} GROUP BY {grouped}
"""
_COUNTED = """
    SELECT {{piece}} AS piece, {names}{charged}, {uncollected}, count(CASE kind WHEN 2 THEN 1 END),
        count(CASE kind WHEN 3 THEN 1 END), count(CASE kind WHEN 4 THEN 1 END), {quantity}
    FROM entries WHERE account_key = {account} AND time >= {{start}} AND time < {{end}} AND kind IN (2, 3, 4){filters}
    GROUP BY {grouped}
"""


@dataclass(frozen=True, slots=True)
class _Period:
    """What a row sums: the part of a day, of a month, or of no calendar that lies in the report's range."""

    first_moment: int
    start: int
    end: int

    @property
    def before(self) -> int:
        """Where the range of the same length before begins."""
        return 2 * self.start - self.end


def read_usage(connection: Connection, query: UsageQuery) -> UsageReport:
    """Return a usage report.

    Raises:
        NotFound: ACCOUNT_NOT_FOUND.
    """
    account = connection.execute(
        select(accounts.c.account_key, accounts.c.time_zone).where(accounts.c.account_id == query.account_id)
    ).one_or_none()
    if account is None:
        raise account_not_found(query.account_id)
    whole = _Period(0, query.start_time, query.end_time)
    periods = list(_periods(query, ZoneInfo(account.time_zone)))
    boundaries = sorted(
        {time for period in (whole, *periods) for time in (period.before, period.start, period.end)},
    )
    current, before = _belongings(boundaries, periods), _belongings_before(boundaries, [*periods, whole])
    names = [_NAMES[group] for group in query.group_by if group in _NAMES]
    rows: dict[tuple[Any, ...], UsageRow] = {}
    previous: dict[tuple[Any, ...], int] = defaultdict(int)
    total = UsageRow()
    for found in _sources(connection, query, account.account_key, boundaries, names):
        piece, *about = found[: 1 + len(names)]
        sums = found[1 + len(names) :]
        for number in current[piece]:
            row = rows.get((number, *about))
            if row is None:
                fields = dict(zip(names, about, strict=True))
                row = rows[number, *about] = UsageRow(start_time=periods[number].first_moment, **fields)
            _add(row, sums)
            _add(total, sums)
        for number in before[piece]:
            if number == len(periods):
                total.previous_charged += sums[0]
            else:
                previous[number, *about] += sums[0]
    for of, row in rows.items():
        row.previous_charged = previous[of]
    ordered = sorted(rows.values(), key=lambda row: _order(row, query))
    return UsageReport(tuple(ordered[: query.limit]), total, len(ordered))


def _periods(query: UsageQuery, zone: ZoneInfo) -> Iterator[_Period]:
    start, end = query.start_time, query.end_time
    monthly = GroupBy.MONTH in query.group_by
    if not monthly and GroupBy.DAY not in query.group_by:
        yield _Period(0, start, end)
        return
    day = local_date(start, zone)
    if monthly:
        day = first_of_month(day)
    first = start_of_day(day, zone)
    while first < end:
        day = next_month(day) if monthly else day + timedelta(days=1)
        following = start_of_day(day, zone)
        # A zone that moved across the date line has days without a moment.
        if following > max(first, start):
            yield _Period(first, max(first, start), min(following, end))
        first = following


def _belongings(boundaries: Sequence[int], periods: Sequence[_Period]) -> list[list[int]]:
    """Return, for each range between boundaries, the periods that it is part of."""
    belongings: list[list[int]] = [[] for _ in boundaries]
    for number, period in enumerate(periods):
        for at in range(bisect_left(boundaries, period.start), bisect_left(boundaries, period.end)):
            belongings[at].append(number)
    return belongings


def _belongings_before(boundaries: Sequence[int], periods: Sequence[_Period]) -> list[list[int]]:
    """Return, for each range between boundaries, the periods before which it lies, by no more than their length."""
    return _belongings(boundaries, [_Period(0, period.before, period.start) for period in periods])


def _sources(
    connection: Connection, query: UsageQuery, account_key: int, boundaries: Sequence[int], names: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield what was used in each range between boundaries: its number, the names that rows are about, the sums."""
    wanted = {"operation": query.operation, "user_id": query.user_id, "project_id": query.project_id}
    values = {name: value for name, value in wanted.items() if value is not None}
    # Few reports look at more than the operation: an account has few operations, and many of everything together.
    table, period, unit = _BY_OPERATION if {*names, *values} <= {"operation"} else _BY_EVERYTHING
    pieces = cut(boundaries, unit, last_entry_time(connection, account_key))
    selected = "".join(f"{name}, " for name in names)
    grouped = ", ".join(("account_key", *names))
    filters = "".join(f" AND {name} = :{name}" for name in values)
    rolled_up = _ROLLED_UP.format(
        names=selected,
        sums=", ".join(bounded_sum(connection, use) if use in _BOUNDED else exact_sum(use) for use in _USES),
        table=table,
        account=account_key,
        period=period,
        filters=filters,
        grouped=grouped,
    )
    yield from read_pieces(connection, pieces.whole, rolled_up, values)
    counted = _COUNTED.format(
        names=selected,
        charged=exact_sum("CASE kind WHEN 2 THEN amount ELSE 0 END"),
        uncollected=bounded_sum(connection, "CASE kind WHEN 2 THEN uncollected ELSE 0 END"),
        quantity=bounded_sum(connection, "quantity"),
        account=account_key,
        filters=filters,
        grouped=grouped,
    )
    yield from read_pieces(connection, pieces.edges, counted, values)


def _add(row: UsageRow, sums: Sequence[int]) -> None:
    charged, uncollected, succeeded, failed, expired, quantity = sums
    row.charged += charged
    row.uncollected = min(row.uncollected + uncollected, MAX_MICROS)
    row.succeeded += succeeded
    row.failed += failed
    row.expired += expired
    row.quantity = min(row.quantity + quantity, MAX_MICROS)


def _order(row: UsageRow, query: UsageQuery) -> tuple[Any, ...]:
    key = tuple(getattr(row, _NAMES.get(group, "start_time")) for group in query.group_by)
    match query.order_by:
        case OrderBy.KEY:
            return key
        case OrderBy.CHARGED:
            return (-row.charged, *key)
        case OrderBy.COUNT:
            return (-(row.succeeded + row.failed + row.expired), *key)
        case OrderBy.DEFAULT:
            return (row.start_time, -row.charged, *key)
