"""Where a hold stands on the client's side, and which step may follow which. Pure: no I/O."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

__all__ = ["HoldState", "HoldStateError", "begin", "settle"]


class HoldState(Enum):
    """The life of a hold in this process."""

    NEW = auto()
    """Described, not asked for: the block was not entered."""
    OPENING = auto()
    """Asked for, no answer yet; or refused, and then it stays here."""
    OPEN = auto()
    """Granted; the generation runs."""
    COMMITTING = auto()
    """A commit was accepted. It stands."""
    RELEASING = auto()
    """A release was accepted. It stands."""
    DETACHED = auto()
    """Left to another process, which settles it."""


class HoldStateError(RuntimeError):
    """A hold was used at the wrong moment: outside its block, twice, or settled twice."""


# Looking up the member of an enum costs as much as a call.
_NEW: Final = HoldState.NEW
_OPENING: Final = HoldState.OPENING
_OPEN: Final = HoldState.OPEN

_BEFORE_OPEN = "the hold is not open yet: use it inside `async with client.reserve(...) as hold`"
_SETTLED = {
    HoldState.COMMITTING: "the hold is already committed",
    HoldState.RELEASING: "the hold is already released",
    HoldState.DETACHED: "the hold was detached: another process settles it",
}


def begin(state: HoldState) -> HoldState:
    """Return the state after the block is entered.

    Raises:
        HoldStateError: a hold is entered once.
    """
    if state is not _NEW:
        raise HoldStateError("a hold is entered once; call client.reserve() again for another one")
    return _OPENING


def settle(state: HoldState, target: HoldState) -> HoldState:
    """Return the state after commit(), release() or detach().

    Raises:
        HoldStateError: the hold is not open, or one of these was called before. The first call stands.
    """
    if state is not _OPEN:
        raise HoldStateError(_SETTLED.get(state, _BEFORE_OPEN))
    return target
