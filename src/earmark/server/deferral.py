"""How calls go on that cannot be made operations at once. Session and unary calls share it, so that they agree."""

from __future__ import annotations

from collections.abc import Callable

from earmark.domain.states import ReservationState
from earmark.engine.operations import AccountOperation, ReadReservation
from earmark.engine.ports import Metering
from earmark.engine.results import Done, RefusalCode, Refused, ReservationRead
from earmark.errors import EarmarkError, Internal, Reason, Unavailable, error
from earmark.ledger.entries import Entries
from earmark.server.completion import complete
from earmark.server.deferred import CatalogWanted, Deferred, ReservationWanted, Unpriced
from earmark.server.pricing import CatalogVersions
from earmark.server.status import refusal_error
from earmark.server.validation import Requests

__all__ = ["Deferral"]

_ATTEMPTS = 4
_FLUSH_PATIENCE_SECONDS = 2.0
"""For the details of a reservation that was committed a moment ago: they are in its entry, on its way to SQL."""


class Deferral:
    """Looks up what calls want. One for a server."""

    def __init__(self, engine: Metering, entries: Entries, requests: Requests, catalogs: CatalogVersions) -> None:
        self._engine = engine
        self._entries = entries
        self._requests = requests
        self._catalogs = catalogs

    async def resolve(self, deferred: Deferred, check: Callable[[], AccountOperation]) -> AccountOperation | Done:
        """Return a call's operation, or its result where it repeats a call that took effect.

        Args:
            deferred: What its check raised.
            check: Checks it again.

        Raises:
            EarmarkError: the call is refused, or a store is away.
        """
        for _ in range(_ATTEMPTS):
            match deferred:
                case Unpriced():
                    return await self._replayed(deferred)
                case ReservationWanted():
                    await self._look_up(deferred)
                case CatalogWanted(version=version):
                    await self._catalogs.require(version)
                case _:
                    raise deferred
            try:
                return check()
            except Deferred as next_:
                deferred = next_
        raise Internal(Reason.INTERNAL, "what the call takes is forgotten as soon as it is found")

    async def _replayed(self, unpriced: Unpriced) -> Done:
        try:
            result = await self._engine.execute(unpriced.probe)
        except Unavailable:
            raise
        except EarmarkError:
            raise unpriced.failure from None
        if isinstance(result, Done) and result.replayed:
            return result
        if isinstance(result, Refused) and result.code == RefusalCode.REQUEST_ID_REUSED:
            raise refusal_error(result, unpriced.probe)
        raise unpriced.failure

    async def _look_up(self, wanted: ReservationWanted) -> None:
        result = await self._engine.execute(ReadReservation(wanted.account_id, wanted.digest))
        if not isinstance(result, ReservationRead):
            raise Internal(Reason.INTERNAL, f"the store answered a read with {type(result).__name__}")
        view = result.reservation
        if view.state == ReservationState.RELEASED:
            self._requests.remember_released(wanted.reservation_id, wanted.account_id, wanted.digest)
            return
        if view.price_version:
            view = await complete(self._entries, view, _FLUSH_PATIENCE_SECONDS)
            if not view.details:
                raise error(
                    Reason.STORE_UNAVAILABLE,
                    "what the reservation was for is not in SQL yet: repeat the call with the same ids",
                )
        self._requests.remember(
            wanted.reservation_id, wanted.account_id, wanted.digest, view.price_version, view.details
        )
