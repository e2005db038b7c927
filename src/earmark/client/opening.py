"""The two ways to get a hold: reserve one, or adopt one of another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Self

from earmark.client.core import Core
from earmark.client.failures import describe
from earmark.client.holds import Hold
from earmark.client.keepalive import KeptHold
from earmark.client.settlement import HoldState, begin
from earmark.client.values import Notice, state_text
from earmark.errors import EarmarkError, Reason, error
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import reservation_pb2

__all__ = ["DEFAULT_TTL_SECONDS", "ReservedHold", "ResumedHold"]

DEFAULT_TTL_SECONDS: Final = 60.0

_OPEN: Final = HoldState.OPEN

_ACTIVE: Final = reservation_pb2.Reservation.STATE_ACTIVE
_COMMITTED: Final = reservation_pb2.Reservation.STATE_COMMITTED
_RELEASED: Final = reservation_pb2.Reservation.STATE_RELEASED
_EXPIRED: Final = reservation_pb2.Reservation.STATE_EXPIRED

_REFUSALS: Final = {
    _COMMITTED: Reason.ALREADY_COMMITTED,
    _RELEASED: Reason.ALREADY_RELEASED,
    _EXPIRED: Reason.RESERVATION_EXPIRED,
}


class ReservedHold(Hold):
    """A hold that this process reserves; an exception in its block releases it."""

    def __init__(
        self,
        start: Callable[[], Core],
        account_id: str,
        message: pb.SessionCall,
        ttl: float | None,
        wait: float,
        timeout: float,
        keep_alive: bool,
    ) -> None:
        super().__init__(start, account_id, timeout, keep_alive)
        self._message = message
        self._ttl = ttl if ttl is not None else DEFAULT_TTL_SECONDS
        self._wait = wait

    async def __aenter__(self) -> Self:
        self._state = begin(self._state)
        core = self._core = self._start()
        call = core.session.submit(self._message, self._timeout + self._wait, self._wait)
        try:
            reply = await call.answer()
        except BaseException:
            core.give_up_reserve(call, self._message.reserve)
            raise
        reservation = reply.reservation
        self._reservation_id = reservation.reservation_id
        self._reserved_micros = reservation.reserved_micros
        if reservation.state != _ACTIVE:
            raise _not_active(reservation)
        notices = getattr(reply, "notices", None)
        if notices:
            self._notices = tuple(Notice.of(notice) for notice in notices)
        if self._keep_alive:
            self._kept = core.keep_alive.add(KeptHold(self._reservation_id, self._ttl, call.sent_at))
        self._state = _OPEN
        return self

    def _lost_charge(self) -> pb.ChargeRequest:
        reserve = self._message.reserve
        return pb.ChargeRequest(
            account_id=reserve.account_id,
            operation=reserve.operation,
            attributes=reserve.attributes,
            user_id=reserve.user_id,
            project_id=reserve.project_id,
            labels=reserve.labels,
        )

    def _leave_failed(self, failure: BaseException) -> None:
        self.release(describe(failure))


class ResumedHold(Hold):
    """A hold of another process; only `release()` releases it, and an exception leaves it open."""

    def __init__(
        self, start: Callable[[], Core], reservation_id: str, ttl: float, timeout: float, keep_alive: bool
    ) -> None:
        super().__init__(start, "", timeout, keep_alive)
        self._reservation_id = reservation_id
        self._ttl = ttl
        self._reservation = reservation_pb2.Reservation()

    async def __aenter__(self) -> Self:
        self._state = begin(self._state)
        core = self._core = self._start()
        response = await core.connection.unary(
            "MeteringService/GetReservation",
            pb.GetReservationRequest(reservation_id=self._reservation_id),
            pb.GetReservationResponse,
            timeout=self._timeout,
        )
        reservation = self._reservation = response.reservation
        self._account_id = reservation.account_id
        self._reserved_micros = reservation.reserved_micros
        if reservation.state in (_COMMITTED, _RELEASED):
            raise _not_active(reservation)
        # An expired one can still be committed late, but not kept alive.
        if reservation.state == _ACTIVE and self._keep_alive:
            created = reservation.create_time.ToDatetime(tzinfo=UTC)
            age = max((datetime.now(UTC) - created).total_seconds(), 0.0)
            born = asyncio.get_running_loop().time() - age
            self._kept = core.keep_alive.add(KeptHold(self._reservation_id, self._ttl, born), now=True)
        self._state = _OPEN
        return self

    def _lost_charge(self) -> pb.ChargeRequest:
        reservation = self._reservation
        return pb.ChargeRequest(
            account_id=reservation.account_id,
            operation=reservation.operation,
            attributes=reservation.attributes,
            user_id=reservation.user_id,
            project_id=reservation.project_id,
            labels=reservation.labels,
        )

    def _leave_failed(self, failure: BaseException) -> None:  # noqa: ARG002 - what failed here is not the end of it
        self.detach()


def _not_active(reservation: reservation_pb2.Reservation) -> EarmarkError:
    """Build the error for a reservation that has ended: its generation must not run again."""
    state = state_text(reservation.state)
    return error(
        _REFUSALS.get(reservation.state, Reason.INTERNAL),
        f"reservation {reservation.reservation_id} is {state}: nothing may be generated on it",
        {
            "reservation_id": reservation.reservation_id,
            "state": state,
            "charged_micros": reservation.charged_micros,
        },
    )
