"""Pages of an account's reservations: active ones by expiry from Redis, then ended ones, newest first, from SQL."""

from __future__ import annotations

import msgspec

from earmark.domain.states import ReservationState
from earmark.engine.operations import ListHolds, ReadBalance
from earmark.engine.results import HoldsRead, ReservationView
from earmark.errors import Internal, Reason, Unavailable
from earmark.ledger.entries import Entries
from earmark.server.completion import ended_view
from earmark.server.paging import decode_token, encode_token
from earmark.server.ports import ServingEngine
from earmark.server.unary import execute

__all__ = ["ReservationPages"]

_LOOK_AT = 1_000
_MAX_LOOKS = 10
"""A page looks at 10,000 holds of the partition at most: beyond that it comes short, with a successor."""


class _Position(msgspec.Struct, frozen=True, array_like=True):
    ended: bool
    after_time: int = 0
    after_member: str = ""
    before_entry: int = 0
    """0 for the start."""


class ReservationPages:
    """Reads pages."""

    def __init__(self, engine: ServingEngine, entries: Entries) -> None:
        self._engine = engine
        self._entries = entries

    async def page(self, account_id: str, state: int, size: int, token: str) -> tuple[list[ReservationView], str]:
        """Return a page and the token of the next one, "" on the last; `state` 0 is all.

        Raises:
            EarmarkError: the account does not exist, a store is away, the token is not one of this query.
        """
        query = ("ListReservations", account_id, state)
        if token:
            position = decode_token(token, _Position, query)
        else:
            await execute(self._engine, ReadBalance(account_id))  # Says so if there is no such account.
            position = _Position(ended=state not in (0, ReservationState.ACTIVE))
        if not position.ended:
            views, next_position = await self._active(account_id, size, position)
            if next_position is None and state == 0:
                views, next_position = await self._fill_up(account_id, size, views)
        else:
            views, next_position = await self._ended(account_id, state, size, position)
        return views, encode_token(next_position, query) if next_position else ""

    async def _active(
        self, account_id: str, size: int, position: _Position
    ) -> tuple[list[ReservationView], _Position | None]:
        partition = self._engine.partition_of(account_id)
        found: list[ReservationView] = []
        after_time, after_member = position.after_time, position.after_member
        for _ in range(_MAX_LOOKS):
            read = await self._engine.execute_on(partition, ListHolds(account_id, after_time, after_member, _LOOK_AT))
            if not isinstance(read, HoldsRead):
                raise Internal(Reason.INTERNAL, f"the store answered a list with {type(read).__name__}")
            found.extend(read.reservations)
            if len(found) > size:
                last = found[size - 1]
                return found[:size], _Position(ended=False, after_time=last.expire_time, after_member=last.digest)
            after_time, after_member = read.next_time, read.next_member
            if not after_member:
                return found, None
        return found, _Position(ended=False, after_time=after_time, after_member=after_member)

    async def _fill_up(
        self, account_id: str, size: int, active: list[ReservationView]
    ) -> tuple[list[ReservationView], _Position | None]:
        """Fill the page of the last active ones up with ended ones; without those while SQL is away."""
        try:
            ended, next_position = await self._ended(account_id, 0, size - len(active), _Position(ended=True))
        except Unavailable:
            if not active:
                raise
            return active, _Position(ended=True)
        return active + ended, next_position

    async def _ended(
        self, account_id: str, state: int, size: int, position: _Position
    ) -> tuple[list[ReservationView], _Position | None]:
        wanted = ReservationState(state) if state else None
        if size == 0:
            return [], position
        # One more than asked for tells whether there is a next page.
        ended = await self._entries.ended_reservations(account_id, wanted, size + 1, position.before_entry or None)
        views = [ended_view(each) for each in ended[:size]]
        if len(ended) <= size:
            return views, None
        return views, _Position(ended=True, before_entry=ended[size - 1].entry_number)
