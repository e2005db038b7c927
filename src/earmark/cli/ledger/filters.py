"""Which ledger entries: the filter options that `ledger list` and `ledger export` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints
from zoneinfo import ZoneInfo

import typer

from earmark.cli.signatures import replace_parameter
from earmark.cli.values import Moment, parse_credits, parse_moment, parse_pairs

if TYPE_CHECKING:
    from earmark.v1.ledger_service_pb2 import LedgerFilter

__all__ = ["EntryFilter", "filtered"]


class EntryKind(StrEnum):
    """What happened."""

    GRANT = "grant"
    CHARGE = "charge"
    RELEASE = "release"
    EXPIRED_HOLD = "expired-hold"
    GRANT_EXPIRED = "grant-expired"
    GRANT_VOIDED = "grant-voided"
    DEBT_REPAID = "debt-repaid"
    REPAIR = "repair"


class EntryOutcome(StrEnum):
    """How a generation ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"


def _text(flag: str, metavar: str, help_text: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=help_text, show_default=False, rich_help_panel="Filters")


def _parsed(flag: str, parser: Callable[[str], Any], metavar: str, help_text: str) -> Any:
    return typer.Option(
        flag, parser=parser, metavar=metavar, help=help_text, show_default=False, rich_help_panel="Filters"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Selects entries; what is absent selects all, and an entry must pass everything that is given."""

    kind: Annotated[
        list[EntryKind] | None,
        _text("--kind", "KIND", f"One of {', '.join(EntryKind)}; repeat it for more."),
    ] = None
    operation: Annotated[str, _text("--operation", "NAME", "The operation's name.")] = ""
    user: Annotated[str, _text("--user", "ID", "Who caused it.")] = ""
    project: Annotated[str, _text("--project", "ID", "The project.")] = ""
    label: Annotated[list[str] | None, _text("--label", "KEY=VALUE", "Has this label; repeat it for more.")] = None
    since: Annotated[
        Moment | None, _parsed("--since", parse_moment, "TIME", "From then on: a day, a time, or 24h (ago).")
    ] = None
    until: Annotated[Moment | None, _parsed("--until", parse_moment, "TIME", "Before then; a day counts whole.")] = None
    min_amount: Annotated[int | None, _parsed("--min-amount", parse_credits, "CREDITS", "At least so much.")] = None
    max_amount: Annotated[int | None, _parsed("--max-amount", parse_credits, "CREDITS", "At most so much.")] = None
    outcome: Annotated[
        EntryOutcome | None,
        typer.Option("--outcome", help="How the generation ended.", show_default=False, rich_help_panel="Filters"),
    ] = None
    reservation: Annotated[str, _text("--reservation", "ID", "About this reservation.")] = ""
    request_id: Annotated[str, _text("--request-id", "ID", "Caused by this request.")] = ""

    def message(self, zone: ZoneInfo) -> LedgerFilter:
        """Return the filter as the server takes it; times without a zone are meant in `zone`."""
        from earmark.v1.ledger_service_pb2 import LedgerFilter

        wanted = LedgerFilter(
            kinds=[f"KIND_{_proto_name(kind)}" for kind in self.kind or ()],
            operation=self.operation,
            user_id=self.user,
            project_id=self.project,
            labels=parse_pairs(self.label or (), "--label"),
            min_amount_micros=self.min_amount,
            max_amount_micros=self.max_amount,
            reservation_id=self.reservation,
            request_id=self.request_id,
            outcome=f"OUTCOME_{_proto_name(self.outcome)}" if self.outcome else None,
        )
        if self.since is not None:
            wanted.start_time.FromMicroseconds(self.since.since(zone))
        if self.until is not None:
            wanted.end_time.FromMicroseconds(self.until.until(zone))
        return wanted


def _proto_name(word: str) -> str:
    return word.upper().replace("-", "_")


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `EntryFilter`, and the filter as its argument `entries`."""
    names = tuple(EntryFilter.__dataclass_fields__)

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name) for name in names}
        command(*args, entries=EntryFilter(**given), **kwargs)

    annotations = get_type_hints(EntryFilter, include_extras=True)
    defaults = EntryFilter.__dataclass_fields__
    replace_parameter(run, command, "entries", {name: (annotations[name], defaults[name].default) for name in names})
    return run
