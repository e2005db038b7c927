"""One `Session` stream: frames of calls in, frames of results out, in any order, bounded on both sides.

No task runs per call: a call is checked and handed to the engine, and the engine's answer is written at once into the
frame that goes out next. A place among the calls in flight is free again only when its result was handed to gRPC,
whose flow control waits for the reader at the other end: a slow reader costs it time and never this server memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from grpc.aio import EOF, InternalError  # type: ignore[attr-defined]  # The stubs do not know it.
from msgspec.structs import replace

from earmark.domain.states import ReservationState
from earmark.engine.operations import AccountOperation, Charge, Extend, Reserve
from earmark.engine.results import Done, Refused, Result
from earmark.errors import EarmarkError, Internal, Reason, error
from earmark.ledger.entries import Entries
from earmark.server import checks
from earmark.server.admission import Admission
from earmark.server.completion import complete
from earmark.server.deferral import Deferral
from earmark.server.deferred import Deferred
from earmark.server.ports import ServingEngine
from earmark.server.refusals import Refusals
from earmark.server.replies import fill_charge, fill_commit, fill_extend, fill_release, fill_reserve
from earmark.server.status import status_of
from earmark.server.unary import Context, unexpected
from earmark.server.validation import Requests
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["MAX_FRAME_CALLS", "SessionStream"]

_log = structlog.get_logger(__name__)

MAX_FRAME_CALLS = 1_024
_FRAME_RESULTS = 64

_Fill = Callable[[Any, Done], str]
_FILLS: dict[str, _Fill] = {
    "reserve": fill_reserve,
    "commit": fill_commit,
    "release": fill_release,
    "extend": fill_extend,
    "charge": fill_charge,
}


class SessionStream:
    """One stream. `run` returns when the client has finished sending and everything is answered."""

    def __init__(
        self,
        engine: ServingEngine,
        entries: Entries,
        requests: Requests,
        deferral: Deferral,
        refusals: Refusals,
        admission: Admission,
        context: Context,
        max_in_flight: int,
    ) -> None:
        self._submit = engine.submit
        self._engine = engine
        self._entries = entries
        self._requests = requests
        self._deferral = deferral
        self._refusals = refusals
        self._admission = admission
        self._answered_count = admission.counts.answered
        self._context = context
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._closed = False
        self._frames: deque[pb.SessionResponse] = deque()
        self._room = 0
        self._waiting: dict[str, Reserve | Charge | Extend] = {}
        self._completions: set[asyncio.Task[None]] = set()
        self._deferred: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._writer_wakes: asyncio.Future[None] | None = None
        self._reader_wakes: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Serve the stream.

        Raises:
            InvalidRequest: a frame is too large; calls that were taken before it are still executed.
        """
        reader = self._loop.create_task(self._read())
        reader.add_done_callback(self._reader_ended)
        try:
            await self._write(reader)
            reader.result()
        except InternalError:
            _log.debug("a session ended while it was written to or read from")  # The client has gone.
        finally:
            self._closed = True
            self._admission.session_calls -= self._in_flight
            reader.cancel()
            for task in self._completions:
                task.cancel()
            # Commits and releases on their way still take effect. Who only waits for credits gives its place back.
            for operation in self._waiting.values():
                self._engine.cancel_wait(operation)

    async def _read(self) -> None:
        while True:
            frame = await self._context.read()
            if frame is EOF:
                return
            calls = frame.calls
            if len(calls) > MAX_FRAME_CALLS:
                raise checks.invalid("calls", f"a frame has {len(calls)} calls, {MAX_FRAME_CALLS} are allowed")
            for call in calls:
                while self._in_flight >= self._max_in_flight:
                    self._reader_wakes = self._loop.create_future()
                    await self._reader_wakes
                self._in_flight += 1
                self._admission.session_calls += 1
                self._start(call)

    def _start(self, call: pb.SessionCall) -> None:
        sequence = call.sequence
        which = call.WhichOneof("call")
        try:
            operation = self._check(call, which)
            if isinstance(operation, (Reserve, Charge, Extend)) and operation.wait:
                self._take_seat(operation)
        except Deferred as deferred:
            task = self._loop.create_task(self._resolve(sequence, call, which, deferred))
            self._deferred.add(task)
            task.add_done_callback(self._deferred.discard)
            return
        except EarmarkError as failure:
            self._put_status(sequence, which, self._admission.precede(failure))
            return
        except Exception as failure:  # noqa: BLE001 - the boundary: a bug ends one call, not its neighbours
            self._put_status(sequence, which, unexpected(failure, f"Session.{which}"))
            return
        self._submit(operation, partial(self._answered, sequence, which, operation))

    def _check(self, call: pb.SessionCall, which: str | None) -> AccountOperation:
        match which:
            case "reserve":
                if self._admission.draining:
                    raise self._admission.refusal()
                return self._requests.reserve(call.reserve)
            case "commit":
                return self._requests.commit(call.commit)
            case "release":
                return self._requests.release(call.release)
            case "extend":
                return self._requests.extend(call.extend)
            case "charge":
                if self._admission.draining:
                    raise self._admission.refusal()
                return self._requests.charge(call.charge)
            case _:
                raise checks.invalid("call", "is missing, or of a kind that this release does not know")

    async def _resolve(self, sequence: int, call: pb.SessionCall, which: str, deferred: Deferred) -> None:
        """Go on with a call that takes a look at SQL or Redis first. Runs on when the stream breaks: it was taken."""
        try:
            resolved = await self._deferral.resolve(deferred, partial(self._check, call, which))
            if isinstance(resolved, (Reserve, Charge, Extend)) and resolved.wait:
                if self._closed:
                    return  # Whoever would wait has gone.
                self._take_seat(resolved)
        except EarmarkError as failure:
            self._put_status(sequence, which, failure)
            return
        except Exception as failure:  # noqa: BLE001 - the boundary, as above
            self._put_status(sequence, which, unexpected(failure, f"Session.{which}"))
            return
        if isinstance(resolved, Done):
            self._take(sequence, which, resolved)
        else:
            self._submit(resolved, partial(self._answered, sequence, which, resolved))

    def _take_seat(self, operation: Reserve | Charge | Extend) -> None:
        """Let an operation wait for credits: in at most half of the places, or no Commit could come in to free some."""
        if len(self._waiting) >= self._max_in_flight // 2:
            raise error(
                Reason.OVERLOADED,
                f"{len(self._waiting)} calls of this stream wait for credits already: repeat the call later",
                {"waiting_calls": len(self._waiting)},
                retry_after_micros=1_000_000,
            )
        self._waiting[operation.owner] = operation

    def _answered(self, sequence: int, which: str, operation: AccountOperation, result: Result | EarmarkError) -> None:
        """Take the engine's answer."""
        if self._waiting and isinstance(operation, (Reserve, Charge, Extend)) and operation.wait:
            self._waiting.pop(operation.owner, None)
        if self._closed:
            return
        if isinstance(result, Done):
            self._take(sequence, which, result)
        elif isinstance(result, Refused):
            self._put_status(sequence, which, self._refusals.error(result, operation))
        elif isinstance(result, EarmarkError):
            self._put_status(sequence, which, result)
        else:
            self._put_status(sequence, which, Internal(Reason.INTERNAL, "the store gave an answer of the wrong kind"))

    def _take(self, sequence: int, which: str, done: Done) -> None:
        """Answer with what took effect; with what is in SQL of it, where Redis has forgotten that."""
        if self._closed:
            return
        if done.reservation.details or not done.reservation.settle_time:
            self._put_done(sequence, which, done)
        else:
            task = self._loop.create_task(self._put_completed(sequence, which, done))
            self._completions.add(task)
            task.add_done_callback(self._completions.discard)

    def _put_done(self, sequence: int, which: str, done: Done) -> None:
        self._answered_count[which, "OK"] += 1
        slot = self._slot()
        slot.sequence = sequence
        reservation_id = _FILLS[which](getattr(slot, which), done)
        view = done.reservation
        if view.state != ReservationState.ACTIVE:
            self._admission.forget_hold(view.digest)
        elif reservation_id:
            self._admission.note_hold(view.digest, view.expire_time)
            self._requests.remember(reservation_id, view.account_id, view.digest, view.price_version, view.details)

    async def _put_completed(self, sequence: int, which: str, done: Done) -> None:
        try:
            view = await complete(self._entries, done.reservation)
        except Exception as failure:  # noqa: BLE001 - the boundary, as above; the call itself has taken effect
            self._put_status(sequence, which, unexpected(failure, f"Session.{which}"))
            return
        self._put_done(sequence, which, replace(done, reservation=view))

    def _put_status(self, sequence: int, which: str | None, failure: EarmarkError) -> None:
        if self._closed:
            return
        self._answered_count[which or "unknown", failure.reason] += 1
        slot = self._slot()
        slot.sequence = sequence
        slot.status.CopyFrom(status_of(failure))

    def _slot(self) -> pb.SessionResult:
        """Return the place of the next result, in the frame that is being filled."""
        if self._room == 0:
            self._frames.append(pb.SessionResponse())
            self._room = _FRAME_RESULTS
            self._wake_writer()
        self._room -= 1
        return self._frames[-1].results.add()

    def _reader_ended(self, _reader: asyncio.Task[None]) -> None:
        self._wake_writer()

    def _wake_writer(self) -> None:
        waiting = self._writer_wakes
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def _write(self, reader: asyncio.Task[None]) -> None:
        frames = self._frames
        while True:
            if not frames:
                if reader.done() and (not self._in_flight or reader.exception() is not None):
                    return
                self._writer_wakes = self._loop.create_future()
                await self._writer_wakes
                continue
            frame = frames.popleft()
            if not frames:
                self._room = 0  # It leaves; the next result opens another.
            count = len(frame.results)
            await self._context.write(frame)
            self._in_flight -= count
            self._admission.session_calls -= count
            waiting = self._reader_wakes
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
