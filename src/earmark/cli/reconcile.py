"""`earmark reconcile`: compares Redis with SQL, opening both directly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import CommandError, ExitStatus
from earmark.cli.output import Column, one_line, print_json, print_line, print_table, progress_bar
from earmark.cli.stores import DatabaseUrl, DataDir, RedisUrl, database_url_of, store_settings
from earmark.credits import format_credits
from earmark.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.jobs.reconciler import ReconciliationReport
    from earmark.settings import Settings

__all__ = ["EXAMPLES", "compare_stores", "compare_with_progress", "reconcile"]

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
        _print_report_as_json(report)
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

    with progress_bar() as progress:
        task = progress.add_task("accounts", total=None)

        def on_progress(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        try:
            return asyncio.run(compare_stores(settings, on_progress))
        except (EarmarkError, EngineError) as error:
            raise CommandError(f"could not compare: {error}", ExitStatus.USAGE) from None


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
        [item.account_id, item.what, _shown(item.what, item.redis), _shown(item.what, item.sql)]
        for item in report.differences
    )
    print_table(columns, rows)
    print_line(summary(report))


def summary(report: ReconciliationReport) -> str:
    """Say in one sentence how a comparison ended."""
    accounts = f"{report.accounts:,} account{'' if report.accounts == 1 else 's'}"
    if not report.drift:
        return f"No drift: Redis and SQL agree on {accounts}."
    differing = len({item.account_id for item in report.differences})
    return f"Drift: Redis and SQL differ on {differing:,} of {accounts}."


def _shown(what: str, value: int | None) -> str:
    if value is None:
        return "-"
    return str(value) if "number" in what or "seq" in what else format_credits(value)


def _print_report_as_json(report: ReconciliationReport) -> None:
    print_json(
        {
            "drift": report.drift,
            "accounts": report.accounts,
            "differences": [
                {"account_id": item.account_id, "what": one_line(item.what), "redis": item.redis, "sql": item.sql}
                for item in report.differences
            ],
        }
    )
