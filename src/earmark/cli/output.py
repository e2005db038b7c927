"""How results look: tables that stay whole when piped, JSON with exact integers, progress on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from earmark.cli.values import UTC_ZONE
from earmark.credits import format_credits

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.console import Console, RenderableType
    from rich.progress import Progress

    from earmark.v1.catalog_pb2 import Money

__all__ = [
    "Column",
    "credits_or_dash",
    "enum_word",
    "format_money",
    "format_pairs",
    "format_time",
    "message_fields",
    "note",
    "note_replay",
    "one_line",
    "print_card",
    "print_json",
    "print_line",
    "print_table",
    "progress_bar",
    "stdout_console",
    "timestamp_micros",
]

_WIDTH_OF_A_PIPE = 100_000
_LEAST_WIDTH_OF_WORDS = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; numbers stand to the right."""

    title: str
    number: bool = False
    optional: bool = False
    """Left out where no row has anything in it."""


def stdout_console() -> Console:
    """Return a console that shows text as it is: what users typed is never markup, an emoji name or a link."""
    from rich.console import Console

    # A pipe has no width: cutting ids there would make the output useless to whatever reads it.
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    return Console(markup=False, emoji=False, highlight=False, width=width, soft_wrap=False)


def one_line(text: str) -> str:
    """Return text without line ends and without anything that would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else (" " if char in "\r\n\t" else f"\\x{ord(char):02x}") for char in text
    )


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, title: str | None = None, empty: str = ""
) -> None:
    """Print rows as a table on stdout; `empty` says so on stderr where there are none.

    Cells fold in a narrow terminal; they are never cut.
    """
    from rich import box
    from rich.table import Table

    cells = [[one_line(cell) for cell in row] for row in rows]
    if not cells:
        if empty:
            note(empty)
        return
    shown = [
        index
        for index, column in enumerate(columns)
        if not column.optional or any(row[index] not in {"", "-"} for row in cells)
    ]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    numbers = [index for index in shown if columns[index].number]
    widths = [max(len(columns[index].title), *(len(row[index]) for row in cells)) + 2 for index in numbers]
    # A folded number is hard to read, a cut one is wrong: where the words leave it room, it stays whole.
    whole = sum(widths) + _LEAST_WIDTH_OF_WORDS * (len(shown) - len(numbers)) <= stdout_console().width
    for index in shown:
        column = columns[index]
        justify: Literal["left", "right"] = "right" if column.number else "left"
        table.add_column(column.title, justify=justify, overflow="fold", no_wrap=column.number and whole)
    for row in cells:
        table.add_row(*(row[index] for index in shown))
    _print(table)


def _print(renderable: RenderableType) -> None:
    console = stdout_console()
    if sys.stdout.isatty():
        console.print(renderable)
        return
    with console.capture() as captured:
        console.print(renderable)
    for line in captured.get().splitlines():  # What fills a terminal's line is noise in a file.
        print(line.rstrip())


def print_card(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one a line; values that are empty are left out."""
    from rich.table import Table
    from rich.text import Text

    card = Table.grid(padding=(0, 2))
    card.add_column(style="bold", no_wrap=True)
    card.add_column(overflow="fold")
    for name, value in rows:
        if value:
            card.add_row(name, Text(one_line(value)))
    _print(card)


def print_line(text: str) -> None:
    """Print one line on stdout."""
    print(one_line(text))


def note(text: str) -> None:
    """Say something on stderr that is not part of the result."""
    print(one_line(text), file=sys.stderr)


def note_replay(replayed: bool) -> None:
    """Say on stderr that a change had been made before."""
    if replayed:
        note("An earlier call with this request id had made this change already.")


def print_json(value: object) -> None:
    """Print a value as indented JSON on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def progress_bar(*, counts: bool = True) -> Progress:
    """Return a progress display on stderr; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=30)]
    if counts:
        columns.append(MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not sys.stderr.isatty())


def timestamp_micros(timestamp: Timestamp) -> int:
    """Return a timestamp in microseconds since 1970."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000


def format_time(micros: int, zone: ZoneInfo = UTC_ZONE, *, timespec: str = "milliseconds") -> str:
    """Write a time as ISO 8601: with Z in UTC, with its offset elsewhere.

    Example:
        >>> format_time(1_785_110_400_000_000)
        '2026-07-27T00:00:00.000Z'
    """
    text = (_EPOCH + timedelta(microseconds=micros)).astimezone(zone).isoformat(timespec=timespec)
    return f"{text[:-6]}Z" if zone.key == "UTC" else text


def credits_or_dash(micros: int) -> str:
    """Write an amount in credits; a dash for nothing, so that what matters stands out in a table."""
    return format_credits(micros) if micros else "-"


def format_pairs(pairs: Mapping[str, object]) -> str:
    """Write labels, attributes or counts as key=value, by key."""
    return " ".join(f"{key}={pairs[key]}" for key in sorted(pairs))


def format_money(prices: Iterable[Money]) -> str:
    """Write prices, one for each method of payment: `9.99 USD, 9.50 USDT`."""
    return ", ".join(f"{price.amount} {price.method}" for price in prices)


def enum_word(message: Message, field: str) -> str:
    """Return the value of an enum field as a word: KIND_EXPIRED_HOLD becomes expired-hold; "" where it is unset."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    number = getattr(message, field)
    assert descriptor.enum_type is not None
    value = descriptor.enum_type.values_by_number.get(number)
    if value is None:
        return str(number)  # A newer server's: show the number rather than nothing.
    # Every value begins with its enum's name, written with underscores: DeliveryState, DELIVERY_STATE_PENDING.
    word = value.name.removeprefix(f"{_CAPITAL.sub('_', descriptor.enum_type.name).upper()}_")
    return "" if word == "UNSPECIFIED" else word.lower().replace("_", "-")


def message_fields(message: Message) -> dict[str, Any]:
    """Return a message as JSON values: the protos' own names, integers as numbers, times as ISO 8601 with microseconds.

    The protos' standard JSON mapping would turn 64-bit integers into text; every integer here is below 2^53, which all
    JSON readers keep exact. Fields without a value appear too, as their zero or null, so that scripts find stable keys.
    """
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {key: value[key] for key in sorted(value)}
    if field.is_repeated:
        return [_value(item, field) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(value, field)


def _value(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        match field.message_type.full_name:
            case "google.protobuf.Timestamp":
                return format_time(timestamp_micros(value), timespec="microseconds")
            case "google.protobuf.Duration":
                return value.ToJsonString()
            case _:
                return message_fields(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    return value
