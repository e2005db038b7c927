"""What the servicers need from others beyond `earmark.engine.ports` and the ledger: narrow protocols."""

from __future__ import annotations

from typing import Protocol

from earmark.engine.results import HoldsRead

__all__ = ["Holds"]


class Holds(Protocol):
    """The open reservations of a partition, in order of expiry."""

    async def list_holds(self, account_id: str, after_time: int, after_member: str, limit: int) -> HoldsRead:
        """Look at up to `limit` (at most 1,000) holds of the account's partition; return those of the account.

        Raises:
            Unavailable: STORE_UNAVAILABLE or RECOVERING.
        """
        ...
