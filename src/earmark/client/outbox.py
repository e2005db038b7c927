"""What waits to be sent, in which order, and how it is cut into frames. No I/O."""

from __future__ import annotations

from collections import deque
from typing import Final

from earmark.client.calls import FRAME_CALLS, Place, SessionCall

__all__ = ["Outbox"]

_QUEUED: Final = Place.QUEUED
_SENT: Final = Place.SENT


class Outbox:
    """The calls of a session that wait for a frame.

    Urgent calls go first and are never held back. Of the others at most `max_in_flight` are sent and not answered.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._urgent: deque[SessionCall] = deque()
        self._ordinary: deque[SessionCall] = deque()
        self._in_flight = 0

    def has_frame(self) -> bool:
        """Return whether something may be sent now."""
        return bool(self._urgent) or (bool(self._ordinary) and self._in_flight < self._max_in_flight)

    def put(self, call: SessionCall) -> None:
        """Add a call behind the others of its kind."""
        call.place = _QUEUED
        (self._urgent if call.urgent else self._ordinary).append(call)

    def take_back(self, calls: list[SessionCall]) -> None:
        """Put calls of a lost stream before everything newer. There is no other stream: nothing is in flight then."""
        for call in reversed(calls):
            call.place = _QUEUED
            (self._urgent if call.urgent else self._ordinary).appendleft(call)
        self._in_flight = 0

    def left_flight(self, call: SessionCall) -> None:
        """Note that a call is no longer in flight. What still lies in a queue, and is not to be sent, is skipped."""
        if call.place is _SENT and not call.urgent:
            self._in_flight -= 1

    def next_frame(self, now: float) -> list[bytes]:
        """Take the parts of the next frame; `now` is the loop's time."""
        parts: list[bytes] = []
        urgent, ordinary = self._urgent, self._ordinary
        while urgent and len(parts) < FRAME_CALLS:
            call = urgent.popleft()
            if call.place is _QUEUED:
                call.place = _SENT
                call.was_sent = True
                call.sent_at = now
                parts.append(call.part)
        while ordinary and len(parts) < FRAME_CALLS and self._in_flight < self._max_in_flight:
            call = ordinary.popleft()
            if call.place is _QUEUED:
                call.place = _SENT
                call.was_sent = True
                call.sent_at = now
                self._in_flight += 1
                parts.append(call.part)
        return parts
