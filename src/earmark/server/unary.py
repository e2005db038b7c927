"""What every unary handler does around its own work: count, translate errors, never leak a traceback."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

import grpc
import structlog

from earmark.engine.operations import AccountOperation
from earmark.engine.ports import Metering
from earmark.engine.results import Refused, Result
from earmark.errors import EarmarkError, Internal, Reason
from earmark.server.admission import Admission
from earmark.server.status import DETAILS_KEY, refusal_error, status_of

__all__ = ["Context", "execute", "fail", "stream", "unary", "unexpected"]

_log = structlog.get_logger(__name__)

_CODES = {code.name: code for code in grpc.StatusCode}


class Context(Protocol):
    """What the servicers use of `grpc.aio.ServicerContext`, which carries no annotations."""

    async def abort(
        self, code: grpc.StatusCode, details: str = ..., trailing_metadata: Sequence[tuple[str, str | bytes]] = ...
    ) -> NoReturn:
        """End the call with an error, by raising."""
        ...

    async def read(self) -> Any:
        """Return the next message of the client, or `EOF`."""
        ...

    async def write(self, message: Any) -> None:
        """Send a message; wait while the client does not read."""
        ...


class Counted(Protocol):
    """A servicer with a door."""

    admission: Admission
    needs_store: bool
    """Whether its calls need Redis."""


S = TypeVar("S", bound=Counted)
Q = TypeVar("Q")
A = TypeVar("A")


def unexpected(failure: Exception, rpc: str) -> EarmarkError:
    """Log what should not have happened and return the error that the caller may see."""
    _log.error("a call failed unexpectedly", rpc=rpc, exc_info=failure)
    return Internal(Reason.INTERNAL, "the server failed on this call; its log says how")


async def fail(context: Context, failure: EarmarkError) -> NoReturn:
    """End a call with an error: code and message in the status, the details in its trailing metadata."""
    status = status_of(failure)
    await context.abort(_CODES[failure.code], status.message, ((DETAILS_KEY, status.SerializeToString()),))


def unary(method: Callable[[S, Q, Context], Awaitable[A]]) -> Callable[[S, Q, Context], Awaitable[A]]:
    """Wrap a unary handler: its `EarmarkError` becomes a status, everything else INTERNAL with a line in the log."""
    rpc = method.__name__

    @functools.wraps(method)
    async def handler(servicer: S, request: Q, context: Context) -> A:
        admission = servicer.admission
        answered = admission.counts.answered
        admission.calls += 1
        try:
            response = await method(servicer, request, context)
            answered[rpc, "OK"] += 1
            return response
        except EarmarkError as refused:
            failure = admission.precede(refused) if servicer.needs_store else refused
            answered[rpc, failure.reason] += 1
            await fail(context, failure)
        except Exception as bug:  # noqa: BLE001 - the boundary: a bug ends one call, not the server
            answered[rpc, Reason.INTERNAL] += 1
            await fail(context, unexpected(bug, rpc))
        finally:
            admission.calls -= 1

    return handler


def stream(method: Callable[[S, Q, Context], AsyncIterator[A]]) -> Callable[[S, Q, Context], AsyncIterator[A]]:
    """Wrap a handler that answers with a stream. It does not hold up a drain: nothing is settled by it."""

    @functools.wraps(method)
    async def handler(servicer: S, request: Q, context: Context) -> AsyncIterator[A]:
        try:
            async for message in method(servicer, request, context):
                yield message
        except EarmarkError as failure:
            await fail(context, failure)
        except Exception as failure:  # noqa: BLE001 - the boundary, as above
            await fail(context, unexpected(failure, method.__name__))

    return handler


async def execute(engine: Metering, operation: AccountOperation) -> Result:
    """Execute an operation for a unary call. Its cancellation gives a place in a queue back.

    Raises:
        EarmarkError: the engine's, or that of a refusal.
    """
    result = await engine.execute(operation)
    if isinstance(result, Refused):
        raise refusal_error(result, operation)
    return result
