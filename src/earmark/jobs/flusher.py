"""The flusher: brings what the partitions' streams hold to SQL, in order and exactly once.

One lease holder per partition reads the stream after SQL's `flushed_seq`, writes the records, their allocations and the
new position in one transaction that compares-and-sets position and epoch, and then tells Redis (ConfirmFlush). Whoever
dies in between leaves a position in SQL from which the next one goes on: no record is left out, none is written twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic, time_ns

import structlog

from earmark.engine.engine import Engine
from earmark.engine.operations import ConfirmFlush
from earmark.engine.records import StreamElement
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import Swept
from earmark.errors import EarmarkError, Internal, Reason
from earmark.jobs.leases import Leases
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.tail import StreamTail
from earmark.jobs.trimming import TrimLag, Trimmer
from earmark.ledger.database import Ledger
from earmark.ledger.models import Conflict, Fenced, PartitionPosition, Written

__all__ = ["FlushState", "FlushStatus", "Flusher", "FlusherOptions"]

_LARGEST_READ = 500
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.1, 2.0

_log = structlog.get_logger("earmark.flusher")

Elements = Sequence[tuple[int, StreamElement]]


@dataclass(frozen=True, slots=True)
class FlusherOptions:
    """Bounds of the flusher."""

    workers: int = 2
    """Partitions that are flushed at the same moment: while one transaction waits for the disk, another is read."""
    max_records: int = 5_000
    """In one transaction, give or take one read."""
    read_records: int = 500
    """Records that one read brings, about: more would keep the event loop from the hot path."""
    rest_seconds: float = 0.4
    """Between two flushes of a partition that has little to flush: many small transactions cost more than they give."""
    longest_rest_seconds: float = 0.6
    """The same where SQL is slow: twice what flushing all held partitions takes, but no longer than this."""
    lease_micros: int = 5_000_000
    trim_lag_micros: int = 15 * 60 * 1_000_000
    streams_percent: int = 20
    """Of `maxmemory`: above it trimming lags less."""
    look_seconds: float = 10.0
    """Between two looks at the streams' memory and at SQL's positions."""
    retry_stopped_seconds: float = 60.0
    """Before a stopped partition is tried again: by then somebody may have repaired it."""


class FlushState(Enum):
    """What a partition's flush is doing, as seen from this process."""

    ELSEWHERE = "elsewhere"
    """Another process has the lease, or the partition is not admitted."""
    FLUSHING = "flushing"
    WAITING = "waiting"
    """A store is away: it is tried again."""
    STOPPED = "stopped"
    """The records contradict the ledger: somebody must look."""


@dataclass(frozen=True, slots=True)
class FlushStatus:
    """A partition's flush, for health and the command line."""

    partition: int
    state: FlushState
    flushed_seq: int
    backlog: int
    """Settled records that wait for SQL, as this process knows."""
    lag_seconds: float
    """How old the oldest waiting record can be at most; 0.0 if none waits or another process flushes."""
    problem: str
    """Why it waits or stopped; "" if it does not."""


@dataclass(slots=True)
class _Slot:
    """A partition whose lease this process has."""

    partition: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    flushed: int | None = None
    """SQL's position; None if it must be read."""
    queued: bool = False
    rest_until: float = 0.0
    backoff: float = 0.0
    stopped: bool = False
    problem: str = ""
    caught_up: float = 0.0
    """When the end of the stream was last in SQL, by the clock of `monotonic`."""
    read_count: int = 32
    """Stream elements that the next read asks for: as many as held `read_records` last time."""
    trimmer: Trimmer = field(default_factory=Trimmer)
    confirmed: bool = True
    """Whether Redis knows of `flushed`. It is not urgent, and each call that writes is one more sync of its log."""


class Flusher:
    """Flushes every partition whose lease it gets."""

    def __init__(
        self,
        store: RedisStore,
        engine: Engine,
        ledger: Ledger,
        owner: str,
        metrics: JobMetrics,
        options: FlusherOptions | None = None,
    ) -> None:
        """`owner` is a token of this process, new for each start."""
        self._store = store
        self._engine = engine
        self._ledger = ledger
        self._metrics = metrics
        self._options = options or FlusherOptions()
        self._slots = [_Slot(number) for number in range(store.partitions)]
        self._leases = Leases(engine, store, "flush", owner, self._options.lease_micros, self._lease_changed)
        self._ready: asyncio.Queue[_Slot] = asyncio.Queue()
        self._tail = StreamTail(store)
        self._trim_lag = TrimLag(self._options.trim_lag_micros, self._options.streams_percent)

    async def run(self) -> None:
        """Flush until cancelled. Leases stay: call `stop` to end in good order."""
        self._ready = asyncio.Queue()
        for slot in self._slots:
            slot.queued = False
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._leases.keep())
                tasks.create_task(self._watch())
                tasks.create_task(self._maintain())
                for _ in range(self._options.workers):
                    tasks.create_task(self._work())
        finally:
            self._tail.close()

    async def drain(self, seconds: float) -> bool:
        """Flush what the held partitions have now, for at most `seconds`; returns whether it was all."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(self._drain(slot) for slot in self._slots if self._leases.held(slot.partition)))
        except TimeoutError:
            return False
        return not any(slot.problem for slot in self._slots)

    def hurry(self) -> None:
        """Flush what is there now without the rest after the turn before: somebody waits for it."""
        for number in self._leases.held_partitions():
            self._slots[number].rest_until = 0.0
            self._wake(self._slots[number])

    async def release(self) -> None:
        """Give the leases back, after `run` was cancelled."""
        await self._leases.release()

    def status(self) -> list[FlushStatus]:
        """Return where every partition stands."""
        return [self._status(slot) for slot in self._slots]

    def _status(self, slot: _Slot) -> FlushStatus:
        if slot.stopped:
            state = FlushState.STOPPED
        elif not self._leases.held(slot.partition):
            state = FlushState.ELSEWHERE
        else:
            state = FlushState.WAITING if slot.problem else FlushState.FLUSHING
        backlog = self._engine.backlog(slot.partition)
        waits = backlog > 0 and state is not FlushState.ELSEWHERE
        lag = monotonic() - slot.caught_up if waits else 0.0
        return FlushStatus(slot.partition, state, slot.flushed or 0, backlog, lag, slot.problem)

    # Who flushes what, and when

    def _lease_changed(self, partition: int, held: bool) -> None:
        slot = self._slots[partition]
        slot.flushed = None
        if held:
            slot.rest_until = slot.backoff = 0.0
            slot.caught_up = monotonic()
            self._wake(slot)
        else:
            slot.stopped, slot.problem = False, ""
            _log.debug("flush lease lost", partition=partition)

    def _wake(self, slot: _Slot) -> None:
        if not slot.queued:
            slot.queued = True
            self._ready.put_nowait(slot)

    async def _work(self) -> None:
        while True:
            slot = await self._ready.get()
            async with slot.lock:
                slot.queued = False
                more = self._leases.held(slot.partition) and await self._turn(slot)
            if more:
                self._wake(slot)  # behind the others: partitions share the work

    async def _watch(self) -> None:
        """Wake partitions that have something to flush."""
        while True:
            now = monotonic()
            held = [self._slots[number] for number in self._leases.held_partitions()]
            rested = [slot for slot in held if not slot.queued and not slot.lock.locked() and slot.rest_until <= now]
            idle = {slot.partition: slot.flushed for slot in rested if slot.flushed is not None}
            for slot in rested:
                if slot.flushed is None:
                    self._wake(slot)
            if not idle:
                await asyncio.sleep(0.05)
                continue
            try:
                # Those that are resting now want to be watched soon.
                woken = await self._tail.wait(idle, 1000 if len(idle) == len(held) else 100)
            except EarmarkError:
                await asyncio.sleep(0.25)
                continue
            for number in woken:
                self._wake(self._slots[number])
            await asyncio.sleep(0.02)  # what comes together is flushed together

    # One turn

    async def _drain(self, slot: _Slot) -> None:
        while True:
            async with slot.lock:
                if await self._turn(slot):
                    continue
                if slot.flushed is not None and not slot.confirmed:
                    with contextlib.suppress(EarmarkError):  # whoever is next will tell
                        await self._confirm(slot)
                return

    async def _turn(self, slot: _Slot) -> bool:
        """Flush one batch; returns whether there may be more at once."""
        try:
            more = await self._flush(slot)
        except EarmarkError as failure:
            slot.flushed = None  # whether the transaction took effect is not known: SQL says where it stands
            slot.backoff = min(max(slot.backoff * 2, _FIRST_BACKOFF), _LONGEST_BACKOFF)
            slot.rest_until = monotonic() + slot.backoff
            if not slot.problem:
                _log.warning("flush waits", partition=slot.partition, cause=failure.message)
            slot.problem = failure.message
            self._metrics.failures.inc()
            return False
        except Exception as bug:  # noqa: BLE001  whatever it is: the other partitions must go on
            _log.exception("flush failed", partition=slot.partition)
            self._stop(slot, f"partition {slot.partition}: {type(bug).__name__}: {bug}")
            return False
        slot.backoff = 0.0
        if not slot.stopped:
            if slot.problem:
                _log.info("flush goes on", partition=slot.partition)
            slot.problem = ""
        return more

    async def _flush(self, slot: _Slot) -> bool:
        partition = slot.partition
        # Before the stream is read: what was read under an older epoch must be refused.
        epoch = self._store.epoch(partition)
        if slot.flushed is None:
            slot.flushed = await self._begin(slot, epoch)
        asked = monotonic()
        elements, more = await self._read(slot, slot.flushed)
        if not elements:
            slot.stopped, slot.caught_up = False, asked
            return False
        lost = await self._lost_before(partition, slot.flushed, elements[0][1].first_seq)
        if lost:
            self._stop(slot, lost)
            return False
        outcome = await self._ledger.flush(partition, epoch, slot.flushed, elements)
        match outcome:
            case Written():
                slot.stopped = False
                slot.flushed = outcome.flushed_seq
                if not more:
                    slot.caught_up = asked
                    slot.rest_until = monotonic() + self._rest(monotonic() - asked)
                self._metrics.flushed.inc(outcome.entries)
                self._metrics.passed_over.inc(outcome.passed_over)
                self._metrics.batch.observe(sum(len(element.records) for _, element in elements))
                slot.confirmed = False
                # By the clocks of two machines, perhaps: a metric may be a little wrong.
                self._metrics.lag.observe(max(0.0, (time_ns() // 1000 - elements[0][1].now) / 1e6))
                if more:
                    await self._confirm(slot)
                return more
            case Fenced(position=position):
                self._metrics.fenced.inc()
                _log.info("flush was fenced", partition=partition, epoch=epoch, ledger=position)
                slot.flushed = None
                slot.rest_until = monotonic() + self._options.rest_seconds
                return False
            case Conflict():
                self._stop(slot, outcome.message)
                return False

    async def _begin(self, slot: _Slot, epoch: int) -> int:
        """Return where SQL stands, and tell Redis: who had the lease before may have died in between."""
        position = await self._ledger.partitions.read(slot.partition)
        if position.epoch < epoch:
            # SQL was restored to before the last recovery: this partition serves under the epoch of that one.
            await self._ledger.partitions.raise_epoch(slot.partition, position.epoch, epoch)
        first = await self._store.read_stream(slot.partition, 0, 1)
        slot.trimmer.begin(first[0][0] if first else 0)
        slot.confirmed = False
        return position.flushed_seq

    async def _read(self, slot: _Slot, after: int) -> tuple[list[tuple[int, StreamElement]], bool]:
        """Return the next elements, and whether more are there."""
        elements: list[tuple[int, StreamElement]] = []
        total = 0
        while total < self._options.max_records:
            count = slot.read_count
            chunk = await self._store.read_stream(slot.partition, after, count)
            if not chunk:
                return elements, False
            elements += chunk
            records = sum(len(element.records) for _, element in chunk)
            total += records
            slot.read_count = max(1, min(self._options.read_records * len(chunk) // records, _LARGEST_READ))
            if len(chunk) < count:
                return elements, False
            after = chunk[-1][0]
        return elements, True

    async def _lost_before(self, partition: int, flushed: int, first_seq: int) -> str:
        """Return what the stream has lost between SQL's position and its next element; "" for nothing.

        A gap alone says little: a recovery in which Redis had lost acknowledged entries leaves one, and has named it.
        """
        if first_seq == flushed + 1:
            return ""
        meta = await self._store.read_meta(partition)
        if meta is None or meta.flushed <= flushed:
            return ""
        earlier = await self._store.command(
            "XREVRANGE", self._store.keys(partition).stream, f"{flushed}-0", "-", "COUNT", "1"
        )
        if earlier:
            return ""
        return (
            f"partition {partition}: SQL was restored to before what the stream still has; the records "
            f"{flushed + 1} to {first_seq - 1} are lost"
        )

    async def _confirm(self, slot: _Slot) -> None:
        """Tell Redis what SQL holds; trim what is old."""
        partition, flushed = slot.partition, slot.flushed
        assert flushed is not None
        trim_before = slot.trimmer.trim_before(self._engine.now(partition), self._trim_lag.current)
        answer = await self._engine.execute_on(partition, ConfirmFlush(flushed, trim_before))
        if not isinstance(answer, Swept):
            raise Internal(Reason.INTERNAL, f"redis did not take the confirmation of a flush: {answer}")
        slot.trimmer.done(trim_before)
        slot.confirmed = True
        slot.trimmer.flushed(self._engine.now(partition), flushed)

    def _rest(self, turn_seconds: float) -> float:
        """Return how long a partition rests after a turn that took so long."""
        round_seconds = turn_seconds * sum(slot.flushed is not None for slot in self._slots) / self._options.workers
        return max(self._options.rest_seconds, min(2 * round_seconds, self._options.longest_rest_seconds))

    def _stop(self, slot: _Slot, problem: str) -> None:
        """Leave the partition alone for a while; the others go on."""
        slot.rest_until = monotonic() + self._options.retry_stopped_seconds
        slot.stopped, slot.problem, slot.flushed = True, problem, None
        _log.error("a partition is not flushed any more", partition=slot.partition, problem=problem)

    # Now and then

    async def _maintain(self) -> None:
        next_look = 0.0
        while True:
            await asyncio.sleep(1.0)
            held = [self._slots[number] for number in self._leases.held_partitions()]
            self._metrics.held.set(len(held))
            self._metrics.stopped.set(sum(slot.stopped for slot in held))
            self._metrics.backlog.set(sum(self._engine.backlog(slot.partition) for slot in held))
            with contextlib.suppress(EarmarkError):  # a store is away: the turns say so
                if monotonic() >= next_look and held:
                    next_look = monotonic() + self._options.look_seconds
                    await self._look_at_memory()
                    await self._look_at_positions()
                # All together: they reach Redis as one write, which it syncs once.
                await asyncio.gather(*(self._confirm_idle(slot) for slot in held))

    async def _look_at_memory(self) -> None:
        info: bytes = await self._store.command("INFO", "memory")
        limit = next(int(line[10:]) for line in info.splitlines() if line.startswith(b"maxmemory:"))
        used = 0
        if limit:
            for number in range(self._store.partitions):
                used += await self._store.command("MEMORY", "USAGE", self._store.keys(number).stream) or 0
        self._trim_lag.look(used, limit)
        self._metrics.trim_lag.set(self._trim_lag.current / 1e6)

    async def _look_at_positions(self) -> None:
        """Notice that SQL was restored, also where nothing is being flushed."""
        known = [slot.flushed for slot in self._slots]  # before SQL is asked: meanwhile they go on
        positions = await self._ledger.partitions.read_all()
        for slot, flushed in zip(self._slots, known, strict=True):
            position = positions.get(slot.partition, PartitionPosition(0, 0))
            if flushed is not None and position.flushed_seq < flushed and not slot.lock.locked():
                _log.warning("SQL was restored", partition=slot.partition, was=flushed, now=position.flushed_seq)
                slot.flushed = None
                self._wake(slot)

    async def _confirm_idle(self, slot: _Slot) -> None:
        """Confirm what a turn left unconfirmed, and trim what has grown old since."""
        if slot.flushed is None or slot.lock.locked():
            return
        async with slot.lock:
            now = self._engine.now(slot.partition)
            if not slot.confirmed or slot.trimmer.trim_before(now, self._trim_lag.current):
                await self._confirm(slot)
