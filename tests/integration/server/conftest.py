"""A whole sidecar in the test's own loop, on a real engine and a real SQLite ledger, and stubs that call it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from redis.asyncio import Redis

from earmark.app import Stores, open_sidecar
from earmark.ledger import upgrade
from earmark.server.lifecycle import SidecarServer
from earmark.settings import Settings
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import account_service_pb2_grpc as accounts_rpc
from earmark.v1 import admin_service_pb2 as admin
from earmark.v1 import admin_service_pb2_grpc as admin_rpc
from earmark.v1 import billing_service_pb2_grpc as billing_rpc
from earmark.v1 import catalog_service_pb2 as catalogs
from earmark.v1 import catalog_service_pb2_grpc as catalog_rpc
from earmark.v1 import ledger_pb2
from earmark.v1 import ledger_service_pb2 as ledger
from earmark.v1 import ledger_service_pb2_grpc as ledger_rpc
from earmark.v1 import metering_service_pb2 as metering
from earmark.v1 import metering_service_pb2_grpc as metering_rpc
from tests.support.repeating import REPEATING
from tests.support.waiting import wait_until

__all__ = ["Refusal", "Sidecar", "refusal"]


class Refusal:
    """What a refused call says."""

    def __init__(self, code: str, message: str, status: status_pb2.Status) -> None:
        self.code = code
        self.message = message
        self.reason = ""
        self.metadata: dict[str, str] = {}
        self.field: str | None = None
        for detail in status.details:
            info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                assert info.domain == "earmark"
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(request):
                self.field = request.field_violations[0].field

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> Refusal:
        trailing: dict[Any, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
        raw = trailing.get("grpc-status-details-bin", b"")
        assert isinstance(raw, bytes)
        return cls(error.code().name, error.details() or "", status_pb2.Status.FromString(raw))

    def __repr__(self) -> str:
        return f"{self.code} {self.reason} {self.field} {self.message!r} {self.metadata}"


async def refusal(call: Any) -> Refusal:
    """Await a call that must be refused; return what it says."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return Refusal.of(caught.value)


class Sidecar:
    """A running sidecar and a channel to it."""

    def __init__(self, server: SidecarServer, channel: grpc.aio.Channel, redis_url: str) -> None:
        self.server = server
        self._redis_url = redis_url
        self.channel = channel
        self.metering: Any = metering_rpc.MeteringServiceStub(channel)
        self.accounts: Any = accounts_rpc.AccountServiceStub(channel)
        self.ledger: Any = ledger_rpc.LedgerServiceStub(channel)
        self.admin: Any = admin_rpc.AdminServiceStub(channel)
        self.billing: Any = billing_rpc.BillingServiceStub(channel)
        self.catalog: Any = catalog_rpc.CatalogServiceStub(channel)

    async def account(self, account_id: str = "acme", credits: int = 500) -> None:
        """Create an account and grant it credits."""
        await self.accounts.CreateAccount(accounts.CreateAccountRequest(account_id=account_id, request_id="create"))
        if credits:
            await self.accounts.CreateGrant(
                accounts.CreateGrantRequest(
                    account_id=account_id, request_id="grant", amount_micros=credits * 1_000_000
                )
            )

    async def install(self, document: str, request_id: str = "catalog") -> int:
        """Apply a catalog; return its version."""
        request = catalogs.ApplyCatalogRequest(document=document, request_id=request_id)
        version: int = (await self.catalog.ApplyCatalog(request)).catalog.version
        return version

    async def priced(self, request_id: str, operation: str, **fields: Any) -> metering.ReserveResponse:
        """Reserve an operation of the account acme by the catalog's price."""
        request = metering.ReserveRequest(
            **{"account_id": "acme", "request_id": request_id, "operation": operation, **fields}
        )
        response: metering.ReserveResponse = await self.metering.Reserve(request)
        return response

    async def commit(self, held: metering.ReserveResponse, **fields: Any) -> metering.CommitResponse:
        """Commit a reservation."""
        request = metering.CommitRequest(reservation_id=held.reservation.reservation_id, **fields)
        response: metering.CommitResponse = await self.metering.Commit(request)
        return response

    async def charge(self, request_id: str, operation: str = "", **fields: Any) -> metering.ChargeResponse:
        """Charge the account acme."""
        request = metering.ChargeRequest(
            **{"account_id": "acme", "request_id": request_id, "operation": operation, **fields}
        )
        response: metering.ChargeResponse = await self.metering.Charge(request)
        return response

    async def entry(self, kind: ledger_pb2.LedgerEntry.Kind, account_id: str = "acme") -> ledger_pb2.LedgerEntry:
        """Return the account's last entry of a kind, as soon as it is in SQL."""
        request = ledger.ListLedgerEntriesRequest(account_id=account_id, filter=ledger.LedgerFilter(kinds=[kind]))
        found: list[ledger_pb2.LedgerEntry] = []

        async def flushed() -> bool:
            found[:] = (await self.ledger.ListLedgerEntries(request)).entries
            return bool(found)

        await wait_until(flushed)
        return found[0]

    async def move(self, by: timedelta | None = None, to: datetime | None = None) -> datetime:
        """Move the store's clock; return its time."""
        request = admin.MoveClockRequest()
        if by is not None:
            request.by.FromTimedelta(by)
        if to is not None:
            request.time.FromDatetime(to)
        moved: datetime = (await self.admin.MoveClock(request)).time.ToDatetime(UTC)
        return moved

    async def reserve(self, request_id: str, credits: int = 1, **fields: Any) -> metering.ReserveResponse:
        """Reserve of the account acme."""
        request = metering.ReserveRequest(
            **{"account_id": "acme", "request_id": request_id, "amount_micros": credits * 1_000_000, **fields}
        )
        response: metering.ReserveResponse = await self.metering.Reserve(request)
        return response

    async def available(self, account_id: str = "acme") -> int:
        """Return the available microcredits."""
        response = await self.metering.GetBalance(metering.GetBalanceRequest(account_id=account_id))
        micros: int = response.balance.available_micros
        return micros

    async def waiters(self) -> int:
        """Return how many operations wait for credits, as Redis has them."""
        async with Redis.from_url(self._redis_url) as redis:
            return sum([await redis.hlen(key) async for key in redis.scan_iter("em:*:tickets")])


@asynccontextmanager
async def open_test_sidecar(
    redis_url: str, database_url: str, listen: str, *, repeats: bool = True, **settings: Any
) -> AsyncIterator[Sidecar]:
    """Run a sidecar; its stubs repeat what is UNAVAILABLE, as every client must, unless the test is about that."""
    loaded = Settings.load(
        **{
            "listen": (listen,),
            "redis_url": redis_url,
            "database_url": database_url,
            "partitions": 2,
            "test_store": True,
            **settings,
        }
    )
    async with (
        open_sidecar(loaded, Stores(redis_url, database_url)) as server,
        grpc.aio.insecure_channel(server.addresses[0], options=REPEATING if repeats else []) as channel,
    ):
        yield Sidecar(server, channel, redis_url)


@pytest.fixture
def socket_path() -> Any:
    with TemporaryDirectory(prefix="em") as name:
        yield Path(name) / "s"


@pytest.fixture
async def database_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    await upgrade(url)
    return url


@pytest.fixture
async def sidecar(redis_url: str, database_url: str, socket_path: Path) -> AsyncIterator[Sidecar]:
    async with open_test_sidecar(redis_url, database_url, f"unix:{socket_path}") as running:
        yield running
