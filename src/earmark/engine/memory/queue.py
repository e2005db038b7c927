"""Waiting for credits: one queue an account, first come, first served among those who wait."""

from __future__ import annotations

from enum import Enum, auto

from earmark.engine.memory.model import Account, Ticket
from earmark.engine.operations import Charge, Extend, Reserve

__all__ = ["Turn", "leave", "ticket_of", "turn_of"]


class Turn(Enum):
    """What a caller does now."""

    TAKE = auto()
    WAIT = auto()
    REFUSE = auto()


def ticket_of(account: Account, key: str, now: int) -> Ticket | None:
    """Return the ticket under this key, if its caller kept it."""
    return next((ticket for ticket in account.queue if ticket.key == key and ticket.kept(now)), None)


def leave(account: Account, key: str) -> None:
    """Drop the ticket under this key."""
    account.queue = [ticket for ticket in account.queue if ticket.key != key]


def turn_of(account: Account, key: str, operation: Reserve | Charge | Extend, now: int, *, affordable: bool) -> Turn:
    """Say whether a caller takes, waits or is refused; keep its ticket accordingly.

    A ticket keeps the deadline of its first attempt; a repeat renews it and makes its owner the new one.
    """
    account.queue = [ticket for ticket in account.queue if ticket.kept(now)]
    if operation.wait == 0:
        if not affordable:
            return Turn.REFUSE
        leave(account, key)
        return Turn.TAKE
    mine = ticket_of(account, key, now)
    ahead = account.queue[: account.queue.index(mine)] if mine else account.queue
    first = not any(ticket.live(now) for ticket in ahead)
    if affordable and first:
        leave(account, key)
        return Turn.TAKE
    if mine is None:
        account.queue.append(Ticket(key, operation.owner, now + operation.wait, now))
        return Turn.WAIT
    if mine.deadline <= now:
        leave(account, key)
        return Turn.REFUSE
    mine.owner = operation.owner
    mine.seen = now
    return Turn.WAIT
