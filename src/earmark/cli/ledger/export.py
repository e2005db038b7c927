"""`earmark ledger export`: all entries that pass the filter, streamed, in constant memory, amounts exact."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from earmark.cli.connection import Connection, connected_for
from earmark.cli.exits import CommandError
from earmark.cli.ledger.filters import EntryFilter, filtered
from earmark.cli.ledger.group import commands
from earmark.cli.options import TimeZone
from earmark.cli.output import message_fields, note, progress_bar
from earmark.cli.values import UTC_ZONE

if TYPE_CHECKING:
    from earmark.v1.ledger_pb2 import LedgerEntry

__all__: list[str] = []

EXPORT_SECONDS = 3_600.0


class ExportFormat(StrEnum):
    """How entries are written."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


@commands.add(
    "earmark ledger export -o ledger.csv",
    "earmark ledger export acme --format jsonl --since 2026-07-01 --until 2026-07-31 | gzip > july.jsonl.gz",
)
@connected_for(EXPORT_SECONDS)
@filtered
def export(
    connection: Connection,
    account_id: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="The account; all if absent.", show_default=False)
    ] = "",
    *,
    entries: EntryFilter,
    output_format: Annotated[ExportFormat, typer.Option("--format", help="How to write.")] = ExportFormat.CSV,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; - is stdout.", show_default="stdout"),
    ] = None,
    time_zone: TimeZone = UTC_ZONE,
) -> None:
    """Write ledger entries, oldest first, as they are at one moment.

    Amounts are integers in microcredits, times ISO 8601 in UTC with microseconds (--time-zone says how --since and
    --until are meant). In CSV, maps and lists are JSON inside their cell. A FILE appears only when it is complete.
    """
    from earmark.v1.ledger_service_pb2 import ExportLedgerRequest

    request = ExportLedgerRequest(account_id=account_id, filter=entries.message(time_zone))
    with progress_bar(counts=False) as progress, _named(output), _opened(output) as file:
        task = progress.add_task("entries", total=None)
        count = 0

        def stream() -> Iterator[LedgerEntry]:
            nonlocal count
            for part in connection.stream(connection.ledger.ExportLedger, request):
                yield from part.entries
                count += len(part.entries)
                progress.update(task, description=f"{count:,} entries")

        _write(stream(), output_format, file)
    if output is not None and str(output) != "-":
        note(f"{count:,} entries written to {output}.")


@contextlib.contextmanager
def _named(output: Path | None) -> Iterator[None]:
    """Say of a failure which file it is about."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"cannot write {output or 'stdout'}: {error.strerror}") from None


@contextlib.contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    if output is None or str(output) == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    if output.exists() and not output.is_file():  # A pipe or a device: nothing to put in place of.
        with output.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    # Written beside it and renamed: whoever finds the file finds all of it.
    part = output.with_name(f"{output.name}.{os.getpid()}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _write(entries: Iterator[LedgerEntry], output_format: ExportFormat, file: IO[str]) -> None:
    match output_format:
        case ExportFormat.CSV:
            _write_csv(entries, file)
        case ExportFormat.JSONL:
            for entry in entries:
                file.write(f"{_dump(message_fields(entry))}\n")
        case ExportFormat.JSON:
            separator = "[\n"
            for entry in entries:
                file.write(f"{separator}{_dump(message_fields(entry))}")
                separator = ",\n"
            # Without its last bracket the text of an export that broke off is no JSON: nobody takes it for whole.
            file.write("[]\n" if separator == "[\n" else "\n]\n")


def _write_csv(entries: Iterator[LedgerEntry], file: IO[str]) -> None:
    from earmark.v1.ledger_pb2 import LedgerEntry

    first = next(entries, None)  # Nothing is written before the server has answered.
    writer = csv.writer(file, lineterminator="\n")
    names = [field.name for field in LedgerEntry.DESCRIPTOR.fields]
    writer.writerow(names)
    for entry in chain([first] if first is not None else [], entries):
        fields = message_fields(entry)
        writer.writerow([_cell(fields[name]) for name in names])


def _cell(value: Any) -> Any:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case dict() | list():
            return _dump(value) if value else ""
        case _:
            return value


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
