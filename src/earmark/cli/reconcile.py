"""`earmark reconcile`: compares Redis with SQL, opening both directly."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import CommandError, ExitStatus
from earmark.cli.output import Column, note, print_json, print_line, print_table, progress_bar
from earmark.cli.stores import DatabaseUrl, DataDir, RedisUrl, database_url_of, store_settings
from earmark.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.jobs.reconciler import ReconciliationReport
    from earmark.settings import Settings

__all__ = ["EXAMPLES", "compare_data_dir", "compare_stores", "compare_with_progress", "reconcile", "summary"]

EXAMPLES = (
    "earmark reconcile",
    "earmark reconcile --data-dir /var/lib/earmark --json",
    "earmark reconcile --redis-url redis://redis:6379/0 --database-url postgresql://earmark@db/earmark",
)


def reconcile(
    redis_url: RedisUrl = None,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing: a comparison never does.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; amounts are integers, in microcredits.")] = False,
) -> None:
    """Compare what Redis holds of each account with what the ledger says: entry numbers, sums, grants.

    Works beside a running sidecar. Without --redis-url it uses the engine of the data directory, and starts it for a
    while if no sidecar runs. Exit status 0 without drift, 1 with drift, 2 if the two could not be compared.
    """
    del dry_run
    settings = store_settings(redis_url=redis_url, database_url=database_url, data_dir=data_dir)
    report = compare_with_progress(settings)
    if as_json:
        print_json(json.loads(report.to_json()))
    else:
        _print_report(report)
    if report.drift:
        raise typer.Exit(ExitStatus.REFUSED)


def compare_with_progress(settings: Settings) -> ReconciliationReport:
    """Compare the stores, with a progress bar on stderr.

    Raises:
        CommandError: with the status of `reconcile` for "could not compare".
    """
    from earmark.embedded import EngineError
    from earmark.settings import LogFormat, LogLevel
    from earmark.telemetry import configure_logging

    configure_logging(LogLevel.ERROR, LogFormat.CONSOLE)
    logging.getLogger("earmark.reconciler").setLevel(logging.CRITICAL)  # What it found is our result, not a log line.
    with progress_bar() as progress:
        task = progress.add_task("accounts", total=None)

        def on_progress(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        try:
            return asyncio.run(compare_stores(settings, on_progress))
        except (EarmarkError, EngineError) as error:
            raise CommandError(f"could not compare: {error}", ExitStatus.USAGE) from None


def compare_data_dir(data_dir: Path) -> ReconciliationReport:
    """Compare the stores of a data directory alone, whatever the variables of this shell say; see the above."""
    from earmark.settings import Settings

    return compare_with_progress(Settings.model_construct(data_dir=data_dir, redis_url=None, database_url=None))


async def compare_stores(settings: Settings, on_progress: Callable[[int, int | None], None]) -> ReconciliationReport:
    """Open both stores, compare them, and close them.

    Raises:
        EarmarkError: one of them is away, or they do not belong together.
        EngineError: the embedded engine cannot be started.
    """
    from earmark.embedded import open_engine
    from earmark.engine.redis.store import RedisStore
    from earmark.jobs.reconciler import reconcile as compare
    from earmark.ledger import open_ledger

    async with AsyncExitStack() as stack:
        ledger = await open_ledger(database_url_of(settings))
        stack.push_async_callback(ledger.close)
        identity = await ledger.stores.read()
        if identity is None:
            raise CommandError("could not compare: the ledger belongs to no store yet", ExitStatus.USAGE)
        redis_url = settings.redis_url
        if redis_url is None:
            redis_url = await stack.enter_async_context(open_engine(settings.data_dir))
        store = RedisStore(redis_url, identity.store_id, identity.partitions)
        stack.push_async_callback(store.close)
        await store.open()
        return await compare(store, ledger, on_progress)


def _print_report(report: ReconciliationReport) -> None:
    columns = [Column("account"), Column("what"), Column("Redis", number=True), Column("SQL", number=True)]
    rows = (
        [item.account_id or f"(partition {item.partition})", item.what, _shown(item.redis), _shown(item.sql)]
        for item in report.differences
    )
    print_table(columns, rows, title="integers as stored; amounts in microcredits" if report.drift else None)
    print_line(summary(report))
    if report.unsettled_accounts:
        note(f"The open reservations of {report.unsettled_accounts:,} busy accounts were not compared.")


def summary(report: ReconciliationReport) -> str:
    """Say in one sentence how a comparison ended."""
    what = (
        f"{_counted(report.accounts, 'account')}, {_counted(report.entries, 'entry', 'entries')} "
        f"and {_counted(report.open_reservations, 'open reservation')}"
    )
    if not report.drift:
        return f"No drift: Redis and SQL agree on {what}."
    return f"Drift: {_counted(report.difference_count, 'difference')} between Redis and SQL in {what}."


def _counted(number: int, singular: str, plural: str = "") -> str:
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def _shown(value: int | None) -> str:
    return "-" if value is None else str(value)
