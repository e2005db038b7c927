"""Sidecar and engine die in the middle of everything that gives credits: each thing happened exactly once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from earmark.cli.reconcile import compare_stores
from earmark.settings import Settings
from earmark.testing import EarmarkServer
from earmark.v1 import account_pb2, catalog_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import admin_service_pb2 as admin
from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import ledger_service_pb2 as ledger
from earmark.v1 import metering_service_pb2 as metering
from tests.acceptance.receivers import WebReceiver, web_receiver
from tests.integration.server.conftest import Refusal, Sidecar
from tests.property.billing.audit import Books, read_books
from tests.property.billing.plans import CATALOG, CREDIT, PLANS, Predicted
from tests.support.waiting import wait_until

_KILLS = 5
_ACCOUNTS = 8
_MONTHS = 5
_RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]
_AGAIN = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}


async def call(rpc: Callable[..., Awaitable[Any]], request: Any) -> Any:
    """Repeat the same request until the answer is definitive, as the rules for clients say."""
    while True:
        try:
            return await rpc(request, timeout=10)
        except grpc.aio.AioRpcError as failure:
            refused = Refusal.of(failure)
            assert refused.code not in ("INTERNAL", "UNKNOWN"), refused
            if refused.code not in _AGAIN:
                return refused
            await asyncio.sleep(0.05)


class Customer:
    """One account: what it asks for, in its order, each until it is done."""

    def __init__(self, sidecar: Sidecar, number: int, webhook: str, dice: random.Random) -> None:
        self.sidecar = sidecar
        self.account_id = f"a{number}"
        self.number = number
        self.webhook = webhook
        self.dice = dice
        self.purchases: dict[str, tuple[int, int]] = {}
        self.charged: dict[str, int] = {}
        self.subscription_id = ""
        self.anchor = datetime.now(UTC)
        self.claimed = False
        self.limit_changes = 0

    async def live(self) -> None:
        """Do everything once."""
        if self.number % 2:
            await self._import()
        else:
            request = accounts.CreateAccountRequest(account_id=self.account_id, request_id="create")
            await self._done(self.sidecar.accounts.CreateAccount, request)
        changes = accounts.UpdateAccountRequest(
            account=account_pb2.Account(
                account_id=self.account_id, contacts=account_pb2.Contacts(webhook_url=self.webhook)
            ),
            update_mask=FieldMask(paths=["contacts"]),
            request_id="contacts",
        )
        await self._done(self.sidecar.accounts.UpdateAccount, changes)
        claim = billing.ClaimFreePlanRequest(account_id=self.account_id, request_id="claim", identity="0xAB")
        self.claimed = not isinstance(await call(self.sidecar.billing.ClaimFreePlan, claim), Refusal)
        subscribe = billing.CreateSubscriptionRequest(
            account_id=self.account_id, request_id="subscribe", plan_id=self.dice.choice(["basic", "pro", "monthly"])
        )
        answer = await self._done(self.sidecar.billing.CreateSubscription, subscribe)
        self.subscription_id = answer.subscription.subscription_id
        self.anchor = answer.subscription.anchor_time.ToDatetime(UTC)
        for step in range(6):
            await self._buy(step)
            await self._generate(step)
            await self._limit(step)

    async def _done(self, rpc: Callable[..., Awaitable[Any]], request: Any) -> Any:
        answer = await call(rpc, request)
        assert not isinstance(answer, Refusal), answer
        return answer

    async def _import(self) -> None:
        """Bring the account with a balance from elsewhere; a repeat finds it as it was brought."""
        account = accounts.ImportedAccount(account_id=self.account_id, balance_micros=7 * CREDIT)

        async def bring(request: accounts.ImportAccountsRequest, timeout: float) -> accounts.ImportAccountsResponse:
            async def requests() -> AsyncIterator[accounts.ImportAccountsRequest]:
                yield request

            stream = self.sidecar.accounts.ImportAccounts(requests(), timeout=timeout)
            return await anext(aiter(stream))

        answer = await self._done(bring, accounts.ImportAccountsRequest(account=account))
        outcomes = accounts.ImportAccountsResponse
        assert answer.outcome in (outcomes.OUTCOME_IMPORTED, outcomes.OUTCOME_UNCHANGED), answer

    async def _buy(self, step: int) -> None:
        request = billing.CreatePurchaseRequest(
            account_id=self.account_id,
            request_id=f"buy-{step}",
            pack_id="small",
            payment_reference=f"{self.account_id}-{step}",
        )
        purchase = (await self._done(self.sidecar.billing.CreatePurchase, request)).purchase
        confirm = billing.ConfirmPurchaseRequest(payment_reference=purchase.payment_reference)
        answer = await self._done(self.sidecar.billing.ConfirmPurchase, confirm)
        assert sum(grant.amount_micros for grant in answer.grants) == 12_500_000
        self.purchases[purchase.purchase_id] = (10 * CREDIT, 2_500_000)

    async def _generate(self, step: int) -> None:
        charge = metering.ChargeRequest(
            account_id=self.account_id, request_id=f"gen-{step}", operation="message", quantity=self.dice.randint(1, 9)
        )
        answer = await call(self.sidecar.metering.Charge, charge)
        if not isinstance(answer, Refusal):
            self.charged[answer.reservation.reservation_id] = answer.charged_micros
        else:
            assert answer.reason in ("INSUFFICIENT_CREDITS", "LIMIT_EXCEEDED"), answer

    async def _limit(self, step: int) -> None:
        limit = catalog_pb2.Limit(
            name="own",
            scope=catalog_pb2.Limit.SCOPE_ACCOUNT,
            window=catalog_pb2.Limit.WINDOW_LIFETIME,
            amount_micros=(20 + step) * CREDIT,
        )
        request = accounts.UpdateAccountRequest(
            account=account_pb2.Account(account_id=self.account_id, limits=[limit]),
            update_mask=FieldMask(paths=["limits"]),
            request_id=f"limit-{step}",
        )
        answer = await self._done(self.sidecar.accounts.UpdateAccount, request)
        assert answer.account.limits[0].amount_micros == limit.amount_micros

    async def check(self, now: datetime) -> None:
        """Everything happened once."""
        books = await read_books(self.sidecar, self.account_id)
        books.check_sums()
        books.check_entries()
        books.check_generations(self.charged)
        requests = Counter(grant.request_id for grant in books.grants)
        assert max(requests.values()) == 1, requests
        bought = {request for request in requests if request.startswith(("purchase/", "bonus/"))}
        assert bought == {f"{word}/{each}" for each in self.purchases for word in ("purchase", "bonus")}
        assert ("import-balance" in requests) == bool(self.number % 2)
        found = (
            await self.sidecar.billing.GetSubscription(billing.GetSubscriptionRequest(account_id=self.account_id))
        ).subscription
        assert found.subscription_id == self.subscription_id
        self._check_cycles(books, found, now)

    def _check_cycles(self, books: Books, found: billing.Subscription, now: datetime) -> None:
        predicted = Predicted(ZoneInfo("UTC"))
        predicted.subscribe(self.subscription_id, PLANS[found.plan_id], yearly=False, now=self.anchor)
        predicted.pass_time(now)
        assert predicted.current is not None
        assert found.cycle == predicted.current.cycle
        prefix = f"renewal/{self.subscription_id}/"
        given = {
            (self.subscription_id, int(grant.request_id.removeprefix(prefix))): grant.amount_micros
            for grant in books.grants
            if grant.request_id.startswith(prefix)
        }
        assert given == predicted.renewals


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["sidecar", "engine"])
async def test_what_gives_credits_survives_every_death(victim: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with web_receiver() as receiver:
        async with EarmarkServer(webhook_secret="secret") as server:
            async with grpc.aio.insecure_channel(server.address, options=_RECONNECT) as channel:
                sidecar = Sidecar(None, channel, "")  # type: ignore[arg-type]  # It runs in a process of its own.
                await sidecar.install(CATALOG)
                await _live_and_die(server, sidecar, receiver, victim, dice)
            settings = Settings.load(data_dir=server.data_dir)
            report = await compare_stores(settings, lambda _done, _all: None)
            assert not report.drift, report
            assert "Traceback" not in server.log, server.log[-4_000:]


async def _live_and_die(
    server: EarmarkServer, sidecar: Sidecar, receiver: WebReceiver, victim: str, dice: random.Random
) -> None:
    customers = [Customer(sidecar, number, receiver.url, dice) for number in range(_ACCOUNTS)]
    start = (await call(sidecar.admin.GetClock, admin.GetClockRequest())).time.ToDatetime(UTC)

    async def move() -> None:
        for step in range(1, _MONTHS * 2 + 1):
            request = admin.MoveClockRequest()
            request.time.FromDatetime(start + timedelta(days=16 * step))
            answer = await call(sidecar.admin.MoveClock, request)
            # A repeat of a move whose answer was lost may find the clock beyond its time.
            assert not isinstance(answer, Refusal) or answer.reason == "INVALID_ARGUMENT", answer

    work = asyncio.gather(move(), *(customer.live() for customer in customers))
    deaths = 0
    while deaths < _KILLS:
        if (await asyncio.wait((work,), timeout=dice.uniform(0.05, 0.5)))[0]:
            break
        deaths += 1
        if victim == "sidecar":
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        else:
            server.kill_engine()
            await wait_until(lambda: server.engine_pid is not None)
    async with asyncio.timeout(90):
        await work
    assert deaths > 1, "it was over before anything died"
    request = admin.MoveClockRequest()
    request.by.FromTimedelta(timedelta(days=40))
    answer = await call(sidecar.admin.MoveClock, request)
    now = answer.time.ToDatetime(UTC)
    await call(sidecar.admin.MoveClock, admin.MoveClockRequest(by=timedelta(milliseconds=1)))
    for customer in customers:
        await customer.check(now)
    assert sum(customer.claimed for customer in customers) == 1
    await _check_deliveries(sidecar, receiver)


async def _check_deliveries(sidecar: Sidecar, receiver: WebReceiver) -> None:
    """Every notification arrived at least once, under its own id."""

    async def arrived() -> bool:
        expected = set()
        request = ledger.ListNotificationsRequest(page_size=1_000)
        for note in (await call(sidecar.ledger.ListNotifications, request)).notifications:
            if note.deliveries:
                expected.add(note.notification_id)
        seen = {message.headers["earmark-notification-id"] for message in receiver.deliveries}
        assert seen <= expected
        return bool(expected) and seen == expected

    await wait_until(arrived, seconds=40)
