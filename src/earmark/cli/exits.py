"""Exit statuses: what a script may switch on."""

from __future__ import annotations

from enum import IntEnum, unique

from earmark.errors import EarmarkError, Internal, Unavailable

__all__ = ["CommandError", "ExitStatus", "status_of"]


@unique
class ExitStatus(IntEnum):
    """How a command ended. 69 and 70 are those of sysexits.h."""

    OK = 0
    REFUSED = 1
    """The server refused, or a check found that something is wrong (drift, not serving)."""
    USAGE = 2
    """The command line makes no sense. For `reconcile` also: could not compare."""
    UNAVAILABLE = 69
    """Nobody answers, or not in time, or the store is away: repeat later, with the same ids."""
    INTERNAL = 70
    """A bug of Earmark."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CommandError(Exception):
    """A command cannot go on; its text is the one line that the user sees."""

    def __init__(self, message: str, status: ExitStatus = ExitStatus.REFUSED) -> None:
        super().__init__(message)
        self.status = status
        """With what the process ends."""


def status_of(error: EarmarkError) -> ExitStatus:
    """Return the exit status of a refusal."""
    match error:
        case Unavailable():
            return ExitStatus.UNAVAILABLE
        case Internal():
            return ExitStatus.INTERNAL
        case _:
            return ExitStatus.REFUSED
