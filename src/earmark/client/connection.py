"""The connection to the sidecar: channel, credentials, unary calls that are repeated until their deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from earmark.client.backoff import backoff_seconds
from earmark.client.failures import CallTimedOut, ClientClosed, error_of_rpc
from earmark.errors import EarmarkError, Unavailable
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["Connection"]

_SESSION: Final = "/earmark.v1.MeteringService/Session"
_ATTEMPT_SECONDS: Final = 5.0
_OLD_CHANNEL_GRACE_SECONDS: Final = 5.0

_OPTIONS: Final = (
    # A sidecar that restarts is back within a second: gRPC's own back-off would grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Channels with equal options share connections otherwise, and a renewed one would be given the dead one.
    ("grpc.use_local_subchannel_pool", 1),
    # Finds out that a watched balance hangs on a dead connection. Servers refuse pings more often than every 5 minutes.
    ("grpc.keepalive_time_ms", 360_000),
    # A sidecar is near; a proxy of the environment would not reach it.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)

_Response = TypeVar("_Response", bound=Message)
_Response_co = TypeVar("_Response_co", bound=Message, covariant=True)


class _ResponseType(Protocol[_Response_co]):
    def FromString(self, s: bytes) -> _Response_co: ...  # noqa: N802 - protobuf's name


class Connection:
    """One gRPC channel at a time to one address. Belongs to one event loop.

    Args:
        address: "host:port", or "unix:PATH".
        api_key: sent as `authorization: Bearer KEY`.
        credentials: for TLS; without them the connection is plain.
    """

    def __init__(self, address: str, *, api_key: str | None, credentials: grpc.ChannelCredentials | None) -> None:
        self._address = address
        self._credentials = credentials
        self._metadata = (("authorization", f"Bearer {api_key}"),) if api_key is not None else ()
        self._channel = self._new_channel()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def _new_channel(self) -> grpc.aio.Channel:
        if self._credentials is not None:
            return grpc.aio.secure_channel(self._address, self._credentials, options=_OPTIONS)
        return grpc.aio.insecure_channel(self._address, options=_OPTIONS)

    def open_session(self) -> grpc.aio.StreamStreamCall[bytes, pb.SessionResponse]:
        """Start a session stream that takes serialized frames."""
        method = self._channel.stream_stream(
            _SESSION, request_serializer=None, response_deserializer=pb.SessionResponse.FromString
        )
        stream: grpc.aio.StreamStreamCall[bytes, pb.SessionResponse] = method(None, metadata=self._metadata)
        return stream

    def renew(self) -> None:
        """Replace the channel: its connection went silent. Calls under way on the old one get a moment to end."""
        old, self._channel = self._channel, self._new_channel()
        task = asyncio.get_running_loop().create_task(old.close(_OLD_CHANNEL_GRACE_SECONDS))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def unary(
        self, method: str, request: Message, response_type: _ResponseType[_Response], *, timeout: float
    ) -> _Response:
        """Call an RPC; after UNAVAILABLE, DEADLINE_EXCEEDED or CANCELLED repeat the same request until `timeout`.

        Args:
            method: "MeteringService/GetBalance".
            request: the message.
            response_type: the class of the answer.
            timeout: seconds, all attempts together.

        Raises:
            EarmarkError: the server's refusal; `CallTimedOut` without a definitive answer in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        attempt = 0
        while True:
            if self._closed:
                raise ClientClosed
            rpc = self._channel.unary_unary(
                f"/earmark.v1.{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=response_type.FromString,
            )
            remaining = max(deadline - loop.time(), 0.001)
            try:
                response: _Response = await rpc(
                    request, timeout=min(remaining, _ATTEMPT_SECONDS), metadata=self._metadata
                )
            except grpc.aio.AioRpcError as rpc_error:
                failure: EarmarkError = error_of_rpc(rpc_error)
            except asyncio.CancelledError:
                # gRPC raises this also when its channel was closed under the call, which cancels nobody.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                failure = Unavailable("CANCELLED", "the connection was closed")
            else:
                return response
            if not failure.retryable:
                raise failure
            attempt += 1
            pause = max(backoff_seconds(attempt), (failure.retry_after_micros or 0) / 1e6)
            if loop.time() + pause >= deadline:
                raise CallTimedOut(
                    "DEADLINE_EXCEEDED", f"no definitive answer in {timeout:g} s: {failure}", failure.metadata
                )
            await asyncio.sleep(pause)

    async def stream(
        self, method: str, request: Message, response_type: _ResponseType[_Response]
    ) -> AsyncIterator[_Response]:
        """Read a stream of responses until it ends.

        Raises:
            EarmarkError: the server's refusal, or the loss of the connection.
        """
        rpc = self._channel.unary_stream(
            f"/earmark.v1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_type.FromString,
        )
        call = rpc(request, metadata=self._metadata)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as rpc_error:
            raise error_of_rpc(rpc_error) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise Unavailable("CANCELLED", "the connection was closed") from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel and what is left of older ones."""
        self._closed = True
        await self._channel.close(None)
        for task in list(self._closing):
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
