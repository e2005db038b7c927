"""The composition root: the only place where the parts of the sidecar are wired together.

The order of a start is that of trust: the data directory is locked, the engine is up, the ledger's schema fits, both
stores are the same store, then every partition is admitted, and the server says that it is healthy. A stop goes the
other way round: the door closes first, what was acknowledged is flushed, the stores come last.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog
import uvloop
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from earmark.catalogs import read_source
from earmark.catalogs.current import Catalogs
from earmark.domain.catalog import Catalog
from earmark.embedded import EmbeddedEngine, EngineError, lock_data_dir
from earmark.engine.batcher import BatcherOptions
from earmark.engine.engine import Engine, EngineOptions
from earmark.engine.operations import ABSENT
from earmark.engine.redis.store import RedisStore, StoreOptions
from earmark.errors import FailedPrecondition, InvalidRequest
from earmark.jobs.alerts import DeliveryOptions, ExpiringSoonOptions, MailServer
from earmark.jobs.clock import TestClock
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.recovery import Recovery, StoreMismatchError
from earmark.jobs.runner import Jobs, JobsOptions
from earmark.ledger import open_ledger, upgrade
from earmark.server.claims import AccountClaims, LedgerConfigurations
from earmark.server.lifecycle import ServerOptions, SidecarServer
from earmark.server.listeners import check_free
from earmark.server.metrics import register
from earmark.server.workers import Workers, ended_with_parent
from earmark.settings import Settings, Switch
from earmark.telemetry import configure_logging, serve_metrics

__all__ = ["StartError", "Stores", "open_sidecar", "run", "run_worker"]

_log = structlog.get_logger(__name__)

_ADMISSION_PATIENCE_SECONDS = 5.0
_SHARED_PARTITIONS = 4
"""Of a new store in a Redis of one's own: sidecars divide the flush by partitions. With one partition a call carries
more operations, and costs them less."""
_RESTART_PAUSES = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each new attempt to start an embedded engine that died; the last one repeats."""


class StartError(FailedPrecondition):
    """The sidecar cannot start. The message is one line to act on."""

    def __init__(self, message: str) -> None:
        super().__init__("CANNOT_START", message)


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the stores are."""

    redis_url: str
    database_url: str


def run(settings: Settings, on_ready: Callable[[Sequence[str]], None] | None = None) -> None:
    """Run the sidecar until it is told to stop by SIGTERM or SIGINT.

    Args:
        settings: What to run with.
        on_ready: Called once with the addresses, when calls are answered.

    Raises:
        EarmarkError: it cannot start; one line that says why.
    """
    configure_logging(settings.log_level, settings.log_format)
    uvloop.run(_serve(settings, on_ready))


def run_worker(settings: Settings) -> None:
    """Run one of the further processes of `--workers`; ends with the process that started it."""
    configure_logging(settings.log_level, settings.log_format)
    uvloop.run(_serve_as_worker(settings))


async def _serve(settings: Settings, on_ready: Callable[[Sequence[str]], None] | None) -> None:
    stop = _StopSignals()
    async with AsyncExitStack() as stack:
        if settings.redis_url is None or settings.database_url is None:
            _enter(stack, lock_data_dir(settings.data_dir))
        workers = Workers(settings) if settings.workers > 1 else None
        if workers is not None:
            stack.push_async_callback(workers.close)
            settings = workers.own_settings
        elif not settings.reuse_port:
            check_free(settings.listen)
        stores = await _open_stores(settings, stack)
        async with open_sidecar(settings, stores) as server:
            if workers is not None:
                await workers.start(stores.redis_url, stores.database_url)
            if on_ready is not None:
                on_ready(server.addresses)
            await stop.first.wait()
            drain = asyncio.create_task(server.drain(settings.drain_timeout))
            if workers is not None:
                workers.stop()
            await stop.unless_again(drain)
            if workers is not None:
                await stop.unless_again(asyncio.create_task(workers.wait()))


async def _serve_as_worker(settings: Settings) -> None:
    stop = _StopSignals()
    assert settings.redis_url is not None
    assert settings.database_url is not None
    orphaned = asyncio.create_task(ended_with_parent(stop.first))
    async with open_sidecar(settings, Stores(settings.redis_url, settings.database_url)) as server:
        await stop.first.wait()
        await stop.unless_again(asyncio.create_task(server.drain(settings.drain_timeout)))
    orphaned.cancel()


class _StopSignals:
    """SIGTERM and SIGINT: the first one drains, the second one stops at once."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self._second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._received)

    def _received(self) -> None:
        (self._second if self.first.is_set() else self.first).set()

    async def unless_again(self, task: asyncio.Task[object]) -> None:
        """Wait for the task, but not beyond a second signal."""
        again = asyncio.create_task(self._second.wait())
        await asyncio.wait((task, again), return_when=asyncio.FIRST_COMPLETED)
        for each in (task, again):
            each.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await each


def _enter(stack: AsyncExitStack, context: contextlib.AbstractContextManager[object]) -> None:
    try:
        stack.enter_context(context)
    except EngineError as failure:
        raise StartError(str(failure)) from None


async def _open_stores(settings: Settings, stack: AsyncExitStack) -> Stores:
    """Start what is embedded, and bring its schema up to date; stores of others are left as they are."""
    database_url = settings.database_url
    if database_url is None:
        database_url = f"sqlite:///{settings.data_dir.absolute() / 'ledger.db'}"
        await upgrade(database_url)
    redis_url = settings.redis_url
    if redis_url is None:
        embedded = EmbeddedEngine(
            settings.data_dir, appendfsync=settings.appendfsync, maxmemory=settings.engine_maxmemory
        )
        try:
            await embedded.start()
        except EngineError as failure:
            raise StartError(str(failure)) from None
        stack.push_async_callback(embedded.stop)
        guard = asyncio.create_task(_keep_running(embedded))
        stack.push_async_callback(_cancel, guard)
        redis_url = embedded.url
    return Stores(redis_url, database_url)


async def _keep_running(embedded: EmbeddedEngine) -> None:
    """Start the embedded engine again whenever it dies. Recovery then checks every partition before it serves."""
    while True:
        await embedded.wait()
        _log.error("the embedded engine died, starting it again")
        attempt = 0
        while not embedded.running:
            await asyncio.sleep(_RESTART_PAUSES[min(attempt, len(_RESTART_PAUSES) - 1)])
            attempt += 1
            try:
                await embedded.start()
            except EngineError as failure:
                _log.error("the embedded engine does not start", cause=str(failure), attempt=attempt)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def open_sidecar(settings: Settings, stores: Stores) -> AsyncIterator[SidecarServer]:
    """Open the ledger and the store, start engine, jobs and server; close them in the opposite order.

    Raises:
        EarmarkError: it cannot start; one line that says why.
    """
    delivery = _delivery_options(settings)
    async with AsyncExitStack() as stack:
        clock = _StoreClock()
        ledger = await open_ledger(stores.database_url, clock=clock.now)
        stack.push_async_callback(ledger.close)
        partitions = settings.partitions or (1 if settings.redis_url is None else _SHARED_PARTITIONS)
        identity = await ledger.stores.initialise(partitions, settings.test_store)
        if settings.partitions not in (None, identity.partitions):
            _log.info("the store keeps its number of partitions", partitions=identity.partitions)
        store = RedisStore(
            stores.redis_url, identity.store_id, identity.partitions, StoreOptions(replay_window=settings.replay_window)
        )
        await store.open()
        stack.push_async_callback(store.close)
        clock.store = store
        recovery = Recovery(store, ledger)
        recovery.start()
        stack.push_async_callback(recovery.close)
        await _wait_admitted(recovery)
        catalogs = Catalogs(ledger.catalogs, partial(_set_policy, store))
        await catalogs.start()
        stack.push_async_callback(catalogs.close)
        if settings.catalog is not None:
            await _apply_catalog(catalogs, settings.catalog)
        claims = AccountClaims(LedgerConfigurations(ledger.billing), catalogs)
        engine = Engine(
            store,
            ledger.archive,
            EngineOptions(BatcherOptions(), max_backlog=max(1, settings.backlog_limit // identity.partitions)),
            claims,
        )
        await engine.start()
        stack.push_async_callback(engine.close)
        registry = CollectorRegistry()
        options = JobsOptions(
            background=settings.jobs is Switch.ON,
            expiring=ExpiringSoonOptions(horizon=lambda: catalogs.current.horizon),
            delivery=delivery,
        )
        jobs = Jobs(store, engine, ledger, options, JobMetrics(registry), catalogs)
        jobs.start()
        stack.push_async_callback(jobs.stop)
        server = SidecarServer(
            engine,
            ledger,
            TestClock(
                store,
                engine,
                ledger,
                movable=identity.for_tests,
                jobs=(jobs.expiring.warn,) if jobs.cycles is None else (jobs.cycles.run_once, jobs.expiring.warn),
                next_event=ledger.billing.next_due,
                hurry=jobs.flusher.hurry,
            ),
            ServerOptions(
                listen=settings.listen,
                max_calls_in_flight=settings.max_calls_in_flight,
                max_message_bytes=settings.max_message_bytes,
                reuse_port=settings.reuse_port,
            ),
            lambda: store.connected and recovery.serving,
            catalogs,
            claims,
        )
        await server.start()
        stack.push_async_callback(server.stop)
        register(registry, server.admission)
        if settings.metrics_port is not None:
            _start_metrics(settings.metrics_port, registry, stack)
        # What lives now lives as long as the process: the collector need not look at it for every call.
        gc.collect()
        gc.freeze()
        yield server


def _delivery_options(settings: Settings) -> DeliveryOptions:
    mail_server = None
    if settings.smtp_url is not None:
        try:
            mail_server = MailServer.from_url(settings.smtp_url, settings.smtp_from)
        except ValueError as failure:
            raise StartError(f"EARMARK_SMTP_URL and EARMARK_SMTP_FROM: {failure}") from None
    return DeliveryOptions(mail_server=mail_server, webhook_secret=settings.webhook_secret)


class _StoreClock:
    """The store's time, for the ledger, which is opened before the store; this machine's until then."""

    def __init__(self) -> None:
        self.store: RedisStore | None = None

    def now(self) -> int:
        """Return the time in microseconds since 1970."""
        return time.time_ns() // 1_000 if self.store is None else self.store.now()


async def _apply_catalog(catalogs: Catalogs, source: str) -> None:
    """Install the catalog of the settings, unless it is the latest. Of several workers one installs it."""
    try:
        document = await asyncio.to_thread(read_source, source)
        applied = await catalogs.apply(document)
    except OSError as failure:
        raise StartError(f"--catalog {source}: {failure.strerror or failure}") from None
    except InvalidRequest as failure:
        raise StartError(f"--catalog {source}: {failure}") from None
    _log.info("catalog", source=source, version=applied.catalog.version, installed=not applied.unchanged)


def _set_policy(store: RedisStore, catalog: Catalog) -> None:
    """Let every call of this process carry what the catalog says of all accounts."""
    thresholds = catalog.thresholds
    store.set_policy(
        horizon=catalog.horizon,
        low_balance=ABSENT if thresholds.low_balance is None else thresholds.low_balance,
        critical_balance=ABSENT if thresholds.critical_balance is None else thresholds.critical_balance,
    )


async def _wait_admitted(recovery: Recovery) -> None:
    """Wait for the partitions, but not for ever: after a while the server starts, and says RECOVERING."""
    try:
        async with asyncio.timeout(_ADMISSION_PATIENCE_SECONDS):
            await recovery.wait_admitted()
    except TimeoutError:
        _log.warning("some partitions are still being recovered; serving without them meanwhile")
    except StoreMismatchError as failure:
        raise StartError(str(failure)) from None


def _start_metrics(port: int, registry: CollectorRegistry, stack: AsyncExitStack) -> None:
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    try:
        actual, stop = serve_metrics(port, registry)
    except OSError as failure:
        raise StartError(f"cannot serve metrics on port {port}: {failure.strerror}") from None
    stack.callback(stop)
    _log.info("metrics", address=f"127.0.0.1:{actual}")
