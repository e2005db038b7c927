"""What a channel is to the delivery: something that brings one notification to one receiver, or says why not."""

from __future__ import annotations

from typing import Protocol

from earmark.ledger.notifications import DueDelivery

__all__ = ["Channel", "DeliveryError"]


class DeliveryError(Exception):
    """The receiver did not accept a notification. The message goes into the delivery log, so it holds no secret."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final
        """Whether repeating cannot help."""


class Channel(Protocol):
    """A way to receivers."""

    async def send(self, delivery: DueDelivery) -> None:
        """Bring a notification to its receiver; returns once the receiver has accepted it.

        Raises:
            DeliveryError: it was not accepted, as far as can be known: the receiver may get it twice.
        """
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...
