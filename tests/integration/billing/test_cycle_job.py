"""The cycle job: each cycle once, whoever looks, however late, and whatever died in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import update

from earmark.catalogs import parse_catalog
from earmark.domain.catalog import Catalog
from earmark.engine.operations import ReadBalance
from earmark.engine.results import BalanceRead
from earmark.errors import EarmarkError
from earmark.jobs.cycles import CycleJob
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.relay import relay_account
from earmark.ledger.billing import Billing, SubscriptionOutcome, SubscriptionState
from earmark.ledger.models import NewAccount
from earmark.ledger.tables import accounts
from tests.integration.billing.catalog import CATALOG
from tests.support.stack import CONTENT, CREDIT, Stack, open_stack

SECOND, DAY = 1_000_000, 86_400_000_000


class Installed:
    """A catalog that is in force."""

    def __init__(self, document: str = CATALOG) -> None:
        self.current: Catalog = parse_catalog(document, 1)


class Shop:
    """A store whose clock tests move, and its billing."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.catalogs = Installed()
        self.billing = Billing(stack.ledger._database, stack.store.now)
        stack.ledger.billing = self.billing

    def job(self) -> CycleJob:
        """Return a cycle job of a further process."""
        metrics = JobMetrics(CollectorRegistry())
        return CycleJob(self.stack.engine, self.stack.ledger, self.catalogs, self.stack.store.now, metrics)

    async def account(self, account_id: str, zone: str = "UTC") -> None:
        """Create an account."""
        await self.stack.ledger.accounts.create(NewAccount(account_id, time_zone=zone), "create", CONTENT)

    async def subscribe(self, account_id: str, plan_id: str) -> None:
        """Subscribe an account and apply it."""
        outcome = await self.billing.create_subscription(
            account_id, "subscribe", CONTENT, self.catalogs.current, plan_id
        )
        await self.apply(outcome)

    async def apply(self, outcome: SubscriptionOutcome) -> None:
        """Apply what a call recorded."""
        for ticket in outcome.tickets:
            await self.stack.engine.execute(ticket.operation)

    async def move_to(self, year_ahead: int, *when: int) -> None:
        """Move the clock to a month, a day and an hour of a later year; nobody does what is due."""
        now = datetime.fromtimestamp(self.stack.store.now() / 1e6, UTC)
        moment = datetime(now.year + year_ahead, *when, tzinfo=UTC)  # type: ignore[misc, arg-type]
        await self.stack.store.move_clock(int(moment.timestamp()) * SECOND - self.stack.store.now())
        await self.stack.balance("nobody")

    async def available(self, account_id: str) -> float:
        """Return the available credits."""
        answer = await self.stack.engine.execute(ReadBalance(account_id))
        assert isinstance(answer, BalanceRead)
        return answer.balance.available / CREDIT

    async def granted(self, account_id: str) -> list[tuple[int, str, str]]:
        """Return amount, acquisition and expiry of all grants, as SQL recorded them, oldest first."""
        grants = await self.stack.ledger.accounts.list_grants(account_id, 100)
        return [(grant.amount // CREDIT, day(grant.acquire_time), day(grant.expire_time)) for grant in reversed(grants)]


def day(time: int) -> str:
    return datetime.fromtimestamp(time / 1e6, UTC).strftime("%m-%d") if time else ""


@pytest.fixture
async def shop(tmp_path: Path, database_url: str) -> AsyncIterator[Shop]:
    """A shop with an account that is only there to be asked."""
    async with open_stack(tmp_path / "data", database_url) as stack:
        opened = Shop(stack)
        await opened.account("nobody")
        yield opened


async def test_missed_cycles_are_made_up_for_each_once_with_its_own_expiry(shop: Shop) -> None:
    await shop.move_to(1, 1, 31)
    await shop.account("acme")
    await shop.subscribe("acme", "gift")
    await shop.move_to(0, 5, 10)
    assert await shop.job().run_once() == 1
    assert await shop.job().run_once() == 0
    assert await shop.granted("acme") == [
        (15, "01-31", "02-01"),
        (15, "02-01", "03-01"),
        (15, "03-01", "04-01"),
        (15, "04-01", "05-01"),
        (15, "05-01", "06-01"),
    ]
    assert await shop.available("acme") == 15


async def test_month_ends_are_kept(shop: Shop) -> None:
    await shop.move_to(1, 1, 31, 6)
    await shop.account("acme")
    await shop.subscribe("acme", "basic")
    await shop.move_to(0, 6, 1)
    await shop.job().run_once()
    acquired = [when for _, when, _ in await shop.granted("acme")]
    assert acquired[0] == "01-31"
    assert acquired[1] in {"02-28", "02-29"}
    assert acquired[2:] == ["03-31", "04-30", "05-31"]
    # Of what was left 40 went on, each time, and 20 came.
    assert await shop.available("acme") == 60


async def test_many_schedulers_at_once_renew_each_account_once(shop: Shop) -> None:
    names = [f"account{number}" for number in range(30)]
    for name in names:
        await shop.account(name)
        await shop.subscribe(name, "basic")
    await shop.stack.store.move_clock(32 * DAY)
    await shop.stack.balance("nobody")
    jobs = [shop.job() for _ in range(4)]
    done_by = await asyncio.gather(*(job.run_once() for job in jobs))
    while rest := sum([await job.run_once() for job in jobs]):
        done_by.append(rest)
    assert sum(done_by) == 30
    for name in names:
        assert await shop.available(name) == 40
        assert (await shop.billing.subscription(name)).cycle == 2


async def test_what_was_recorded_before_the_process_died_the_relay_brings(shop: Shop) -> None:
    await shop.account("acme")
    # Recorded, and never applied: the process died.
    await shop.billing.create_subscription("acme", "s", CONTENT, shop.catalogs.current, "basic")
    await shop.stack.store.move_clock(32 * DAY)
    await shop.stack.balance("nobody")
    await shop.billing.renew_due(shop.catalogs.current, 10)
    assert await shop.available("acme") == 0
    record = await shop.stack.ledger.accounts.get("acme")
    await relay_account(shop.stack.engine, shop.stack.ledger.archive, "acme", record.admin_seq)
    assert await shop.available("acme") == 40
    assert await shop.job().run_once() == 0


async def test_a_job_that_finds_earlier_operations_missing_brings_them_too(shop: Shop) -> None:
    await shop.account("acme")
    await shop.billing.create_subscription("acme", "s", CONTENT, shop.catalogs.current, "basic")
    await shop.stack.store.move_clock(32 * DAY)
    await shop.stack.balance("nobody")
    assert await shop.job().run_once() == 1
    assert await shop.available("acme") == 40


async def test_credits_that_a_full_account_refused_are_owed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earmark.ledger.billing.credits.MAX_PAID_GRANTS", 3)
    await shop.account("acme")
    await shop.subscribe("acme", "basic")
    for number in range(2):
        await shop.stack.grant("acme", 1, request_id=f"g{number}")
    await shop.stack.store.move_clock(32 * DAY)
    await shop.stack.balance("nobody")
    assert await shop.job().run_once() == 1
    assert (await shop.billing.subscription("acme")).cycle == 2
    assert await shop.available("acme") == 22
    await shop.stack.flush()
    # Room again: a grant is voided, and an hour later the credits come.
    first = (await shop.stack.ledger.accounts.list_grants("acme", 1))[0].number
    void = await shop.stack.ledger.accounts.record_void("acme", "void", CONTENT, first)
    await shop.stack.engine.execute(void.operation)
    assert await shop.job().run_once() == 0
    await shop.stack.store.move_clock(DAY // 24 + SECOND)
    await shop.stack.balance("nobody")
    assert await shop.job().run_once() == 1
    assert await shop.available("acme") == 41
    await shop.stack.flush()
    await shop.stack.store.move_clock(DAY)
    await shop.stack.balance("nobody")
    assert await shop.job().run_once() == 0


async def test_accounts_without_the_default_plan_get_it(shop: Shop) -> None:
    for name in ("one", "two", "three"):
        await shop.account(name)
    await shop.subscribe("one", "pro")
    shop.catalogs = Installed(CATALOG.replace("operations:", "default_plan: starter\noperations:", 1))
    job = shop.job()
    # The account that is only there to be asked gets it too.
    assert await job.run_once() == 3
    assert await job.run_once() == 0
    assert [await shop.available(name) for name in ("one", "two", "three")] == [50, 5, 5]
    await shop.account("late")
    both = await asyncio.gather(job.run_once(), shop.job().run_once())
    assert sum(both) == 1
    assert await shop.available("late") == 5


async def test_redis_being_away_stops_no_renewal(shop: Shop) -> None:
    await shop.account("acme")
    await shop.subscribe("acme", "basic")
    await shop.stack.flush()
    await shop.stack.store.move_clock(32 * DAY)
    await shop.stack.balance("nobody")
    await shop.stack.kill_redis()
    assert await shop.job().run_once() == 1
    await shop.stack.start_redis()
    record = await shop.stack.ledger.accounts.get("acme")
    await relay_account(shop.stack.engine, shop.stack.ledger.archive, "acme", record.admin_seq)
    assert await shop.available("acme") == 40


async def test_a_year_of_renewals_of_many_accounts(shop: Shop) -> None:
    names = [f"account{number}" for number in range(40)]
    for name in names:
        await shop.account(name)
        await shop.subscribe(name, "gift")
    await shop.move_to(1, 12, 31)
    assert await shop.job().run_once() == 40
    for name in names:
        subscription = await shop.billing.subscription(name)
        assert subscription.cycle >= 12
        assert subscription.state is SubscriptionState.ACTIVE
        assert await shop.available(name) == 15


async def test_a_plan_that_left_the_catalog_goes_on(shop: Shop) -> None:
    await shop.account("acme")
    await shop.subscribe("acme", "basic")
    begun = CATALOG.index("  basic:")
    shop.catalogs = Installed(CATALOG[:begun] + CATALOG[CATALOG.index("  pro:") :])
    await shop.stack.store.move_clock(32 * DAY)
    await shop.stack.balance("nobody")
    assert await shop.job().run_once() == 1
    assert await shop.available("acme") == 40
    with pytest.raises(EarmarkError, match="no plan 'basic'"):
        await shop.billing.change_plan("acme", "c", CONTENT, shop.catalogs.current, "basic")


async def test_cycles_without_credits_go_on_too(shop: Shop) -> None:
    shop.catalogs = Installed(CATALOG.replace("credits: 30, validity: cycle, confirmed_renewal: true", "credits: 0"))
    await shop.account("acme")
    await shop.subscribe("acme", "paid")
    await shop.stack.store.move_clock(100 * DAY)
    await shop.stack.balance("nobody")
    assert await shop.job().run_once() == 1
    assert await shop.job().run_once() == 0
    assert (await shop.billing.subscription("acme")).cycle == 4
    assert await shop.granted("acme") == []


async def test_one_account_that_cannot_be_renewed_keeps_nobody_else(shop: Shop) -> None:
    for name in ("broken", "sound"):
        await shop.account(name)
        await shop.subscribe(name, "basic")
    await shop.stack.ledger._database.write(
        lambda connection: connection.execute(
            update(accounts).where(accounts.c.account_id == "broken").values(time_zone="Nowhere/AtAll")
        )
    )
    await shop.stack.store.move_clock(32 * DAY)
    await shop.stack.balance("nobody")
    assert await shop.job().run_once() == 1
    assert await shop.available("sound") == 40
    assert await shop.available("broken") == 20
