"""Pages of an account's reservations: active ones by expiry from Redis, then ended ones, newest first, from SQL."""

from __future__ import annotations

import msgspec

from earmark.domain.states import ReservationState
from earmark.engine.operations import ListHolds, ReadBalance
from earmark.engine.results import HoldsRead, ReservationView
from earmark.errors import Internal, Reason, Unavailable
from earmark.ledger.entries import Entries
from earmark.server.completion import ended_view
from earmark.server.paging import MAX_PAGE_BYTES, decode_token, encode_token
from earmark.server.ports import ServingEngine
from earmark.server.unary import execute

__all__ = ["ReservationPages"]

_LOOK_AT = 1_000
_ROW_BYTES = 500
"""What a reservation takes on the wire beside its details."""
_MAX_LOOKS = 10
"""A page looks at 10,000 holds of the partition at most: beyond that it comes short, with a successor."""


class _Position(msgspec.Struct, frozen=True, array_like=True):
    ended: bool
    after_time: int = 0
    after_member: str = ""
    before_entry: int = 0
    """0 for the start."""


_Rows = list[tuple[ReservationView, _Position]]
"""Reservations, each with the position of what comes after it."""


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
        position: _Position | None
        if token:
            position = decode_token(token, _Position, query)
        else:
            await execute(self._engine, ReadBalance(account_id))  # Says so if there is no such account.
            position = _Position(ended=state not in (0, ReservationState.ACTIVE))
        rows: _Rows = []
        if not position.ended:
            rows, position = await self._active(account_id, size, position)
            if position is None and state == 0:
                position = _Position(ended=True)
        if position is not None and position.ended and len(rows) < size:
            try:
                ended, position = await self._ended(account_id, state, size - len(rows), position)
            except Unavailable:
                if not rows:
                    raise
                ended = []  # SQL is away: the active ones are shown, the token leads to the others.
            rows += ended
        shown, room = 0, MAX_PAGE_BYTES
        while shown < len(rows) and room > 0:
            room -= _ROW_BYTES + len(rows[shown][0].details.encode())
            shown += 1
        if shown < len(rows):
            position = rows[shown - 1][1]
        return [view for view, _ in rows[:shown]], encode_token(position, query) if position else ""

    async def _active(self, account_id: str, size: int, position: _Position) -> tuple[_Rows, _Position | None]:
        partition = self._engine.partition_of(account_id)
        rows: _Rows = []
        after_time, after_member = position.after_time, position.after_member
        for _ in range(_MAX_LOOKS):
            read = await self._engine.execute_on(partition, ListHolds(account_id, after_time, after_member, _LOOK_AT))
            if not isinstance(read, HoldsRead):
                raise Internal(Reason.INTERNAL, f"the store answered a list with {type(read).__name__}")
            rows += [(view, _after_active(view)) for view in read.reservations]
            if len(rows) > size:
                return rows[:size], rows[size - 1][1]
            after_time, after_member = read.next_time, read.next_member
            if not after_member:
                return rows, None
        return rows, _Position(ended=False, after_time=after_time, after_member=after_member)

    async def _ended(
        self, account_id: str, state: int, size: int, position: _Position
    ) -> tuple[_Rows, _Position | None]:
        wanted = ReservationState(state) if state else None
        # One more than asked for tells whether there is a next page.
        ended = await self._entries.ended_reservations(account_id, wanted, size + 1, position.before_entry or None)
        rows = [(ended_view(each), _Position(ended=True, before_entry=each.entry_number)) for each in ended[:size]]
        return rows, rows[-1][1] if len(ended) > size else None


def _after_active(view: ReservationView) -> _Position:
    return _Position(ended=False, after_time=view.expire_time, after_member=view.digest)
