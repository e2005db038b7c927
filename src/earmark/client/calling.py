"""What the parts of `AsyncClient` share: the connection, and how long a call may take."""

from __future__ import annotations

from abc import ABC, abstractmethod

from earmark.client.amounts import Seconds
from earmark.client.core import Core, RequestIds

__all__ = ["Calling"]


class Calling(ABC):
    """A client that can call."""

    _request_ids: RequestIds
    _closed: bool

    @abstractmethod
    def _start(self) -> Core:
        """Return the running part."""

    @abstractmethod
    def _seconds(self, timeout: Seconds | None) -> float:
        """Return a time-out in seconds; the client's default if absent."""
