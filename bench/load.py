"""The load of `throughput.py`: workers in a closed loop, in a client process of their own.

Three ways to the sidecar: `client`, the Python client with a hold for each generation, as a Python worker has it;
`session`, the same RPC without the client around it, as lean as a load generator can be; `unary`, an RPC each.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from array import array
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import uvloop
from google.protobuf.message import Message

from earmark import AsyncClient
from earmark.client.calls import FRAME_CALLS
from earmark.credits import format_credits
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1.metering_service_pb2_grpc import MeteringServiceStub

__all__ = ["CHARGED_MICROS", "MODES", "Load", "Outcome", "run_load"]

MODES = ("session", "client", "unary")
RESERVED_MICROS = 50_000
CHARGED_MICROS = 38_000
OPERATION = "image.generate"
REPEATABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
REPEATABLE_NUMBERS = frozenset(code.value[0] for code in REPEATABLE)
REPEAT_SECONDS = 0.02


@dataclass(frozen=True)
class Load:
    """What one client process does."""

    address: str
    mode: str
    workers: int
    accounts: tuple[str, ...]
    start: float
    """When measuring starts, on the monotonic clock of the machine."""
    end: float


@dataclass
class Outcome:
    """What one client process counted."""

    measured_pairs: int = 0
    cpu_seconds: float = 0.0
    reserve_seconds: array[float] = field(default_factory=lambda: array("d"))
    commit_seconds: array[float] = field(default_factory=lambda: array("d"))
    pairs_of_account: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    """Calls that were repeated for want of a definitive answer; `AsyncClient` repeats without counting."""

    def add(self, load: Load, account: str, began: float, reserved: float, committed: float) -> None:
        """Count a pair; the moments are on the monotonic clock."""
        self.pairs_of_account[account] += 1
        if began >= load.start and committed <= load.end:
            self.measured_pairs += 1
            self.reserve_seconds.append(reserved - began)
            self.commit_seconds.append(committed - reserved)


def run_load(load: Load) -> Outcome:
    """Drive the sidecar until the end of the load."""
    return uvloop.run(_drive(load))


async def _drive(load: Load) -> Outcome:
    outcome = Outcome()
    cpu: list[float] = []
    loop = asyncio.get_running_loop()
    now = time.monotonic()
    for moment in (load.start, load.end):
        loop.call_later(moment - now, lambda: cpu.append(time.process_time()))
    match load.mode:
        case "client":
            async with AsyncClient(load.address, max_in_flight=max(1024, load.workers)) as client:
                await _drive_workers(load, outcome, _client_pair(client))
        case "session":
            async with grpc.aio.insecure_channel(load.address) as channel:
                await _SessionLoad(load, outcome, channel).drive()
        case "unary":
            async with grpc.aio.insecure_channel(load.address) as channel:
                stub = MeteringServiceStub(channel)  # type: ignore[no-untyped-call]
                await _drive_workers(load, outcome, _unary_pair(stub, outcome))
        case unknown:
            raise ValueError(unknown)
    await asyncio.sleep(max(load.end - time.monotonic(), 0) + 0.01)
    outcome.cpu_seconds = cpu[1] - cpu[0]
    return outcome


# A coroutine for each worker

Pair = Callable[[str], Awaitable[float]]
"""Reserves and commits on an account; returns when the reservation was there."""


async def _drive_workers(load: Load, outcome: Outcome, pair: Pair) -> None:
    async def work(number: int) -> None:
        turn = number
        while (began := time.monotonic()) < load.end:
            account = load.accounts[turn % len(load.accounts)]
            turn += load.workers
            reserved = await pair(account)
            outcome.add(load, account, began, reserved, time.monotonic())

    await asyncio.gather(*(work(number) for number in range(load.workers)))


def _client_pair(client: AsyncClient) -> Pair:
    amount, actual = format_credits(RESERVED_MICROS), format_credits(CHARGED_MICROS)

    async def pair(account: str) -> float:
        async with client.reserve(account, amount=amount, operation=OPERATION) as hold:
            reserved = time.monotonic()
            hold.commit(amount=actual)
        return reserved

    return pair


def _unary_pair(stub: MeteringServiceStub, outcome: Outcome) -> Pair:
    prefix, number = os.urandom(8).hex(), 0

    async def call(method: Any, request: Message) -> Any:
        """Call until the answer is definitive: the rule for every client."""
        while True:
            try:
                return await method(request, timeout=10)
            except grpc.aio.AioRpcError as failure:
                if failure.code() not in REPEATABLE:
                    raise
                outcome.repeats += 1
                await asyncio.sleep(REPEAT_SECONDS)

    async def pair(account: str) -> float:
        nonlocal number
        number += 1
        reserve = pb.ReserveRequest(
            account_id=account, request_id=f"{prefix}-{number}", amount_micros=RESERVED_MICROS, operation=OPERATION
        )
        answer = await call(stub.Reserve, reserve)
        reserved = time.monotonic()
        commit = pb.CommitRequest(reservation_id=answer.reservation.reservation_id, amount_micros=CHARGED_MICROS)
        await call(stub.Commit, commit)
        return reserved

    return pair


# The bare stream


@dataclass(slots=True)
class _Worker:
    """Where a worker of the bare stream stands. Its number is the sequence of its call: it has one at a time."""

    number: int
    turn: int
    account: str = ""
    request_id: str = ""
    reservation_id: str = ""
    """Empty while it reserves."""
    began: float = 0.0
    reserved: float = 0.0


class _SessionLoad:
    """All workers on one stream: each answer puts the worker's next call into the next frame."""

    def __init__(self, load: Load, outcome: Outcome, channel: grpc.aio.Channel) -> None:
        self._load = load
        self._outcome = outcome
        self._stream = MeteringServiceStub(channel).Session()  # type: ignore[no-untyped-call]
        self._prefix = os.urandom(8).hex()
        self._pairs = 0
        self._workers = [_Worker(number, number) for number in range(load.workers)]
        self._working = load.workers
        self._ready: deque[_Worker] = deque()
        """Those whose call is to be sent."""
        self._wake = asyncio.Event()

    async def drive(self) -> None:
        """Work until the load ends and every pair is whole."""
        for worker in self._workers:
            self._begin(worker)
        writer = asyncio.create_task(self._write())
        writer.add_done_callback(lambda _: self._stream.cancel())  # What it dies of ends the reader too, and is raised.
        try:
            while self._working:
                frame = await self._stream.read()
                if frame is grpc.aio.EOF:
                    raise ConnectionError("the sidecar ended the stream")
                for result in frame.results:
                    self._answered(self._workers[result.sequence], result)
                self._wake.set()
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    async def _write(self) -> None:
        while True:
            while self._ready:
                await self._stream.write(self._next_frame())
            self._wake.clear()
            await self._wake.wait()

    def _next_frame(self) -> pb.SessionRequest:
        frame = pb.SessionRequest()
        for _ in range(min(FRAME_CALLS, len(self._ready))):
            worker = self._ready.popleft()
            call = frame.calls.add(sequence=worker.number)
            if worker.reservation_id:
                commit = call.commit
                commit.reservation_id = worker.reservation_id
                commit.amount_micros = CHARGED_MICROS
            else:
                reserve = call.reserve
                reserve.account_id = worker.account
                reserve.request_id = worker.request_id
                reserve.amount_micros = RESERVED_MICROS
                reserve.operation = OPERATION
        return frame

    def _begin(self, worker: _Worker) -> None:
        worker.began = time.monotonic()
        if worker.began >= self._load.end:
            self._working -= 1
            return
        worker.account = self._load.accounts[worker.turn % len(self._load.accounts)]
        worker.turn += self._load.workers
        self._pairs += 1
        worker.request_id = f"{self._prefix}-{self._pairs}"
        worker.reservation_id = ""
        self._ready.append(worker)

    def _answered(self, worker: _Worker, result: pb.SessionResult) -> None:
        kind = result.WhichOneof("result")
        if kind == "reserve":
            worker.reserved = time.monotonic()
            worker.reservation_id = result.reserve.reservation.reservation_id
            self._ready.append(worker)
        elif kind == "commit":
            self._outcome.add(self._load, worker.account, worker.began, worker.reserved, time.monotonic())
            self._begin(worker)
        elif result.status.code in REPEATABLE_NUMBERS:
            self._outcome.repeats += 1
            asyncio.get_running_loop().call_later(REPEAT_SECONDS, self._repeat, worker)
        else:
            raise RuntimeError(f"{worker.account}: {result.status.message}")

    def _repeat(self, worker: _Worker) -> None:
        self._ready.append(worker)
        self._wake.set()
