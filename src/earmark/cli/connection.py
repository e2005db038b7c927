"""A synchronous connection to a sidecar, and how its refusals become `earmark.errors`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self

from earmark.cli.options import DEFAULT_ADDRESS, Address, ApiKey, Timeout
from earmark.cli.signatures import replace_parameter
from earmark.errors import EarmarkError, Reason, Unavailable, error_class_for

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

__all__ = ["Connection", "connected", "connected_for", "error_of"]

P = ParamSpec("P")

_DETAILS_KEY = "grpc-status-details-bin"
# These say that nothing was done, and that it passes.
_WORTH_A_REPEAT = frozenset({Reason.RECOVERING, Reason.OVERLOADED})
_PAUSE_SECONDS = 0.2
# A store that only stumbled is back by then; one that is away is said within half a second.
_ATTEMPTS_AT_A_STORE = 3


class Connection:
    """One channel to one sidecar. A context manager: leaving it closes the channel."""

    def __init__(self, address: str, api_key: str | None, timeout_seconds: float) -> None:
        import grpc

        self.address = address
        self.timeout_seconds = timeout_seconds
        self._metadata = (("authorization", f"Bearer {api_key}"),) if api_key else ()
        # A sidecar stands beside its caller: no proxy of the environment belongs between them.
        self._channel = grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    @functools.cached_property
    def accounts(self) -> Any:
        """The stub of `AccountService`."""
        from earmark.v1.account_service_pb2_grpc import AccountServiceStub

        return AccountServiceStub(self._channel)  # type: ignore[no-untyped-call]

    @functools.cached_property
    def metering(self) -> Any:
        """The stub of `MeteringService`."""
        from earmark.v1.metering_service_pb2_grpc import MeteringServiceStub

        return MeteringServiceStub(self._channel)  # type: ignore[no-untyped-call]

    @functools.cached_property
    def ledger(self) -> Any:
        """The stub of `LedgerService`."""
        from earmark.v1.ledger_service_pb2_grpc import LedgerServiceStub

        return LedgerServiceStub(self._channel)  # type: ignore[no-untyped-call]

    @functools.cached_property
    def catalogs(self) -> Any:
        """The stub of `CatalogService`."""
        from earmark.v1.catalog_service_pb2_grpc import CatalogServiceStub

        return CatalogServiceStub(self._channel)  # type: ignore[no-untyped-call]

    @functools.cached_property
    def billing(self) -> Any:
        """The stub of `BillingService`."""
        from earmark.v1.billing_service_pb2_grpc import BillingServiceStub

        return BillingServiceStub(self._channel)  # type: ignore[no-untyped-call]

    @functools.cached_property
    def administration(self) -> Any:
        """The stub of `AdminService`."""
        from earmark.v1.admin_service_pb2_grpc import AdminServiceStub

        return AdminServiceStub(self._channel)  # type: ignore[no-untyped-call]

    @functools.cached_property
    def health(self) -> Any:
        """The stub of `grpc.health.v1.Health`."""
        from grpc_health.v1.health_pb2_grpc import HealthStub

        return HealthStub(self._channel)

    def call(self, method: Any, request: Message) -> Any:
        """Call a method, unchanged again while the server recovers or is overloaded and there is time left.

        Also a few times more while its store does not answer: the request's ids make that safe.

        Raises:
            EarmarkError: the server's refusal; `Unavailable` if nobody answers in time.
        """
        import grpc

        deadline = time.monotonic() + self.timeout_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                return method(request, timeout=max(deadline - time.monotonic(), 0.001), metadata=self._metadata)
            except grpc.RpcError as problem:
                error = error_of(problem, self.address, self.timeout_seconds)
            pause = max(_PAUSE_SECONDS, (error.retry_after_micros or 0) / 1e6)
            stumbled = error.reason == Reason.STORE_UNAVAILABLE and attempt < _ATTEMPTS_AT_A_STORE
            if not (stumbled or error.reason in _WORTH_A_REPEAT) or time.monotonic() + pause >= deadline:
                raise _with_hint(error, request)
            time.sleep(pause)

    def stream(self, method: Any, request: Message) -> Iterator[Any]:
        """Call a method that answers with a stream; the time-out is that of the whole stream.

        Raises:
            EarmarkError: as `call`.
        """
        import grpc

        call = method(request, timeout=self.timeout_seconds, metadata=self._metadata)
        try:
            yield from call
        except grpc.RpcError as problem:
            raise error_of(problem, self.address, self.timeout_seconds) from None
        finally:
            call.cancel()


def _with_hint(error: EarmarkError, request: Message) -> EarmarkError:
    """Tell how to repeat a change whose fate is unknown."""
    request_id = getattr(request, "request_id", "")
    if error.retryable and request_id and error.reason != "UNREACHABLE":
        error.message = (
            f"{error.message}; whether the change was made is unknown: repeat it with --request-id {request_id}"
        )
    return error


def error_of(problem: grpc.RpcError, address: str, timeout_seconds: float) -> EarmarkError:
    """Return the error that a failed call carries; of gRPC's own code where the server gave no reason."""
    import grpc

    error = _error_of_details(problem)
    if error is not None:
        return error
    code, details = problem.code(), problem.details() or ""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            cause = details.rpartition(": ")[2].partition(" (")[0].rstrip("]")
            reason = "UNREACHABLE" if "failed to connect" in details or "DNS" in details else "UNAVAILABLE"
            return Unavailable(
                reason,
                f"no sidecar answers at {address} ({cause}): start one with `earmark serve`, or name it with --address",
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return Unavailable("DEADLINE_EXCEEDED", f"{address} did not answer within {timeout_seconds:g} s")
        case grpc.StatusCode.UNIMPLEMENTED:
            message = f"{address} does not know this call: it runs another release, or is no Earmark sidecar"
        case _:
            message = f"{address}: {details or code.name}"
    return error_class_for(code.name, code.name)(code.name, message)


def _error_of_details(problem: grpc.RpcError) -> EarmarkError | None:
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status

    from earmark.client.failures import error_of_status

    for key, value in _trailers(problem):
        if key == _DETAILS_KEY:
            try:
                return error_of_status(Status.FromString(value))
            except DecodeError:
                return None
    return None


def _trailers(problem: grpc.RpcError) -> Iterable[tuple[str, bytes]]:
    trailers: Any = problem.trailing_metadata()
    return trailers or ()


def connected(command: Callable[Concatenate[Connection, P], None]) -> Callable[P, None]:
    """Give a command `--address`, `--api-key` and `--timeout`, and the open connection as its first argument."""
    return connected_for(10.0)(command)


def connected_for(
    timeout_seconds: float,
) -> Callable[[Callable[Concatenate[Connection, P], None]], Callable[P, None]]:
    """As `connected`, with another default for `--timeout`."""
    added = {"address": (Address, DEFAULT_ADDRESS), "api_key": (ApiKey, None), "timeout": (Timeout, timeout_seconds)}

    def decorate(command: Callable[Concatenate[Connection, P], None]) -> Callable[P, None]:
        @functools.wraps(command)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            address, api_key, timeout = (kwargs.pop(name) for name in added)
            with Connection(address, api_key, timeout) as connection:  # type: ignore[arg-type]
                command(connection, *args, **kwargs)

        replace_parameter(run, command, "connection", added)
        return run

    return decorate
