"""What the engine needs from others, and what it offers: narrow protocols beside their consumer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from earmark.domain.ids import ReservationDigest
from earmark.engine.operations import (
    AccountOperation,
    ApplyGrant,
    Charge,
    Configure,
    LoadAccount,
    Renew,
    Reserve,
    RestoreReservation,
    VoidGrant,
)
from earmark.engine.results import BalanceView, Result
from earmark.errors import EarmarkError

__all__ = ["Archive", "Claims", "Metering", "OnDone"]

OnDone = Callable[[Result | EarmarkError], None]


class Archive(Protocol):
    """SQL, as the engine sees it: where accounts and ended reservations come from when Redis does not hold them.

    Every method reads one snapshot and returns first the partition's `flushed_seq` in that very snapshot, so that the
    engine can refuse a snapshot older than what Redis knows to be flushed. Raises `Unavailable` when SQL is away.
    """

    async def read_account(self, account_id: str, partition: int) -> tuple[int, LoadAccount | None]:
        """Return the account as flushed entries and applied administration confirm it (`generation` 0), or None."""
        ...

    async def read_reservation(
        self, account_id: str, digest: ReservationDigest, partition: int
    ) -> tuple[int, RestoreReservation | None]:
        """Return an ended reservation (`generation` 0), or None if no flushed entry is about it."""
        ...

    async def read_admin_operations(
        self, account_id: str, after_admin_seq: int
    ) -> list[ApplyGrant | VoidGrant | Configure | Renew]:
        """Return the account's administrative operations after this admin_seq, in order, without a gap."""
        ...


class Claims(Protocol):
    """Where a call's limits and entitlement come from, when those that it was sent with are no longer true."""

    async def derive(self, operation: Reserve | Charge, now: int, config_seq: int) -> Reserve | Charge:
        """Return the operation with `entitled`, `config_seq` and `limits` as the account's configuration has them.

        Args:
            operation: As it was sent.
            now: The script's time; at least one window of each claim must hold it.
            config_seq: The configuration in force in Redis: one derived from an older one would be refused again.

        Raises:
            EarmarkError: SQL is away, does not know that configuration yet, or no longer knows the account.
        """
        ...


class Metering(Protocol):
    """The engine, as servicers and jobs see it."""

    def submit(self, operation: AccountOperation, on_done: OnDone) -> None:
        """Execute an operation; call `on_done` exactly once, from the event loop, never from inside `submit`.

        The result is final: misses were loaded, unknown reservations looked up in SQL, calls derived anew where the
        configuration had moved on, waits waited out. An
        `EarmarkError` (an `Unavailable`, ACCOUNT_NOT_FOUND, RESERVATION_NOT_FOUND, INTERNAL) is passed, not raised;
        a `Refused` is a result.
        """
        ...

    async def execute(self, operation: AccountOperation) -> Result:
        """The same as a coroutine; raises the `EarmarkError`."""
        ...

    def watch(self, account_id: str) -> AsyncGenerator[BalanceView]:
        """Yield the balance at once, then the latest after every change, whoever made it."""
        ...
