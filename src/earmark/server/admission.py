"""Who may come in, and what is still open: what a drain refuses and waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from earmark.errors import EarmarkError, InvalidRequest, Reason, error
from earmark.server.counts import CallCounts

__all__ = ["Admission"]

_MAX_HOLDS = 100_000
_POLL_SECONDS = 0.02


class Admission:
    """The state of one server's door. Used from its event loop only."""

    def __init__(self, store_is_up: Callable[[], bool]) -> None:
        self.store_is_up = store_is_up
        """Whether Redis can be asked now."""
        self.draining = False
        """Whether Reserve and Charge are refused."""
        self.calls = 0
        """Unary calls that are being answered."""
        self.sessions = 0
        """Session streams that are open."""
        self.session_calls = 0
        """Calls of all Session streams whose results were not sent yet."""
        self.counts = CallCounts()
        """What was answered."""
        self._holds: dict[str, int] = {}

    @staticmethod
    def refusal() -> EarmarkError:
        """Return what a Reserve or Charge gets while draining."""
        return error(Reason.DRAINING, "this server is shutting down: repeat the call with the same ids at another one")

    def precede(self, failure: EarmarkError) -> EarmarkError:
        """Return what comes before a malformed request in the order of precedence: the store that is away.

        Looked at only once a request has failed, so that the good ones do not pay for the question.
        """
        if isinstance(failure, InvalidRequest) and not self.store_is_up():
            return error(Reason.STORE_UNAVAILABLE, "the credit store cannot be reached: repeat with the same ids")
        return failure

    def note_hold(self, digest: str, expire_time: int) -> None:
        """Note a reservation that was given out, or its new expiry: its Commit will come as a call of its own.

        At most 100,000 are kept, the oldest go first.
        """
        if len(self._holds) >= _MAX_HOLDS:
            self._holds.pop(next(iter(self._holds)))
        self._holds[digest] = expire_time

    def forget_hold(self, digest: str) -> None:
        """Note that a reservation was settled."""
        self._holds.pop(digest, None)

    async def drained(self, now: Callable[[], int]) -> None:
        """Return when no call runs and no noted reservation is open; `now` in microseconds.

        A Session that is open and idle is not waited for: its client has nothing here that it could still settle.
        """
        while True:
            if not self.calls and not self.session_calls:
                moment = now()
                self._holds = {digest: expires for digest, expires in self._holds.items() if expires > moment}
                if not self._holds:
                    return
            # Reservations end by the clock too, without an event to wait for.
            await asyncio.sleep(_POLL_SECONDS)
