"""Several sidecars on one store, SQL away, accounts that leave Redis, streams that are cut: once, whatever happens."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from earmark.cli.reconcile import compare_stores
from earmark.settings import Settings
from earmark.v1 import account_pb2, catalog_pb2, common_pb2, grant_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import admin_service_pb2 as admin
from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import catalog_service_pb2 as catalogs
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.server.conftest import Refusal, Sidecar, open_test_sidecar, refusal
from tests.property.billing.audit import read_books
from tests.property.billing.plans import CATALOG, CREDIT
from tests.support.evicting import evict_accounts
from tests.support.postgres import PostgresServer, shared_postgres
from tests.support.waiting import wait_until


@pytest.fixture
def directory() -> Iterator[Path]:
    with TemporaryDirectory(prefix="em") as name:
        yield Path(name)


@pytest.fixture
async def pair(redis_url: str, database_url: str, directory: Path) -> AsyncIterator[tuple[Sidecar, Sidecar]]:
    """Two sidecars with all their jobs, on one store."""
    async with (
        open_test_sidecar(redis_url, database_url, f"unix:{directory}/1") as one,
        open_test_sidecar(redis_url, database_url, f"unix:{directory}/2") as two,
    ):
        yield one, two


async def in_force(sidecar: Sidecar) -> None:
    """Wait until a sidecar has the catalog that another one installed."""

    async def there() -> bool:
        return bool((await sidecar.catalog.ListPlans(catalogs.ListPlansRequest())).plans)

    await wait_until(there)


async def subscribe(sidecar: Sidecar, account_id: str, plan: str, request_id: str = "subscribe") -> Any:
    request = billing.CreateSubscriptionRequest(account_id=account_id, request_id=request_id, plan_id=plan)
    return await sidecar.billing.CreateSubscription(request)


async def repeated(rpc: Any, request: Any) -> Any:
    """Repeat until the answer is definitive."""
    while True:
        try:
            return await rpc(request)
        except grpc.aio.AioRpcError as failure:
            if Refusal.of(failure).code != "UNAVAILABLE":
                raise
            await asyncio.sleep(0.05)


async def test_two_sidecars_begin_each_cycle_once(
    pair: tuple[Sidecar, Sidecar], redis_url: str, database_url: str
) -> None:
    one, two = pair
    await one.install(CATALOG)
    plans = ["basic", "pro", "monthly", "thirty"] * 3
    for number, plan in enumerate(plans):
        await one.account(f"a{number}", 0)
        await subscribe(one, f"a{number}", plan)
    now = (await one.admin.GetClock(admin.GetClockRequest())).time.ToDatetime()
    for months in range(1, 5):
        request = admin.MoveClockRequest()
        request.time.FromDatetime(now + timedelta(days=31 * months))
        # Both at the same moment: one of them may find the clock there already.
        answers = await asyncio.gather(
            repeated(one.admin.MoveClock, request), repeated(two.admin.MoveClock, request), return_exceptions=True
        )
        assert any(not isinstance(answer, BaseException) for answer in answers), answers
    await one.move(by=timedelta(milliseconds=1))
    for number in range(len(plans)):
        books = await read_books(two, f"a{number}")
        books.check_sums()
        books.check_entries()
        given = Counter(grant.request_id.rpartition("/")[2] for grant in books.grants)
        latest = billing.GetSubscriptionRequest(account_id=f"a{number}")
        cycle = (await two.billing.GetSubscription(latest)).subscription.cycle
        assert cycle >= 4
        assert given == {str(each): 1 for each in range(1, cycle + 1)}
    settings = Settings.load(redis_url=redis_url, database_url=database_url)
    assert not (await compare_stores(settings, lambda _done, _all: None)).drift


class Away:
    """SQL that can go away and come back."""

    def __init__(self, database_url: str, postgres: PostgresServer | None) -> None:
        self.database_url = database_url
        self._postgres = postgres
        self._connection: sqlite3.Connection | None = None

    async def go(self) -> None:
        if self._postgres is not None:
            await asyncio.to_thread(self._postgres.stop)
            return
        self._connection = sqlite3.connect(
            self.database_url.removeprefix("sqlite:///"), isolation_level=None, timeout=5
        )
        self._connection.execute("BEGIN IMMEDIATE")

    async def come_back(self) -> None:
        if self._postgres is not None:
            await asyncio.to_thread(self._postgres.start)
        elif self._connection is not None:
            self._connection.close()


@pytest.fixture(params=["sqlite", "postgres"])
def away(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path) -> Iterator[Away]:
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        path.write_bytes(sqlite_template.read_bytes())
        yield Away(f"sqlite:///{path}", None)
        return
    with shared_postgres() as server:
        server.make_template()
        yield Away(server.fresh_database(), server)


@pytest.mark.timeout(180)
async def test_sql_is_away_when_credits_are_to_be_given(redis_url: str, away: Away, directory: Path) -> None:
    async with open_test_sidecar(redis_url, away.database_url, f"unix:{directory}/1", repeats=False) as sidecar:
        await sidecar.install(CATALOG)
        await sidecar.account("new", 0)
        await sidecar.account("old", 0)
        await subscribe(sidecar, "old", "basic")
        buy = billing.CreatePurchaseRequest(account_id="old", request_id="buy", pack_id="small")
        purchase_id = (await sidecar.billing.CreatePurchase(buy)).purchase.purchase_id
        calls: list[tuple[Any, Any]] = [
            (
                sidecar.billing.CreateSubscription,
                billing.CreateSubscriptionRequest(account_id="new", request_id="s", plan_id="pro"),
            ),
            (sidecar.billing.ConfirmPurchase, billing.ConfirmPurchaseRequest(purchase_id=purchase_id)),
            (
                sidecar.billing.ClaimFreePlan,
                billing.ClaimFreePlanRequest(account_id="old", request_id="c", identity="0xAB"),
            ),
            (
                sidecar.accounts.CreateGrant,
                accounts.CreateGrantRequest(account_id="new", request_id="g", amount_micros=CREDIT),
            ),
        ]
        # What is known of the account here serves while SQL is away.
        await sidecar.metering.Charge(metering.ChargeRequest(account_id="old", request_id="w", operation="view"))
        await away.go()
        try:
            # However many ask, each hears of it soon: they do not wait for one after the other.
            for refused in await asyncio.gather(*(refusal(rpc(request, timeout=12)) for rpc, request in calls * 3)):
                assert (refused.code, refused.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
            await sidecar.metering.Charge(
                metering.ChargeRequest(account_id="old", request_id="x", amount_micros=CREDIT)
            )
            month = admin.MoveClockRequest()
            month.by.FromTimedelta(timedelta(days=31))
            assert (await refusal(sidecar.admin.MoveClock(month))).code == "UNAVAILABLE"
        finally:
            await away.come_back()
        for rpc, request in (*calls, *calls):
            if rpc is sidecar.billing.ClaimFreePlan:
                assert (await refusal(repeated(rpc, request))).reason == "FREE_PLAN_CLAIMED"  # It has a plan.
            else:
                await repeated(rpc, request)
        await repeated(sidecar.admin.MoveClock, month)
        for account_id in ("new", "old"):
            books = await read_books(sidecar, account_id)
            books.check_sums()
            books.check_entries()
            given = Counter(grant.request_id.partition("/")[0] for grant in books.grants)
            expected = {"renewal": 2, "g": 1} if account_id == "new" else {"renewal": 2, "purchase": 1, "bonus": 1}
            assert given == expected
    settings = Settings.load(redis_url=redis_url, database_url=away.database_url)
    assert not (await compare_stores(settings, lambda _done, _all: None)).drift


async def test_accounts_leave_redis_with_limits_and_plans_and_return(
    pair: tuple[Sidecar, Sidecar], redis_url: str, database_url: str
) -> None:
    one, two = pair
    await one.install(CATALOG)
    await one.account("acme", 20)
    await subscribe(one, "acme", "pro")
    limits = [
        catalog_pb2.Limit(
            name=f"l{window}",
            scope=catalog_pb2.Limit.SCOPE_ACCOUNT,
            window=window,  # type: ignore[arg-type]
            amount_micros=10 * CREDIT,
        )
        for window in (2, 3, 4)
    ]
    request = accounts.UpdateAccountRequest(
        account=account_pb2.Account(account_id="acme", limits=limits),
        update_mask=FieldMask(paths=["limits"]),
        request_id="limits",
    )
    await one.accounts.UpdateAccount(request)
    await in_force(two)
    await one.charge("first", "message", quantity=6)
    await one.charge("style", "style")
    await one.move(by=timedelta(milliseconds=1))
    assert await evict_accounts(redis_url, database_url) == 1
    refused = await refusal(two.charge("second", "message", quantity=2))
    assert (refused.reason, refused.metadata["used_micros"]) == ("LIMIT_EXCEEDED", str(9 * CREDIT))
    await two.charge("third", "message")
    assert (await refusal(one.charge("fourth", "message"))).reason == "LIMIT_EXCEEDED"
    await one.move(by=timedelta(milliseconds=1))
    assert await evict_accounts(redis_url, database_url) == 1
    # The cycle begins for an account that Redis does not hold.
    await two.move(by=timedelta(days=32))
    books = await read_books(one, "acme")
    books.check_sums()
    books.check_entries()
    assert sum(grant.request_id.startswith("renewal/") for grant in books.grants) == 2
    # Only the limit for life still counts.
    assert (await refusal(two.charge("fifth", "message"))).metadata["limit_name"] == "l4"
    settings = Settings.load(redis_url=redis_url, database_url=database_url)
    assert not (await compare_stores(settings, lambda _done, _all: None)).drift


async def test_a_stream_that_is_cut_while_its_commit_is_looked_up(pair: tuple[Sidecar, Sidecar]) -> None:
    """Its price is not known at the other sidecar, so that it takes a look at Redis first."""
    one, two = pair
    await one.install(CATALOG)
    await one.account("acme", 100)
    for attempt in range(12):
        usage = common_pb2.Usage(counts={"input_tokens": 1_000, "output_tokens": 0})
        held = await one.priced(f"r{attempt}", "text", usage=usage)
        commit = metering.CommitRequest(
            reservation_id=held.reservation.reservation_id,
            usage=common_pb2.Usage(counts={"input_tokens": 500, "output_tokens": 0}),
        )
        channel = grpc.aio.insecure_channel(two.server.addresses[0], options=[("earmark.test", attempt)])
        stream = type(two)(two.server, channel, "").metering.Session()
        await stream.write(metering.SessionRequest(calls=[metering.SessionCall(sequence=1, commit=commit)]))
        for _ in range(attempt):
            await asyncio.sleep(0.000_5)
        stream.cancel()
        await channel.close(None)
        # The same again, as the rules for clients say, at either sidecar.
        answer = await repeated((one if attempt % 2 else two).metering.Commit, commit)
        assert answer.charged_micros == CREDIT
        assert await one.available() == (100 - attempt - 1) * CREDIT
    await one.move(by=timedelta(milliseconds=1))
    books = await read_books(one, "acme")
    books.check_sums()
    books.check_entries()
    assert books.balance.lifetime_charged_micros == 12 * CREDIT


_LIMITED = """
default_plan: free
limits:
  daily: {window: day, amount: 3}
operations: {message: 1, style: {price: 1, requires: premium}}
plans:
  free:
    credits: 50
    kind: free
    cycle: calendar month
    entitlements: {premium: true}
    limits: {mine: {window: month, amount: 2}}
"""


async def test_who_spends_before_the_default_plan_is_there_is_limited_by_it(pair: tuple[Sidecar, Sidecar]) -> None:
    """Charges from both sidecars race the account's creation: never more than the plan's limit is charged."""
    one, two = pair
    await one.install(_LIMITED)

    await in_force(two)
    for attempt in range(8):
        account_id = f"a{attempt}"

        async def spend(sidecar: Sidecar, name: str, account_id: str = account_id) -> str:
            for number in range(40):
                request = metering.ChargeRequest(
                    account_id=account_id, request_id=f"{name}{number}", operation="style" if number % 2 else "message"
                )
                try:
                    await repeated(sidecar.metering.Charge, request)
                except grpc.aio.AioRpcError as failure:
                    refused = Refusal.of(failure)
                    assert refused.reason in (
                        "ACCOUNT_NOT_FOUND",
                        "INSUFFICIENT_CREDITS",
                        "NOT_ENTITLED",
                        "LIMIT_EXCEEDED",
                    ), refused
                    if refused.reason == "LIMIT_EXCEEDED":
                        return refused.metadata["limit_name"]
            return ""

        create = accounts.CreateAccountRequest(account_id=account_id, request_id="create")
        _, *limits = await asyncio.gather(
            repeated(one.accounts.CreateAccount, create),
            *(spend(sidecar, f"{which}{name}") for which, sidecar in enumerate(pair) for name in "abc"),
        )
        assert set(limits) <= {"mine", ""}, limits
        assert await spend(two, "after") == "mine"
        balance = (await one.metering.GetBalance(metering.GetBalanceRequest(account_id=account_id))).balance
        assert balance.lifetime_charged_micros == 2 * CREDIT


async def outcome(rpc: Any, request: Any) -> str:
    """Return OK, or the reason of the refusal."""
    try:
        await repeated(rpc, request)
    except grpc.aio.AioRpcError as failure:
        refused = Refusal.of(failure)
        assert refused.code != "INTERNAL", refused
        return refused.reason
    return "OK"


async def test_everybody_asks_at_the_same_moment(pair: tuple[Sidecar, Sidecar]) -> None:
    """Claims of one identity, settlements of one purchase, uses of one reference, changes of one plan: one of each."""
    one, two = pair
    await one.install(CATALOG)
    await in_force(two)
    for attempt in range(6):
        names = [f"a{attempt}-{number}" for number in range(4)]
        for name in names:
            await one.account(name, 0)
        claims = [
            billing.ClaimFreePlanRequest(account_id=name, request_id="c", identity=f"0xAB{attempt}") for name in names
        ]
        said = await asyncio.gather(
            *(outcome(pair[at % 2].billing.ClaimFreePlan, claim) for at, claim in enumerate(claims))
        )
        assert sorted(said) == ["FREE_PLAN_CLAIMED"] * 3 + ["OK"]
        buys = [
            billing.CreatePurchaseRequest(
                account_id=name, request_id="b", pack_id="small", payment_reference=f"pay{attempt}"
            )
            for name in names
        ]
        said = await asyncio.gather(*(outcome(pair[at % 2].billing.CreatePurchase, buy) for at, buy in enumerate(buys)))
        assert sorted(said) == ["OK"] + ["PAYMENT_REFERENCE_USED"] * 3
        confirm = billing.ConfirmPurchaseRequest(payment_reference=f"pay{attempt}")
        fail = billing.FailPurchaseRequest(payment_reference=f"pay{attempt}")
        settled = await asyncio.gather(
            *(outcome(sidecar.billing.ConfirmPurchase, confirm) for sidecar in pair * 2),
            *(outcome(sidecar.billing.FailPurchase, fail) for sidecar in pair * 2),
        )
        assert set(settled[:4]) in ({"OK"}, {"PURCHASE_FAILED"}), settled
        assert set(settled[4:]) == ({"PURCHASE_CONFIRMED"} if settled[0] == "OK" else {"OK"}), settled
        subscribing = [
            billing.CreateSubscriptionRequest(account_id=names[0], request_id=f"s{number % 3}", plan_id="basic")
            for number in range(6)
        ]
        said = await asyncio.gather(
            *(outcome(pair[at % 2].billing.CreateSubscription, asked) for at, asked in enumerate(subscribing))
        )
        assert Counter(said) == {"OK": 2, "ALREADY_SUBSCRIBED": 4}
        changing = [
            billing.ChangePlanRequest(account_id=names[0], request_id=f"u{number % 3}", plan_id="pro")
            for number in range(6)
        ]
        said = await asyncio.gather(
            *(outcome(pair[at % 2].billing.ChangePlan, asked) for at, asked in enumerate(changing))
        )
        assert set(said) == {"OK"}
        await one.move(by=timedelta(milliseconds=1))
        books = await read_books(two, names[0])
        books.check_sums()
        subscribed = [grant for grant in books.grants if grant.kind == grant_pb2.Grant.KIND_SUBSCRIPTION]
        assert sorted(grant.amount_micros for grant in subscribed) == [20 * CREDIT, 30 * CREDIT]


_OTHERWISE = (
    "plans: {}\n",
    "plans: {basic: {credits: 7, cycle: once}, pro: {credits: 3, kind: free, cycle: once}}\n",
    "plans: {basic: {custom: true}, pro: {credits: 1, confirmed_renewal: true}}\n",
    "plans: {basic: {credits: 9007199254}, pro: {credits: 9, cycle: calendar month, claimed: true}}\n",
    "default_plan: pro\nplans: {pro: {credits: 4, rollover: 0, seats: 1, limits: {x: {window: cycle, amount: 0}}}}\n",
)


async def test_catalogs_change_under_subscriptions(
    pair: tuple[Sidecar, Sidecar], redis_url: str, database_url: str
) -> None:
    """A plan goes, becomes another kind, a custom or a claimed one: whoever has it goes on, each cycle once."""
    one, two = pair
    await one.install(CATALOG)
    names = ["basic", "pro", "monthly", "paid"]
    for name in names:
        await one.account(name, 1)
        await subscribe(one, name, name)
    for number, document in enumerate(_OTHERWISE):
        await one.install(document, f"c{number}")
        await (one if number % 2 else two).move(by=timedelta(days=33))
        for name in names:
            await repeated(one.billing.GetSubscription, billing.GetSubscriptionRequest(account_id=name))
            await outcome(
                two.metering.Charge, metering.ChargeRequest(account_id=name, request_id=f"{number}", amount_micros=1)
            )
            await outcome(
                one.billing.ChangePlan,
                billing.ChangePlanRequest(account_id=name, request_id=f"{number}", plan_id=names[number % 2]),
            )
    await one.move(by=timedelta(milliseconds=1))
    for name in names:
        books = await read_books(two, name)
        books.check_sums()
        books.check_entries()
        assert max(Counter(grant.request_id for grant in books.grants).values()) == 1
    settings = Settings.load(redis_url=redis_url, database_url=database_url)
    assert not (await compare_stores(settings, lambda _done, _all: None)).drift
