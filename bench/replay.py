"""Replays an LLM inference trace through a sidecar, and checks the ledger against the trace's own arithmetic.

Every line of the trace (TIMESTAMP, ContextTokens, GeneratedTokens) is one generation: reserve for the context and
for the most that may be generated, wait as long as the generation takes, commit what was generated. A share of the
generations fails and is released; a share of the workers dies, says nothing more, and their holds expire. In the end
the ledger's total must equal the sum over the lines that succeeded, to the microcredit.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import grpc
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sidecar import Sidecar, sidecar

from earmark import AsyncClient, EarmarkError
from earmark.credits import format_credits, to_credits
from earmark.testing import ServerDidNotStart
from earmark.v1 import ledger_pb2, ledger_service_pb2
from earmark.v1.ledger_service_pb2_grpc import LedgerServiceStub

CONTEXT_TOKEN_MICROS = 3
GENERATED_TOKEN_MICROS = 15
SECONDS_PER_TOKEN = 0.02
DEAD_WORKER_TTL_SECONDS = 5
GRANT_MICROS = 10**12
OPERATION = "llm.generate"

console = Console()


class GenerationFailed(Exception):
    """The model gave no answer."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One line of the trace, and what becomes of it."""

    number: int
    offset_seconds: float
    """From the first line, in the trace's own time."""
    context_tokens: int
    generated_tokens: int
    fate: str
    """"succeeds", "fails" or "dies"."""

    @property
    def price_micros(self) -> int:
        """What it costs if it succeeds."""
        return self.context_tokens * CONTEXT_TOKEN_MICROS + self.generated_tokens * GENERATED_TOKEN_MICROS


def read_trace(path: Path, failures: float, deaths: float, seed: int) -> list[Generation]:
    """Read the trace and draw what becomes of each generation.

    Raises:
        SystemExit: with one line that says what is wrong with the file.
    """
    chance = random.Random(seed)
    generations: list[Generation] = []
    first: datetime | None = None
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            for number, line in enumerate(csv.DictReader(lines)):
                moment = datetime.fromisoformat(line["TIMESTAMP"])
                first = first or moment
                draw = chance.random()
                fate = "dies" if draw < deaths else "fails" if draw < deaths + failures else "succeeds"
                generations.append(
                    Generation(
                        number,
                        (moment - first).total_seconds(),
                        int(line["ContextTokens"]),
                        int(line["GeneratedTokens"]),
                        fate,
                    )
                )
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise SystemExit(f"{path}, line {len(generations) + 2}: not a trace ({error})") from None
    if not generations:
        raise SystemExit(f"{path}: no generations in it")
    return generations


class Replay:
    """One run of the trace."""

    def __init__(self, target: Sidecar, generations: list[Generation], options: argparse.Namespace) -> None:
        self._target = target
        self._generations = generations
        self._speedup: float = options.speedup
        self._kill: str | None = options.kill
        self._max_tokens = max(options.max_tokens, *(each.generated_tokens for each in generations))
        run = os.urandom(4).hex()
        self._accounts = [f"replay-{run}-{number}" for number in range(options.accounts)]
        self._problems: list[str] = []

    async def run(self) -> bool:
        """Replay, wait for the last holds to expire, and check; return whether every figure is exact."""
        async with AsyncClient(self._target.address, timeout=120) as client:
            for account in self._accounts:
                await client.create_account(account, grant=to_credits(GRANT_MICROS), timeout=10)
            began = time.monotonic()
            with Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
            ) as progress:
                bar = progress.add_task("Replaying", total=len(self._generations))
                async with asyncio.TaskGroup() as group:
                    if self._kill is not None:
                        group.create_task(self._kill_half_way(began))
                    for generation in self._generations:
                        delay = began + generation.offset_seconds / self._speedup - time.monotonic()
                        if delay > 0:
                            await asyncio.sleep(delay)
                        task = group.create_task(self._generate(client, generation))
                        task.add_done_callback(lambda _: progress.advance(bar))
            seconds = time.monotonic() - began
            await self._until_settled(client)
            return await self._check(client, seconds)

    async def _kill_half_way(self, began: float) -> None:
        server = self._target.server
        assert server is not None
        await asyncio.sleep(self._generations[-1].offset_seconds / self._speedup / 2)
        at = time.monotonic() - began
        if self._kill == "engine":
            await asyncio.to_thread(server.kill_engine)
            console.print(f"kill -9 of the engine after {at:.1f} s; the sidecar starts it again")
        else:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            console.print(
                f"kill -9 of the sidecar after {at:.1f} s; it serves again {time.monotonic() - began - at:.1f} s later"
            )

    async def _generate(self, client: AsyncClient, generation: Generation) -> None:
        account = self._accounts[generation.number % len(self._accounts)]
        most = generation.context_tokens * CONTEXT_TOKEN_MICROS + self._max_tokens * GENERATED_TOKEN_MICROS
        dies = generation.fate == "dies"
        try:
            async with client.reserve(
                account,
                amount=to_credits(most),
                operation=OPERATION,
                request_id=f"{account}-{generation.number}",
                ttl=DEAD_WORKER_TTL_SECONDS if dies else None,
                keep_alive=not dies,
            ) as hold:
                await asyncio.sleep(generation.generated_tokens * SECONDS_PER_TOKEN / self._speedup)
                match generation.fate:
                    case "succeeds":
                        hold.commit(amount=to_credits(generation.price_micros))
                    case "fails":
                        raise GenerationFailed("the model gave no answer")
                    case _:
                        hold.detach()  # A dead worker says nothing: nobody commits, releases or extends any more.
        except GenerationFailed:
            return
        except EarmarkError as error:
            self._problems.append(f"generation {generation.number}: {error}")

    async def _until_settled(self, client: AsyncClient) -> None:
        """Wait until no reservation is open and SQL has every entry: at most the ttl of the dead, and a moment."""
        deadline = time.monotonic() + DEAD_WORKER_TTL_SECONDS + 55
        with console.status("Waiting for the holds of dead workers to expire"):
            while time.monotonic() < deadline:
                reserved = [(await client.get_balance(account)).reserved for account in self._accounts]
                entries = await self._read_ledger()
                # Every generation leaves at least one entry, every account one for its grant.
                if not any(reserved) and entries.total() >= len(self._generations) + len(self._accounts):
                    return
                await asyncio.sleep(0.5)
        self._problems.append("reservations are still open, or entries have not reached SQL")

    async def _read_ledger(self, charged: Counter[str] | None = None) -> Counter[int]:
        """Count the entries in SQL by kind; add up the charges of each account."""
        kinds: Counter[int] = Counter()
        async with grpc.aio.insecure_channel(self._target.address) as channel:
            ledger = LedgerServiceStub(channel)  # type: ignore[no-untyped-call]
            for account in self._accounts:
                request = ledger_service_pb2.ExportLedgerRequest(account_id=account)
                async for part in ledger.ExportLedger(request):
                    for entry in part.entries:
                        kinds[entry.kind] += 1
                        if charged is not None and entry.kind == ledger_pb2.LedgerEntry.KIND_CHARGE:
                            charged[account] += entry.amount_micros
        return kinds

    async def _check(self, client: AsyncClient, seconds: float) -> bool:
        expected: Counter[str] = Counter()
        fates = Counter(generation.fate for generation in self._generations)
        for generation in self._generations:
            if generation.fate == "succeeds":
                expected[self._accounts[generation.number % len(self._accounts)]] += generation.price_micros
        in_ledger: Counter[str] = Counter()
        kinds = await self._read_ledger(in_ledger)
        kind = ledger_pb2.LedgerEntry
        active = 0
        for account in self._accounts:
            balance = await client.get_balance(account)
            active += len([None async for _ in client.list_reservations(account, state="active")])
            found = (balance.available, balance.reserved, balance.lifetime_charged)
            should = (to_credits(GRANT_MICROS - expected[account]), Decimal(0), to_credits(expected[account]))
            if found != should:
                self._problems.append(f"{account}: available, reserved, charged are {found}, should be {should}")
            if in_ledger[account] != expected[account]:
                self._problems.append(f"{account}: the ledger says {in_ledger[account]}, the trace {expected[account]}")
        if active:
            self._problems.append(f"{active} reservations are still active")
        if kinds[kind.KIND_CHARGE] != fates["succeeds"]:
            self._problems.append(
                f"{kinds[kind.KIND_CHARGE]} charges for {fates['succeeds']} generations that succeeded"
            )

        table = Table(title=f"{len(self._generations):,} generations in {seconds:.1f} s", show_header=False)
        table.add_column(justify="left")
        table.add_column(justify="right")
        for name, value in (
            ("succeeded, charged", f"{fates['succeeds']:,} / {kinds[kind.KIND_CHARGE]:,}"),
            ("failed, released", f"{fates['fails']:,} / {kinds[kind.KIND_RELEASE]:,}"),
            ("died, expired", f"{fates['dies']:,} / {kinds[kind.KIND_EXPIRED_HOLD]:,}"),
            ("still active", f"{active:,}"),
            ("the trace's own total", format_credits(expected.total())),
            ("the ledger's total", format_credits(in_ledger.total())),
        ):
            table.add_row(name, value)
        console.print(table)
        for problem in self._problems[:10]:
            console.print(problem, style="red")
        exact = not self._problems
        console.print(
            "exact, to the microcredit" if exact else f"{len(self._problems)} problems", style=None if exact else "red"
        )
        return exact


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError("a share is 0 to 1")
    return share


def _positive(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python bench/replay.py --trace azure_llm_inference_2023_code.csv\n"
        "  python bench/replay.py --trace trace.csv --speedup 3600 --kill sidecar\n"
        "  python bench/replay.py --trace trace.csv --address 127.0.0.1:7070 --failures 0 --deaths 0",
    )
    parser.add_argument("--trace", type=Path, required=True, help="CSV with TIMESTAMP, ContextTokens, GeneratedTokens")
    parser.add_argument(
        "--speedup",
        type=_positive,
        default=120,
        help="how much faster than the trace (default: %(default)s, an hour in 30 s)",
    )
    parser.add_argument("--failures", type=_share, default=0.05, help="share that fails (default: %(default)s)")
    parser.add_argument("--deaths", type=_share, default=0.02, help="share whose worker dies (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws who fails and who dies (default: %(default)s)")
    parser.add_argument("--accounts", type=int, default=20, help="accounts that pay in turn (default: %(default)s)")
    parser.add_argument(
        "--max-tokens", type=int, default=2048, help="tokens reserved for an answer, at least (default: %(default)s)"
    )
    parser.add_argument("--address", help="a sidecar that runs already (default: one of our own, embedded stores)")
    parser.add_argument(
        "--data-dir", type=Path, help="where our own sidecar keeps its stores (default: a temporary one)"
    )
    parser.add_argument("--kill", choices=("sidecar", "engine"), help="kill -9 it half way, and let it start again")
    options = parser.parse_args()
    if options.failures + options.deaths > 1:
        parser.error("--failures and --deaths together are more than all generations")
    if options.accounts < 1 or options.max_tokens < 1:
        parser.error("--accounts and --max-tokens start at 1")
    if options.address is not None and (options.data_dir is not None or options.kill is not None):
        parser.error("--data-dir and --kill are for a sidecar of our own, --address is for another one")
    return options


def main() -> int:
    """Run the replay; 0 if every figure is exact."""
    options = arguments()
    generations = read_trace(options.trace, options.failures, options.deaths, options.seed)
    with sidecar(options.address, options.data_dir) as target:
        exact = uvloop.run(Replay(target, generations, options).run())
        reconciled = target.reconcile()
    return 0 if exact and reconciled is not False else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (EarmarkError, ServerDidNotStart) as error:
        sys.exit(str(error))
