"""One gRPC server: what it serves, how it starts, how it drains, how it stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from earmark.catalogs.current import Catalogs
from earmark.ledger import Ledger
from earmark.server.accounts import AccountServicer
from earmark.server.admin import AdminServicer, Clock
from earmark.server.administration import Relay
from earmark.server.admission import Admission
from earmark.server.billing import BillingServicer
from earmark.server.catalog import CatalogServicer
from earmark.server.claims import AccountClaims
from earmark.server.deferral import Deferral
from earmark.server.imports import Importer
from earmark.server.ledger import LedgerServicer
from earmark.server.listeners import Listeners
from earmark.server.metering import MeteringServicer
from earmark.server.notifications import NotificationAnswers
from earmark.server.ports import ServingEngine
from earmark.server.pricing import Pricing
from earmark.server.refusals import Refusals
from earmark.server.reports import ReportAnswers
from earmark.server.validation import Requests
from earmark.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    admin_service_pb2,
    admin_service_pb2_grpc,
    billing_service_pb2,
    billing_service_pb2_grpc,
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    metering_service_pb2,
    metering_service_pb2_grpc,
)

__all__ = ["ServerOptions", "SidecarServer"]

_log = structlog.get_logger(__name__)

_HEALTH_POLL_SECONDS = 0.1
_STOP_PATIENCE_SECONDS = 3.0

METERING = metering_service_pb2.DESCRIPTOR.services_by_name["MeteringService"].full_name
ACCOUNTS = account_service_pb2.DESCRIPTOR.services_by_name["AccountService"].full_name
LEDGER = ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name
ADMIN = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name
BILLING = billing_service_pb2.DESCRIPTOR.services_by_name["BillingService"].full_name
CATALOGS = catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"].full_name
NEED_THE_STORE = ("", METERING, ACCOUNTS, ADMIN, BILLING)
"""Names whose health is that of Redis; the ledger is read from SQL alone."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Bounds of a server."""

    listen: Sequence[str]
    """`HOST:PORT` and `unix:PATH`."""
    max_calls_in_flight: int = 4_096
    """Per Session stream."""
    max_message_bytes: int = 4 * 2**20
    reuse_port: bool = False


class SidecarServer:
    """Serves metering, accounts and the ledger, with health and reflection."""

    def __init__(
        self,
        engine: ServingEngine,
        ledger: Ledger,
        clock: Clock,
        options: ServerOptions,
        store_is_up: Callable[[], bool],
        catalogs: Catalogs,
        claims: AccountClaims,
    ) -> None:
        """`store_is_up` says whether Redis can be asked now: health follows it."""
        self.admission = Admission(store_is_up)
        self._store_is_up = store_is_up
        self._now = clock.now
        self._listeners = Listeners(options.listen, reuse_port=options.reuse_port)
        self._server = grpc.aio.server(options=_channel_options(options))
        requests = Requests(Pricing(catalogs), claims)
        metering_service_pb2_grpc.add_MeteringServiceServicer_to_server(  # type: ignore[no-untyped-call]  # generated
            MeteringServicer(
                engine,
                ledger.accounts,
                ledger.entries,
                requests,
                catalogs,
                Deferral(engine, ledger.entries, requests, catalogs),
                Refusals(catalogs, clock.now),
                self.admission,
                clock.now,
                max_calls_in_flight=options.max_calls_in_flight,
            ),
            self._server,
        )
        relay = Relay(engine, ledger.archive, ledger.accounts)
        account_service_pb2_grpc.add_AccountServiceServicer_to_server(  # type: ignore[no-untyped-call]
            AccountServicer(
                engine,
                ledger.accounts,
                ledger.billing,
                relay,
                requests,
                catalogs,
                claims,
                Importer(ledger.imports, catalogs, clock.now),
                self.admission,
                clock.now,
            ),
            self._server,
        )
        reports = ReportAnswers(ledger.reports, ledger.accounts, catalogs, claims, clock.now)
        billing_service_pb2_grpc.add_BillingServiceServicer_to_server(  # type: ignore[no-untyped-call]
            BillingServicer(ledger.billing, ledger.accounts, relay, catalogs, self.admission, clock.now), self._server
        )
        catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server(  # type: ignore[no-untyped-call]
            CatalogServicer(catalogs, ledger.catalogs, self.admission, clock.now), self._server
        )
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(  # type: ignore[no-untyped-call]
            LedgerServicer(
                ledger.entries,
                requests,
                catalogs,
                reports,
                NotificationAnswers(ledger.notifications),
                self.admission,
            ),
            self._server,
        )
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(  # type: ignore[no-untyped-call]
            AdminServicer(clock, self.admission), self._server
        )
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # imported late by the package
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (METERING, ACCOUNTS, LEDGER, ADMIN, BILLING, CATALOGS, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._watch: asyncio.Task[None] | None = None
        self.addresses: list[str] = []
        """Where it listens, with the real ports, once started."""

    async def start(self) -> None:
        """Listen and serve.

        Raises:
            AddressInUse: one line that says which address and why; nothing is served then.
        """
        try:
            self.addresses = self._listeners.bind(self._server)
            await self._server.start()
        except BaseException:
            # Also what was bound before the address that failed is given back.
            await self._server.stop(None)
            self._listeners.__exit__()
            raise
        for name in (LEDGER, CATALOGS):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._watch = asyncio.get_running_loop().create_task(self._watch_health())
        _log.info("serving", addresses=self.addresses)

    async def drain(self, timeout_micros: int) -> bool:
        """Refuse Reserve and Charge, and return when nothing is open any more, or after the time-out.

        Commit, Release, Extend and reads pass meanwhile. Returns whether everything came to its end.
        """
        self.admission.draining = True
        if self._watch is not None:
            self._watch.cancel()
        await self._health.enter_graceful_shutdown()
        _log.info("draining", sessions=self.admission.sessions, calls=self.admission.calls)
        try:
            async with asyncio.timeout(timeout_micros / 1e6):
                await self.admission.drained(self._now)
        except TimeoutError:
            _log.warning("drain timed out", sessions=self.admission.sessions, calls=self.admission.calls)
            return False
        return True

    async def stop(self) -> None:
        """End every call and stop listening. What the engine took is executed all the same."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        # After bytes that were no message at all gRPC may wait for a call that it has ended itself.
        stopping = asyncio.ensure_future(self._server.stop(0))
        if not (await asyncio.wait((stopping,), timeout=_STOP_PATIENCE_SECONDS))[0]:
            _log.warning("grpc does not end; leaving it behind")
            stopping.cancel()
        self._listeners.__exit__()

    async def _watch_health(self) -> None:
        """Let health follow the store."""
        shown: bool | None = None
        while True:
            up = self._store_is_up()
            if up != shown:
                status = health_pb2.HealthCheckResponse.SERVING if up else health_pb2.HealthCheckResponse.NOT_SERVING
                for name in NEED_THE_STORE:
                    await self._health.set(name, status)
                shown = up
            await asyncio.sleep(_HEALTH_POLL_SECONDS)


def _channel_options(options: ServerOptions) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        # Long-lived streams cross proxies that forget idle connections, and clients probe theirs as they like.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ]
