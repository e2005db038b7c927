"""Extends the holds that stay open, at a third of their time to live.

Holds with one time to live are due in the order in which they were opened, so each such group needs one timer and
an ordinary dict, and a hold that is settled before its first third costs one insertion and one removal.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from earmark.client.amounts import to_duration
from earmark.client.calls import Owner, Place, SessionCall
from earmark.client.session import Session
from earmark.errors import EarmarkError
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["KeepAlive", "KeptHold"]

_log = logging.getLogger("earmark")

_LONGEST_LIFE_SECONDS: Final = 86_400.0
_MARGIN_SECONDS: Final = 1.0


class KeptHold(Owner):
    """What keep-alive knows of an open hold."""

    __slots__ = ("born", "due", "extension", "keep_alive", "reservation_id", "ttl")

    def __init__(self, reservation_id: str, ttl: float, born: float) -> None:
        self.reservation_id = reservation_id
        self.ttl = ttl
        """Seconds."""
        self.born = born
        """When the hold was made, in the loop's time."""
        self.due = 0.0
        self.extension: SessionCall | None = None
        self.keep_alive: KeepAlive | None = None

    def refused(self, refusal: EarmarkError) -> bool:
        """Stop trying: the hold is settled, expired, or as old as it may get."""
        self.extension = None
        if self.keep_alive is not None:
            self.keep_alive.discard(self)
        _log.warning("hold %s could not be kept alive: %s", self.reservation_id, refusal)
        return True


def extension_seconds(age: float, ttl: float) -> float | None:
    """Return the time to live to ask for, so that no hold gets older than 24 hours; None when nothing can be gained."""
    allowed = _LONGEST_LIFE_SECONDS - _MARGIN_SECONDS - age
    return min(ttl, allowed) if allowed > ttl * 2 / 3 else None


class KeepAlive:
    """The open holds of a client. Belongs to one event loop."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._groups: dict[float, dict[KeptHold, None]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}
        self._extensions = 0

    def add(self, hold: KeptHold, *, now: bool = False) -> KeptHold:
        """Keep a hold alive from here on; with `now`, extend it at once."""
        if now and not self._extend(hold):
            return hold
        ttl = hold.ttl
        hold.due = self._loop.time() + ttl / 3
        group = self._groups.get(ttl)
        if group is None:
            group = self._groups[ttl] = {}
            self._timers[ttl] = self._loop.call_at(hold.due, self._extend_due, ttl)
        group[hold] = None
        return hold

    def discard(self, hold: KeptHold) -> None:
        """Stop: the hold is being settled, or is left to somebody else."""
        group = self._groups.get(hold.ttl)
        if group is not None:
            group.pop(hold, None)
        if hold.extension is not None:
            self._session.withdraw(hold.extension)

    def change_ttl(self, hold: KeptHold, ttl: float) -> None:
        """Extend by another time to live from now on."""
        group = self._groups.get(hold.ttl)
        if group is not None and hold in group:
            del group[hold]
            hold.ttl = ttl
            self.add(hold)

    def close(self) -> None:
        """Stop all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._groups.clear()

    def _extend_due(self, ttl: float) -> None:
        del self._timers[ttl]
        group = self._groups[ttl]
        now = self._loop.time()
        while group:
            hold = next(iter(group))
            if hold.due > now:
                self._timers[ttl] = self._loop.call_at(hold.due, self._extend_due, ttl)
                return
            del group[hold]
            if self._extend(hold):
                hold.due = now + ttl / 3
                group[hold] = None
        del self._groups[ttl]

    def _extend(self, hold: KeptHold) -> bool:
        """Send an extension; False if the hold cannot be extended further."""
        if hold.extension is not None and hold.extension.place is not Place.ENDED:
            return True  # The last one is still being repeated.
        seconds = extension_seconds(self._loop.time() - hold.born, hold.ttl)
        if seconds is None:
            _log.warning("hold %s is as old as a hold may get (24 h) and will expire", hold.reservation_id)
            return False
        self._extensions += 1
        message = pb.SessionCall()
        message.extend.reservation_id = hold.reservation_id
        message.extend.request_id = f"keep-alive-{self._extensions}"
        message.extend.ttl.CopyFrom(to_duration(seconds))
        hold.keep_alive = self
        hold.extension = self._session.submit(message, timeout=hold.ttl, urgent=True, owner=hold)
        return True
