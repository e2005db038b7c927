"""`AdminService`: the store's clock."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

from typing import Protocol

from earmark.server import checks
from earmark.server.admission import Admission
from earmark.server.replies import fill_time
from earmark.server.unary import Context, unary
from earmark.v1 import admin_service_pb2 as pb
from earmark.v1 import admin_service_pb2_grpc as rpc

__all__ = ["AdminServicer", "Clock"]


class Clock(Protocol):
    """The store's clock, in microseconds since 1970."""

    movable: bool
    """Whether the store was initialised for tests."""

    def now(self) -> int:
        """Return the store's time."""
        ...

    async def move(self, by: int | None = None, to: int | None = None) -> int:
        """Move it forward; return the time when everything that fell due has happened.

        Raises:
            EarmarkError: NOT_A_TEST_STORE, INVALID_ARGUMENT, or a store is away.
        """
        ...


class AdminServicer(rpc.AdminServiceServicer):
    """The servicer."""

    needs_store = True

    def __init__(self, clock: Clock, admission: Admission) -> None:
        self.admission = admission
        self._clock = clock

    @unary
    async def GetClock(self, _request: pb.GetClockRequest, _context: Context) -> pb.GetClockResponse:
        """Return the store's time."""
        response = pb.GetClockResponse(movable=self._clock.movable)
        fill_time(response.time, self._clock.now())
        return response

    @unary
    async def MoveClock(self, request: pb.MoveClockRequest, _context: Context) -> pb.MoveClockResponse:
        """Move the store's time forward."""
        match request.WhichOneof("to"):
            case "by":
                now = await self._clock.move(by=checks.duration(request.by, "by"))
            case "time":
                now = await self._clock.move(to=checks.time(request.time, "time"))
            case _:
                raise checks.invalid("to", "say how far: by a duration, or to a time")
        response = pb.MoveClockResponse()
        fill_time(response.time, now)
        return response
