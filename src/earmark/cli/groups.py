"""Groups of commands, each with its description and its examples."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from earmark.cli.options import examples

__all__ = ["CommandGroup"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class CommandGroup(typer.Typer):
    """A group of commands; alone it prints its help."""

    def __init__(self, summary: str) -> None:
        super().__init__(
            help=summary,
            no_args_is_help=True,
            add_completion=False,
            rich_markup_mode="rich",
            pretty_exceptions_enable=False,
        )

    def add(self, *lines: str, name: str | None = None) -> Callable[[CommandT], CommandT]:
        """Add a command under its own name or another; `lines` are its examples, its docstring the description."""

        def decorate(command: CommandT) -> CommandT:
            self.command(name, help=_flowing(inspect.getdoc(command) or ""), epilog=examples(*lines))(command)
            return command

        return decorate


def _flowing(text: str) -> str:
    """Return text whose paragraphs flow with the terminal's width, not with that of the source."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
