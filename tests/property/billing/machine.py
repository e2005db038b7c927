"""Lives of accounts over gRPC: plans, purchases, generations, limits and time in any order, on a real sidecar."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import grpc.aio
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from earmark.cli.reconcile import compare_stores
from earmark.settings import Settings
from earmark.v1 import account_pb2, catalog_pb2, common_pb2, reservation_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import admin_service_pb2 as admin
from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import ledger_service_pb2 as ledger
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.server.conftest import Refusal, Sidecar, open_test_sidecar
from tests.property.billing.audit import check_reports, read_books
from tests.property.billing.plans import CATALOG, CREDIT, IMAGES, OWN_CREDITS, PACKS, PLANS, Plan, Predicted
from tests.support.evicting import evict_accounts

__all__ = ["Lifetimes", "Stores"]

State = billing.Subscription
_STATES = {"ACTIVE": 1, "CANCELLING": 2, "AWAITING": 3}
_ZONES = ("UTC", "America/New_York", "Asia/Tokyo")
_THRESHOLDS = {
    ledger.Notification.KIND_LOW_BALANCE: 30 * CREDIT,
    ledger.Notification.KIND_CRITICAL_BALANCE: 5 * CREDIT,
}
_RESERVED = {"message": CREDIT, "audit": 5 * CREDIT, "style": 3 * CREDIT, "view": 0, "": 0}
_WANTED = [*sorted(PLANS), *("basic", "pro", "own") * 2]
"""Plans with a cap more often: what is cut at a renewal is the hardest part."""
_ATTEMPTS = 50


@dataclass(frozen=True)
class Stores:
    """Where an example lives. Each call makes both stores empty."""

    runner: asyncio.Runner
    fresh: Callable[[], tuple[str, str, str]]
    """Returns the engine's URL, the ledger's and where to listen."""


@dataclass
class Hold:
    """A reservation that was given out."""

    reservation_id: str
    reserved: int
    operation: str
    start: datetime
    end: datetime
    """When it expires, as it was said last."""
    settled: datetime | None = None
    charged: int | None = None
    """None before it was committed."""


@dataclass(repr=False)
class Account:
    """What the model knows of an account."""

    account_id: str
    predicted: Predicted
    created: datetime
    holds: dict[str, Hold] = field(default_factory=dict)
    pending: dict[str, tuple[int, int]] = field(default_factory=dict)
    confirmed: dict[str, tuple[int, int]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    grants: list[str] = field(default_factory=list)
    limits: list[catalog_pb2.Limit] = field(default_factory=list)
    requests: list[tuple[Callable[[Any], Awaitable[Any]], Any]] = field(default_factory=list)
    """Administration that took effect, to be repeated."""
    moved: bool = False
    """Its time zone changed: windows that began before are of the old one, and the model does not follow them."""

    def __repr__(self) -> str:
        return self.account_id

    def used(self, limit: catalog_pb2.Limit, now: datetime) -> int:
        """What counts against a limit in the window that holds now."""
        begun, edge = limit.create_time.ToDatetime(UTC), self._window(limit, now)
        return sum(
            (hold.charged if hold.charged is not None else 0 if hold.settled or hold.end <= now else hold.reserved)
            for hold in self.holds.values()
            if hold.start >= max(begun, edge) and limit.subject in ("", hold.operation)
        )

    def _window(self, limit: catalog_pb2.Limit, now: datetime) -> datetime:
        here = now.astimezone(self.predicted.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        match limit.window:
            case catalog_pb2.Limit.WINDOW_DAY:
                return here.astimezone(UTC)
            case catalog_pb2.Limit.WINDOW_MONTH:
                return here.replace(day=1).astimezone(UTC)
            case _:
                return self.created


class Lifetimes(RuleBasedStateMachine):
    """One example: a sidecar with empty stores, three accounts."""

    def __init__(self, stores: Stores) -> None:
        super().__init__()
        self._run = stores.runner.run
        self._stack = AsyncExitStack()
        self._urls = stores.fresh()
        self._numbers = itertools.count(1)
        self._claimed: set[str] = set()
        self._accounts: list[Account] = []
        self._moved = 0

    # Beginning and end

    @initialize(day=st.integers(0, 40), hour=st.integers(0, 23))
    def begin(self, day: int, hour: int) -> None:
        async def begin() -> None:
            redis_url, database_url, listen = self._urls
            self.sidecar: Sidecar = await self._stack.enter_async_context(
                open_test_sidecar(redis_url, database_url, listen)
            )
            await self.sidecar.install(CATALOG)
            # Near the end of a month, where cycles and windows are at their trickiest.
            now = await self._now()
            start = datetime(now.year + 1, 1, 1, hour, 30, tzinfo=UTC) + timedelta(days=day)
            await self.sidecar.move(to=start)
            for number, zone in enumerate(_ZONES):
                request = accounts.CreateAccountRequest(
                    account_id=f"a{number}",
                    request_id="create",
                    time_zone=zone,
                    overdraft_limit_micros=3 * CREDIT if number == 1 else 0,
                )
                await self.sidecar.accounts.CreateAccount(request)
                created = await self._now()
                self._accounts.append(Account(f"a{number}", Predicted(ZoneInfo(zone)), created))

        self._run(begin())

    def teardown(self) -> None:
        if not self._accounts:
            self._run(self._stack.aclose())
            return

        async def end() -> None:
            try:
                await self._audit([0.0, 0.3, 0.7])
            finally:
                await self._stack.aclose()
            redis_url, database_url, _ = self._urls
            settings = Settings.load(redis_url=redis_url, database_url=database_url)
            report = await compare_stores(settings, lambda _done, _all: None)
            assert not report.drift, report
            assert not report.unsettled_accounts

        self._run(end())

    # Calls

    async def _call(self, call: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
        """Call as the rules for clients say; return the response or what the refusal says."""
        for attempt in range(_ATTEMPTS):
            try:
                return await call(request)
            except grpc.aio.AioRpcError as failure:
                refused = Refusal.of(failure)
                assert refused.code not in ("INTERNAL", "UNKNOWN", "UNIMPLEMENTED"), refused
                if refused.code != "UNAVAILABLE" or attempt + 1 == _ATTEMPTS:
                    return refused
                await asyncio.sleep(0.02)
        raise AssertionError

    def call(self, call: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
        answer = self._run(self._call(call, request))
        note(f"-> {answer}" if isinstance(answer, Refusal) else "-> OK")
        return answer

    def administer(self, account: Account, call: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
        """The same, kept to be repeated if it took effect."""
        answer = self.call(call, request)
        if not isinstance(answer, Refusal):
            account.requests.append((call, request))
        return answer

    async def _now(self) -> datetime:
        found: datetime = (await self.sidecar.admin.GetClock(admin.GetClockRequest())).time.ToDatetime(UTC)
        return found

    def now(self) -> datetime:
        now = self._run(self._now())
        for account in self._accounts:
            account.predicted.pass_time(now)
        return now

    def new_id(self) -> str:
        return f"r{next(self._numbers)}"

    def _drawn(self, data: st.DataObject, candidates: list[Account]) -> Account:
        return candidates[data.draw(st.integers(0, len(candidates) - 1))]

    def of(self, number: int) -> Account:
        return self._accounts[number]

    # Plans

    @rule(number=st.integers(0, 2), plan=st.sampled_from(_WANTED), yearly=st.booleans())
    def subscribe(self, number: int, plan: str, yearly: bool) -> None:
        account, wanted = self.of(number), PLANS[plan]
        self.now()
        may = account.predicted.may_subscribe(wanted) and not wanted.claimed
        request = billing.CreateSubscriptionRequest(
            account_id=account.account_id,
            request_id=self.new_id(),
            plan_id=plan,
            term=State.TERM_YEAR if yearly else State.TERM_MONTH,
            overrides=self._overrides(wanted),
        )
        answer = self.administer(account, self.sidecar.billing.CreateSubscription, request)
        assert isinstance(answer, Refusal) != may, (answer, account.predicted)
        if may:
            self._subscribed(account, wanted, answer.subscription, yearly=yearly)

    def _overrides(self, plan: Plan) -> billing.SubscriptionOverrides | None:
        return billing.SubscriptionOverrides(credits_micros=OWN_CREDITS) if plan.plan_id == "own" else None

    def _subscribed(self, account: Account, plan: Plan, found: billing.Subscription, *, yearly: bool) -> None:
        anchor = found.anchor_time.ToDatetime(UTC)
        account.predicted.subscribe(found.subscription_id, plan, yearly=yearly, now=anchor)
        self.compare(account, found)

    @rule(number=st.integers(0, 2), plan=st.sampled_from(_WANTED), yearly=st.booleans())
    def change_plan(self, number: int, plan: str, yearly: bool) -> None:
        account, wanted = self.of(number), PLANS[plan]
        now = self.now()
        current = account.predicted.current
        may = current is not None and (not wanted.claimed or current.plan == wanted)
        request = billing.ChangePlanRequest(
            account_id=account.account_id,
            request_id=self.new_id(),
            plan_id=plan,
            term=State.TERM_YEAR if yearly else State.TERM_MONTH,
            overrides=self._overrides(wanted),
        )
        answer = self.administer(account, self.sidecar.billing.ChangePlan, request)
        assert isinstance(answer, Refusal) != may, (answer, account.predicted)
        if may and current is not None:
            found = answer.subscription
            if found.subscription_id != current.subscription_id:
                now = found.anchor_time.ToDatetime(UTC)
            subscription_id = found.subscription_id
            at_once = account.predicted.change(wanted, yearly=yearly, now=now, subscription_id=subscription_id)
            assert answer.immediate == at_once, (answer, account.predicted)
            self.compare(account, found)

    @rule(number=st.integers(0, 2), above=st.sampled_from(["pro", "own"]), hours=st.sampled_from([24 * 31, 24 * 75]))
    def downgrade(self, number: int, above: str, hours: int) -> None:
        """From one cap to another, through renewals: the cap of the cycle that ends counts."""
        if self.of(number).predicted.current is None:
            self.subscribe(number, above, yearly=False)
        else:
            self.change_plan(number, above, yearly=False)
        self.change_plan(number, "basic", yearly=False)
        self.move(hours)

    @rule(number=st.integers(0, 2))
    def cancel(self, number: int) -> None:
        account = self.of(number)
        self.now()
        may = account.predicted.current is not None
        request = billing.CancelSubscriptionRequest(account_id=account.account_id, request_id=self.new_id())
        answer = self.administer(account, self.sidecar.billing.CancelSubscription, request)
        assert isinstance(answer, Refusal) != may, (answer, account.predicted)
        if may:
            account.predicted.cancel()

    @rule(number=st.integers(0, 2))
    def confirm_renewal(self, number: int) -> None:
        account = self.of(number)
        now = self.now()
        may = account.predicted.may_confirm()
        request = billing.ConfirmRenewalRequest(account_id=account.account_id, request_id=self.new_id())
        answer = self.administer(account, self.sidecar.billing.ConfirmRenewal, request)
        assert isinstance(answer, Refusal) != may, (answer, account.predicted)
        if may:
            account.predicted.confirm(now)
            self.compare(account, answer.subscription)

    @rule(number=st.integers(0, 2), identity=st.sampled_from(["0xAB", " 0xab", "0xCD", "\uff10xcd "]))
    def claim(self, number: int, identity: str) -> None:
        account = self.of(number)
        self.now()
        wanted = identity.strip().lower().replace("\uff10", "0")
        may = wanted not in self._claimed and not account.predicted.had
        request = billing.ClaimFreePlanRequest(
            account_id=account.account_id, request_id=self.new_id(), identity=identity
        )
        answer = self.administer(account, self.sidecar.billing.ClaimFreePlan, request)
        assert isinstance(answer, Refusal) != may, (answer, account.predicted)
        if may:
            self._claimed.add(wanted)
            self._subscribed(account, PLANS["trial"], answer.subscription, yearly=False)

    def compare(self, account: Account, found: billing.Subscription) -> None:
        """The subscription is as predicted."""
        expected = account.predicted.current
        if expected is None:
            assert found.state == State.STATE_ENDED, found
            return
        assert found.subscription_id == expected.subscription_id
        end = found.cycle_end_time.ToDatetime(UTC) if found.HasField("cycle_end_time") else None
        seen = (found.plan_id, found.state, found.cycle, end, found.credits_micros)
        following = expected.plan if expected.following is None else expected.following[0]
        assert seen == (
            expected.plan.plan_id,
            _STATES[expected.state],
            expected.cycle,
            expected.end,
            expected.plan.credits,
        ), (found, expected)
        assert found.next_plan_id in ("" if following == expected.plan else following.plan_id, following.plan_id)

    # Purchases and grants

    @rule(number=st.integers(0, 2), pack=st.sampled_from(["small", "any"]), credits=st.integers(1, 20))
    def begin_purchase(self, number: int, pack: str, credits: int) -> None:
        account = self.of(number)
        request = billing.CreatePurchaseRequest(
            account_id=account.account_id,
            request_id=self.new_id(),
            pack_id=pack,
            amount_micros=credits * CREDIT if pack == "any" else None,
            payment_reference=f"pay-{self.new_id()}" if credits % 2 else "",
        )
        purchase = self.administer(account, self.sidecar.billing.CreatePurchase, request).purchase
        account.pending[purchase.purchase_id] = PACKS.get(pack, (credits * CREDIT, 0))

    @precondition(lambda self: any(account.pending or account.confirmed for account in self._accounts))
    @rule(data=st.data(), fails=st.booleans())
    def settle_purchase(self, data: st.DataObject, fails: bool) -> None:
        owners = [account for account in self._accounts if account.pending or account.confirmed]
        account = self._drawn(data, owners)
        known = sorted((*account.pending, *account.confirmed, *account.failed))
        purchase_id = known[data.draw(st.integers(0, len(known) - 1))]
        if fails:
            failing = billing.FailPurchaseRequest(purchase_id=purchase_id, reason="declined")
            answer = self.call(self.sidecar.billing.FailPurchase, failing)
            assert isinstance(answer, Refusal) == (purchase_id in account.confirmed)
            if not isinstance(answer, Refusal):
                account.pending.pop(purchase_id, None)
                account.failed.add(purchase_id)
            return
        confirming = billing.ConfirmPurchaseRequest(purchase_id=purchase_id)
        answer = self.call(self.sidecar.billing.ConfirmPurchase, confirming)
        assert isinstance(answer, Refusal) == (purchase_id in account.failed)
        if not isinstance(answer, Refusal):
            assert answer.replayed == (purchase_id in account.confirmed)
            if not answer.replayed:
                account.confirmed[purchase_id] = account.pending.pop(purchase_id)
            assert sum(grant.amount_micros for grant in answer.grants) == sum(account.confirmed[purchase_id])

    @rule(number=st.integers(0, 2), credits=st.integers(1, 40), days=st.integers(0, 60), priority=st.integers(99, 101))
    def grant(self, number: int, credits: int, days: int, priority: int) -> None:
        account = self.of(number)
        request = accounts.CreateGrantRequest(
            account_id=account.account_id, request_id=self.new_id(), amount_micros=credits * CREDIT, priority=priority
        )
        if days:
            request.expire_time.FromDatetime(self.now() + timedelta(days=days))
        answer = self.administer(account, self.sidecar.accounts.CreateGrant, request)
        account.grants.append(answer.grant.grant_id)

    @precondition(lambda self: any(account.grants for account in self._accounts))
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        account = self._drawn(data, [account for account in self._accounts if account.grants])
        grant_id = account.grants.pop(data.draw(st.integers(0, len(account.grants) - 1)))
        request = accounts.VoidGrantRequest(
            account_id=account.account_id, request_id=self.new_id(), grant_id=grant_id, reason="a mistake"
        )
        self.administer(account, self.sidecar.accounts.VoidGrant, request)

    @precondition(lambda self: any(account.requests for account in self._accounts))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """The same request again: replayed, and nothing more happens, however long ago it was."""
        account = self._drawn(data, [account for account in self._accounts if account.requests])
        self.now()
        call, request = account.requests[data.draw(st.integers(0, len(account.requests) - 1))]
        answer = self.call(call, request)
        assert not isinstance(answer, Refusal), answer
        assert answer.replayed

    # Generations

    @rule(
        number=st.integers(0, 2),
        operation=st.sampled_from(["", "message", "image", "audit", "text", "style", "view"]),
        amount=st.integers(0, 12),
        seconds=st.sampled_from([1, 60, 86_400]),
        at_once=st.booleans(),
        overdraft=st.booleans(),
    )
    def generate(self, number: int, operation: str, amount: int, seconds: int, at_once: bool, overdraft: bool) -> None:
        account = self.of(number)
        now = self.now()
        fields: dict[str, Any] = {"account_id": account.account_id, "request_id": self.new_id()}
        expected = _RESERVED.get(operation, 0)
        match operation:
            case "":
                fields["amount_micros"] = expected = amount * CREDIT
            case "image":
                size = "l" if amount % 2 else "s"
                fields |= {"operation": "image", "quantity": amount, "attributes": {"size": size}}
                expected = IMAGES[size] * amount
            case "text":
                usage = common_pb2.Usage(counts={"input_tokens": 100 * amount, "output_tokens": 10})
                fields |= {"operation": "text", "usage": usage}
                expected = 200_000 * amount + 60_000
            case _:
                fields["operation"] = operation
        policy = common_pb2.OVERAGE_POLICY_ALLOW_WITH_OVERDRAFT if overdraft else common_pb2.OVERAGE_POLICY_UNSPECIFIED
        if at_once:
            charge = metering.ChargeRequest(**fields, overage_policy=policy)
            answer = self.call(self.sidecar.metering.Charge, charge)
        else:
            reserve = metering.ReserveRequest(**fields)
            reserve.ttl.FromSeconds(seconds)
            answer = self.call(self.sidecar.metering.Reserve, reserve)
        if isinstance(answer, Refusal):
            self._check_refusal(account, answer, operation, expected, now)
            return
        found = answer.reservation
        start = found.create_time.ToDatetime(UTC)
        hold = Hold(found.reservation_id, found.reserved_micros, operation, start, found.expire_time.ToDatetime(UTC))
        if at_once:
            hold.settled, hold.charged = start, answer.charged_micros
            assert answer.charged_micros + answer.uncollected_micros == expected or operation == "audit"
        else:
            assert found.reserved_micros == expected
        account.holds[hold.reservation_id] = hold
        for limit in () if account.moved else account.limits:
            if limit.mode != catalog_pb2.Limit.MODE_NOTIFY and limit.subject in ("", operation):
                used = account.used(limit, start)
                assert used <= limit.amount_micros or not expected, (limit, used, account.holds)

    def _check_refusal(self, account: Account, refused: Refusal, operation: str, wanted: int, now: datetime) -> None:
        match refused.reason:
            case "NOT_ENTITLED":
                current = account.predicted.current
                paid = current is not None and current.state != "AWAITING" and current.plan.premium
                assert operation == "style"
                assert not paid
            case "LIMIT_EXCEEDED":
                exceeded = any(account.used(limit, now) + wanted > limit.amount_micros for limit in account.limits)
                assert exceeded or (account.moved and account.limits)
            case "INSUFFICIENT_CREDITS":
                balance = self._balance(account)
                assert balance.available_micros < wanted
            case "ACTUAL_REQUIRED":
                assert operation == "audit"
            case _:
                raise AssertionError(refused)

    def _balance(self, account: Account) -> reservation_pb2.Balance:
        request = metering.GetBalanceRequest(account_id=account.account_id)
        found: reservation_pb2.Balance = self.call(self.sidecar.metering.GetBalance, request).balance
        return found

    @precondition(lambda self: any(account.holds for account in self._accounts))
    @rule(data=st.data(), actual=st.integers(0, 12), how=st.sampled_from(["amount", "amount", "whole", "release"]))
    def settle(self, data: st.DataObject, actual: int, how: str) -> None:
        account = self._drawn(data, [account for account in self._accounts if account.holds])
        keys = list(account.holds)
        hold = account.holds[keys[-1 - data.draw(st.integers(0, min(len(keys), 6) - 1))]]
        if how == "release":
            request = metering.ReleaseRequest(reservation_id=hold.reservation_id, reason="failed")
            answer = self.call(self.sidecar.metering.Release, request)
            if not isinstance(answer, Refusal):
                assert hold.charged is None
                if hold.settled is None:
                    hold.settled = answer.reservation.settle_time.ToDatetime(UTC)
            else:
                assert answer.reason == "ALREADY_COMMITTED"
                assert hold.charged is not None
            return
        commit = metering.CommitRequest(reservation_id=hold.reservation_id)
        if how == "amount":
            commit.amount_micros = actual * CREDIT
        answer = self.call(self.sidecar.metering.Commit, commit)
        if isinstance(answer, Refusal):
            allowed = {"ALREADY_COMMITTED", "ALREADY_RELEASED", "RESERVATION_EXPIRED", "ACTUAL_REQUIRED"}
            assert answer.reason in allowed, answer
            return
        assert hold.charged in (None, answer.charged_micros)
        if hold.charged is None:
            assert not answer.replayed
            hold.charged, hold.settled = answer.charged_micros, answer.reservation.settle_time.ToDatetime(UTC)

    @precondition(lambda self: any(account.holds for account in self._accounts))
    @rule(data=st.data(), more=st.integers(0, 5), seconds=st.sampled_from([60, 3_600]))
    def extend(self, data: st.DataObject, more: int, seconds: int) -> None:
        account = self._drawn(data, [account for account in self._accounts if account.holds])
        keys = list(account.holds)
        hold = account.holds[keys[-1 - data.draw(st.integers(0, min(len(keys), 6) - 1))]]
        request = metering.ExtendRequest(
            reservation_id=hold.reservation_id, request_id=self.new_id(), additional_micros=more * CREDIT
        )
        request.ttl.FromSeconds(seconds)
        answer = self.call(self.sidecar.metering.Extend, request)
        if not isinstance(answer, Refusal):
            assert hold.settled is None
            hold.end = answer.reservation.expire_time.ToDatetime(UTC)
            hold.reserved += more * CREDIT
            assert answer.reservation.reserved_micros == hold.reserved

    # Limits and time

    @rule(
        number=st.integers(0, 2),
        amounts=st.lists(st.integers(0, 30), max_size=2),
        window=st.sampled_from([1, 2, 4]),
        subject=st.sampled_from(["", "message"]),
    )
    def limit(self, number: int, amounts: list[int], window: int, subject: str) -> None:
        account = self.of(number)
        scope = catalog_pb2.Limit.SCOPE_OPERATION if subject else catalog_pb2.Limit.SCOPE_ACCOUNT
        limits = [
            catalog_pb2.Limit(
                name=f"l{at}",
                scope=scope,
                subject=subject,
                window=window if at else catalog_pb2.Limit.WINDOW_DAY,  # type: ignore[arg-type]
                amount_micros=amount * CREDIT,
            )
            for at, amount in enumerate(amounts)
        ]
        request = accounts.UpdateAccountRequest(
            account=account_pb2.Account(account_id=account.account_id, limits=limits),
            update_mask=FieldMask(paths=["limits"]),
            request_id=self.new_id(),
        )
        answer = self.administer(account, self.sidecar.accounts.UpdateAccount, request)
        account.limits = list(answer.account.limits)

    @rule(number=st.integers(0, 2), zone=st.sampled_from([*_ZONES, "Pacific/Kiritimati"]))
    def change_zone(self, number: int, zone: str) -> None:
        """A cycle ends when it was said to; the next one at its boundary in the new zone."""
        account = self.of(number)
        self.now()
        request = accounts.UpdateAccountRequest(
            account=account_pb2.Account(account_id=account.account_id, time_zone=zone),
            update_mask=FieldMask(paths=["time_zone"]),
            request_id=self.new_id(),
        )
        self.administer(account, self.sidecar.accounts.UpdateAccount, request)
        account.predicted.zone = ZoneInfo(zone)
        account.moved = True

    @rule()
    def evict(self) -> None:
        """Accounts leave Redis, and return when they are asked for."""
        redis_url, database_url, _ = self._urls
        self._run(evict_accounts(redis_url, database_url))

    @rule(hours=st.sampled_from([1, 5, 24, 24 * 6, 24 * 29, 24 * 31, 24 * 75]))
    def move(self, hours: int) -> None:
        if self._moved > 24 * 800:
            return
        self._moved += hours
        self._run(self.sidecar.move(by=timedelta(hours=hours)))
        self.now()
        for account in self._accounts:
            if account.predicted.current is None:
                continue
            request = billing.GetSubscriptionRequest(account_id=account.account_id)
            self.compare(account, self.call(self.sidecar.billing.GetSubscription, request).subscription)

    @rule(parts=st.lists(st.floats(0, 1), min_size=1, max_size=2))
    def audit(self, parts: list[float]) -> None:
        self._run(self._audit(parts))

    async def _audit(self, parts: list[float]) -> None:
        await self.sidecar.move(by=timedelta(milliseconds=1))
        now = await self._now()
        for account in self._accounts:
            account.predicted.pass_time(now)
            books = await read_books(self.sidecar, account.account_id)
            books.check_sums()
            books.check_entries()
            books.check_generations({key: hold.charged or 0 for key, hold in account.holds.items()})
            books.check_cycles(account.predicted, account.confirmed)
            spans = [(hold.start, hold.settled or hold.end) for hold in account.holds.values()]
            books.check_carried(account.predicted, spans)
            books.check_alerts(_THRESHOLDS)
            whole = now - account.created
            edges = [account.created, *(account.created + whole * part for part in parts), now]
            await check_reports(self.sidecar, account.account_id, books, edges)
