"""A closed loop of reserve + commit pairs, over `Session` and over unary RPCs, by number of workers.

Each worker reserves, waits for the answer, commits, waits for the answer, and begins again: over a bare `Session`
stream (session), over `Session` through the Python client (client), and with an RPC each (unary). The load runs in
processes of its own (`load.py`); the sidecar is `earmark serve` with its flusher at work. In the end every account's
total is compared with what the workers counted, and Redis with SQL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from decimal import Decimal
from importlib import import_module
from pathlib import Path

from load import CHARGED_MICROS, MODES, Load, run_load
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sidecar import Sidecar, sidecar

from earmark import AsyncClient, EarmarkError
from earmark.credits import format_credits, to_credits
from earmark.testing import ServerDidNotStart

GRANT_MICROS = 10**12
WARM_UP_SECONDS = 0.7

console = Console() if sys.stdout.isatty() else Console(width=130)


@dataclass(frozen=True)
class Row:
    """One line of the table. Latencies in milliseconds, CPU in microseconds per pair."""

    mode: str
    workers: int
    pairs_per_second: float
    reserve_ms: tuple[float, float, float]
    commit_ms: tuple[float, float, float]
    client_cpu_us: float
    server_cpu_us: float | None
    engine_cpu_us: float | None
    repeats: int


def measure(
    target: Sidecar, mode: str, workers: int, processes: int, seconds: float, accounts: list[str]
) -> tuple[Row, Counter[str]]:
    """Run one line of the table; also return the pairs of each account, those before and after measuring included."""
    start = time.monotonic() + WARM_UP_SECONDS + 0.6 * processes
    end = start + seconds
    shares = [workers // processes + (1 if number < workers % processes else 0) for number in range(processes)]
    loads = [
        Load(target.address, mode, share, tuple(accounts[number::processes] or accounts), start, end)
        for number, share in enumerate(shares)
        if share
    ]
    with multiprocessing.get_context("spawn").Pool(len(loads)) as pool:
        running = pool.map_async(run_load, loads, chunksize=1)
        time.sleep(max(start - time.monotonic(), 0))
        before = target.server_cpu_seconds(), target.engine_cpu_seconds()
        time.sleep(max(end - time.monotonic(), 0))
        after = target.server_cpu_seconds(), target.engine_cpu_seconds()
        outcomes = running.get(timeout=120)
    pairs = sum(outcome.measured_pairs for outcome in outcomes)
    if not pairs:
        raise SystemExit(f"{mode}, {workers} workers: no pair was completed within {seconds:g} s")
    per_pair = [
        (later - earlier) / pairs * 1e6 if earlier is not None and later is not None else None
        for earlier, later in zip(before, after, strict=True)
    ]
    row = Row(
        mode=mode,
        workers=workers,
        pairs_per_second=pairs / seconds,
        reserve_ms=percentiles([value for outcome in outcomes for value in outcome.reserve_seconds]),
        commit_ms=percentiles([value for outcome in outcomes for value in outcome.commit_seconds]),
        client_cpu_us=sum(outcome.cpu_seconds for outcome in outcomes) / pairs * 1e6,
        server_cpu_us=per_pair[0],
        engine_cpu_us=per_pair[1],
        repeats=sum(outcome.repeats for outcome in outcomes),
    )
    return row, sum((outcome.pairs_of_account for outcome in outcomes), Counter())


def percentiles(seconds: list[float]) -> tuple[float, float, float]:
    """Return p50, p95 and p99 in milliseconds."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return tuple(ordered[round(last * share)] * 1e3 for share in (0.50, 0.95, 0.99))  # type: ignore[return-value]


async def create_accounts(address: str, accounts: list[str], grants: int) -> None:
    """Create the accounts, each with that many equal grants."""
    async with AsyncClient(address) as client:

        async def create(account: str) -> None:
            await client.create_account(account)
            for _ in range(grants):
                await client.create_grant(account, to_credits(GRANT_MICROS // grants))

        for first in track(range(0, len(accounts), 16), "Accounts and grants", console=console, transient=True):
            await asyncio.gather(*(create(account) for account in accounts[first : first + 16]))


async def check_totals(address: str, accounts: list[str], grants: int, pairs: Counter[str]) -> list[str]:
    """Compare every account with what the workers counted; return what differs."""
    wrong = []
    async with AsyncClient(address, timeout=60) as client:
        for account in accounts:
            balance = await client.get_balance(account)
            charged = to_credits(pairs[account] * CHARGED_MICROS)
            granted = to_credits(GRANT_MICROS // grants * grants)
            expected = (granted - charged, charged, Decimal(0))
            found = (balance.available, balance.lifetime_charged, balance.reserved)
            if found != expected:
                wrong.append(f"{account}: available, charged, reserved are {found}, should be {expected}")
    return wrong


def show(rows: list[Row], *, visible_server: bool) -> None:
    """Print the table."""
    table = Table(title="reserve + commit, closed loop", caption="latency in ms: p50 / p95 / p99; CPU in µs per pair")
    for heading in ("over", "workers", "pairs/s", "reserve", "commit", "client", "server", "engine"):
        table.add_column(heading, justify="left" if heading == "over" else "right")
    for row in rows:
        cpu = [row.client_cpu_us, row.server_cpu_us, row.engine_cpu_us]
        table.add_row(
            row.mode,
            str(row.workers),
            f"{row.pairs_per_second:,.0f}",
            " / ".join(f"{value:.2f}" for value in row.reserve_ms),
            " / ".join(f"{value:.2f}" for value in row.commit_ms),
            *("-" if value is None else f"{value:.1f}" for value in cpu),
        )
    console.print(table)
    repeats = sum(row.repeats for row in rows)
    if repeats:
        console.print(f"{repeats} calls were repeated: the sidecar or its store could not answer in time")
    if not visible_server:
        console.print("CPU of server and engine: not visible for a sidecar that runs elsewhere")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python bench/throughput.py --quick\n"
        "  python bench/throughput.py --mode session --workers 64 --seconds 60 --accounts 1000 --grants 4\n"
        "  python bench/throughput.py --address 127.0.0.1:7070 --workers 1,16",
    )
    parser.add_argument("--quick", action="store_true", help="under a minute in all: 2 seconds a line")
    parser.add_argument("--seconds", type=float, help="measured seconds a line (default: 10; 2 with --quick)")
    parser.add_argument("--workers", default="1,16,64,256", help="numbers of workers, by commas (default: %(default)s)")
    parser.add_argument("--mode", default=",".join(MODES), help="ways to the sidecar, by commas (default: %(default)s)")
    parser.add_argument("--accounts", type=int, default=100, help="accounts that share the load (default: %(default)s)")
    parser.add_argument("--grants", type=int, default=1, help="grants of each account (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="client processes (default: %(default)s)")
    parser.add_argument("--address", help="a sidecar that runs already (default: one of our own, embedded stores)")
    parser.add_argument(
        "--data-dir", type=Path, help="where our own sidecar keeps its stores (default: a temporary one)"
    )
    parser.add_argument("--unix", action="store_true", help="reach our own sidecar through a Unix socket")
    parser.add_argument(
        "--appendfsync",
        choices=("always", "everysec"),
        default="always",
        help="when our own engine writes to disk (default: %(default)s, as `earmark serve` does)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    if options.seconds is None:
        options.seconds = 2.0 if options.quick else 10.0
    try:
        options.workers = [int(number) for number in options.workers.split(",")]
    except ValueError:
        parser.error("--workers takes numbers, separated by commas")
    options.modes = options.mode.split(",")
    if not set(options.modes) <= set(MODES):
        parser.error(f"--mode takes {', '.join(MODES)}, separated by commas")
    if min(options.workers) < 1 or options.accounts < 1 or not 1 <= options.grants <= 256 or options.processes < 1:
        parser.error("--workers, --accounts, --processes start at 1; --grants is 1 to 256")
    if options.address is not None and (options.data_dir is not None or options.unix):
        parser.error("--data-dir and --unix are for a sidecar of our own, --address is for another one")
    return options


def main() -> int:
    """Run the benchmark; 0 if every total is exact."""
    options = arguments()
    # The switches that it sets for the sidecar serve the client's processes too, as its README advises busy workers.
    import_module("earmark.cli")
    run = os.urandom(4).hex()
    accounts = [f"bench-{run}-{number}" for number in range(options.accounts)]
    listen = f"unix:{tempfile.gettempdir()}/earmark-bench-{run}.sock" if options.unix else None
    rows: list[Row] = []
    pairs: Counter[str] = Counter()
    with sidecar(options.address, options.data_dir, listen=listen, appendfsync=options.appendfsync) as target:
        asyncio.run(create_accounts(target.address, accounts, options.grants))
        lines = [(mode, workers) for mode in options.modes for workers in options.workers]
        for mode, workers in track(lines, "Measuring", console=console, transient=True):
            row, counted = measure(target, mode, workers, options.processes, options.seconds, accounts)
            rows.append(row)
            pairs.update(counted)
        show(rows, visible_server=target.server is not None)
        if options.json is not None:
            options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")

        wrong = asyncio.run(check_totals(target.address, accounts, options.grants, pairs))
        for line in wrong[:10]:
            console.print(line, style="red")
        total = format_credits(pairs.total() * CHARGED_MICROS)
        verdict = "every account is exact" if not wrong else f"{len(wrong)} accounts are WRONG"
        console.print(f"{pairs.total():,} pairs, {total} credits charged: {verdict}")
        reconciled = target.reconcile()
    return 1 if wrong or reconciled is False else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (EarmarkError, ServerDidNotStart) as error:
        sys.exit(str(error))
