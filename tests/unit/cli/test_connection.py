"""How a server's refusals become errors, exit statuses and one line: against a server that only refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from itertools import chain, repeat
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from earmark.cli.connection import Connection
from earmark.cli.exits import ExitStatus
from earmark.errors import InsufficientCredits, InvalidRequest, NotFound, Reason, Unavailable
from earmark.v1 import account_service_pb2 as pb
from tests.unit.cli.conftest import Ran


class Refusing(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Answers every call with the next refusal; counts, and keeps what it was sent."""

    def __init__(self) -> None:
        self.refusals: Iterator[status_pb2.Status | None] = repeat(None)
        self.calls = 0
        self.metadata: dict[str, Any] = {}
        self.bodies: list[bytes] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        del handler_call_details  # Whatever is called.
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls += 1
        self.bodies.append(request)
        self.metadata = dict(context.invocation_metadata())
        refusal = next(self.refusals)
        if refusal is not None:
            context.abort_with_status(rpc_status.to_status(refusal))
        return b""


def refusal(code: grpc.StatusCode, reason: str, message: str, *details: Message, **metadata: str) -> status_pb2.Status:
    info = error_details_pb2.ErrorInfo(domain="earmark", reason=reason, metadata=metadata)
    packed = []
    for detail in (info, *details):
        into = AnyMessage()
        into.Pack(detail)
        packed.append(into)
    number, _ = code.value
    return status_pb2.Status(code=number, message=message, details=packed)


@pytest.fixture
def server() -> Iterator[tuple[Refusing, str]]:
    handler = Refusing()
    running = grpc.server(futures.ThreadPoolExecutor(2), handlers=[handler])
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield handler, f"127.0.0.1:{port}"
    running.stop(None).wait()


def get_account(address: str, timeout: float = 5.0, api_key: str | None = None) -> Any:
    with Connection(address, api_key, timeout) as connection:
        return connection.call(connection.accounts.GetAccount, pb.GetAccountRequest(account_id="acme"))


def test_a_refusal_keeps_reason_metadata_and_field(server: tuple[Refusing, str]) -> None:
    handler, address = server
    short = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "INSUFFICIENT_CREDITS", "too little", shortfall_micros="7")
    field = error_details_pb2.BadRequest(field_violations=[{"field": "account_id", "description": "x"}])
    form = refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "wrong", field)
    handler.refusals = iter([short, form])
    with pytest.raises(InsufficientCredits) as first:
        get_account(address)
    assert first.value.metadata == {"shortfall_micros": "7"}
    with pytest.raises(InvalidRequest) as second:
        get_account(address)
    assert second.value.field == "account_id"


def test_a_reason_of_a_newer_server_keeps_its_class(server: tuple[Refusing, str]) -> None:
    handler, address = server
    handler.refusals = repeat(refusal(grpc.StatusCode.NOT_FOUND, "UNICORN_NOT_FOUND", "no unicorn"))
    with pytest.raises(NotFound) as caught:
        get_account(address)
    assert caught.value.reason == "UNICORN_NOT_FOUND"


def test_the_key_travels_as_a_bearer(server: tuple[Refusing, str]) -> None:
    handler, address = server
    get_account(address, api_key="k1")
    assert handler.metadata["authorization"] == "Bearer k1"


def test_a_recovering_server_is_asked_again(server: tuple[Refusing, str]) -> None:
    handler, address = server
    recovering = refusal(grpc.StatusCode.UNAVAILABLE, "RECOVERING", "a moment")
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=1_000_000))
    overloaded = refusal(grpc.StatusCode.UNAVAILABLE, "OVERLOADED", "a moment", retry)
    handler.refusals = chain([recovering, overloaded], repeat(None))
    get_account(address)
    assert handler.calls == 3
    assert len(set(handler.bodies)) == 1


def test_a_store_that_stumbled_is_asked_again(server: tuple[Refusing, str]) -> None:
    handler, address = server
    away = refusal(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "no answer in time")
    handler.refusals = chain([away], repeat(None))
    get_account(address)
    assert handler.calls == 2
    assert len(set(handler.bodies)) == 1


def test_a_store_that_is_away_is_said_soon(server: tuple[Refusing, str]) -> None:
    handler, address = server
    handler.refusals = repeat(refusal(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "Redis is away"))
    with pytest.raises(Unavailable) as caught:
        get_account(address)
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert handler.calls == 3


def test_repeats_end_with_the_timeout(server: tuple[Refusing, str]) -> None:
    handler, address = server
    handler.refusals = repeat(refusal(grpc.StatusCode.UNAVAILABLE, "RECOVERING", "a moment"))
    with pytest.raises(Unavailable):
        get_account(address, timeout=0.5)
    assert 1 < handler.calls <= 4


def test_a_refusal_is_one_line_with_its_reason(run: Callable[..., Ran], server: tuple[Refusing, str]) -> None:
    handler, address = server
    handler.refusals = repeat(refusal(grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND", "there is no account\n'x'"))
    ran = run("account", "show", "x", "--address", address)
    assert ran.status == ExitStatus.REFUSED
    assert ran.error == "earmark: there is no account 'x' (ACCOUNT_NOT_FOUND)"


def test_a_change_of_unknown_fate_names_its_request_id(run: Callable[..., Ran], server: tuple[Refusing, str]) -> None:
    handler, address = server
    handler.refusals = repeat(refusal(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "Redis is away"))
    ran = run("account", "grant", "acme", "5", "--address", address)
    assert ran.status == ExitStatus.UNAVAILABLE
    sent = pb.CreateGrantRequest.FromString(handler.bodies[0])
    assert f"--request-id {sent.request_id}" in ran.error


def test_an_account_without_its_grant_says_how_to_go_on(run: Callable[..., Ran], server: tuple[Refusing, str]) -> None:
    handler, address = server
    handler.refusals = iter([None, refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_AMOUNT", "too much")])
    ran = run("account", "create", "acme", "--grant", "5", "--request-id", "mine", "--address", address)
    assert ran.status == ExitStatus.REFUSED
    assert "--request-id mine" in ran.error
    created = pb.CreateAccountRequest.FromString(handler.bodies[0])
    granted = pb.CreateGrantRequest.FromString(handler.bodies[1])
    assert (created.request_id, granted.request_id) == ("mine", "mine/grant")
    assert granted.amount_micros == 5_000_000


def test_something_else_on_the_port(run: Callable[..., Ran]) -> None:
    running = grpc.server(futures.ThreadPoolExecutor(1))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    try:
        ran = run("account", "show", "x", "--address", f"127.0.0.1:{port}")
    finally:
        running.stop(None).wait()
    assert ran.status == ExitStatus.REFUSED
    assert "no Earmark sidecar" in ran.error
