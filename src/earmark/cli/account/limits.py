"""A limit as people type it: `name=videos,scope=operation,subject=video.generate,window=day,amount=32`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import typer

from earmark.cli.values import parse_credits, parse_pairs

if TYPE_CHECKING:
    from earmark.v1.catalog_pb2 import Limit

__all__ = ["TypedLimit", "parse_limit"]


class Scope(StrEnum):
    """What a limit counts."""

    ACCOUNT = "account"
    USER = "user"
    PROJECT = "project"
    OPERATION = "operation"


class Window(StrEnum):
    """For how long it counts."""

    DAY = "day"
    MONTH = "month"
    CYCLE = "cycle"
    LIFETIME = "lifetime"


class Mode(StrEnum):
    """What happens at the limit."""

    BLOCK = "block"
    NOTIFY = "notify"


_KEYS = ("name", "window", "amount", "scope", "subject", "mode", "near")
_WordT = TypeVar("_WordT", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedLimit:
    """One limit."""

    name: str
    window: Window
    amount: int
    """Microcredits."""
    scope: Scope
    subject: str
    mode: Mode
    near_percent: int
    """At how many percent of charges it warns; 0 for the server's default."""

    def message(self) -> Limit:
        """Return it as the server takes it."""
        from earmark.v1.catalog_pb2 import Limit

        return Limit(
            name=self.name,
            scope=f"SCOPE_{self.scope.upper()}",
            subject=self.subject,
            window=f"WINDOW_{self.window.upper()}",
            amount_micros=self.amount,
            mode=f"MODE_{self.mode.upper()}",
            near_percent=self.near_percent,
        )


def parse_limit(text: str) -> TypedLimit:
    """Return a limit; name, window and amount must be there, the scope is the account and the mode block by default.

    Raises:
        typer.BadParameter: one sentence.
    """
    given = {key.strip(): value.strip() for key, value in parse_pairs(text.split(","), "--limit").items()}
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise _wrong(f"{unknown[0]!r} is none of {', '.join(_KEYS)}")
    missing = [key for key in ("name", "window", "amount") if not given.get(key)]
    if missing:
        raise _wrong(f"{text!r} lacks {missing[0]}=…")
    scope = _word(Scope, "scope", given.get("scope", "account"))
    subject = given.get("subject", "")
    if subject and scope is Scope.ACCOUNT:
        raise _wrong(f"a subject takes a scope: write scope=operation,subject={subject}")
    try:
        amount = parse_credits(given["amount"])
    except typer.BadParameter as wrong:
        raise _wrong(str(wrong)) from None
    return TypedLimit(
        name=given["name"],
        window=_word(Window, "window", given["window"]),
        amount=amount,
        scope=scope,
        subject=subject,
        mode=_word(Mode, "mode", given.get("mode", "block")),
        near_percent=_percent(given["near"]) if "near" in given else 0,
    )


def _percent(text: str) -> int:
    number = text.removesuffix("%").strip()
    if not number.isascii() or not number.isdigit() or len(number) > 3 or not 1 <= int(number) <= 100:
        raise _wrong(f"near={text}: write a percentage from 1 to 100")
    return int(number)


def _word(words: type[_WordT], key: str, text: str) -> _WordT:
    try:
        return words(text.lower())
    except ValueError:
        raise _wrong(f"{key}={text} is none of {', '.join(words)}") from None


def _wrong(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="'--limit'")
