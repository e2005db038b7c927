"""What is wrong with a document: each problem with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from earmark.errors import InvalidRequest, Reason

__all__ = ["InvalidCatalog", "Problem", "Problems"]

MAX_PROBLEMS = 50
"""More than these tell nothing that the first did not."""
_SHOWN = 5
_MAX_SHOWN = 512


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong."""

    line: int
    """From 1 on; 0 for the document as a whole."""
    column: int
    """From 1 on."""
    path: str
    """The field, for example `operations.image.generate.price`; "" for the document."""
    message: str
    """What is wrong, and what was expected."""

    def __str__(self) -> str:
        at = f"line {self.line}, column {self.column}: " if self.line else ""
        return f"{at}{self.path}: {self.message}" if self.path else f"{at}{self.message}"


class InvalidCatalog(InvalidRequest):
    """The document is no catalog; `problems` says where and why, in the order of their lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first, *others = problems
        shown = "; ".join(str(problem) for problem in problems[:_SHOWN])
        if len(others) >= _SHOWN:
            shown += f"; and {len(problems) - _SHOWN} more"
        super().__init__(
            Reason.INVALID_CATALOG,
            f"document: {shown}",
            {"line": first.line, "column": first.column, "path": first.path, "problems": len(problems)},
            field="document",
        )
        self.problems = tuple(problems)


def _shown(text: str) -> str:
    """Return text that any log and terminal can show: keys of a document may hold anything."""
    text = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


class Problems:
    """Collects problems while a document is read."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def add(self, line: int, column: int, path: str, message: str) -> None:
        """Note a problem; the same one twice counts once."""
        if len(self._found) < MAX_PROBLEMS:
            self._found[Problem(line, column, _shown(path), _shown(message))] = None

    def check(self) -> None:
        """Go on only if there are none.

        Raises:
            InvalidCatalog: with every problem.
        """
        if self._found:
            raise InvalidCatalog(sorted(self._found))
