"""Every figure of a report is what the raw entries say, whatever the range, the zone, the grouping and the filters."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import Connection, delete, select, update

import earmark.ledger
from earmark.credits import MAX_MICROS
from earmark.domain.states import EntryKind, GrantKind
from earmark.engine.operations import Details, Settlement
from earmark.engine.records import StreamRecord
from earmark.errors import NotFound
from earmark.ledger import Ledger
from earmark.ledger.models import EntryFilter, EntryRecord
from earmark.ledger.reports import (
    GroupBy,
    MonthlySummary,
    OrderBy,
    SummaryLine,
    UsageQuery,
    UsageReport,
    UsageRow,
)
from earmark.ledger.tables import entries, grant_hours, usage_days, usage_hours
from tests.integration.ledger.stream import Writer, charged, create, ended, grant, granted, record

HOUR = 3_600_000_000
DAY = 24 * HOUR
FIRST = int(datetime(2026, 10, 20, tzinfo=ZoneInfo("UTC")).timestamp()) * 1_000_000
"""Two weeks from here on most zones of the northern hemisphere end their summer time."""
SPAN = 16 * DAY
ZONES = ("UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia")
GRANT_AMOUNT = 10**12

numbers = count(1)

# Around full hours, where roll-ups meet, and anywhere.
times = st.one_of(
    st.integers(0, SPAN),
    st.builds(lambda hour, by: hour * HOUR + by, st.integers(0, SPAN // HOUR), st.integers(-1, 1)),
    st.builds(lambda day, by: day * DAY + by, st.integers(0, SPAN // DAY), st.integers(-1, 1)),
).map(lambda offset: FIRST + offset)
names = {
    "operation": st.sampled_from(["image", "chat", ""]),
    "user_id": st.sampled_from(["ann", "bob", ""]),
    "project_id": st.sampled_from(["p", "é\N{SNOWMAN}", ""]),
}
quantities = st.none() | st.integers(0, 5) | st.just(MAX_MICROS)
endings = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([EntryKind.CHARGE] * 3 + [EntryKind.RELEASE, EntryKind.EXPIRED_HOLD]),
        "time": times,
        "paid": st.lists(st.tuples(st.sampled_from(GrantKind), st.integers(1, 10**6)), max_size=2),
        "debt": st.sampled_from([0, 0, 7]),
        "uncollected": st.sampled_from([0, 0, 3]),
        "reserved_quantity": quantities,
        "quantity": quantities,
        **names,
    }
)
others = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([EntryKind.GRANT_EXPIRED, EntryKind.GRANT_VOIDED, EntryKind.DEBT_REPAID]),
        "time": times,
        "grant": st.sampled_from(GrantKind),
        "amount": st.integers(1, 10**6),
    }
)
events = st.lists(endings | endings | others, max_size=25)
grouping = st.lists(st.sampled_from(GroupBy), min_size=1, max_size=3, unique=True).filter(
    lambda groups: not {GroupBy.DAY, GroupBy.MONTH} <= set(groups)
)
queries = st.fixed_dictionaries(
    {
        "range": st.tuples(times, times).map(sorted),
        "group_by": grouping.map(tuple),
        "order_by": st.sampled_from(OrderBy),
        "limit": st.sampled_from([1, 1_000]),
    },
    optional=dict(names),
)


async def filled(ledger: Ledger, zone: str, happenings: Sequence[dict[str, Any]], batch: int) -> str:
    """Flush entries of a new account; returns its id."""
    account_id = f"account-{next(numbers)}"
    writer = await create(ledger, account_id, time_zone=zone)
    writer.flushed_seq = (await ledger.partitions.read(writer.partition)).flushed_seq
    tickets = {kind: await grant(ledger, account_id, amount=GRANT_AMOUNT, kind=kind) for kind in GrantKind}
    records = [
        granted(ticket, number, GRANT_AMOUNT, time=FIRST + number) for number, ticket in enumerate(tickets.values(), 1)
    ]
    records = [
        replace(one, grant_kind=kind.value, allocations=(one.grant, kind.value, one.amount))
        for one, kind in zip(records, tickets, strict=True)
    ]
    debt = 0
    for happening in sorted(happenings, key=lambda happening: happening["time"]):
        number = len(records) + 1
        if happening["kind"] in (EntryKind.CHARGE, EntryKind.RELEASE, EntryKind.EXPIRED_HOLD):
            records.append(_ending(account_id, number, happening))
            debt += happening["debt"] if happening["kind"] is EntryKind.CHARGE else 0
            continue
        amount = happening["amount"]
        if happening["kind"] is EntryKind.DEBT_REPAID:
            amount = min(amount, debt)
            debt -= amount
        kind = happening["grant"]
        paid = tickets[kind].admin_seq
        what = {"amount": amount, "grant": paid, "grant_kind": kind.value, "allocations": (paid, kind.value, amount)}
        records.append(record(happening["kind"], account_id, number, time=happening["time"], **what))
    for start in range(0, len(records), batch):
        await writer.write(*records[start : start + batch])
    return account_id


def _ending(account_id: str, number: int, happening: dict[str, Any]) -> StreamRecord:
    details = Details(quantity=happening["reserved_quantity"], **{name: happening[name] for name in names})
    what: dict[str, Any] = {"request_id": f"r{number}", "time": happening["time"], "details": details}
    if happening["kind"] is not EntryKind.CHARGE:
        return ended(happening["kind"], account_id, number, uncollected=happening["uncollected"], **what)
    allocations = [(kind.value, kind.value, amount) for kind, amount in happening["paid"]]
    return charged(
        account_id,
        number,
        sum(part[2] for part in allocations) + happening["debt"],
        allocations=tuple(each for part in allocations for each in part),
        uncollected=happening["uncollected"],
        settlement=Settlement(quantity=happening["quantity"], comment='says "q":7'),
        **what,
    )


def recounted_usage(entries: Sequence[EntryRecord], query: UsageQuery, zone: ZoneInfo) -> UsageReport:
    """The same report, from the entries, in the plainest way."""

    def passes(entry: EntryRecord) -> bool:
        return entry.outcome is not None and all(
            wanted is None or getattr(entry.details, name) == wanted
            for name, wanted in (
                ("operation", query.operation),
                ("user_id", query.user_id),
                ("project_id", query.project_id),
            )
        )

    mine = [entry for entry in entries if passes(entry)]
    rows: dict[tuple[Any, ...], UsageRow] = {}
    spans: dict[tuple[Any, ...], tuple[int, int]] = {}

    def about(entry: EntryRecord) -> dict[str, Any]:
        details, key = entry.details, {}
        if GroupBy.OPERATION in query.group_by:
            key["operation"] = details.operation
        if GroupBy.USER in query.group_by:
            key["user_id"] = details.user_id
        if GroupBy.PROJECT in query.group_by:
            key["project_id"] = details.project_id
        return key

    def charge_between(start: int, end: int, key: dict[str, Any]) -> int:
        return sum(entry.amount for entry in mine if start <= entry.time < end and about(entry) == key)

    for entry in mine:
        if not query.start_time <= entry.time < query.end_time:
            continue
        start, end = calendar_period(entry.time, query.group_by, zone)
        key = about(entry)
        of = (start, *key.values())
        row = rows.setdefault(of, UsageRow(start_time=start, **key))
        spans[of] = (max(start, query.start_time), min(end, query.end_time))
        count_in(row, entry)
    for of, row in rows.items():
        start, end = spans[of]
        key = {name: getattr(row, name) for name in about(mine[0])}
        row.previous_charged = charge_between(2 * start - end, start, key)
    total = UsageRow()
    for entry in mine:
        if query.start_time <= entry.time < query.end_time:
            count_in(total, entry)
        elif 2 * query.start_time - query.end_time <= entry.time < query.start_time:
            total.previous_charged += entry.amount
    return UsageReport(tuple(rows.values()), total, len(rows))


def count_in(row: UsageRow, entry: EntryRecord) -> None:
    match entry.kind:
        case EntryKind.CHARGE:
            units = [entry.settlement.quantity, entry.details.quantity, 1]
            row.succeeded += 1
            row.charged += entry.amount
            row.uncollected += entry.uncollected
            row.quantity = min(row.quantity + next(unit for unit in units if unit is not None), MAX_MICROS)
        case EntryKind.RELEASE:
            row.failed += 1
        case _:
            row.expired += 1


def calendar_period(time: int, group_by: Sequence[GroupBy], zone: ZoneInfo) -> tuple[int, int]:
    """Start and end of the day or month that holds a time: found by looking at every quarter of an hour around it."""
    if GroupBy.DAY not in group_by and GroupBy.MONTH not in group_by:
        return 0, 2**60

    def label(at: int) -> Any:
        day = datetime.fromtimestamp(at // 1_000_000, zone).date()
        return day if GroupBy.DAY in group_by else day.replace(day=1)

    quarter = HOUR // 4
    start = time // quarter * quarter
    while label(start - quarter) == label(time):
        start -= quarter
    end = time // quarter * quarter + quarter
    while label(end) == label(time):
        end += quarter
    return start, end


def recounted_summary(entries: Sequence[EntryRecord], start: int, end: int) -> MonthlySummary:
    """The same summary, from the entries, in the plainest way."""
    uses: dict[tuple[bool, GrantKind, str], int] = defaultdict(int)
    borrowed = uncollected = 0
    for entry in entries:
        if entry.time >= end:
            continue
        inside = entry.time >= start
        match entry.kind:
            case EntryKind.CHARGE:
                for part in entry.allocations:
                    uses[inside, part.kind, "consumed"] += part.amount
                if inside:
                    borrowed += entry.amount - sum(part.amount for part in entry.allocations)
                    uncollected += entry.uncollected
            case EntryKind.GRANT:
                uses[inside, entry.allocations[0].kind, "allocated"] += entry.amount
            case EntryKind.GRANT_EXPIRED:
                uses[inside, entry.allocations[0].kind, "expired"] += entry.amount
            case EntryKind.GRANT_VOIDED:
                uses[inside, entry.allocations[0].kind, "voided"] += entry.amount
            case EntryKind.DEBT_REPAID:
                uses[inside, entry.allocations[0].kind, "repaid"] += entry.amount
            case _:
                pass

    ways_out = ("consumed", "expired", "voided", "repaid")

    def line(kind: GrantKind | None, kinds: Sequence[GrantKind]) -> SummaryLine:
        return SummaryLine(
            kind,
            sum(uses[False, each, "allocated"] - sum(uses[False, each, way] for way in ways_out) for each in kinds),
            *(sum(uses[True, each, way] for each in kinds) for way in ("allocated", *ways_out)),
        )

    alone = [line(kind, [kind]) for kind in GrantKind]
    return MonthlySummary(
        total=line(None, list(GrantKind)),
        free=line(None, [GrantKind.FREE, GrantKind.PROMOTION, GrantKind.ADJUSTMENT]),
        purchased=line(None, [GrantKind.PURCHASE]),
        subscription=line(None, [GrantKind.SUBSCRIPTION]),
        kinds=tuple(each for each in alone if each != SummaryLine(each.kind)),
        borrowed=borrowed,
        uncollected=uncollected,
    )


def keys(report: UsageReport) -> Iterator[tuple[Any, ...]]:
    for row in report.rows:
        yield row.start_time, row.operation, row.user_id, row.project_id


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    happenings=events,
    zone=st.sampled_from(ZONES),
    batch=st.sampled_from([1, 3, 100]),
    wanted=st.lists(queries, min_size=1, max_size=4),
)
async def test_every_figure_is_that_of_the_entries(
    ledger: Ledger, happenings: list[dict[str, Any]], zone: str, batch: int, wanted: list[dict[str, Any]]
) -> None:
    account_id = await filled(ledger, zone, happenings, batch)
    found = [entry async for page in ledger.entries.export(EntryFilter(account_id=account_id)) for entry in page]
    for one in wanted:
        fields = dict(one)
        start, end = fields.pop("range")
        query = UsageQuery(account_id, start, end, **fields)
        report, expected = await ledger.reports.usage(query), recounted_usage(found, query, ZoneInfo(zone))
        assert (report.total, report.row_count) == (expected.total, expected.row_count)
        assert len(report.rows) == min(report.row_count, query.limit)
        by_key = dict(zip(keys(expected), expected.rows, strict=True))
        assert [by_key[key] for key in keys(report)] == list(report.rows)
        assert await ledger.reports.summary(account_id, start, end) == recounted_summary(found, start, end)


async def test_rows_come_in_the_order_that_was_asked_for(ledger: Ledger) -> None:
    writer = await create(ledger)
    records = [granted(await grant(ledger), 1, 1000, time=FIRST)]
    for number, (operation, amount, day) in enumerate([("b", 5, 0), ("b", 5, 1), ("a", 30, 1), ("c", 1, 0)], 2):
        what: dict[str, Any] = {"request_id": f"r{number}", "details": Details(operation=operation)}
        records.append(charged("acme", number, amount, time=FIRST + day * DAY, **what))
    await writer.write(*records)

    async def ordered(order_by: OrderBy, *group_by: GroupBy, limit: int = 10) -> list[tuple[str, int]]:
        query = UsageQuery("acme", FIRST, FIRST + 2 * DAY, group_by, order_by=order_by, limit=limit)
        report = await ledger.reports.usage(query)
        assert report.total.charged == 41
        return [(row.operation, row.charged) for row in report.rows]

    assert await ordered(OrderBy.DEFAULT, GroupBy.OPERATION) == [("a", 30), ("b", 10), ("c", 1)]
    assert await ordered(OrderBy.KEY, GroupBy.OPERATION, limit=2) == [("a", 30), ("b", 10)]
    assert await ordered(OrderBy.COUNT, GroupBy.OPERATION) == [("b", 10), ("a", 30), ("c", 1)]
    by_day = [("b", 5), ("c", 1), ("a", 30), ("b", 5)]
    assert await ordered(OrderBy.DEFAULT, GroupBy.OPERATION, GroupBy.DAY) == by_day
    assert await ordered(OrderBy.KEY, GroupBy.DAY, GroupBy.OPERATION) == by_day
    assert await ordered(OrderBy.CHARGED, GroupBy.DAY, GroupBy.OPERATION) == [("a", 30), ("b", 5), ("b", 5), ("c", 1)]


async def test_entries_that_are_flushed_again_are_counted_once(ledger: Ledger) -> None:
    writer = await create(ledger)
    first = await writer.write(granted(await grant(ledger), 1, 1000, time=FIRST), charged("acme", 2, 5, time=FIRST))
    at = writer.flushed_seq
    again = [(seq + at, replace(one, first_seq=one.first_seq + at)) for seq, one in first]
    new = charged("acme", 3, 7, time=FIRST, request_id="other")
    again.append((again[-1][0] + 1, replace(again[-1][1], first_seq=again[-1][0] + 1, records=(new,))))
    await ledger.flush(writer.partition, 0, at, again)
    report = await ledger.reports.usage(UsageQuery("acme", FIRST, FIRST + DAY, (GroupBy.OPERATION,)))
    assert (report.total.charged, report.total.succeeded) == (12, 2)
    summary = await ledger.reports.summary("acme", FIRST, FIRST + timedelta(days=1) // timedelta(microseconds=1))
    assert (summary.total.consumed, summary.total.remaining) == (12, 988)


async def test_an_unknown_account_has_no_reports(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        await ledger.reports.usage(UsageQuery("nobody", 0, FIRST, (GroupBy.DAY,)))
    with pytest.raises(NotFound):
        await ledger.reports.summary("nobody", 0, FIRST)


async def test_an_account_without_entries_has_empty_reports(ledger: Ledger) -> None:
    assert isinstance(await create(ledger), Writer)
    report = await ledger.reports.usage(UsageQuery("acme", FIRST, FIRST + SPAN, (GroupBy.DAY, GroupBy.USER)))
    assert report == UsageReport((), UsageRow(), 0)
    assert (await ledger.reports.summary("acme", FIRST, FIRST + SPAN)).kinds == ()


async def test_a_ledger_from_before_the_roll_ups_gets_the_same_ones(ledger: Ledger) -> None:
    chance = random.Random(3)
    happenings = [
        {
            "kind": chance.choice([EntryKind.CHARGE, EntryKind.RELEASE, EntryKind.EXPIRED_HOLD]),
            "time": FIRST + chance.randrange(SPAN),
            "paid": [(GrantKind.FREE, 5), (GrantKind.PURCHASE, 2)],
            "debt": chance.choice([0, 3]),
            "uncollected": chance.choice([0, 4]),
            "reserved_quantity": chance.choice([None, 2]),
            "quantity": chance.choice([None, 0, 9]),
            **{name: chance.choice(["", "one", "two"]) for name in names},
        }
        for _ in range(200)
    ]
    happenings += [
        {"kind": kind, "time": FIRST + SPAN, "grant": GrantKind.FREE, "amount": 2}
        for kind in (EntryKind.GRANT_EXPIRED, EntryKind.GRANT_VOIDED, EntryKind.DEBT_REPAID)
    ]
    await filled(ledger, "UTC", happenings, batch=17)

    def kept(connection: Connection) -> list[list[tuple[Any, ...]]]:
        return [
            sorted(tuple(row) for row in connection.execute(select(table)))
            for table in (usage_hours, usage_days, grant_hours)
        ] + [[tuple(row) for row in connection.execute(select(entries.c.quantity).order_by(entries.c.entry_number))]]

    def made_again(connection: Connection) -> list[list[tuple[Any, ...]]]:
        connection.execute(update(entries).values(quantity=0))
        for table in (usage_hours, usage_days, grant_hours):
            connection.execute(delete(table))
        migration = ScriptDirectory(str(Path(earmark.ledger.__file__).parent / "migrations")).get_revision("0003")
        assert migration is not None
        migration.module.fill_quantities(connection)
        migration.module.fill_rollups(connection)
        return kept(connection)

    database = ledger.reports._database
    assert await database.read(kept) == await database.write(made_again)
