"""A whole sidecar with a catalog, on a real engine and both databases, driven over gRPC alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from earmark.ledger import open_ledger
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import admin_service_pb2 as admin
from earmark.v1 import admin_service_pb2_grpc as admin_rpc
from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import billing_service_pb2_grpc as billing_rpc
from earmark.v1 import grant_pb2 as grants
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.billing.catalog import CATALOG
from tests.integration.server.conftest import Sidecar, open_test_sidecar

CREDIT = 1_000_000


class Driver:
    """Calls in few words. Amounts in credits, times as `2027-01-31 10:00` in UTC."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self.rpc: Any = billing_rpc.BillingServiceStub(sidecar.channel)
        self.admin: Any = admin_rpc.AdminServiceStub(sidecar.channel)
        self._numbers = count(1)

    def request_id(self) -> str:
        """Return one that was not used."""
        return f"r{next(self._numbers)}"

    async def now(self) -> datetime:
        """Return the store's time."""
        time: datetime = (await self.admin.GetClock(admin.GetClockRequest())).time.ToDatetime(UTC)
        return time

    async def move_to(self, *when: int) -> None:
        """Move the clock to the next such month, day, hour and minute; everything due happens."""
        now = await self.now()
        moment = datetime(now.year, *when, tzinfo=UTC)  # type: ignore[misc, arg-type]
        if moment <= now:
            moment = moment.replace(year=now.year + 1)
        await self.move_until(moment)

    async def move_until(self, moment: datetime) -> None:
        """Move the clock; everything due happens."""
        request = admin.MoveClockRequest()
        request.time.FromDatetime(moment)
        await self.admin.MoveClock(request)

    async def move_by(self, **duration: int) -> None:
        """Move the clock by `days`, `hours` and so on."""
        await self.move_until(await self.now() + timedelta(**duration))

    async def account(self, account_id: str = "acme", zone: str = "UTC", credits: int = 0) -> None:
        """Create an account."""
        request = accounts.CreateAccountRequest(account_id=account_id, request_id="create", time_zone=zone)
        await self.sidecar.accounts.CreateAccount(request)
        if credits:
            await self.sidecar.accounts.CreateGrant(
                accounts.CreateGrantRequest(
                    account_id=account_id,
                    request_id="grant",
                    amount_micros=credits * CREDIT,
                    kind=grants.Grant.KIND_PURCHASE,
                )
            )

    async def subscribe(self, plan_id: str, account_id: str = "acme", **fields: Any) -> billing.Subscription:
        """Create a subscription."""
        request = billing.CreateSubscriptionRequest(
            **{"account_id": account_id, "request_id": self.request_id(), "plan_id": plan_id, **fields}
        )
        subscription: billing.Subscription = (await self.rpc.CreateSubscription(request)).subscription
        return subscription

    async def change(self, plan_id: str, account_id: str = "acme", **fields: Any) -> billing.ChangePlanResponse:
        """Change the plan."""
        request = billing.ChangePlanRequest(
            **{"account_id": account_id, "request_id": self.request_id(), "plan_id": plan_id, **fields}
        )
        response: billing.ChangePlanResponse = await self.rpc.ChangePlan(request)
        return response

    async def cancel(self, account_id: str = "acme") -> billing.Subscription:
        """Cancel."""
        request = billing.CancelSubscriptionRequest(account_id=account_id, request_id=self.request_id())
        subscription: billing.Subscription = (await self.rpc.CancelSubscription(request)).subscription
        return subscription

    async def confirm(self, account_id: str = "acme", request_id: str = "") -> billing.ConfirmRenewalResponse:
        """Confirm a renewal."""
        request = billing.ConfirmRenewalRequest(account_id=account_id, request_id=request_id or self.request_id())
        response: billing.ConfirmRenewalResponse = await self.rpc.ConfirmRenewal(request)
        return response

    async def claim(self, identity: str, account_id: str = "acme", **fields: Any) -> billing.ClaimFreePlanResponse:
        """Claim a free plan."""
        request = billing.ClaimFreePlanRequest(
            **{"account_id": account_id, "request_id": self.request_id(), "identity": identity, **fields}
        )
        response: billing.ClaimFreePlanResponse = await self.rpc.ClaimFreePlan(request)
        return response

    async def subscription(self, account_id: str = "acme") -> billing.Subscription:
        """Return the latest subscription."""
        request = billing.GetSubscriptionRequest(account_id=account_id)
        subscription: billing.Subscription = (await self.rpc.GetSubscription(request)).subscription
        return subscription

    async def purchase(self, pack_id: str, account_id: str = "acme", **fields: Any) -> billing.Purchase:
        """Begin a purchase."""
        request = billing.CreatePurchaseRequest(
            **{"account_id": account_id, "request_id": self.request_id(), "pack_id": pack_id, **fields}
        )
        purchase: billing.Purchase = (await self.rpc.CreatePurchase(request)).purchase
        return purchase

    async def paid(self, **names: str) -> billing.ConfirmPurchaseResponse:
        """Confirm a purchase."""
        response: billing.ConfirmPurchaseResponse = await self.rpc.ConfirmPurchase(
            billing.ConfirmPurchaseRequest(**names)
        )
        return response

    async def available(self, account_id: str = "acme") -> float:
        """Return the available credits."""
        return await self.sidecar.available(account_id) / CREDIT

    async def grants(self, account_id: str = "acme") -> list[tuple[int, float, str]]:
        """Return kind, amount and expiry of all grants, oldest first."""
        request = accounts.ListGrantsRequest(account_id=account_id)
        found = (await self.sidecar.accounts.ListGrants(request)).grants
        return [(grant.kind, grant.amount_micros / CREDIT, text(grant.expire_time)) for grant in reversed(found)]

    async def charge(self, credits: int, account_id: str = "acme") -> None:
        """Spend credits."""
        request = metering.ChargeRequest(
            account_id=account_id, request_id=self.request_id(), amount_micros=credits * CREDIT
        )
        await self.sidecar.metering.Charge(request)


def text(time: Any) -> str:
    """Return a timestamp as month, day, hour and minute; "" for none."""
    return time.ToDatetime(UTC).strftime("%m-%d %H:%M") if time.seconds else ""


@pytest.fixture
async def driver(redis_url: str, database_url: str) -> AsyncIterator[Driver]:
    """A running sidecar with the catalog of these tests."""
    ledger = await open_ledger(database_url)
    await ledger.catalogs.install(CATALOG, "billing", "", "")
    await ledger.close()
    with TemporaryDirectory(prefix="em") as name:
        async with open_test_sidecar(redis_url, database_url, f"unix:{Path(name) / 's'}") as running:
            yield Driver(running)
