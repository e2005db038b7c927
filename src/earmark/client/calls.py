"""A call on the session stream: its bytes, where it stands, who waits for it; and how calls are cut into frames."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from enum import Enum, auto
from typing import Final, Protocol

from earmark.client.failures import UnsettledCommit
from earmark.errors import EarmarkError
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import reservation_pb2

__all__ = ["FRAME_CALLS", "PATIENCE_SECONDS", "Owner", "Place", "Reply", "SessionCall", "frame_part"]

FRAME_CALLS: Final = 32
"""Most calls in one frame. Larger frames make client, server and store take turns instead of working at once."""

PATIENCE_SECONDS: Final = 5.0
"""A server answers within milliseconds, or says within 100 ms that its store is away: silence is a dead connection."""

_TAG: Final = pb.SessionRequest.CALLS_FIELD_NUMBER << 3 | 2
_PREFIXES: Final = tuple(
    bytes((_TAG, length) if length < 0x80 else (_TAG, length & 0x7F | 0x80, length >> 7)) for length in range(0x4000)
)
"""Tag and length of a call in a frame, by its length; longer ones are put together when they come."""


class Reply(Protocol):
    """What the answers to all calls of a session have in common."""

    @property
    def reservation(self) -> reservation_pb2.Reservation:
        """The reservation as it is now."""
        ...

    @property
    def balance(self) -> reservation_pb2.Balance:
        """The account as it is now."""
        ...

    @property
    def replayed(self) -> bool:
        """Whether an earlier, identical call had already taken effect."""
        ...


class Owner:
    """Who stands behind a call, whether or not somebody waits for it."""

    __slots__ = ()

    def refused(self, refusal: EarmarkError) -> bool:  # noqa: ARG002 - for those who take it up
        """Take up a definitive refusal; True if the call does not end with it."""
        return False

    def unsettled(self, failure: EarmarkError | None) -> UnsettledCommit | None:  # noqa: ARG002 - as above
        """Describe the commit that the call is; None if it is none."""
        return None


class Place(Enum):
    """Where a call is."""

    QUEUED = auto()
    """Waits for a frame; no server has seen it since it was queued."""
    SENT = auto()
    """In a frame of the present stream, not answered yet."""
    RESTING = auto()
    """Was refused for a moment, and will be queued again."""
    ENDED = auto()
    """Has its result or its error, or was withdrawn."""


# Looking up the member of an enum costs as much as a call.
_QUEUED: Final = Place.QUEUED
_ENDED: Final = Place.ENDED


class SessionCall:
    """One call. Its bytes are made once: a repeat is the same request with the same ids.

    Awaiting it gives the reply or raises the error; cancelling a waiter does not touch the call.
    """

    # Two of these are made for every generation.
    __slots__ = (
        "_loop",
        "_more_waiters",
        "_waiter",
        "attempts",
        "deadline",
        "error",
        "last_failure",
        "owner",
        "part",
        "patience",
        "place",
        "reply",
        "sent_at",
        "sequence",
        "urgent",
        "was_sent",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sequence: int,
        part: bytes,
        deadline: float,
        urgent: bool,
        owner: Owner | None = None,
    ) -> None:
        self._loop = loop
        self.sequence = sequence
        self.part = part
        """The call as a part of a frame; joined parts are a serialized SessionRequest."""
        self.deadline = deadline
        """When to give up, in the loop's time; infinity for what must be settled."""
        self.urgent = urgent
        """Whether it goes before all that are not, and never waits for a place in flight: what gives credits back
        or keeps them must not queue behind those who wait for credits."""
        self.owner = owner
        self.place = _QUEUED
        self.was_sent = False
        self.sent_at = 0.0
        self.attempts = 0
        self.patience = PATIENCE_SECONDS
        """After how many seconds without an answer the connection counts as dead."""
        self.reply: Reply | None = None
        self.error: EarmarkError | None = None
        self.last_failure: EarmarkError | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._more_waiters: list[asyncio.Future[Reply]] | None = None

    def resolve(self, reply: Reply) -> None:
        """End the call with its reply."""
        self.reply = reply
        self.place = _ENDED
        self.owner = None  # It holds the call: the two must not keep each other until the garbage collector comes.
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)
        if self._more_waiters is not None:
            for waiter in self._more_waiters:
                if not waiter.done():
                    waiter.set_result(reply)

    def fail(self, error: EarmarkError) -> None:
        """End the call with an error."""
        self.error = error
        self.place = _ENDED
        self.owner = None
        for waiter in (self._waiter, *(self._more_waiters or ())):
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)

    def answer(self) -> asyncio.Future[Reply]:
        """Return a future of the reply or the error, for one waiter: cancelling it does not touch the call."""
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        if self.reply is not None:
            waiter.set_result(self.reply)
        elif self.place is _ENDED:
            assert self.error is not None, "awaited a call that was withdrawn"
            waiter.set_exception(self.error)
        elif self._waiter is None:
            self._waiter = waiter
        elif self._more_waiters is None:
            self._more_waiters = [waiter]
        else:
            self._more_waiters.append(waiter)
        return waiter

    def __await__(self) -> Generator[asyncio.Future[Reply], None, Reply]:
        return self.answer().__await__()


def frame_part(call: pb.SessionCall) -> bytes:
    """Serialize a call so that joined parts are the bytes of a SessionRequest: its tag, its length, itself.

    A frame is put together, and put together again after a lost connection, without building or copying a message.
    """
    body = call.SerializeToString()
    length = len(body)
    if length < 0x4000:
        return _PREFIXES[length] + body
    prefix = bytearray((_TAG,))
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + body
