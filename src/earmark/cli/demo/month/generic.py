"""A month of any catalog: accounts follow its default plan, and buy its first pack when they are out of credits.

What a generation costs and when credits end is asked of the sidecar here; the sums are the demo's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from earmark.cli.demo.month import book
from earmark.cli.demo.month.book import Cycle, Lives, Rules
from earmark.cli.demo.month.player import Account, Job, Player
from earmark.cli.output import enum_word
from earmark.credits import MICROS_PER_CREDIT, to_credits
from earmark.domain.catalog import (
    AttributePrice,
    Catalog,
    CycleKind,
    FreePrice,
    Operation,
    PerUnitPrice,
    TokenPrice,
    UnitRule,
    Validity,
    ValidityKind,
)
from earmark.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.v1.grant_pb2 import Grant

__all__ = ["Generic"]

_ZONES = {"first": "UTC", "second": "Europe/Paris", "third": "America/New_York"}
_TOP_UP = 1_000


class Generic:
    """Three accounts, which try everything that has a price and that their plan includes."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        low, critical = catalog.thresholds.low_balance, catalog.thresholds.critical_balance
        plan = catalog.plans.get(catalog.default_plan)
        limits = catalog.limits or (plan is not None and plan.limits)
        self._works = [work for operation in catalog.operations.values() for work in _works(operation)]
        self.title = f"{catalog.name or 'A catalog of your own'}: three accounts, {len(self._works)} kinds of work"
        self.rules = Rules(low, critical, timedelta(microseconds=catalog.horizon), limited=bool(limits))
        self.lead = timedelta()

    def before(self, player: Player, first: datetime) -> None:
        """Begin with the month."""

    def day(self, player: Player, day: int) -> None:
        """Somebody joins, and everybody works."""
        joins = {1: "first", 3: "second", 14: "third"}.get(day)
        if joins is not None:
            self._join(player, joins)
        for account in player.accounts.values():
            for _ in range(player.chance.randint(1, 4) if self._works else 0):
                self._work(player, account)

    def _join(self, player: Player, account_id: str) -> None:
        from earmark.v1.account_service_pb2 import ListGrantsRequest
        from earmark.v1.billing_service_pb2 import GetSubscriptionRequest

        account, connection = player.join(account_id, _ZONES[account_id]), player.connection
        plan = self._catalog.plans.get(self._catalog.default_plan)
        if plan is None:
            return
        for grant in player.call(connection.accounts.ListGrants, ListGrantsRequest(account_id=account_id)).grants:
            _receive(account, grant)
        asked = GetSubscriptionRequest(account_id=account_id)
        subscription = player.call(connection.billing.GetSubscription, asked).subscription
        if plan.cycle is CycleKind.ONCE or plan.confirmed_renewal:
            return
        account.book.cycle = Cycle(
            subscription.cycle_end_time.ToDatetime(UTC),
            plan.credits,
            plan.grant_kind.name.lower(),
            _lives(plan.validity, monthly=plan.cycle is CycleKind.MONTHLY),
            None if plan.rollover is None else plan.rollover.cap,
            () if plan.rollover is None else tuple(kind.name.lower() for kind in plan.rollover.kinds),
            plan.priority,
        )

    def _work(self, player: Player, account: Account) -> None:
        operation, rule, attributes = player.chance.choice(self._works)
        quantity, usage = self._amounts(player, rule)
        if isinstance(rule, FreePrice):
            account.look(operation.name, recorded=operation.record)
            return
        costs = _estimate(player, operation.name, quantity, usage, attributes)
        if costs is None:
            return
        least, most = costs
        actual = least + (most - least) * player.chance.randint(0, 10) // 10
        job = Job(
            operation.name,
            str(to_credits(most)),
            actual=str(to_credits(actual)) if least < most else None,
            quantity=quantity,
            usage=usage,
            whole=True,
            attributes=attributes,
        )
        if not account.generate(job):
            self._buy(player, account, most)
            account.generate(job)

    @staticmethod
    def _amounts(player: Player, rule: UnitRule) -> tuple[int | None, dict[str, int]]:
        match rule:
            case TokenPrice():
                tokens = {name: player.chance.randint(100, 20_000) for name in ("input_tokens", "output_tokens")}
                return None, tokens
            case PerUnitPrice(count=name) if name:
                return None, {name: player.chance.randint(1, 1_000)}
            case _:
                return player.chance.randint(1, 5), {}

    def _buy(self, player: Player, account: Account, missing: int) -> None:
        from earmark.v1 import account_service_pb2 as accounts
        from earmark.v1 import billing_service_pb2 as billing
        from earmark.v1.grant_pb2 import Grant

        call = player.call
        pack = next((pack for pack in self._catalog.packs.values() if pack.credits and pack.prices), None)
        if pack is not None and pack.credits >= missing:
            begun = billing.CreatePurchaseRequest(
                account_id=account.account_id,
                request_id=player.request_id(),
                pack_id=pack.pack_id,
                method=next(iter(pack.prices)),
            )
            stub = player.connection.billing
            purchase_id = call(stub.CreatePurchase, begun).purchase.purchase_id
            paid = call(stub.ConfirmPurchase, billing.ConfirmPurchaseRequest(purchase_id=purchase_id))
            for grant in paid.grants:
                _receive(account, grant)
            return
        given = accounts.CreateGrantRequest(
            account_id=account.account_id,
            request_id=player.request_id(),
            amount_micros=max(_TOP_UP * MICROS_PER_CREDIT, 3 * missing),
            kind=Grant.KIND_PURCHASE,
        )
        _receive(account, call(player.connection.accounts.CreateGrant, given).grant)


_Work = tuple[Operation, UnitRule, dict[str, str]]


def _works(operation: Operation) -> Iterator[_Work]:
    """Yield each way to ask for an operation that takes no entitlement."""
    if operation.requires:
        return
    price = operation.price
    if not isinstance(price, AttributePrice):
        yield operation, price, {}
        return
    for row in price.rows:
        if not row.requires:
            yield operation, row.rule, {name: values[0] for name, values in row.attributes.items()}


def _estimate(
    player: Player, operation: str, quantity: int | None, usage: dict[str, int], attributes: dict[str, str]
) -> tuple[int, int] | None:
    """Return the least and the most that a generation costs; None where it has no price."""
    from earmark.v1.metering_service_pb2 import EstimateItem, EstimateRequest

    item = EstimateItem(operation=operation, attributes=attributes)
    if quantity is not None:
        item.quantity = quantity
    if usage:
        item.usage.counts.update(usage)
    try:
        estimated = player.call(player.connection.metering.Estimate, EstimateRequest(items=[item]))
    except EarmarkError:
        return None
    return estimated.min_micros, estimated.max_micros


def _receive(account: Account, grant: Grant) -> None:
    ends = grant.expire_time.ToDatetime(UTC) if grant.HasField("expire_time") else None
    account.book.grant(
        enum_word(grant, "kind"), grant.amount_micros, lambda _moment, _zone: ends, priority=grant.priority
    )


def _lives(validity: Validity, *, monthly: bool) -> Lives:
    match validity.kind:
        case ValidityKind.NEVER:
            return book.never
        case ValidityKind.DAYS:
            return book.days(validity.count)
        case ValidityKind.MONTHS:
            return book.months(validity.count)
        case ValidityKind.CYCLE if monthly:
            return _next_cycle
        case ValidityKind.CYCLE | ValidityKind.CALENDAR_MONTH:
            return book.month_end


def _next_cycle(acquired: datetime, zone: ZoneInfo) -> datetime:
    local = acquired.astimezone(zone)
    return datetime.combine(book.add_months(local.date(), 1), local.time(), tzinfo=zone)
