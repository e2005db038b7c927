"""Options and arguments that several commands share, and the examples that end each command's help."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from earmark.cli.values import parse_address, parse_api_key, parse_request_id, parse_zone

__all__ = [
    "AccountId",
    "Address",
    "ApiKey",
    "Comment",
    "Json",
    "Limit",
    "RequestId",
    "TimeZone",
    "Timeout",
    "examples",
]

DEFAULT_ADDRESS = "127.0.0.1:7070"

Address = Annotated[
    str,
    typer.Option(
        "--address",
        envvar="EARMARK_ADDRESS",
        parser=parse_address,
        metavar="HOST:PORT",
        help="The sidecar: HOST:PORT or unix:PATH.",
        rich_help_panel="Connection",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="EARMARK_API_KEY",
        parser=parse_api_key,
        metavar="KEY",
        help="Access key, for sidecars that ask for one. Better in the variable than on the command line.",
        rich_help_panel="Connection",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=0.01,
        max=86_400,
        metavar="SECONDS",
        help="How long to wait for an answer.",
        rich_help_panel="Connection",
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON: the field names of the protos; amounts are integers, in microcredits."),
]
AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.", show_default=False)]
RequestId = Annotated[
    str | None,
    typer.Option(
        "--request-id",
        parser=parse_request_id,
        metavar="ID",
        help="Repeating a change with the same id has no second effect. Made up when absent.",
        show_default=False,
    ),
]
TimeZone = Annotated[
    ZoneInfo,
    typer.Option(
        "--time-zone",
        parser=parse_zone,
        metavar="ZONE",
        help="IANA zone in which times are read and shown.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, metavar="N", help="At most so many.")]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Kept with the entry.", show_default=False)]


def examples(*lines: str) -> str:
    """Return the epilog of a command: its examples, one a line."""
    escaped = [line.replace("[", r"\[") for line in lines]
    return "\n".join(["[bold]Examples[/bold]", "", *(f"  [cyan]{line}[/cyan]" for line in escaped)])
