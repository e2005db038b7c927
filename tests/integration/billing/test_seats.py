"""Seats by plan, and what an account of another system brings of its plan."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import count

import grpc.aio
import pytest

from earmark.catalogs import parse_catalog
from earmark.domain.catalog import Catalog
from earmark.domain.plans import Overrides
from earmark.errors import AlreadyExists
from earmark.ledger import open_ledger
from earmark.ledger.billing import Term
from earmark.ledger.billing.imports import imported_identities, imported_subscription
from earmark.ledger.billing.terms import paid_until
from earmark.ledger.imports import ImportOutcome, Imports, NewImport
from earmark.ledger.models import NewAccount
from earmark.v1 import account_service_pb2 as accounts
from tests.integration.billing.catalog import CATALOG
from tests.integration.billing.conftest import CREDIT, Driver
from tests.integration.server.conftest import Refusal
from tests.support.stack import CONTENT

_numbers = count(1)


async def add(driver: Driver, user_id: str) -> str:
    """Add a member; return the reason of a refusal, or ""."""
    request = accounts.AddMemberRequest(account_id="acme", request_id=f"m{next(_numbers)}", user_id=user_id)
    try:
        await driver.sidecar.accounts.AddMember(request)
    except grpc.aio.AioRpcError as error:
        return Refusal.of(error).reason
    return ""


async def test_a_plan_has_so_many_seats(driver: Driver) -> None:
    await driver.account()
    await driver.subscribe("basic")
    assert await add(driver, "ann") == ""
    assert await add(driver, "bob") == "SEATS_EXHAUSTED"
    assert await add(driver, "ann") == ""  # She has one.
    await driver.change("pro")
    assert await add(driver, "bob") == ""
    answers = await asyncio.gather(*(add(driver, name) for name in ("cid", "dan", "eve")))
    assert sorted(answers) == ["", "SEATS_EXHAUSTED", "SEATS_EXHAUSTED"]
    remove = accounts.RemoveMemberRequest(account_id="acme", request_id="out", user_id="ann")
    await driver.sidecar.accounts.RemoveMember(remove)
    assert await add(driver, "fay") == ""


async def test_any_number_of_seats(driver: Driver) -> None:
    await driver.account()
    assert [await add(driver, f"before{number}") for number in range(3)] == [""] * 3
    await driver.subscribe("own", overrides={"credits_micros": CREDIT})
    assert [await add(driver, f"user{number}") for number in range(12)] == [""] * 12


@pytest.mark.parametrize(("term", "last"), [(Term.MONTH, "2027-04-05"), (Term.YEAR, "2027-06-05")])
async def test_an_imported_subscription_goes_on(database_url: str, term: Term, last: str) -> None:
    now = micros("2027-03-20")
    ledger = await open_ledger(database_url, clock=lambda: now)
    await ledger.stores.initialise(2, for_tests=True)
    catalog: Catalog = parse_catalog(CATALOG, 1)
    extra = imported_subscription(catalog, "basic", term, micros("2026-06-05"), Overrides(credits=7))
    wanted = NewImport(NewAccount("acme"), (), (), CONTENT)
    imports = Imports(ledger._database, lambda: now)
    assert await imports.bring(wanted, extras=[extra, imported_identities(["0xabc"])]) is ImportOutcome.IMPORTED
    subscription = await ledger.billing.subscription("acme")
    assert (subscription.cycle, subscription.cycle_start, subscription.cycle_end) == (
        10,
        micros("2027-03-05"),
        micros("2027-04-05"),
    )
    assert subscription.effective(catalog.plans).credits == 7
    assert paid_until(subscription) == micros(last)
    again = imported_identities(["0xabc"])
    with pytest.raises(AlreadyExists, match="claimed"):
        await imports.bring(NewImport(NewAccount("other"), (), (), CONTENT), extras=[again])
    now = micros("2027-04-06")
    (renewed,) = await ledger.billing.renew_due(catalog, 10)
    assert (renewed.account_id, renewed.cycles) == ("acme", 1)
    await ledger.close()


def micros(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000
