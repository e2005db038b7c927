"""History and reports over ten million entries on PostgreSQL: `python bench/reports.py --help`."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import uvloop
from alembic.config import Config
from alembic.script import ScriptDirectory
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

import earmark.ledger
from earmark.domain.days import next_month, start_of_day
from earmark.domain.ids import content_digest, reservation_digest
from earmark.domain.states import EntryKind, GrantKind, Outcome
from earmark.ledger import Ledger, open_ledger, upgrade
from earmark.ledger.connections import parse_url
from earmark.ledger.models import EntryFilter, EntryPosition, NewAccount
from earmark.ledger.postgres import postgres_engine
from earmark.ledger.reports import GroupBy, UsageQuery
from earmark.ledger.tables import entries

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.postgres import PostgresServer, shared_postgres

ZONE = "America/New_York"
BEGIN = datetime(2025, 11, 1, tzinfo=UTC)
END = datetime(2026, 11, 1, tzinfo=UTC)
USERS, PROJECTS, OPERATIONS = 200, 5, 12
"""Of an account. Each user works for one project and generates in three ways."""
RARE = 50
"""So many entries of an account have the rare operation."""
GOAL_MILLISECONDS = 100
CHUNK = 250_000

# Entry i belongs to account i % accounts. Of every five hundred of an account the first is a grant and the last what
# expires of it; the others are 90 % charges, 7 % failures, 3 % that expired.
INSERT_ENTRIES = """
    INSERT INTO entries (account_key, entry_number, seq, epoch, amount, available_after, debt, reserved, uncollected,
        time, reservation_create_time, expire_time, admin_seq, grant_number, quantity, price_version, partition, kind,
        grant_kind, late, digest, content, request_id, operation, user_id, project_id, details, settlement, windows)
    SELECT first_key + i % accounts, n + 1, i + 1, 0,
        CASE kind WHEN 1 THEN 1000000000 WHEN 5 THEN 1000 WHEN 2 THEN amount ELSE 0 END,
        1000000000, CASE WHEN kind = 2 AND k % 1000 = 7 THEN 5 ELSE 0 END, amount,
        CASE WHEN kind = 2 AND k % 1000 = 8 THEN 3 ELSE 0 END,
        time, time - 30000000, time + 30000000, CASE kind WHEN 1 THEN n / 500 + 1 ELSE 0 END,
        CASE WHEN kind IN (1, 5) THEN n / 500 + 1 ELSE 0 END,
        CASE kind WHEN 2 THEN 1 + k % 4 ELSE 0 END, 1, 0, kind,
        CASE WHEN kind IN (1, 5) THEN n / 500 % 5 + 1 ELSE 0 END, 0,
        CASE WHEN kind IN (1, 5) THEN NULL ELSE left(md5(i::text), 22) END, left(md5(amount::text), 22),
        'request-' || i, operation, user_id, project_id,
        CASE WHEN kind IN (1, 5) THEN '' ELSE format(
            '{"r":"request-%s","o":"%s","u":"%s","p":"%s","q":%s,"a":{"size":"1024x1024","model":"standard"},'
            '"l":{"team":"t%s","shot":"s%s"}}',
            i, operation, user_id, project_id, 1 + k % 4, k % 10, n / rare) END,
        CASE kind WHEN 3 THEN '{"m":"the model did not answer"}' ELSE '' END, ''
    FROM (
        SELECT i, n, k, time, first_key, accounts, rare, kind, amount,
            CASE WHEN kind IN (1, 5) THEN '' WHEN k % rare = 11 THEN 'operation.rare'
                ELSE 'operation.' || (7 * who + floor(3 * b * b)::int) % operations END AS operation,
            CASE WHEN kind IN (1, 5) THEN '' ELSE 'user-' || who END AS user_id,
            CASE WHEN kind IN (1, 5) THEN '' ELSE 'project-' || who % projects END AS project_id
        FROM (
            SELECT i, i / accounts AS n, i % accounts + i / accounts AS k, begins + i * lasts / total AS time,
                first_key, accounts, rare, operations,
                projects, floor(power(random(), 2) * users)::int AS who, random() AS b,
                (100000 + random() * 900000)::bigint AS amount,
                CASE i / accounts % 500 WHEN 0 THEN 1 WHEN 499 THEN 5
                    ELSE CASE WHEN (i % accounts + i / accounts) % 100 < 90 THEN 2
                        WHEN (i % accounts + i / accounts) % 100 < 97 THEN 3 ELSE 4 END END AS kind
            FROM generate_series((:start)::bigint, (:stop)::bigint) AS i, (SELECT (:accounts)::bigint AS accounts,
                (:first_key)::bigint AS first_key, (:begins)::bigint AS begins, (:lasts)::numeric AS lasts,
                (:total)::bigint AS total, (:rare)::bigint AS rare, (:operations)::int AS operations,
                (:users)::int AS users, (:projects)::int AS projects) AS given
        ) AS drawn
    ) AS named
"""
# A charge is paid by its period's grant; one in ten by the one before as well.
INSERT_ALLOCATIONS = """
    INSERT INTO entry_allocations (account_key, entry_number, position, grant_number, kind, amount)
    SELECT account_key, entry_number, part, greatest(1, (entry_number - 1) / 500 + 1 - part),
        (greatest(1, (entry_number - 1) / 500 + 1 - part) - 1) % 5 + 1,
        CASE WHEN kind <> 2 THEN amount WHEN NOT twice THEN amount - debt WHEN part = 0 THEN amount - debt - 1000
            ELSE 1000 END
    FROM (
        SELECT *, kind = 2 AND entry_number % 10 = 3 AS twice FROM entries WHERE seq BETWEEN :start + 1 AND :stop + 1
    ) AS e, generate_series(0, twice::int) AS part
    WHERE kind IN (1, 2, 5)
"""
SUMMED = """
    SELECT count(*) FILTER (WHERE kind = 2), count(*) FILTER (WHERE kind = 3), count(*) FILTER (WHERE kind = 4),
        coalesce(sum(amount) FILTER (WHERE kind = 2), 0)::bigint, coalesce(sum(quantity), 0)::bigint,
        coalesce(sum(uncollected) FILTER (WHERE kind = 2), 0)::bigint
    FROM entries JOIN accounts USING (account_key)
    WHERE account_id = :account AND time >= :start AND time < :stop
"""
CAME_AND_WENT = """
    SELECT a.kind, e.kind, coalesce(sum(a.amount) FILTER (WHERE e.time < :start), 0)::bigint,
        coalesce(sum(a.amount) FILTER (WHERE e.time >= :start), 0)::bigint
    FROM entries AS e JOIN entry_allocations AS a USING (account_key, entry_number) JOIN accounts USING (account_key)
    WHERE account_id = :account AND e.time < :stop GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Question:
    """Something that is asked again and again, each time about something else."""

    name: str
    ask: Callable[[], Awaitable[Any]]
    goal: bool = False
    """Whether it has to stay under the goal."""


class Builder:
    """Fills the database."""

    def __init__(self, engine: AsyncEngine, entries: int, accounts: int) -> None:
        self._engine = engine
        self._entries = entries
        self._accounts = accounts

    async def build(self, ledger: Ledger) -> None:
        """Create the accounts and the entries, then their indexes and roll-ups."""
        with Progress(
            TextColumn("{task.description:28}"), BarColumn(30), TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True),
        ) as progress:  # fmt: skip
            task = progress.add_task("accounts", total=self._accounts)
            for number in range(self._accounts):
                account = NewAccount(account_name(number), time_zone=ZONE)
                await ledger.accounts.create(account, "create", content_digest(b""))
                progress.advance(task)
            await self._run(_drop_indexes)
            task = progress.add_task("entries", total=self._entries)
            for start in range(0, self._entries, CHUNK):
                stop = min(start + CHUNK, self._entries) - 1
                await self._run(lambda connection: self._insert(connection, start, stop))  # noqa: B023  awaited here
                progress.advance(task, stop - start + 1)
            task = progress.add_task("indexes", total=len(entries.indexes))
            for index in sorted(entries.indexes, key=lambda index: str(index.name)):
                await self._run(index.create)
                progress.advance(task)
            task = progress.add_task("roll-ups", total=1)
            await self._run(_fill_rollups)
            progress.advance(task)
            task = progress.add_task("VACUUM ANALYZE", total=1)
            async with self._engine.connect() as connection:
                outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
                await outside.execute(text("VACUUM ANALYZE"))
            progress.advance(task)

    async def _run(self, what: Callable[[Connection], object]) -> None:
        async with self._engine.begin() as connection:
            await connection.run_sync(what)

    def _insert(self, connection: Connection, start: int, stop: int) -> None:
        connection.execute(text(f"SELECT setseed({(start % 1000) / 1000})"))
        connection.execute(
            text(INSERT_ENTRIES.replace(':"', r'\:"').replace(":{", r"\:{")),
            {
                "start": start,
                "stop": stop,
                "accounts": self._accounts,
                "first_key": 1,
                "begins": micros(BEGIN),
                "lasts": micros(END) - micros(BEGIN),
                "total": self._entries,
                "rare": max(self._entries // self._accounts // RARE, 20),
                "operations": OPERATIONS,
                "users": USERS,
                "projects": PROJECTS,
            },
        )
        connection.execute(text(INSERT_ALLOCATIONS), {"start": start, "stop": stop})


def _drop_indexes(connection: Connection) -> None:
    for index in entries.indexes:
        index.drop(connection)


def _fill_rollups(connection: Connection) -> None:
    """Run what the migration runs where there are entries already."""
    config = Config()
    config.set_main_option("script_location", str(Path(earmark.ledger.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    revision = ScriptDirectory.from_config(config).get_revision("0003")
    assert revision is not None
    fill: Callable[[Connection], None] = revision.module.fill_rollups
    fill(connection)


def account_name(number: int) -> str:
    """Return an account's id."""
    return f"account-{number}"


def micros(moment: datetime) -> int:
    """Return a moment in microseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class Asker:
    """What a user of the reports asks, about random accounts, times and names."""

    def __init__(self, ledger: Ledger, accounts: int, seed: int) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._chance = random.Random(seed)
        self._known: list[tuple[str, str, str]] = []

    async def prepare(self, engine: AsyncEngine) -> None:
        """Give some reservations the digest that their request id makes: SQL could not compute it."""
        async with engine.begin() as connection:
            for number in range(50):
                account_id = self.account()
                query = text(
                    "SELECT account_key, entry_number, request_id FROM entries JOIN accounts USING (account_key) "
                    "WHERE account_id = :account AND entry_number > :number AND kind = 2 ORDER BY 2 LIMIT 1"
                )
                row = (await connection.execute(query, {"account": account_id, "number": number})).one()
                digest = reservation_digest(account_id, row.request_id)
                update = "UPDATE entries SET digest = :digest WHERE account_key = :key AND entry_number = :number"
                key = {"digest": digest, "key": row.account_key, "number": row.entry_number}
                await connection.execute(text(update), key)
                self._known.append((account_id, row.request_id, digest))

    def account(self) -> str:
        """Return one of the accounts."""
        return account_name(self._chance.randrange(self._accounts))

    def moment(self) -> int:
        """Return any time of the year."""
        return self._chance.randrange(micros(BEGIN), micros(END))

    def month(self) -> tuple[int, int]:
        """Return a month of the accounts' zone."""
        first = (BEGIN + timedelta(days=1 + 30 * self._chance.randrange(11))).date().replace(day=1)
        return start_of_day(first, ZoneInfo(ZONE)), start_of_day(next_month(first), ZoneInfo(ZONE))

    def ragged(self) -> tuple[int, int]:
        """Return a range of about a month that begins and ends anywhere."""
        start = self._chance.randrange(micros(BEGIN), micros(END) - 31 * 86_400_000_000)
        return start, start + 30 * 86_400_000_000 + self._chance.randrange(86_400_000_000)

    def questions(self) -> Iterator[Question]:
        """Yield everything that is measured."""
        chance = self._chance

        def page(name: str, **given: Callable[[], Any]) -> Question:
            async def ask() -> Any:
                wanted = EntryFilter(**{"account_id": self.account(), **{key: draw() for key, draw in given.items()}})
                return await self._ledger.entries.page(wanted, 100)

            return Question(f"page: {name}", ask, goal=True)

        async def deep() -> Any:
            at = EntryPosition(self.moment(), 0, 0)
            return await self._ledger.entries.page(EntryFilter(account_id=self.account()), 100, at)

        async def by_request() -> Any:
            account_id, request_id, _ = chance.choice(self._known)
            found = await self._ledger.entries.page(EntryFilter(account_id=account_id, request_id=request_id), 100)
            assert len(found.entries) == 1
            return found

        async def of_month() -> Any:
            start, end = self.month()
            wanted = EntryFilter(account_id=self.account(), start_time=start, end_time=end, operation=operation())
            return await self._ledger.entries.page(wanted, 100)

        def operation() -> str:
            return f"operation.{chance.randrange(OPERATIONS)}"

        def user() -> str:
            return f"user-{chance.randrange(USERS)}"

        yield page("newest")
        yield Question("page: in the middle", deep, goal=True)
        yield Question("page: an operation in a month", of_month, goal=True)
        yield page("an operation", operation=operation)
        yield page("a rare operation", operation=lambda: "operation.rare")
        yield page("a user", user_id=user)
        yield page("a user and an operation", user_id=user, operation=operation)
        yield page("a project", project_id=lambda: f"project-{chance.randrange(PROJECTS)}")
        yield page("grants", kinds=lambda: (EntryKind.GRANT,))
        yield page("failed ones", outcome=lambda: Outcome.FAILED)
        yield page("a label", labels=lambda: {"team": f"t{chance.randrange(10)}"})
        yield page("a label that few have", labels=lambda: {"shot": "s3"})
        yield page("amounts that few have", min_amount=lambda: 999_999, max_amount=lambda: 999_999)
        yield page("a reservation", digest=lambda: chance.choice(self._known)[2])
        yield Question("page: a request", by_request, goal=True)

        def summary(name: str, span: Callable[[], tuple[int, int]], *, goal: bool) -> Question:
            return Question(
                f"summary: {name}", lambda: self._ledger.reports.summary(self.account(), *span()), goal=goal
            )

        yield summary("a month", self.month, goal=True)
        yield summary("30 days from any moment", self.ragged, goal=True)
        yield summary("the year", lambda: (micros(BEGIN), micros(END)), goal=True)

        def usage(
            name: str, *groups: GroupBy, span: Callable[[], tuple[int, int]] = self.month, **given: Any
        ) -> Question:
            def ask() -> Awaitable[Any]:
                drawn = {key: draw() for key, draw in given.items()}
                return self._ledger.reports.usage(UsageQuery(self.account(), *span(), groups, **drawn))

            return Question(f"usage: {name}", ask)

        yield usage("a month by operation", GroupBy.OPERATION)
        yield usage("a month by user", GroupBy.USER)
        yield usage("a month by project, user, operation", GroupBy.PROJECT, GroupBy.USER, GroupBy.OPERATION)
        yield usage("a month by day", GroupBy.DAY)
        yield usage("a month by day, operation", GroupBy.DAY, GroupBy.OPERATION)
        yield usage("a month by day, of one user", GroupBy.DAY, user_id=user)
        yield usage("30 days from any moment by user", GroupBy.USER, span=self.ragged)
        yield usage("the year by month", GroupBy.MONTH, span=lambda: (micros(BEGIN), micros(END)))

    async def recount(self, engine: AsyncEngine, times: int) -> list[str]:
        """Compare reports with a plain sum of the raw entries; return what differs."""
        different: list[str] = []
        for number in range(times):
            account, (start, end) = self.account(), (self.month, self.ragged)[number % 2]()
            given = {"account": account, "start": start, "stop": end}
            async with engine.connect() as connection:
                counted = tuple((await connection.execute(text(SUMMED), given)).one())
                uses = (await connection.execute(text(CAME_AND_WENT), given)).all()
            groups = ((GroupBy.OPERATION, GroupBy.DAY), (GroupBy.USER,), (GroupBy.PROJECT, GroupBy.MONTH))[number % 3]
            report = await self._ledger.reports.usage(UsageQuery(account, start, end, groups, limit=10**6))
            for what, rows in (("total", [report.total]), ("rows", list(report.rows))):
                said = tuple(
                    sum(getattr(row, name) for row in rows)
                    for name in ("succeeded", "failed", "expired", "charged", "quantity", "uncollected")
                )
                if said != counted:
                    different.append(f"{account} [{start}, {end}): the {what} of usage say {said}, entries {counted}")
            summary = await self._ledger.reports.summary(account, start, end)
            lines = {line.kind: line for line in summary.kinds}
            for kind in GrantKind:
                line = lines.get(kind)
                said = (line.carried_in, line.allocated, line.consumed, line.expired) if line else (0, 0, 0, 0)
                mine = {entry_kind: (before, inside) for of, entry_kind, before, inside in uses if of == kind}
                came, charged, expired = (mine.get(each, (0, 0)) for each in (1, 2, 5))
                raw = (came[0] - charged[0] - expired[0], came[1], charged[1], expired[1])
                if said != raw:
                    different.append(f"{account} [{start}, {end}): {kind.name} says {said}, entries {raw}")
        return different


async def time_of(question: Question) -> float:
    """Ask once; return the milliseconds."""
    began = time.perf_counter()
    await question.ask()
    return (time.perf_counter() - began) * 1e3


async def measure(questions: list[Question], runs: int, progress: Progress, what: str) -> dict[str, list[float]]:
    """Ask every question so often; return the milliseconds of each."""
    found: dict[str, list[float]] = {}
    task = progress.add_task(what, total=len(questions) * runs)
    for question in questions:
        for _ in range(runs):
            found.setdefault(question.name, []).append(await time_of(question))
            progress.advance(task)
    return found


def forget_files(url: str) -> bool:
    """Make the system forget what it has in memory of the database's files, where it lets us; no others."""
    directory = parse_url(url).query["host"]
    forgotten = False
    for file in Path(str(directory)).glob("data/base/**/*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                forgotten = True
            finally:
                os.close(descriptor)
    return forgotten


async def ask_everything(
    url: str, arguments: argparse.Namespace, server: PostgresServer | None, options: tuple[str, ...]
) -> int:
    """Build, measure, recount, print."""
    engine = postgres_engine(parse_url(url), statement_seconds=None)
    await upgrade(url)
    ledger = await open_ledger(url)
    await ledger.stores.initialise(1, for_tests=True)
    began = time.perf_counter()
    await Builder(engine, arguments.entries, arguments.accounts).build(ledger)
    async with engine.connect() as connection:
        size = (
            await connection.execute(text("SELECT pg_size_pretty(pg_database_size(current_database()))"))
        ).scalar_one()
        rows = [
            (table, (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())
            for table in ("entries", "usage_hours", "usage_days", "grant_hours")
        ]
    print(f"built in {time.perf_counter() - began:,.0f} s, {size}: " + ", ".join(f"{n:,} {t}" for t, n in rows))
    asker = Asker(ledger, arguments.accounts, arguments.seed)
    await asker.prepare(engine)
    questions = list(asker.questions())
    cold: dict[str, list[float]] = {question.name: [] for question in questions}
    forgotten = False
    with Progress(console=Console(stderr=True)) as progress:
        if server is not None:
            task = progress.add_task("cold", total=len(questions) * arguments.cold_runs)
            for question in questions * arguments.cold_runs:
                await ledger.close()
                server.stop()
                forgotten = forget_files(url)
                server.start(*options)
                ledger = await open_ledger(url)
                asker._ledger = ledger  # noqa: SLF001  the same questions, of a server that has just started
                cold[question.name].append(await time_of(question))
                progress.advance(task)
        await measure(questions, 3, progress, "warming up")
        warm = await measure(questions, arguments.runs, progress, "warm")
        progress.console.print("recounting ...")
        different = await asker.recount(engine, arguments.recounts)
    await ledger.close()
    await engine.dispose()
    show(questions, warm, cold, "nothing in memory" if forgotten else "PostgreSQL just started")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for line in different:
        print(f"DIFFERENT: {line}")
    print(f"{arguments.recounts} recounts of raw entries: {'all the same' if not different else len(different)}")
    return 1 if different else 0


def show(questions: list[Question], warm: dict[str, list[float]], cold: dict[str, list[float]], state: str) -> None:
    """Print the table, and whether the goal is met."""
    table = Table(
        "milliseconds", *(f"warm {what}" for what in ("p50", "p95", "max")), f"cold p50 ({state})", "cold max"
    )
    over = []
    for question in questions:
        times, first = sorted(warm[question.name]), sorted(cold[question.name])
        p50, p95 = times[len(times) // 2], times[min(len(times) - 1, len(times) * 95 // 100)]
        colds = (f"{first[len(first) // 2]:.0f}", f"{first[-1]:.0f}") if first else ("", "")
        table.add_row(question.name, f"{p50:.1f}", f"{p95:.1f}", f"{times[-1]:.1f}", *colds)
        if question.goal and p95 >= GOAL_MILLISECONDS:
            over.append(question.name)
    Console(width=140).print(table)
    print(f"goal: pages and summaries under {GOAL_MILLISECONDS} ms (p95, warm): {over or 'met'}")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--accounts", type=int, default=1, help="that share the entries")
    parser.add_argument("--runs", type=int, default=100, help="of each question, warm")
    parser.add_argument("--cold-runs", type=int, default=3, help="of each question, each after a restart of PostgreSQL")
    parser.add_argument("--recounts", type=int, default=12, help="reports that are compared with a sum of raw entries")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database-url", help="an empty PostgreSQL database; a server of our own if absent")
    parser.add_argument("--keep", action="store_true", help="wait for Enter before a server of our own goes")
    arguments = parser.parse_args()
    if arguments.database_url:
        return uvloop.run(ask_everything(arguments.database_url, arguments, None, ()))
    options = (
        "shared_buffers=1GB",
        "maintenance_work_mem=512MB",
        "max_wal_size=4GB",
        "fsync=off",
        "full_page_writes=off",
    )
    with shared_postgres(*options) as server:
        url = server.empty_database()
        status = uvloop.run(ask_everything(url, arguments, server, options))
        if arguments.keep:
            input(f"{url} (Enter ends it) ")
    return status


if __name__ == "__main__":
    sys.exit(main())
