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

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, case, func, select

from earmark.credits import MAX_MICROS
from earmark.domain.days import first_of_month, local_date, next_month, start_of_day
from earmark.domain.states import EntryKind
from earmark.ledger.administration import account_not_found
from earmark.ledger.reports.models import GroupBy, OrderBy, UsageQuery, UsageReport, UsageRow
from earmark.ledger.reports.pieces import Piece, cut
from earmark.ledger.reports.sources import bounded_sum, exact_sum, last_entry_time, piece_table
from earmark.ledger.tables import accounts, entries, usage_days, usage_hours

__all__ = ["read_usage"]

_NAMES = {GroupBy.OPERATION: "operation", GroupBy.USER: "user_id", GroupBy.PROJECT: "project_id"}
_ENDINGS = (EntryKind.CHARGE.value, EntryKind.RELEASE.value, EntryKind.EXPIRED_HOLD.value)


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
    pieces = cut(boundaries, last_entry_time(connection, account.account_key), by_days=True)
    names = [_NAMES[group] for group in query.group_by if group in _NAMES]
    rows: dict[tuple[Any, ...], UsageRow] = {}
    previous: dict[tuple[Any, ...], int] = defaultdict(int)
    total = UsageRow()
    for source in (
        _rolled_up(connection, query, account.account_key, usage_days, usage_days.c.day, names, pieces.days),
        _rolled_up(connection, query, account.account_key, usage_hours, usage_hours.c.hour, names, pieces.hours),
        _counted(connection, query, account.account_key, names, pieces.entries),
    ):
        for found in source:
            key = tuple(found[1 : 1 + len(names)])
            sums = found[1 + len(names) :]
            for number in current[found.piece]:
                row = rows.get((number, *key))
                if row is None:
                    about = dict(zip(names, key, strict=True))
                    row = rows[number, *key] = UsageRow(start_time=periods[number].first_moment, **about)
                _add(row, sums)
                _add(total, sums)
            for number in before[found.piece]:
                if number == len(periods):
                    total.previous_charged += sums[0]
                else:
                    previous[number, *key] += sums[0]
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


def _rolled_up(
    connection: Connection,
    query: UsageQuery,
    account_key: int,
    table: Table,
    time: ColumnElement[int],
    names: Sequence[str],
    pieces: Sequence[Piece],
) -> Sequence[Any]:
    if not pieces:
        return ()
    wanted = piece_table(pieces)
    rows = table.c
    inside = and_(rows.account_key == account_key, time >= wanted.c.start, time < wanted.c.end)
    found = select(
        wanted.c.piece,
        *(rows[name] for name in names),
        exact_sum(rows.charged),
        bounded_sum(connection, rows.uncollected),
        exact_sum(rows.succeeded),
        exact_sum(rows.failed),
        exact_sum(rows.expired),
        bounded_sum(connection, rows.quantity),
    ).join_from(wanted, table, inside)
    return connection.execute(_grouped(found, query, table, wanted.c.piece, names)).all()


def _counted(
    connection: Connection, query: UsageQuery, account_key: int, names: Sequence[str], pieces: Sequence[Piece]
) -> Sequence[Any]:
    if not pieces:
        return ()
    wanted = piece_table(pieces)
    rows = entries.c
    inside = and_(rows.account_key == account_key, rows.time >= wanted.c.start, rows.time < wanted.c.end)
    charge = rows.kind == EntryKind.CHARGE.value
    found = (
        select(
            wanted.c.piece,
            *(rows[name] for name in names),
            exact_sum(rows.amount),
            bounded_sum(connection, case((charge, rows.uncollected), else_=0)),
            *(func.count(case((rows.kind == kind, 1))) for kind in _ENDINGS),
            bounded_sum(connection, rows.quantity),
        )
        .join_from(wanted, entries, inside)
        .where(rows.kind.in_(_ENDINGS))
    )
    return connection.execute(_grouped(found, query, entries, wanted.c.piece, names)).all()


def _grouped(
    found: Select[Any], query: UsageQuery, table: Table, piece: ColumnElement[int], names: Sequence[str]
) -> Select[Any]:
    for name, value in (
        ("operation", query.operation),
        ("user_id", query.user_id),
        ("project_id", query.project_id),
    ):
        if value is not None:
            found = found.where(table.c[name] == value)
    return found.group_by(piece, *(table.c[name] for name in names))


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
