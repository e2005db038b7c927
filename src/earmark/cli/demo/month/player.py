"""Plays a life: makes each call on the sidecar, and notes in the account's book what the demo itself makes of it."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, unique
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from earmark.cli.demo.month.book import Book, Cycle, Lives, Rules, never
from earmark.credits import MICROS_PER_CREDIT, format_credits, to_micros
from earmark.errors import EarmarkError, Reason, Unavailable

if TYPE_CHECKING:
    from earmark.cli.connection import Connection

__all__ = ["Account", "Job", "Player", "Script"]

_HOLD_MINUTES = 10
_REPEATS = 10
_PAUSE_SECONDS = 0.2
_CYCLE_SLACK = timedelta(minutes=30)
"""A cycle begins with the call that subscribes, some moments after the hour to which the clock was moved."""


@unique
class _Fate(Enum):
    SUCCEEDS = "succeeds"
    FAILS = "fails"
    CRASHES = "crashes"
    """Nobody answers any more: the hold ends by itself."""


@dataclass(frozen=True, slots=True)
class Job:
    """A generation that somebody asks for. Prices in credits, by the system's own price list."""

    operation: str
    price: str
    """What is reserved: the upper bound of a range."""
    actual: str | None = None
    """What it really costs; None for the whole price."""
    quantity: int | None = None
    made: int | None = None
    """Of the quantity, how many succeeded; None for all."""
    usage: Mapping[str, int] = field(default_factory=dict)
    whole: bool = False
    """Whether the price is that of the whole quantity, not of one."""
    attributes: Mapping[str, str] = field(default_factory=dict)


class Script(Protocol):
    """The life of a few accounts in one credit system."""

    @property
    def title(self) -> str:
        """One line on the system."""
        ...

    @property
    def rules(self) -> Rules:
        """What it says of every account."""
        ...

    @property
    def lead(self) -> timedelta:
        """How long before the month it begins."""
        ...

    def before(self, player: Player, first: datetime) -> None:
        """Play what happened before the month's first day; may move the clock."""
        ...

    def day(self, player: Player, day: int) -> None:
        """Play a day of the month: 1 to 31, then 32 for the first day of the next one."""
        ...


class Account:
    """One account: calls on the sidecar, with what the book makes of them."""

    def __init__(self, player: Player, account_id: str, zone: str, rules: Rules) -> None:
        self.account_id = account_id
        self.book = Book(ZoneInfo(zone), rules, player.now)
        self.since = player.now
        self.users: Sequence[str] = ()
        self._player = player
        self._connection = player.connection

    @property
    def available(self) -> int:
        """By the book, in microcredits."""
        return self.book.available

    def has(self, credits: str | int) -> bool:
        """Whether the book has so many credits."""
        return self.book.available >= to_micros(credits)

    def subscribe(
        self,
        plan_id: str,
        credits: int,
        lives: Lives = never,
        *,
        cap: int | None = None,
        custom: bool = False,
        once: bool = False,
    ) -> None:
        """Subscribe, by the month unless the credits come once."""
        from earmark.v1.billing_service_pb2 import CreateSubscriptionRequest

        request = CreateSubscriptionRequest(
            account_id=self.account_id, request_id=self._player.request_id(), plan_id=plan_id
        )
        if custom:
            request.overrides.credits_micros = credits * MICROS_PER_CREDIT
        self._player.call(self._connection.billing.CreateSubscription, request)
        self.begin_plan(credits, "subscription", lives, cap=cap, once=once)

    def begin_plan(self, credits: int, kind: str, lives: Lives, *, cap: int | None = None, once: bool = False) -> None:
        """Note a plan in the book, whose first credits have come."""
        amount = credits * MICROS_PER_CREDIT
        if once:
            if amount:
                self.book.grant(kind, amount, lives)
            return
        begun = (self._player.now + _CYCLE_SLACK).astimezone(self.book.zone)
        ends = begun.replace(year=begun.year + begun.month // 12, month=begun.month % 12 + 1)
        limit = None if cap is None else cap * MICROS_PER_CREDIT
        self.book.subscribe(Cycle(ends, amount, kind, lives, limit))

    def begin_calendar_plan(self, credits: int, kind: str, lives: Lives) -> None:
        """Note a plan whose cycles are the months of the calendar."""
        ends = lives(self._player.now, self.book.zone)
        assert ends is not None
        self.book.subscribe(Cycle(ends, credits * MICROS_PER_CREDIT, kind, lives))

    def upgrade(self, plan_id: str, credits: int, lives: Lives, *, cap: int) -> None:
        """Change to a higher plan: the difference now, all of it from the next cycle on."""
        from earmark.v1.billing_service_pb2 import ChangePlanRequest

        request = ChangePlanRequest(account_id=self.account_id, request_id=self._player.request_id(), plan_id=plan_id)
        changed = self._player.call(self._connection.billing.ChangePlan, request)
        self._player.expect(changed.immediate, f"{self.account_id}: the upgrade to {plan_id} is not at once")
        cycle = self.book.cycle
        assert cycle is not None
        amount = credits * MICROS_PER_CREDIT
        self.book.grant("subscription", amount - cycle.credits, lives)
        cycle.credits, cycle.cap = amount, cap * MICROS_PER_CREDIT

    def claim(self, identity: str, credits: int, lives: Lives) -> None:
        """Claim the free plan, which is given once for each identity."""
        from earmark.v1.billing_service_pb2 import ClaimFreePlanRequest

        request = ClaimFreePlanRequest(
            account_id=self.account_id, request_id=self._player.request_id(), identity=identity
        )
        self._player.call(self._connection.billing.ClaimFreePlan, request)
        self.begin_plan(credits, "free", lives, once=True)

    def cannot_claim(self, identity: str) -> None:
        """Try to claim again, under an identity that has claimed."""
        from earmark.v1.billing_service_pb2 import ClaimFreePlanRequest

        request = ClaimFreePlanRequest(
            account_id=self.account_id, request_id=self._player.request_id(), identity=identity
        )
        self._player.expect_refusal("FREE_PLAN_CLAIMED", self._connection.billing.ClaimFreePlan, request)

    def buy(
        self,
        pack_id: str,
        credits: int,
        lives: Lives,
        *,
        method: str = "",
        bonus: int = 0,
        bonus_lives: Lives | None = None,
        custom: bool = False,
        fails: bool = False,
    ) -> None:
        """Buy a pack; its payment arrives, twice, or fails."""
        from earmark.v1 import billing_service_pb2 as billing

        request_id = self._player.request_id()
        request = billing.CreatePurchaseRequest(
            account_id=self.account_id, request_id=request_id, pack_id=pack_id, method=method
        )
        if custom:
            request.amount_micros = credits * MICROS_PER_CREDIT
        call, stub = self._player.call, self._connection.billing
        purchase_id = call(stub.CreatePurchase, request).purchase.purchase_id
        if fails:
            call(stub.FailPurchase, billing.FailPurchaseRequest(purchase_id=purchase_id, reason="card declined"))
            return
        confirmation = billing.ConfirmPurchaseRequest(purchase_id=purchase_id)
        call(stub.ConfirmPurchase, confirmation)
        again = call(stub.ConfirmPurchase, confirmation)
        self._player.expect(again.replayed, f"{self.account_id}: a payment that arrives twice counts twice")
        self.book.grant("purchase", credits * MICROS_PER_CREDIT, lives)
        if bonus:
            self.book.grant("promotion", bonus * MICROS_PER_CREDIT, bonus_lives or lives)

    def add_members(self, *users: str) -> None:
        """Let users spend; from now on one of them does."""
        from earmark.v1.account_service_pb2 import AddMemberRequest

        for user_id in users:
            request = AddMemberRequest(
                account_id=self.account_id, request_id=self._player.request_id(), user_id=user_id
            )
            self._player.call(self._connection.accounts.AddMember, request)
        self.users = users

    def warn_at(self, low: int, critical: int) -> None:
        """Give the account thresholds of its own."""
        from google.protobuf.field_mask_pb2 import FieldMask

        from earmark.v1.account_service_pb2 import UpdateAccountRequest

        request = UpdateAccountRequest(
            request_id=self._player.request_id(), update_mask=FieldMask(paths=["thresholds"])
        )
        request.account.account_id = self.account_id
        request.account.thresholds.low_balance_micros = low * MICROS_PER_CREDIT
        request.account.thresholds.critical_balance_micros = critical * MICROS_PER_CREDIT
        self._player.call(self._connection.accounts.UpdateAccount, request)
        self.book.rules = Rules(low * MICROS_PER_CREDIT, critical * MICROS_PER_CREDIT, self.book.rules.soon)

    def generate(self, job: Job, *, must_succeed: bool = False) -> bool:
        """Reserve, work, and commit, unless chance lets it fail or crash; False if the credits do not suffice."""
        from earmark.v1 import metering_service_pb2 as pb

        player, metering = self._player, self._connection.metering
        price = to_micros(job.price) * (1 if job.whole else job.quantity or 1)
        request = pb.ReserveRequest(
            account_id=self.account_id,
            request_id=player.request_id(),
            operation=job.operation,
            attributes=job.attributes,
            user_id=player.chance.choice(self.users) if self.users else "",
            project_id=player.chance.choice(("spring", "studio", "blog")),
        )
        request.ttl.FromSeconds(_HOLD_MINUTES * 60)
        if job.quantity is not None:
            request.quantity = job.quantity
        if job.usage:
            request.usage.counts.update(job.usage)
        fate = _Fate.SUCCEEDS if must_succeed else player.fate()
        hold = self.book.reserve(job.operation, price, player.now + timedelta(minutes=_HOLD_MINUTES))
        player.asked += 1
        if hold is None:
            player.expect_refusal("INSUFFICIENT_CREDITS", metering.Reserve, request)
            return False
        try:
            reservation = self._player.call(metering.Reserve, request).reservation
        except EarmarkError as refusal:
            if refusal.reason != Reason.LIMIT_EXCEEDED or not self.book.rules.limited:
                raise
            self.book.undo(hold)
            return True
        seen = reservation.reserved_micros
        player.expect(seen == price, f"{job.operation} reserves {format_credits(seen)}, not {format_credits(price)}")
        match fate:
            case _Fate.FAILS:
                release = pb.ReleaseRequest(reservation_id=reservation.reservation_id, reason="the model is overloaded")
                self._player.call(metering.Release, release)
                self.book.fail(hold)
            case _Fate.SUCCEEDS:
                actual = self._commit(job, reservation.reservation_id, price)
                self.book.commit(hold, actual)
            case _Fate.CRASHES:
                pass  # The book knows when the hold ends.
        return True

    def look(self, operation: str, *, recorded: bool) -> None:
        """Do something that is free."""
        from earmark.v1.metering_service_pb2 import ChargeRequest

        user_id = self._player.chance.choice(self.users) if self.users else ""
        request = ChargeRequest(
            account_id=self.account_id, request_id=self._player.request_id(), operation=operation, user_id=user_id
        )
        charged = self._player.call(self._connection.metering.Charge, request).charged_micros
        self._player.expect(charged == 0, f"{operation} is not free")
        if recorded:
            self.book.uses[operation].succeeded += 1

    def _commit(self, job: Job, reservation_id: str, price: int) -> int:
        from earmark.v1.metering_service_pb2 import CommitRequest

        request, actual = CommitRequest(reservation_id=reservation_id), price
        if job.made is not None:
            request.quantity, actual = job.made, to_micros(job.price) * job.made
        elif job.actual is not None:
            request.amount_micros = actual = to_micros(job.actual)
        charged = self._player.call(self._connection.metering.Commit, request).charged_micros
        said = f"{job.operation} charges {format_credits(charged)}, not {format_credits(actual)}"
        self._player.expect(charged == actual, said)
        return actual


class Player:
    """Knows the time, the accounts, and what did not go as it should."""

    def __init__(self, connection: Connection, script: Script, seed: int, now: datetime) -> None:
        self.connection = connection
        self.script = script
        self.chance = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self.now = now
        self.accounts: dict[str, Account] = {}
        self.problems: list[str] = []
        self.asked = 0
        self._numbers = count(1)
        self._move_clock()

    def request_id(self) -> str:
        """Return an id that was not used."""
        return f"demo-{next(self._numbers)}"

    def fate(self) -> _Fate:
        """Say how a generation ends."""
        return self.chance.choices((_Fate.SUCCEEDS, _Fate.FAILS, _Fate.CRASHES), weights=(84, 11, 5))[0]

    def join(self, account_id: str, zone: str = "UTC", *users: str) -> Account:
        """Create an account; only these users may spend, if there are any."""
        from earmark.v1.account_service_pb2 import CreateAccountRequest

        request = CreateAccountRequest(account_id=account_id, request_id=self.request_id(), time_zone=zone)
        self.call(self.connection.accounts.CreateAccount, request)
        account = self.accounts[account_id] = Account(self, account_id, zone, self.script.rules)
        if users:
            account.add_members(*users)
        return account

    def call(self, method: Any, request: Any) -> Any:
        """Call the sidecar; again, with the same ids, while a busy machine's store does not answer in time.

        Raises:
            EarmarkError: the sidecar's refusal.
        """
        for _ in range(_REPEATS):
            try:
                return self.connection.call(method, request)
            except Unavailable:
                time.sleep(_PAUSE_SECONDS)
        return self.connection.call(method, request)

    def move(self, moment: datetime) -> None:
        """Let time pass."""
        if moment <= self.now:
            return
        self.now = moment.astimezone(UTC)
        self._move_clock()
        for account in self.accounts.values():
            account.book.settle(self.now)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a problem, unless what was expected holds."""
        if not holds:
            self.problems.append(otherwise)

    def expect_refusal(self, reason: str, method: Any, request: Any) -> None:
        """Make a call that must be refused."""
        try:
            self.call(method, request)
        except EarmarkError as refusal:
            if refusal.reason != reason and not (self.script.rules.limited and refusal.reason == Reason.LIMIT_EXCEEDED):
                raise
        else:
            self.problems.append(f"{request.account_id}: a call was not refused with {reason}")

    def _move_clock(self) -> None:
        from earmark.v1.admin_service_pb2 import GetClockRequest, MoveClockRequest

        administration = self.connection.administration
        request = MoveClockRequest()
        request.time.FromDatetime(self.now)
        for _ in range(_REPEATS):
            try:
                self.connection.call(administration.MoveClock, request)
                return
            except Unavailable:
                time.sleep(_PAUSE_SECONDS)
            if self.call(administration.GetClock, GetClockRequest()).time.ToDatetime(UTC) >= self.now:
                # It came that far: what is due is still to be waited for.
                request = MoveClockRequest()
                request.by.FromMilliseconds(1)
        self.connection.call(administration.MoveClock, request)
