"""The engine, as the servicers use it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from earmark.engine.operations import Charge, Extend, Operation, Reserve
from earmark.engine.ports import Metering
from earmark.engine.results import Result

__all__ = ["ServingEngine"]


class ServingEngine(Metering, Protocol):
    """What `earmark.engine.engine.Engine` offers beyond `Metering`. Cancelling `execute` cancels a wait too."""

    def cancel_wait(self, operation: Reserve | Charge | Extend) -> None:
        """Take a waiting operation out of its queue; whoever asked for it is not answered any more."""
        ...

    def partition_of(self, account_id: str) -> int:
        """Return the partition of an account."""
        ...

    def execute_on(self, partition: int, operation: Operation) -> Awaitable[Result]:
        """Execute an operation on a partition; the raw result.

        Raises:
            Unavailable: STORE_UNAVAILABLE or RECOVERING.
        """
        ...
