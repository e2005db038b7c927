"""All calls of a client over one stream: frames, answers, repeats, deadlines.

A frame goes as soon as gRPC took the one before, without waiting for its answer; what arrives meanwhile goes with
the next. A call that got no definitive answer is sent again, the same bytes, until its deadline.
"""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import Final, Protocol

import grpc

from earmark.client.backoff import backoff_seconds
from earmark.client.calls import PATIENCE_SECONDS, Owner, Place, Reply, SessionCall, frame_part
from earmark.client.failures import CallTimedOut, ClientClosed, describe, error_of_rpc, error_of_status
from earmark.client.outbox import Outbox
from earmark.errors import EarmarkError, Internal, Reason, error
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["Session", "Transport"]

_log = logging.getLogger("earmark")

_SWEEP_SECONDS: Final = 1.0

_EOF: Final = grpc.aio.EOF  # type: ignore[attr-defined, unused-ignore] # missing in the stubs

_LARGEST_CALL: Final = 65_536
"""Bytes. No call within the contract's bounds is larger, and a full frame of such calls passes every server: one
oversized text must not break the stream for its neighbours, again and again."""

_HOPELESS: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"})
"""Codes of a whole stream that no repeat will change."""


class Transport(Protocol):
    """Where streams come from."""

    def open_session(self) -> grpc.aio.StreamStreamCall[bytes, pb.SessionResponse]:
        """Start a stream that takes serialized frames."""
        ...

    def renew(self) -> None:
        """Give up the present connection; the next stream uses a new one."""
        ...


class Session:
    """The calls in flight of one client. Belongs to one event loop.

    `max_in_flight` bounds the calls that are sent and not answered, but for urgent ones.
    """

    def __init__(self, transport: Transport, *, max_in_flight: int) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._sequence = 0
        self._open: dict[int, SessionCall] = {}
        self._outbox = Outbox(max_in_flight)
        self._idle_writer: asyncio.Future[None] | None = None
        """What the writer waits for while there is nothing to send."""
        self._sweep: asyncio.TimerHandle | None = None
        self._next_sweep = inf
        self._closed = False
        self._failures = 0
        self._stream: grpc.aio.StreamStreamCall[bytes, pb.SessionResponse] | None = None
        self._runner = self._loop.create_task(self._run(), name="earmark-session")

    def submit(
        self,
        message: pb.SessionCall,
        timeout: float = inf,
        wait: float = 0.0,
        urgent: bool = False,
        owner: Owner | None = None,
    ) -> SessionCall:
        """Queue a call; it is sent with the next frame, whatever becomes of the caller.

        Args:
            message: the call; its sequence is set here.
            timeout: seconds until it fails with `CallTimedOut`; endless for what must be settled.
            wait: how long the server may hold the answer back, in seconds.
            urgent: whether it goes before others and beside the bound of calls in flight.
            owner: who is asked when it is refused.

        Raises:
            ClientClosed: nothing was queued.
            InvalidRequest: it is larger than any valid call; nothing was queued.
        """
        if self._closed:
            raise ClientClosed
        self._sequence = message.sequence = self._sequence + 1
        part = frame_part(message)
        if len(part) > _LARGEST_CALL:
            raise error(Reason.INVALID_ARGUMENT, f"a call of {len(part)} bytes is larger than any valid one")
        loop = self._loop
        deadline = loop.time() + timeout if timeout is not inf else inf
        call = SessionCall(loop, self._sequence, part, deadline, urgent, owner)
        if wait:
            call.patience = PATIENCE_SECONDS + wait
        self._open[self._sequence] = call
        self._queue(call)
        if deadline < self._next_sweep or self._sweep is None:
            self._sweep_at(min(deadline, loop.time() + _SWEEP_SECONDS))
        return call

    def replace(self, call: SessionCall, message: pb.SessionCall) -> None:
        """Let a refused call go on with other content, for the same waiters. For `Owner.refused`."""
        self._sequence = call.sequence = message.sequence = self._sequence + 1
        call.part = frame_part(message)
        self._open[call.sequence] = call
        self._queue(call)

    def withdraw(self, call: SessionCall) -> None:
        """Forget a call; a late answer to it is ignored."""
        if call.place is not Place.ENDED:
            self._take_out(call)
            call.place = Place.ENDED
            call.owner = None

    def open_calls(self) -> list[SessionCall]:
        """Return what is not answered, oldest first."""
        return list(self._open.values())

    async def close(self) -> None:
        """Drop the stream. What is not answered fails with `ClientClosed`."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        if self._stream is not None:
            self._stream.cancel()
        self._runner.cancel()
        await asyncio.gather(self._runner, return_exceptions=True)
        self._stream = None
        for call in self.open_calls():
            self._take_out(call)
            call.fail(ClientClosed())

    # Queues

    def _queue(self, call: SessionCall) -> None:
        self._outbox.put(call)
        if self._idle_writer is not None:
            self._wake_if_room()

    def _wake_if_room(self) -> None:
        """Wake the writer if it has nothing to do and now could."""
        writer = self._idle_writer
        if writer is not None and self._outbox.has_frame():
            self._idle_writer = None
            if not writer.done():
                writer.set_result(None)

    def _take_out(self, call: SessionCall) -> None:
        """Remove a call from the books."""
        self._open.pop(call.sequence, None)
        self._outbox.left_flight(call)
        self._wake_if_room()

    async def _until_queued(self) -> None:
        while not self._outbox.has_frame():
            self._idle_writer = self._loop.create_future()
            await self._idle_writer

    # The stream

    async def _run(self) -> None:
        while True:
            await self._until_queued()
            try:
                failure = await self._serve_stream()
            except Exception as bug:  # noqa: BLE001 - logged; those who wait must not wait on a dead task
                _log.exception("the session's stream failed")
                failure = Internal(Reason.INTERNAL, describe(bug))
            self._stream = None
            self._take_back_sent()
            if failure is not None and failure.code in _HOPELESS:
                self._fail_all(failure)
                continue
            if self._open:
                self._report_broken(failure)
            self._failures += 1
            await asyncio.sleep(backoff_seconds(self._failures))

    async def _serve_stream(self) -> EarmarkError | None:
        """Send and receive on one stream until it ends; return why."""
        stream = self._stream = self._transport.open_session()
        writer = self._loop.create_task(self._write(stream), name="earmark-session-writer")
        try:
            while (frame := await stream.read()) is not _EOF:
                self._failures = 0
                assert isinstance(frame, pb.SessionResponse)
                self._dispatch(frame)
        except grpc.aio.AioRpcError as failure:
            return error_of_rpc(failure)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed or (task is not None and task.cancelling()):
                raise
            return CallTimedOut("DEADLINE_EXCEEDED", "the connection went silent and was given up")
        finally:
            writer.cancel()
            stream.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return None

    async def _write(self, stream: grpc.aio.StreamStreamCall[bytes, pb.SessionResponse]) -> None:
        try:
            # Before that nothing counts as sent: no server has seen it.
            await stream.wait_for_connection()
            while True:
                await self._until_queued()
                parts = self._outbox.next_frame(self._loop.time())
                if parts:
                    await stream.write(b"".join(parts))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # The stream is over; its reader learns why.
        except Exception:  # noqa: BLE001 - logged; the stream ends with it
            # The reader learns of it by the cancellation, and the calls go out again on a new stream.
            _log.exception("sending on the session's stream failed")
            stream.cancel()

    def _dispatch(self, frame: pb.SessionResponse) -> None:
        books, sent = self._open, Place.SENT
        for result in frame.results:
            sequence = result.sequence
            call = books.get(sequence)
            if call is None or call.place is not sent:
                continue  # It was withdrawn, timed out, or belongs to a stream that was given up.
            kind = result.WhichOneof("result")
            if kind == "status":
                self._refuse(call, error_of_status(result.status))
            elif kind is not None:
                del books[sequence]
                if not call.urgent:
                    self._outbox.left_flight(call)
                reply: Reply = getattr(result, kind)
                call.resolve(reply)
        self._wake_if_room()

    def _refuse(self, call: SessionCall, error: EarmarkError) -> None:
        if error.retryable:
            self._outbox.left_flight(call)
            call.place = Place.RESTING
            call.last_failure = error
            call.attempts += 1
            pause = backoff_seconds(call.attempts)
            if error.retry_after_micros is not None:
                pause = max(pause, error.retry_after_micros / 1e6)
            self._loop.call_later(pause, self._queue_again, call)
            return
        self._take_out(call)
        if call.owner is None or not call.owner.refused(error):
            call.fail(error)

    def _queue_again(self, call: SessionCall) -> None:
        if call.place is Place.RESTING and not self._closed:
            self._queue(call)

    def _take_back_sent(self) -> None:
        """Queue what was sent and not answered again, before everything newer."""
        self._outbox.take_back([call for call in self._open.values() if call.place is Place.SENT])

    def _fail_all(self, error: EarmarkError) -> None:
        _log.error("the server refuses this client: %s", error)
        for call in self.open_calls():
            self._take_out(call)
            call.fail(error)

    def _report_broken(self, failure: EarmarkError | None) -> None:
        for call in self._open.values():
            if failure is not None:
                call.last_failure = failure
        level = logging.WARNING if self._failures == 0 else logging.DEBUG
        why = failure if failure is not None else "the server ended the stream"
        _log.log(level, "lost the connection (%s); %d unanswered calls will be repeated", why, len(self._open))

    # Deadlines

    def _sweep_at(self, moment: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._next_sweep = moment
        self._sweep = self._loop.call_at(moment, self._sweep_now)

    def _sweep_now(self) -> None:
        """Fail what is past its deadline, and give up a connection that has gone silent."""
        now = self._loop.time()
        silent = False
        self._sweep, self._next_sweep = None, inf
        next_deadline = inf
        for call in self.open_calls():
            if call.deadline <= now:
                self._take_out(call)
                call.fail(_timed_out(call))
                continue
            next_deadline = min(next_deadline, call.deadline)
            silent = silent or (call.place is Place.SENT and now - call.sent_at > call.patience)
        if silent and self._stream is not None:
            self._transport.renew()
            self._stream.cancel()
        if self._open:
            self._sweep_at(min(next_deadline, now + _SWEEP_SECONDS))


def _timed_out(call: SessionCall) -> CallTimedOut:
    why = f": {call.last_failure}" if call.last_failure is not None else ""
    metadata = call.last_failure.metadata if call.last_failure is not None else {}
    return CallTimedOut("DEADLINE_EXCEEDED", f"no definitive answer in time{why}", metadata)
