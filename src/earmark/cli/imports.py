"""`earmark import`: accounts of another system, from a file into the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import CommandError, ExitStatus
from earmark.cli.output import Column, one_line, print_json, print_line, print_table, progress_bar
from earmark.cli.stores import DatabaseUrl, DataDir, database_url_of, store_settings

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from earmark.domain.catalog import Catalog
    from earmark.ledger import Ledger
    from earmark.server.imports import Importer
    from earmark.v1 import account_service_pb2 as pb

__all__ = ["EXAMPLES", "import_accounts"]

EXAMPLES = (
    "earmark import accounts.jsonl --dry-run",
    "earmark import accounts.jsonl --database-url postgresql://earmark@db/earmark",
    'echo \'{"account_id": "acme", "balance_micros": 5000000}\' | earmark import -',
)

_MAX_LINE = 4 * 2**20
_MAX_MESSAGE = 300
_KEPT_ERRORS = 1_000


def import_accounts(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="One account a line, as JSON; - for stdin.", show_default=False),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check each account by itself, and bring nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Bring accounts from another system, each with its balance, grants, past, members, claims and subscription.

    A line is an ImportedAccount of the protos in JSON: {"account_id": "acme", "time_zone": "Europe/Paris", "grants":
    [{"external_id": "order-7", "kind": "KIND_PURCHASE", "amount_micros": 25000000, "charged_micros": 4000000,
    "acquire_time": "2026-03-01T00:00:00Z"}], "lifetime_charged_micros": 90000000}. Unknown fields are refused.

    Each account is one transaction: a refused one, named by its line, does not stop the others. Repeat it as often as
    you like: what was brought with the same content is left as it is. Writes to SQL alone, beside running sidecars or
    without them. Exit status 1 if anything was refused.
    """
    from earmark.settings import LogFormat, LogLevel
    from earmark.telemetry import configure_logging

    url = database_url_of(store_settings(database_url=database_url, data_dir=data_dir))
    configure_logging(LogLevel.ERROR, LogFormat.CONSOLE)
    with ExitStack() as stack:
        source: IO[bytes]
        size: int | None = None
        if file == Path("-"):
            source = typer.get_binary_stream("stdin")
        else:
            source = stack.enter_context(file.open("rb"))
            size = file.stat().st_size or None
        progress = stack.enter_context(progress_bar(counts=False))
        task = progress.add_task("accounts", total=size)
        found = _Summary()
        asyncio.run(_bring_all(url, source, found, dry_run, progress, task))
    if as_json:
        print_json(found.as_json(dry_run=dry_run))
    else:
        rows = [[outcome, f"{count:,}"] for outcome, count in found.outcomes.items() if count]
        print_table([Column("outcome"), Column("accounts", number=True)], rows)
        print_line(found.sentence(dry_run=dry_run))
    if found.outcomes["refused"]:
        raise typer.Exit(ExitStatus.REFUSED)


@dataclass(slots=True)
class _Summary:
    """What became of the accounts."""

    outcomes: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("imported", "valid", "unchanged", "refused"), 0)
    )
    errors: list[dict[str, object]] = field(default_factory=list)
    """The first thousand."""

    def refuse(self, line: int, account_id: str, message: str, reason: str) -> None:
        """Count a line that was refused."""
        self.outcomes["refused"] += 1
        if len(self.errors) < _KEPT_ERRORS:
            about = {"line": line, "account_id": account_id, "reason": reason, "message": message}
            self.errors.append(about)

    def sentence(self, *, dry_run: bool) -> str:
        """Say how it ended."""
        total, refused = sum(self.outcomes.values()), self.outcomes["refused"]
        what = f"{total:,} account{'' if total == 1 else 's'}"
        said = f"{what}, none refused" if not refused else f"{what}, {refused:,} refused"
        return f"Checked {said}; nothing was brought." if dry_run else f"Read {said}."

    def as_json(self, *, dry_run: bool) -> dict[str, object]:
        """Return it for a script."""
        return {"dry_run": dry_run, "accounts": sum(self.outcomes.values()), **self.outcomes, "errors": self.errors}


async def _bring_all(
    url: str, source: IO[bytes], found: _Summary, dry_run: bool, progress: Progress, task: TaskID
) -> None:
    from earmark.ledger import open_ledger
    from earmark.server.imports import Importer

    ledger = await open_ledger(url)
    try:
        if await ledger.stores.read() is None:
            raise CommandError("the ledger belongs to no store yet: start `earmark serve` on it once")
        importer = Importer(ledger.imports, _InForce(await _catalog(ledger)), lambda: time.time_ns() // 1_000)
        for number, line, read in _lines(source):
            error = await _bring(importer, line, found, number, dry_run)
            if error is not None:
                progress.console.print(one_line(f"line {number}: {error}"), soft_wrap=True)
            progress.update(task, advance=read)
    finally:
        await ledger.close()


async def _bring(importer: Importer, line: bytes | None, found: _Summary, number: int, dry_run: bool) -> str | None:
    """Bring the account of a line; return what is wrong with it."""
    from earmark.v1 import account_service_pb2 as pb

    try:
        account = _parse(line)
    except ValueError as problem:
        found.refuse(number, "", str(problem), "INVALID_ARGUMENT")
        return str(problem)
    answer = await importer.bring(account, validate_only=dry_run, actor="import")
    if answer.outcome == pb.ImportAccountsResponse.OUTCOME_REFUSED:
        found.refuse(number, answer.account_id, answer.message, answer.reason)
        return f"{answer.account_id}: {answer.message} ({answer.reason})"
    outcome = pb.ImportAccountsResponse.Outcome.Name(answer.outcome)
    found.outcomes[outcome.removeprefix("OUTCOME_").lower()] += 1
    return None


def _lines(source: IO[bytes]) -> Iterator[tuple[int, bytes | None, int]]:
    """Yield number, content and bytes of each line that is not blank; no content of one that is too long."""
    number = 0
    while line := source.readline(_MAX_LINE + 1):
        number += 1
        read, whole = len(line), line.endswith(b"\n") or len(line) <= _MAX_LINE
        while not whole:
            rest = source.readline(_MAX_LINE)
            read += len(rest)
            whole = not rest or rest.endswith(b"\n")
            line = b""
        if not line:
            yield number, None, read
        elif line.strip():
            yield number, line, read


def _parse(line: bytes | None) -> pb.ImportedAccount:
    """Return the account of a line.

    Raises:
        ValueError: it is none; one line that says why.
    """
    from google.protobuf import json_format

    from earmark.v1 import account_service_pb2 as pb

    if line is None:
        raise ValueError("is longer than 4 MiB")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is no UTF-8 text") from None
    try:
        return json_format.Parse(text, pb.ImportedAccount(), max_recursion_depth=20)
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as problem:
        said = " ".join(str(problem).split()) or type(problem).__name__
        raise ValueError(said if len(said) <= _MAX_MESSAGE else f"{said[:_MAX_MESSAGE]}…") from None


@dataclass(frozen=True, slots=True)
class _InForce:
    """The catalog that was in force when the import began."""

    current: Catalog


async def _catalog(ledger: Ledger) -> Catalog:
    from earmark.catalogs.current import NO_CATALOG
    from earmark.catalogs.parser import parse_catalog

    latest = await ledger.catalogs.latest_version()
    record = await ledger.catalogs.get(latest) if latest else None
    return NO_CATALOG if record is None else await asyncio.to_thread(parse_catalog, record.document, record.version)
