"""The command: start a sidecar, simulate, wait until all is settled, compare, reconcile, stop."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import CommandError, ExitStatus
from earmark.cli.output import Column, note, print_line, print_table, progress_bar
from earmark.credits import format_credits

if TYPE_CHECKING:
    from earmark.cli.demo.figures import AccountFigures
    from earmark.cli.demo.simulation import Tally
    from earmark.cli.demo.workload import Workload
    from earmark.jobs.reconciler import ReconciliationReport

__all__ = ["EXAMPLES", "demo"]

EXAMPLES = (
    "earmark demo",
    "earmark demo --generations 5000 --seed 7",
    "earmark demo --catalog preset:amisi     a month in the life of that system",
    "earmark demo --keep ./demo-data    and then: earmark serve --data-dir ./demo-data",
)

SETTLING_SECONDS = 20.0
_POLL_SECONDS = 0.1


def demo(
    generations: Annotated[
        int,
        typer.Option(
            "--generations", min=1, max=100_000, metavar="N", help="How many to simulate; a month has its own."
        ),
    ] = 400,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, metavar="N", help="The same seed plans the same.", show_default="by chance"),
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            "--catalog",
            metavar="PATH|preset:NAME",
            help="Play a month of this credit system instead, on a clock that runs ahead.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep the stores in this new directory.", show_default="thrown away"
        ),
    ] = None,
) -> None:
    """Watch Earmark work: a sidecar of its own, simulated generations, and a check of every microcredit.

    Some generations fail, some crash and never answer, some use less or more than they reserved, some are refused for
    lack of credits. Then each account's figures are compared with the demo's own arithmetic, and Redis with SQL. Exit
    status 0 only if every figure agrees.

    With --catalog a month passes in seconds: accounts join, subscribe, claim or buy, generate, run low, are warned,
    buy again, and their plans renew. Presets: inspira, workspace, monthly, amisi.
    """
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise typer.BadParameter(f"{keep} exists already: name a new directory", param_hint="'--keep'")
    if catalog is not None:
        from earmark.cli.demo.month import run_month

        run_month(catalog, seed, keep)
        return
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    started = time.monotonic()

    from earmark.cli.demo.figures import disagreements
    from earmark.cli.demo.workload import plan_workload

    workload = plan_workload(generations, seed)
    note(f"{generations:,} generations of {len(workload.accounts)} accounts, seed {seed}")
    with ExitStack() as stack:
        data_dir = keep or Path(stack.enter_context(TemporaryDirectory(prefix="earmark-demo-")))
        tallies, figures, report = _run(workload, data_dir)
    problems = list(disagreements(figures, tallies))
    _print_accounts(figures, tallies)
    _print_verdict(figures, tallies, report)
    if keep is not None:
        note(f"The stores are in {keep}: earmark serve --data-dir {keep}")
    if problems or report.drift:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CommandError(f"{problems[0]}{more}" if problems else "Redis and SQL differ")
    print_line(f"Every figure agrees, to the microcredit. ({time.monotonic() - started:.1f} s)")


def _run(
    workload: Workload, data_dir: Path
) -> tuple[dict[str, Tally], dict[str, AccountFigures], ReconciliationReport]:
    from earmark.cli.demo.simulation import simulate
    from earmark.cli.reconcile import compare_data_dir
    from earmark.testing import EarmarkServer, ServerDidNotStart

    try:
        with EarmarkServer(data_dir=data_dir, test_store="off", log_level="warning") as server:
            with progress_bar() as progress:
                task = progress.add_task("generations", total=len(workload.generations))
                tallies = asyncio.run(simulate(server.address, workload, lambda: progress.advance(task)))
                gc.collect()  # A closed channel disconnects when it is collected; until then it logs on stderr.
                progress.update(task, description="waiting for crashed workers' holds to expire", total=None)
                figures = _settled_figures(server.address, tallies)
            return tallies, figures, compare_data_dir(data_dir)
    except ServerDidNotStart as error:
        lines = str(error).splitlines()
        raise CommandError(f"{lines[0]} {lines[-1]}", ExitStatus.UNAVAILABLE) from None


def _settled_figures(address: str, tallies: Mapping[str, Tally]) -> dict[str, AccountFigures]:
    """Return the figures once they agree: when the last hold and the promotion expired, and SQL has every entry.

    If they never do, the figures as they stood at the end, which will say so.
    """
    from earmark.cli.connection import Connection
    from earmark.cli.demo.figures import disagreements, read_figures

    deadline = time.monotonic() + SETTLING_SECONDS
    with Connection(address, None, 10.0) as connection:
        while True:
            figures = {account_id: read_figures(connection, account_id) for account_id in tallies}
            waits = any(seen.expires for seen in figures.values()) or any(disagreements(figures, tallies))
            if not waits or time.monotonic() > deadline:
                return figures
            time.sleep(_POLL_SECONDS)


def _print_accounts(figures: Mapping[str, AccountFigures], tallies: Mapping[str, Tally]) -> None:
    from earmark.cli.demo.simulation import Ending

    names = ("granted", "available", "reserved", "charged", "expired")
    rows = [[account, *(format_credits(getattr(seen, name)) for name in names)] for account, seen in figures.items()]
    columns = [Column("account"), *(Column(name, number=True) for name in names)]
    print_table(columns, rows, title="credits: granted = available + reserved + charged + expired")
    print_line("")
    rows = [
        [
            account,
            *(str(tally.endings[ending]) for ending in Ending),
            format_credits(tally.released),
            format_credits(figures[account].sums["release"] + figures[account].sums["expired-hold"]),
        ]
        for account, tally in tallies.items()
    ]
    columns = [Column("account"), *(Column(ending.value, number=True) for ending in Ending)]
    columns += [Column("released, expired", number=True), Column("they cost", number=True)]
    print_table(columns, rows, title="generations, and the credits that the failed and crashed ones gave back")
    print_line("")


def _print_verdict(
    figures: Mapping[str, AccountFigures], tallies: Mapping[str, Tally], report: ReconciliationReport
) -> None:
    from earmark.cli.demo.simulation import Ending
    from earmark.cli.reconcile import summary

    counted = {ending: sum(tally.endings[ending] for tally in tallies.values()) for ending in Ending}
    charged, own = sum(seen.charged for seen in figures.values()), sum(tally.charged for tally in tallies.values())
    print_line(
        f"{counted[Ending.SUCCEEDED]} generations succeeded: charged {format_credits(charged)} credits; "
        f"the demo's own arithmetic says {format_credits(own)}."
    )
    cost = sum(seen.sums["release"] + seen.sums["expired-hold"] for seen in figures.values())
    print_line(
        f"{counted[Ending.FAILED]} failed and {counted[Ending.CRASHED]} crashed without an answer: "
        f"they cost {format_credits(cost)}."
    )
    print_line(f"{counted[Ending.REFUSED]} were refused before they started, for lack of credits.")
    print_line(summary(report))
