"""The Redis store: sends batches to partitions behind the fence, and reads the streams.

A partition is *admitted* when its meta key carries the run id of the server behind the link and is not behind what SQL
flushed or this process saw (architecture.md, decision 4). Only then its epoch is known and batches can be sent;
whatever breaks the fence (a lost link, another run id, another epoch, a missing meta key) withdraws the admission.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import hiredis
import msgspec
import structlog

from earmark.domain.catalog import DEFAULT_HORIZON
from earmark.engine.operations import ABSENT, AnyOperation
from earmark.engine.records import STREAM_FIELD, StreamElement, decode_element
from earmark.engine.redis.keys import PartitionKeys, partition_keys
from earmark.engine.redis.link import RedisLink, ReplyCallback, unavailable
from earmark.engine.redis.scripts import batch_library, partition_script
from earmark.engine.results import BatchReply
from earmark.errors import EarmarkError, Reason, Unavailable

__all__ = ["FORMAT", "Admission", "PartitionMeta", "RedisStore", "StoreOptions", "recovering"]

FORMAT = 1
"""Of records, stream elements and script results. A store with a higher one is refused."""

_SERVED, _MUST_RECOVER, _OTHER_EPOCH = 0, 1, 2

_log = structlog.get_logger("earmark.store")


def recovering(partition: int) -> Unavailable:
    """Return the error of a call on a partition that is not admitted yet."""
    return Unavailable(
        Reason.RECOVERING,
        "the credit store is being brought up to date: repeat the call with the same ids",
        {"partition": partition},
    )


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What every batch carries. Durations in microseconds."""

    replay_window: int = 3_600_000_000
    horizon: int = DEFAULT_HORIZON
    """Within this credits count as expiring soon, until `set_policy` says otherwise."""
    key_prefix: str = "em"


@dataclass(frozen=True, slots=True)
class _Policy:
    """What a catalog says of every account: see `RedisStore.set_policy`."""

    horizon: int
    low_balance: int = ABSENT
    critical_balance: int = ABSENT


@dataclass(frozen=True, slots=True)
class PartitionMeta:
    """A partition's meta key as Redis has it."""

    epoch: int
    run_id: str
    store_id: str
    seq: int
    flushed: int
    format: int
    lookup_until: int
    """Until then, ids that Redis does not know are looked up in SQL (after a recovery in which Redis was behind)."""
    behind: bool
    """A recovery found the partition behind SQL and has not finished yet."""


class Admission(Enum):
    """What an attempt to admit a partition found."""

    ADMITTED = "admitted"
    MUST_RECOVER = "must recover"


@dataclass(slots=True)
class _Partition:
    number: int
    keys: PartitionKeys
    command: tuple[bytes, ...]
    """FCALL, function, number of keys, keys: the part of a call that never changes."""
    epoch: int | None = None
    seen_seq: int = 0
    lookup_until: int = 0


class RedisStore:
    """Executes operations in Redis. One per process; used from one event loop."""

    def __init__(self, url: str, store_id: str, partitions: int, options: StoreOptions | None = None) -> None:
        self.options = options or StoreOptions()
        self._policy = _Policy(self.options.horizon)
        self._clock_base, self._clock_read, self._clock_said = 0, time.monotonic(), 0
        self.store_id = store_id
        self.url = url
        self._link: RedisLink | None = None
        self._closed = False
        self._connecting: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._decoder = msgspec.msgpack.Decoder(BatchReply)
        self._encoder = msgspec.msgpack.Encoder()
        self.on_withdrawn: Callable[[int], None] = lambda _: None
        """Called with a partition's number when its admission is withdrawn."""
        self.on_connected: Callable[[], None] = lambda: None
        """Called when a connection is there (again)."""
        self._partitions = [self._new_partition(number) for number in range(partitions)]

    def _new_partition(self, number: int) -> _Partition:
        keys = partition_keys(number, self.options.key_prefix)
        names = tuple(key.encode() for key in keys.all())
        command = (b"FCALL", batch_library().function, str(len(names)).encode(), *names)
        return _Partition(number, keys, command)

    # Connection

    @property
    def partitions(self) -> int:
        """How many partitions the store has."""
        return len(self._partitions)

    @property
    def channels(self) -> str:
        """The pattern that matches the channels of all partitions."""
        return f"{self.options.key_prefix}:{{*}}:changes"

    @property
    def connected(self) -> bool:
        """Whether calls can be sent now."""
        return self._link is not None and self._link.alive

    async def open(self) -> None:
        """Connect, and stay connected until `close`.

        Raises:
            Unavailable: Redis cannot be reached now.
        """
        await self._connect()
        await self._read_clock()

    async def close(self) -> None:
        """Close the connection; calls in flight get `Unavailable`."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting
        if self._link is not None:
            self._link.close()

    async def wait_connected(self) -> None:
        """Wait until Redis can be reached."""
        await self._connected.wait()

    async def _connect(self) -> None:
        self._link = await RedisLink.connect(self.url, self._on_lost)
        self._connected.set()
        self.on_connected()

    def _on_lost(self, link: RedisLink) -> None:
        if link is not self._link:
            return
        self._link = None
        self._connected.clear()
        if not self._closed:
            for partition in self._partitions:
                self._withdraw(partition)
            self._connecting = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        delay = 0.01
        while not self._closed:
            try:
                await self._connect()
                _log.info("store connected again")
                return
            except EarmarkError as failure:
                _log.debug("store still away", cause=failure.message)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 0.5)

    def _require_link(self) -> RedisLink:
        link = self._link
        if link is None or not link.alive:
            raise unavailable("no connection")
        return link

    @property
    def run_id(self) -> str:
        """The run id of the Redis server behind the connection.

        Raises:
            Unavailable: there is no connection.
        """
        return self._require_link().run_id

    async def command(self, *command: str | bytes) -> Any:
        """Send any command on the store's connection; for jobs and tools.

        Raises:
            Unavailable: there is no connection, or Redis answered with an error.
        """
        try:
            return await self._require_link().command(*command)
        except hiredis.ReplyError as failure:
            raise unavailable(str(failure)) from failure

    # Policy and clock

    def set_policy(self, *, horizon: int, low_balance: int = ABSENT, critical_balance: int = ABSENT) -> None:
        """Replace what the catalog says of every account, from the next call on.

        Args:
            horizon: Within so many microseconds credits count as expiring soon.
            low_balance: Threshold in microcredits of accounts that have none of their own; ABSENT for none.
            critical_balance: The same for critical.
        """
        self._policy = _Policy(horizon, low_balance, critical_balance)

    def now(self) -> int:
        """Return the store's time in microseconds since 1970, a test store's offset included; it never goes back.

        It is the time of the newest reply and what has passed since by this machine's steady clock.
        """
        passed = time.monotonic() - self._clock_read
        self._clock_said = max(self._clock_said, self._clock_base + int(passed * 1e6))
        return self._clock_said

    def _set_clock(self, now: int) -> None:
        self._clock_base, self._clock_read = now, time.monotonic()

    async def _read_clock(self) -> None:
        seconds, micros = await self.command("TIME")
        offset, last = await self.command("HMGET", self._partitions[0].keys.meta, "clock_offset", "now")
        self._set_clock(max(int(seconds) * 1_000_000 + int(micros) + int(offset or 0), int(last or 0)))

    # Admission

    def keys(self, partition: int) -> PartitionKeys:
        """Return the keys of a partition."""
        return self._partitions[partition].keys

    def admitted(self, partition: int) -> bool:
        """Whether batches can be sent to the partition."""
        return self._partitions[partition].epoch is not None

    def epoch(self, partition: int) -> int:
        """Return the epoch of an admitted partition.

        Raises:
            Unavailable: RECOVERING, if it is not admitted.
        """
        epoch = self._partitions[partition].epoch
        if epoch is None:
            raise recovering(partition)
        return epoch

    def seen_seq(self, partition: int) -> int:
        """Return the highest seq that this process saw in the partition."""
        return self._partitions[partition].seen_seq

    def lookup_until(self, partition: int) -> int:
        """Return until when unknown ids are looked up in SQL, in microseconds since 1970; 0 for not at all."""
        return self._partitions[partition].lookup_until

    async def read_meta(self, partition: int) -> PartitionMeta | None:
        """Return the partition's meta key, or None if it is absent."""
        flat: list[bytes] = await self.command("HGETALL", self._partitions[partition].keys.meta)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if b"epoch" not in fields:
            return None
        return PartitionMeta(
            epoch=int(fields[b"epoch"]),
            run_id=fields.get(b"run_id", b"").decode(),
            store_id=fields.get(b"store_id", b"").decode(),
            seq=int(fields.get(b"seq", b"0")),
            flushed=int(fields.get(b"flushed", b"0")),
            format=int(fields.get(b"format", b"0")),
            lookup_until=int(fields.get(b"lookup_until", b"0")),
            behind=b"behind" in fields,
        )

    async def admit(self, partition: int, flushed_in_sql: int, epoch_in_sql: int) -> Admission:
        """Admit a partition if nothing speaks against it; otherwise it must recover first."""
        meta = await self.read_meta(partition)
        slot = self._partitions[partition]
        if (
            meta is None
            or not meta.run_id
            or meta.run_id != self.run_id
            or meta.store_id != self.store_id
            or meta.seq < max(flushed_in_sql, slot.seen_seq)
            or meta.epoch < epoch_in_sql
        ):
            return Admission.MUST_RECOVER
        slot.epoch, slot.lookup_until = meta.epoch, meta.lookup_until
        return Admission.ADMITTED

    def _withdraw(self, partition: _Partition) -> None:
        if partition.epoch is not None:
            partition.epoch = None
            self.on_withdrawn(partition.number)

    # Execution

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Let the batches that are sent within the block reach Redis as one write."""
        if self._link is None:
            yield
            return
        with self._link.together():
            yield

    def send(
        self,
        partition: int,
        operations: Sequence[AnyOperation],
        on_reply: Callable[[BatchReply | EarmarkError], None],
    ) -> None:
        """Send one batch; `on_reply` gets the reply, or the error that fits all of its operations.

        Raises:
            Unavailable: nothing was sent.
        """
        slot = self._partitions[partition]
        link = self._require_link()
        if slot.epoch is None:
            raise recovering(partition)
        self._send(slot, link, slot.epoch, link.run_id, operations, on_reply)

    def _send(
        self,
        slot: _Partition,
        link: RedisLink,
        epoch: int,
        run_id: str,
        operations: Sequence[AnyOperation],
        on_reply: Callable[[BatchReply | EarmarkError], None],
    ) -> None:
        policy = self._policy
        header = (
            FORMAT,
            epoch,
            run_id,
            slot.seen_seq,
            self.options.replay_window,
            policy.horizon,
            operations,
            policy.low_balance,
            policy.critical_balance,
        )
        command = (*slot.command, self._encoder.encode(header))
        link.send(command, self._reply_handler(slot, link, command, on_reply))

    def _reply_handler(
        self,
        slot: _Partition,
        link: RedisLink,
        command: tuple[bytes, ...],
        on_reply: Callable[[BatchReply | EarmarkError], None],
    ) -> ReplyCallback:
        def handle(raw: Any) -> None:
            if isinstance(raw, EarmarkError):
                on_reply(raw)
                return
            if isinstance(raw, hiredis.ReplyError):
                if "Function not found" in str(raw) and link.alive:
                    # FUNCTION FLUSH: nothing was executed, so the call may go again.
                    link.send(("FUNCTION", "LOAD", batch_library().text), lambda _: None)
                    link.send(command, handle)
                    return
                _log.error("the batch function failed", partition=slot.number, cause=str(raw))
                on_reply(unavailable(str(raw)))
                return
            reply = self._decoder.decode(raw)
            if reply.status == _SERVED:
                slot.seen_seq = max(slot.seen_seq, reply.seq)
                self._set_clock(reply.now)
                on_reply(reply)
            else:
                self._withdraw(slot)
                on_reply(recovering(slot.number))

        return handle

    async def execute(self, partition: int, operations: Sequence[AnyOperation]) -> BatchReply:
        """Send one batch and wait for its reply.

        Raises:
            Unavailable: STORE_UNAVAILABLE or RECOVERING.
        """
        future: asyncio.Future[BatchReply] = asyncio.get_running_loop().create_future()
        self.send(partition, operations, _resolve(future))
        return await future

    async def execute_recovering(self, partition: int, epoch: int, operations: Sequence[AnyOperation]) -> BatchReply:
        """Send one batch to a partition that this process is recovering under `epoch`.

        Raises:
            Unavailable: STORE_UNAVAILABLE, or RECOVERING when another recovery has taken over.
        """
        slot = self._partitions[partition]
        future: asyncio.Future[BatchReply] = asyncio.get_running_loop().create_future()
        self._send(slot, self._require_link(), epoch, "", operations, _resolve(future))
        return await future

    # Recovery and clock: the only writers of epoch, run id and offset

    async def begin_recovery(self, partition: int, epoch: int, *, wipe: bool, seq: int = 0, flushed: int = 0) -> bool:
        """Fence everybody out of the partition under a higher epoch; False if another recovery was first.

        Args:
            partition: The partition.
            epoch: Higher than any before, in Redis and in SQL.
            wipe: Delete all keys first: there is no meta key to say what they are.
            seq: The highest that anybody saw; what comes from now on gets a higher one.
            flushed: What SQL holds. A partition whose seq is lower is marked as behind.
        """
        numbers = (str(seq), str(flushed))
        return bool(
            await self._partition_script(partition, "begin", str(epoch), self.store_id, "1" if wipe else "0", *numbers)
        )

    async def finish_recovery(self, partition: int, epoch: int, run_id: str, *, lookup_window: int = 0) -> bool:
        """Let the partition serve again under the run id that recovery began with; False if fenced out meanwhile.

        Args:
            partition: The partition.
            epoch: That of `begin_recovery`.
            run_id: Of the Redis server when recovery began.
            lookup_window: For how long (microseconds) unknown ids are looked up in SQL; 0 for not at all.
        """
        return bool(await self._partition_script(partition, "finish", str(epoch), run_id, str(lookup_window)))

    async def move_clock(self, delta: int) -> None:
        """Move the clock of every partition by `delta` microseconds. Only for stores initialised for tests."""
        for slot in self._partitions:
            await self._partition_script(slot.number, "offset", str(delta))
        await self._read_clock()

    async def _partition_script(self, partition: int, *arguments: str) -> int:
        names = self._partitions[partition].keys.all()
        answer: int = await self.command("EVAL", partition_script().text, str(len(names)), *names, *arguments)
        return answer

    # Streams

    async def read_stream(self, partition: int, after_seq: int, count: int) -> list[tuple[int, StreamElement]]:
        """Return up to `count` stream elements after a seq, each with its last seq, in order."""
        raw = await self.command(
            "XRANGE", self._partitions[partition].keys.stream, f"({after_seq}-0", "+", "COUNT", str(count)
        )
        return [(int(item[0].split(b"-")[0]), decode_element(_payload(item[1]))) for item in raw]


def _payload(fields: list[bytes]) -> bytes:
    return dict(zip(fields[::2], fields[1::2], strict=True))[STREAM_FIELD]


def _resolve(future: asyncio.Future[BatchReply]) -> Callable[[BatchReply | EarmarkError], None]:
    def resolve(reply: BatchReply | EarmarkError) -> None:
        if future.done():
            return
        if isinstance(reply, EarmarkError):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    return resolve
