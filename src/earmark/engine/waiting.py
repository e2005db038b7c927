"""The waiting room: operations that wait for credits, in this process.

The queue itself is in Redis (tickets, `lua/lib/waiters.lua`); this holds who must be answered. A waiter sends its
operation again when its ticket is woken, once a second as a heartbeat, and at its deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from earmark.engine.operations import AccountOperation, Charge, Extend, Reserve
from earmark.engine.ports import OnDone

__all__ = ["WaitingOperation", "WaitingRoom", "ticket_of"]

WaitingOperation = Reserve | Charge | Extend

_HEARTBEAT = 1.0
"""Seconds. A ticket lapses after five without one."""


def ticket_of(operation: WaitingOperation) -> str:
    """Return the ticket under which an operation waits."""
    return operation.extension if isinstance(operation, Extend) else operation.digest


class _Waiter:
    __slots__ = ("deadline", "on_done", "operation", "timer")

    def __init__(self, operation: WaitingOperation, on_done: OnDone, deadline: float) -> None:
        self.operation = operation
        self.on_done = on_done
        self.deadline = deadline
        self.timer: asyncio.TimerHandle | None = None


class WaitingRoom:
    """Who waits here, by ticket and owner."""

    def __init__(self, resend: Callable[[AccountOperation, OnDone], None]) -> None:
        self._resend = resend
        self._loop = asyncio.get_running_loop()
        self._parked: dict[tuple[str, str], _Waiter] = {}
        self._owners: dict[str, set[str]] = {}
        self._deadlines: dict[tuple[str, str], float] = {}

    def park(self, operation: WaitingOperation, on_done: OnDone) -> None:
        """Keep a waiter until it is woken, its heartbeat is due, or its deadline has come."""
        key = (ticket_of(operation), operation.owner)
        now = self._loop.time()
        deadline = self._deadlines.setdefault(key, now + operation.wait / 1e6)
        waiter = _Waiter(operation, on_done, deadline)
        # At the deadline the script itself says that the time is over; a little later, so that its clock agrees.
        pause = min(_HEARTBEAT, max(0.0, deadline - now) + 0.002)
        waiter.timer = self._loop.call_later(pause, self._send_again, key)
        self._parked[key] = waiter
        self._owners.setdefault(key[0], set()).add(key[1])

    def wake(self, ticket: str) -> None:
        """Send the operations of a ticket again."""
        for owner in tuple(self._owners.get(ticket, ())):
            self._send_again((ticket, owner))

    def wake_all(self) -> None:
        """Send everything again: messages may have been missed."""
        for key in tuple(self._parked):
            self._send_again(key)

    def leave(self, operation: WaitingOperation) -> OnDone | None:
        """Take a waiter out; returns whom to answer if it was parked."""
        key = (ticket_of(operation), operation.owner)
        self._deadlines.pop(key, None)
        waiter = self._take(key)
        return waiter.on_done if waiter else None

    def forget(self, operation: WaitingOperation) -> None:
        """Note that an operation got its final answer."""
        self._deadlines.pop((ticket_of(operation), operation.owner), None)

    def _take(self, key: tuple[str, str]) -> _Waiter | None:
        waiter = self._parked.pop(key, None)
        if waiter is None:
            return None
        if waiter.timer is not None:
            waiter.timer.cancel()
        owners = self._owners[key[0]]
        owners.discard(key[1])
        if not owners:
            del self._owners[key[0]]
        return waiter

    def _send_again(self, key: tuple[str, str]) -> None:
        waiter = self._take(key)
        if waiter is not None:
            self._resend(waiter.operation, waiter.on_done)
