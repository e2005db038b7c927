"""A month in the life of a credit system: play it, read the statements, compare, reconcile."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from earmark.cli.demo.month.statement import Statement, disagreements, print_statement, read_statement
from earmark.cli.exits import CommandError, ExitStatus
from earmark.cli.output import note, print_line, progress_bar
from earmark.credits import format_credits

if TYPE_CHECKING:
    from earmark.cli.demo.month.player import Player, Script
    from earmark.jobs.reconciler import ReconciliationReport

__all__ = ["run_month"]

_DAYS = 31
_MONTH = (2030, 3)
"""Has 31 days, and the preset's spring event. A fixed one: the same seed lives the same life."""
_SECONDS = 60.0
"""Any call may take: renewals of months are waited for inside one."""


def run_month(source: str, seed: int | None, keep: Path | None) -> None:
    """Play a month of a catalog, `PATH` or `preset:NAME`.

    Raises:
        CommandError: a figure disagrees, or the sidecar does not start.
        EarmarkError: the catalog is wrong, or a call was refused that should not have been.
    """
    from earmark.cli.reconcile import summary

    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    started = time.monotonic()
    script = _script(source)
    print_line(script.title)
    note(f"Seed {seed}.")
    with ExitStack() as stack:
        data_dir = keep or Path(stack.enter_context(TemporaryDirectory(prefix="earmark-demo-")))
        player, statements, report = _play(source, script, seed, data_dir)
    print_line("")
    problems = list(player.problems)
    for seen in statements:
        book = player.accounts[seen.account_id].book
        print_statement(seen, book)
        problems += disagreements(seen, book)
    charged = sum(use.charged for seen in statements for use in seen.uses.values())
    own = sum(use.charged for account in player.accounts.values() for use in account.book.uses.values())
    print_line(
        f"{player.asked:,} generations were asked for; what succeeded cost {format_credits(charged)} credits, the "
        f"demo's own arithmetic says {format_credits(own)}."
    )
    print_line(summary(report))
    if keep is not None:
        note(f"The stores are in {keep}: earmark serve --data-dir {keep}")
    if problems or report.drift:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CommandError(f"{problems[0]}{more}" if problems else "Redis and SQL differ")
    print_line(f"Every figure agrees, to the microcredit. ({time.monotonic() - started:.1f} s)")


def _script(source: str) -> Script:
    from earmark.catalogs import parse_catalog, read_source
    from earmark.cli.demo.month.amisi import Amisi
    from earmark.cli.demo.month.generic import Generic
    from earmark.cli.demo.month.inspira import Inspira
    from earmark.cli.demo.month.monthly import Monthly
    from earmark.cli.demo.month.workspace import Workspace

    known: dict[str, type[Script]] = {
        "preset:inspira": Inspira,
        "preset:workspace": Workspace,
        "preset:monthly": Monthly,
        "preset:amisi": Amisi,
    }
    if source in known:
        return known[source]()
    return Generic(parse_catalog(read_source(source)))


def _play(
    source: str, script: Script, seed: int, data_dir: Path
) -> tuple[Player, list[Statement], ReconciliationReport]:
    from earmark.cli.connection import Connection
    from earmark.cli.demo.month.player import Player
    from earmark.cli.reconcile import compare_data_dir
    from earmark.testing import EarmarkServer, ServerDidNotStart

    first = _first_day()
    try:
        with (
            EarmarkServer(data_dir=data_dir, catalog=source, appendfsync="everysec", log_level="warning") as server,
            Connection(server.address, None, _SECONDS) as connection,
        ):
            player = Player(connection, script, seed, first - script.lead)
            with progress_bar() as progress:
                task = progress.add_task("days", total=_DAYS + 1)
                script.before(player, first)
                for day in range(1, _DAYS + 2):
                    # The last one's evening: by then, cycles that began on a first day have ended.
                    player.move(first + timedelta(days=day - 1, hours=9 if day > _DAYS else 0))
                    progress.update(task, description=f"{player.now:%d %B}")
                    script.day(player, day)
                    progress.advance(task)
                player.move(player.now + timedelta(hours=1))
            statements = [read_statement(player, account) for account in player.accounts.values()]
            return player, statements, compare_data_dir(data_dir)
    except ServerDidNotStart as error:
        lines = str(error).splitlines()
        raise CommandError(f"{lines[0]} {lines[-1]}", ExitStatus.UNAVAILABLE) from None


def _first_day() -> datetime:
    first = datetime(*_MONTH, 1, 9, tzinfo=UTC)
    while first - timedelta(days=100) < datetime.now(UTC):
        first = first.replace(year=first.year + 1)
    return first
