"""One of the four credit systems at work: a real sidecar with its preset, driven over gRPC only.

Amounts are credits as decimal text here, because that is how the systems' documents speak; what goes over the wire are
microcredits.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest
from google.protobuf import field_mask_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from earmark.testing import EarmarkServer
from earmark.v1 import account_pb2, catalog_pb2, ledger_pb2, metering_service_pb2_grpc, reservation_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import account_service_pb2_grpc as accounts_rpc
from earmark.v1 import admin_service_pb2 as admin
from earmark.v1 import admin_service_pb2_grpc as admin_rpc
from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import billing_service_pb2_grpc as billing_rpc
from earmark.v1 import catalog_service_pb2 as catalog
from earmark.v1 import catalog_service_pb2_grpc as catalog_rpc
from earmark.v1 import ledger_service_pb2 as ledger
from earmark.v1 import ledger_service_pb2_grpc as ledger_rpc
from earmark.v1 import metering_service_pb2 as metering
from tests.acceptance.receivers import Inbox

__all__ = ["Refusal", "System", "balanced", "credits", "micros", "timestamp"]

_MICROS = 1_000_000
_SECONDS = 30
"""For any call: months of renewals are waited for inside one."""


def micros(amount: str | int | Decimal) -> int:
    """Return the microcredits of an amount of credits."""
    value = Decimal(amount) * _MICROS
    assert value == int(value), f"{amount} is finer than a microcredit"
    return int(value)


def credits(amount: int) -> int | Decimal:
    """Return the credits of an amount of microcredits; a whole number as an int, so that it reads as one."""
    return amount // _MICROS if amount % _MICROS == 0 else Decimal(amount) / _MICROS


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment for a request."""
    time = Timestamp()
    time.FromDatetime(moment.astimezone(UTC).replace(tzinfo=None))
    return time


def balanced(line: ledger.SummaryLine) -> bool:
    """Whether what came is what went and what is left."""
    came = line.carried_in_micros + line.allocated_micros
    went = line.consumed_micros + line.expired_micros + line.voided_micros + line.repaid_micros
    return came == went + line.remaining_micros


@dataclass(slots=True)
class Refusal:
    """What a refused call said; empty until the block ends."""

    code: str = ""
    reason: str = ""
    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


class System:
    """A sidecar, its stubs, and the phrases that the rows need."""

    def __init__(self, server: EarmarkServer, channel: grpc.Channel, inbox: Inbox) -> None:
        self.server = server
        self.inbox = inbox
        self.accounts: Any = accounts_rpc.AccountServiceStub(channel)
        self.admin: Any = admin_rpc.AdminServiceStub(channel)
        self.billing: Any = billing_rpc.BillingServiceStub(channel)
        self.catalog: Any = catalog_rpc.CatalogServiceStub(channel)
        self.ledger: Any = ledger_rpc.LedgerServiceStub(channel)
        self.metering: Any = metering_service_pb2_grpc.MeteringServiceStub(channel)
        self._numbers = itertools.count(1)

    # Accounts and time

    def id(self, prefix: str = "request") -> str:
        """Return an id that nobody has used here."""
        return f"{prefix}-{next(self._numbers)}"

    def account(self, **fields: Any) -> str:
        """Create an account and return its id."""
        account_id = self.id("account")
        request = accounts.CreateAccountRequest(account_id=account_id, request_id=self.id(), **fields)
        self.accounts.CreateAccount(request, timeout=_SECONDS)
        return account_id

    def now(self) -> datetime:
        """Return the store's time."""
        return _moment(self.admin.GetClock(admin.GetClockRequest(), timeout=_SECONDS).time)

    def move(self, *, to: datetime | None = None, **by: float) -> datetime:
        """Move the store's time to a moment or by `days=`, `hours=`, …; return it when everything due has happened."""
        request = admin.MoveClockRequest()
        if to is not None:
            request.time.CopyFrom(timestamp(to))
        else:
            request.by.FromTimedelta(timedelta(**by))
        return _moment(self.admin.MoveClock(request, timeout=_SECONDS).time)

    def move_to_month_start(self, zone: str = "UTC", hours: int = 12) -> datetime:
        """Move to some hours after the beginning of the next month of a time zone."""
        here = self.now().astimezone(ZoneInfo(zone))
        year, month = (here.year + 1, 1) if here.month == 12 else (here.year, here.month + 1)
        return self.move(to=datetime(year, month, 1, hours, tzinfo=ZoneInfo(zone)))

    # Spending

    def reserve(self, account_id: str, operation: str = "", **fields: Any) -> metering.ReserveResponse:
        """Reserve; `amount=` in credits, the rest as in ReserveRequest."""
        response: metering.ReserveResponse = self.metering.Reserve(
            metering.ReserveRequest(**self._spending(account_id, operation, fields)), timeout=_SECONDS
        )
        return response

    def charge(self, account_id: str, operation: str = "", **fields: Any) -> metering.ChargeResponse:
        """Reserve and commit in one step."""
        response: metering.ChargeResponse = self.metering.Charge(
            metering.ChargeRequest(**self._spending(account_id, operation, fields)), timeout=_SECONDS
        )
        return response

    def _spending(self, account_id: str, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
        amount = fields.pop("amount", None)
        if amount is not None:
            fields["amount_micros"] = micros(amount)
        return {"account_id": account_id, "request_id": self.id(), "operation": operation, **fields}

    def commit(
        self, held: metering.ReserveResponse, amount: str | int | Decimal | None = None, **fields: Any
    ) -> metering.CommitResponse:
        """Commit a reservation."""
        if amount is not None:
            fields["amount_micros"] = micros(amount)
        request = metering.CommitRequest(reservation_id=held.reservation.reservation_id, **fields)
        response: metering.CommitResponse = self.metering.Commit(request, timeout=_SECONDS)
        return response

    def release(self, held: metering.ReserveResponse, reason: str = "") -> metering.ReleaseResponse:
        """Release a reservation."""
        request = metering.ReleaseRequest(reservation_id=held.reservation.reservation_id, reason=reason)
        response: metering.ReleaseResponse = self.metering.Release(request, timeout=_SECONDS)
        return response

    def balance(self, account_id: str) -> reservation_pb2.Balance:
        """Return an account's totals."""
        answer: reservation_pb2.Balance = self.whole_balance(account_id).balance
        return answer

    def whole_balance(self, account_id: str) -> metering.GetBalanceResponse:
        """Return an account's totals, grants and last entry."""
        response: metering.GetBalanceResponse = self.metering.GetBalance(
            metering.GetBalanceRequest(account_id=account_id), timeout=_SECONDS
        )
        return response

    def available(self, account_id: str) -> int | Decimal:
        """Return what an account has available, in credits."""
        return credits(self.balance(account_id).available_micros)

    def grant(self, account_id: str, amount: str | int, **fields: Any) -> accounts.CreateGrantResponse:
        """Give credits."""
        request = accounts.CreateGrantRequest(
            account_id=account_id, request_id=self.id(), amount_micros=micros(amount), **fields
        )
        response: accounts.CreateGrantResponse = self.accounts.CreateGrant(request, timeout=_SECONDS)
        return response

    # Plans and packs

    def subscribe(self, account_id: str, plan_id: str, **fields: Any) -> billing.CreateSubscriptionResponse:
        """Subscribe an account."""
        request = billing.CreateSubscriptionRequest(
            account_id=account_id, request_id=self.id(), plan_id=plan_id, **fields
        )
        response: billing.CreateSubscriptionResponse = self.billing.CreateSubscription(request, timeout=_SECONDS)
        return response

    def subscription(self, account_id: str) -> billing.Subscription:
        """Return an account's subscription."""
        request = billing.GetSubscriptionRequest(account_id=account_id)
        answer: billing.Subscription = self.billing.GetSubscription(request, timeout=_SECONDS).subscription
        return answer

    def buy(self, account_id: str, pack_id: str, **fields: Any) -> billing.ConfirmPurchaseResponse:
        """Begin a purchase and confirm it."""
        purchase = self.begin_purchase(account_id, pack_id, **fields)
        request = billing.ConfirmPurchaseRequest(purchase_id=purchase.purchase_id)
        response: billing.ConfirmPurchaseResponse = self.billing.ConfirmPurchase(request, timeout=_SECONDS)
        return response

    def begin_purchase(self, account_id: str, pack_id: str, **fields: Any) -> billing.Purchase:
        """Begin a purchase."""
        request = billing.CreatePurchaseRequest(account_id=account_id, request_id=self.id(), pack_id=pack_id, **fields)
        answer: billing.Purchase = self.billing.CreatePurchase(request, timeout=_SECONDS).purchase
        return answer

    # Reading

    def entries(self, account_id: str, **filters: Any) -> Sequence[ledger_pb2.LedgerEntry]:
        """Return an account's entries that pass the filters, newest first, once everything settled is in SQL."""
        self.wait_flushed()
        request = ledger.ListLedgerEntriesRequest(
            account_id=account_id, filter=ledger.LedgerFilter(**filters), page_size=1_000
        )
        response = self.ledger.ListLedgerEntries(request, timeout=_SECONDS)
        assert not response.next_page_token, "more than a page: read page by page"
        return list(response.entries)

    def wait_flushed(self) -> None:
        """Return when everything that has settled is in SQL: that is when a move of the clock returns."""
        self.move(seconds=0.001)

    def summary(
        self, account_id: str, start: datetime, end: datetime | None = None
    ) -> ledger.GetMonthlySummaryResponse:
        """Return what came, went and is left in a range; until now by default."""
        self.wait_flushed()
        request = ledger.GetMonthlySummaryRequest(account_id=account_id, start_time=timestamp(start))
        if end is not None:
            request.end_time.CopyFrom(timestamp(end))
        response: ledger.GetMonthlySummaryResponse = self.ledger.GetMonthlySummary(request, timeout=_SECONDS)
        return response

    def usage(
        self, account_id: str, *group_by: ledger.GetUsageReportRequest.GroupBy, **fields: Any
    ) -> ledger.GetUsageReportResponse:
        """Return a usage report of the last two hours and the day before them, unless the fields say otherwise."""
        self.wait_flushed()
        fields.setdefault("start_time", timestamp(self.now() - timedelta(hours=26)))
        request = ledger.GetUsageReportRequest(account_id=account_id, group_by=group_by, **fields)
        response: ledger.GetUsageReportResponse = self.ledger.GetUsageReport(request, timeout=_SECONDS)
        return response

    def notifications(self, account_id: str) -> Sequence[ledger.Notification]:
        """Return an account's alerts, newest first, once those of what has settled are there."""
        self.wait_flushed()
        request = ledger.ListNotificationsRequest(account_id=account_id, page_size=1_000)
        return list(self.ledger.ListNotifications(request, timeout=_SECONDS).notifications)

    def estimate(self, account_id: str, *items: metering.EstimateItem, **fields: Any) -> metering.EstimateResponse:
        """Estimate items."""
        request = metering.EstimateRequest(account_id=account_id, items=items, **fields)
        response: metering.EstimateResponse = self.metering.Estimate(request, timeout=_SECONDS)
        return response

    def packs(self, method: str = "") -> dict[str, catalog_pb2.Pack]:
        """Return the packs as they are sold now, by id, in their order."""
        response = self.catalog.ListPacks(catalog.ListPacksRequest(method=method), timeout=_SECONDS)
        return {pack.pack_id: pack for pack in response.packs}

    def plans(self) -> dict[str, catalog_pb2.Plan]:
        """Return the plans by id, in their order."""
        response = self.catalog.ListPlans(catalog.ListPlansRequest(), timeout=_SECONDS)
        return {plan.plan_id: plan for plan in response.plans}

    def prices(self) -> dict[str, catalog_pb2.OperationPrice]:
        """Return the action matrix by operation, in its order."""
        response = self.catalog.ListPrices(catalog.ListPricesRequest(), timeout=_SECONDS)
        return {price.operation: price for price in response.prices}

    def add_member(
        self, account_id: str, user_id: str, role: account_pb2.Member.Role = account_pb2.Member.ROLE_MEMBER
    ) -> None:
        """Let a user spend an account's credits."""
        request = accounts.AddMemberRequest(account_id=account_id, request_id=self.id(), user_id=user_id, role=role)
        self.accounts.AddMember(request, timeout=_SECONDS)

    def update(self, account_id: str, *paths: str, **fields: Any) -> None:
        """Change fields of an account."""
        request = accounts.UpdateAccountRequest(
            account=account_pb2.Account(account_id=account_id, **fields),
            update_mask=field_mask_pb2.FieldMask(paths=paths),
            request_id=self.id(),
        )
        self.accounts.UpdateAccount(request, timeout=_SECONDS)

    @contextmanager
    def refused(self, reason: str) -> Iterator[Refusal]:
        """Expect the block's call to be refused for this reason."""
        refusal = Refusal()
        with pytest.raises(grpc.RpcError) as caught:
            yield refusal
        error: Any = caught.value
        refusal.code, refusal.message = error.code().name, error.details()
        trailing = dict(error.trailing_metadata() or ())
        status = status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b""))
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                refusal.reason, refusal.metadata = info.reason, dict(info.metadata)
        assert refusal.reason == reason, f"refused with {refusal}, not with {reason}"


def _moment(time: Any) -> datetime:
    moment: datetime = time.ToDatetime(tzinfo=UTC)
    return moment
