"""Reading values out of nodes: each function returns the value, or notes what was expected and returns None."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from earmark.catalogs.document import MapNode, Node, ScalarNode, SequenceNode
from earmark.catalogs.problems import Problems
from earmark.credits import MAX_MICROS, to_micros

__all__ = ["Field", "Section", "closest", "texts"]

MAX_NAME = 128
MAX_KEY = 64
MAX_VALUE = 256
MAX_TEXT = 1_024
MAX_COUNT = MAX_MICROS
_MAX_SHOWN = 40

_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?")
_INTEGER = re.compile(r"[0-9]{1,16}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
_METHOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_PERCENT = re.compile(r"([0-9]{1,9}) ?%?")
_DURATION = re.compile(r"([0-9]{1,6}) ?(hour|day|h|d)s?")
_MICROS_OF = {"h": 3_600_000_000, "hour": 3_600_000_000, "d": 86_400_000_000, "day": 86_400_000_000}
_MAX_HORIZON = 366 * 86_400_000_000
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


def closest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the name that was perhaps meant, or what there is."""
    names = list(known)
    near = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"expected one of {listed}" if names else "there is none to choose from"


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]!r}..."


@dataclass(frozen=True, slots=True)
class Field:
    """A value with its path; what is wrong with it is noted here."""

    node: Node
    path: str
    problems: Problems

    def wrong(self, message: str) -> None:
        """Note a problem at this value."""
        self.problems.add(self.node.line, self.node.column, self.path, message)

    def _expected(self, what: str) -> None:
        if isinstance(self.node, ScalarNode):
            given = "nothing is given" if self.node.is_null else f"{_shown(self.node.text)} is given"
        else:
            given = "a list is given" if isinstance(self.node, SequenceNode) else "a map is given"
        self.wrong(f"expected {what}; {given}")

    @property
    def is_scalar(self) -> bool:
        """Whether it is a single value."""
        return isinstance(self.node, ScalarNode) and not self.node.is_null

    def scalar(self, what: str) -> str | None:
        """Return the text of a single value; `what` was expected."""
        if isinstance(self.node, ScalarNode) and not self.node.is_null:
            return self.node.text
        self._expected(what)
        return None

    def section(self, what: str) -> Section | None:
        """Return a map; `what` was expected."""
        if isinstance(self.node, MapNode):
            return Section(self.node, self.path, self.problems)
        self._expected(what)
        return None

    def items(self, what: str) -> list[Field]:
        """Return the items of a list; `what` was expected."""
        if isinstance(self.node, SequenceNode):
            return [Field(node, f"{self.path}[{at}]", self.problems) for at, node in enumerate(self.node.items)]
        self._expected(what)
        return []

    def one_or_more(self, what: str) -> list[Field]:
        """Return the items of a list, or the single value as the only one; none if it is an empty list."""
        return [self] if self.is_scalar else self.items(what)

    def amount(self, what: str = "an amount of credits, for example 0.38") -> int | None:
        """Return microcredits."""
        text = self.scalar(what)
        if text is None:
            return None
        if not _DECIMAL.fullmatch(text):
            self._expected(what)
            return None
        try:
            return to_micros(text)
        except ValueError as problem:
            self.wrong(str(problem))
            return None

    def integer(self, what: str, least: int = 0, most: int = MAX_COUNT) -> int | None:
        """Return a whole number within bounds."""
        text = self.scalar(what)
        if text is None:
            return None
        if not _INTEGER.fullmatch(text):
            self._expected(what)
            return None
        if not least <= int(text) <= most:
            self.wrong(f"{text} is not between {least:,} and {most:,}")
            return None
        return int(text)

    def percent(self, least: int, most: int) -> int | None:
        """Return a whole number of percent: `20` or `20%`."""
        what = f"a whole number of percent from {least} to {most:,}"
        text = self.scalar(what)
        match = _PERCENT.fullmatch(text) if text is not None else None
        if match is None or not least <= int(match[1]) <= most:
            if text is not None:
                self._expected(what)
            return None
        return int(match[1])

    def money(self) -> str | None:
        """Return a price as decimal text."""
        what = "a price as a decimal number, for example 9.99"
        text = self.scalar(what)
        if text is not None and not _DECIMAL.fullmatch(text):
            self._expected(what)
            return None
        return text

    def rate(self) -> Decimal | None:
        """Return the price of one credit."""
        text = self.money()
        return None if text is None else Decimal(text)

    def boolean(self) -> bool | None:
        """Return true or false."""
        text = self.scalar("true or false")
        if text is None:
            return None
        if text.lower() not in _WORDS:
            self._expected("true or false")
            return None
        return _WORDS[text.lower()]

    def prose(self, what: str = "a text", longest: int = MAX_TEXT) -> str | None:
        """Return text without control characters."""
        text = self.scalar(what)
        if text is None:
            return None
        if len(text) > longest:
            self.wrong(f"has {len(text):,} characters, {longest:,} are allowed")
            return None
        if any(not (char.isprintable() or char in "\n\t") for char in text):
            self.wrong("contains a control character")
            return None
        return text.strip()

    def choice(self, kinds: type[E]) -> E | None:
        """Return one of an enum's words."""
        words = [kind.value.replace("_", " ") for kind in kinds]
        what = f"one of {', '.join(words)}"
        text = self.scalar(what)
        if text is None:
            return None
        try:
            return kinds(" ".join(text.lower().replace("_", " ").split()).replace(" ", "_"))
        except ValueError:
            self.wrong(f"{_shown(text)} is unknown: {closest(text, words)}")
            return None

    def known(self, names: Iterable[str], what: str) -> str | None:
        """Return one of the names that the document defines."""
        text = self.scalar(f"the name of {what}")
        if text is None:
            return None
        names = list(names)
        if text not in names:
            self.wrong(
                f"there is no {what.removeprefix('a ').removeprefix('an ')} {_shown(text)}: {closest(text, names)}"
            )
            return None
        return text

    def duration(self) -> int | None:
        """Return microseconds of `7 days` or `12 hours`, at most 366 days."""
        what = "a time such as 7 days or 12 hours, at most 366 days"
        text = self.scalar(what)
        if text is None:
            return None
        match = _DURATION.fullmatch(text.strip().lower())
        micros = int(match[1]) * _MICROS_OF[match[2]] if match else 0
        if not 0 < micros <= _MAX_HORIZON:
            self._expected(what)
            return None
        return micros

    def moment(self, *, through: bool) -> int | None:
        """Return a time in microseconds: with a zone, or a date alone, which is in UTC.

        Args:
            through: A date alone stands for its end, not its beginning.
        """
        what = "a date such as 2026-07-01 (UTC), or a time with its zone such as 2026-07-01T09:00:00+02:00"
        text = self.scalar(what)
        if text is None:
            return None
        try:
            if len(text) == 10:
                day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
                found = day + timedelta(days=1) if through else day
            else:
                found = datetime.fromisoformat(text)
            if found.tzinfo is None:
                raise ValueError(text)
            micros = (found - _EPOCH) // timedelta(microseconds=1)
            if not 0 <= micros <= MAX_MICROS:
                raise ValueError(text)
        except (ValueError, OverflowError):
            self._expected(what)
            return None
        return micros


class Section:
    """A map that is read field by field; `end` refuses what nobody asked for."""

    def __init__(self, node: MapNode, path: str, problems: Problems) -> None:
        self._node = node
        self._asked: dict[str, None] = {}
        self.path = path
        self.problems = problems

    def __len__(self) -> int:
        return len(self._node.entries)

    def wrong(self, message: str) -> None:
        """Note a problem at the beginning of this map."""
        self.problems.add(self._node.line, self._node.column, self.path, message)

    def get(self, name: str) -> Field | None:
        """Return a field, or None if it is absent. Every field of a section must be asked for, present or not."""
        self._asked[name] = None
        found = self._node.entries.get(name)
        return None if found is None else self._field(name, found[1])

    def need(self, name: str, what: str) -> Field | None:
        """Return a field that must be there: `what` was expected."""
        found = self.get(name)
        if found is None:
            self.wrong(f"{name} is missing: expected {what}")
        return found

    def names(self) -> list[str]:
        """Return the keys."""
        return list(self._node.entries)

    def end(self) -> None:
        """Refuse every field that was not asked for."""
        for name, (key, _) in self._node.entries.items():
            if name not in self._asked:
                path = f"{self.path}.{name}" if self.path else name
                self.problems.add(key.line, key.column, path[:MAX_TEXT], f"is unknown: {closest(name, self._asked)}")

    def named(self, what: str, longest: int = MAX_KEY, *, plain: bool = True) -> list[tuple[str, Field]]:
        """Return everything as name and value, the names checked; `plain` ones are of letters, digits and `._-/`."""
        found = []
        for name, (key, node) in self._node.entries.items():
            path = f"{self.path}.{name}"
            if plain and not _IDENTIFIER.fullmatch(name):
                message = f"{_shown(name)} is no name for {what}: expected at most 64 letters, digits and ._-/"
                self.problems.add(key.line, key.column, self.path, message)
            elif not 0 < len(name) <= longest or not name.isprintable() or name != name.strip():
                message = f"{_shown(name)} is no name for {what}: expected 1 to {longest} printable characters"
                self.problems.add(key.line, key.column, self.path, message)
            else:
                found.append((name, Field(node, path, self.problems)))
        return found

    def methods(self) -> list[tuple[str, Field]]:
        """Return everything by method of payment."""
        found = []
        for name, (key, node) in self._node.entries.items():
            if _METHOD.fullmatch(name):
                found.append((name, Field(node, f"{self.path}.{name}", self.problems)))
            else:
                message = f"{_shown(name)} is no method of payment: expected a name such as USD"
                self.problems.add(key.line, key.column, self.path, message)
        return found

    def _field(self, name: str, node: Node) -> Field:
        return Field(node, f"{self.path}.{name}" if self.path else name, self.problems)


def texts(field: Field | None, what: str) -> Mapping[str, str]:
    """Return a map of texts by name, as entitlements are."""
    section = field.section(what) if field is not None else None
    if section is None:
        return {}
    found: dict[str, str] = {}
    for name, value in section.named("an entitlement"):
        text = value.prose("true, false, a number or a word", MAX_VALUE)
        if text is not None:
            found[name] = {"True": "true", "TRUE": "true", "yes": "true", "False": "false", "FALSE": "false"}.get(
                text, text
            )
    return found
