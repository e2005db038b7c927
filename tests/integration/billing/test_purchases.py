"""Purchases over gRPC: the quote is kept, the payment counts once, failures give nothing."""

from __future__ import annotations

import asyncio

import grpc.aio

from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import catalog_service_pb2 as catalogs
from earmark.v1 import catalog_service_pb2_grpc as catalogs_rpc
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.billing.catalog import CATALOG
from tests.integration.billing.conftest import CREDIT, Driver
from tests.integration.server.conftest import Refusal, refusal
from tests.support.waiting import wait_until

P = billing.Purchase
PURCHASE, PROMOTION = 3, 4


async def test_a_purchase_from_the_quote_to_the_credits(driver: Driver) -> None:
    await driver.move_to(6, 27, 15)
    await driver.account()
    pending = await driver.purchase("small", method="INSPI")
    assert (pending.state, pending.price.method, pending.price.amount) == (P.STATE_PENDING, "INSPI", "8")
    assert (pending.credits_micros, pending.bonus_micros) == (100 * CREDIT, 25 * CREDIT)
    assert (pending.promotion_id, pending.unit_price) == ("spring", "0.064")
    assert await driver.available() == 0
    answer = await driver.paid(purchase_id=pending.purchase_id, payment_reference="tx1")
    assert answer.purchase.state == P.STATE_CONFIRMED
    assert answer.purchase.payment_reference == "tx1"
    assert answer.balance.available_micros == 125 * CREDIT
    assert [grant.kind for grant in answer.grants] == [PURCHASE, PROMOTION]
    assert not answer.replayed
    # 30 days through the last day; the bonus lives as promotions do.
    assert await driver.grants() == [(PURCHASE, 100, "07-28 00:00"), (PROMOTION, 25, "07-08 00:00")]


async def test_a_repeated_confirmation_gives_nothing_more(driver: Driver) -> None:
    await driver.account()
    pending = await driver.purchase("small", method="USD", payment_reference="tx1")
    answers = await asyncio.gather(
        driver.paid(purchase_id=pending.purchase_id),
        driver.paid(payment_reference="tx1"),
        driver.paid(purchase_id=pending.purchase_id, payment_reference="tx1"),
    )
    assert sorted(answer.replayed for answer in answers) == [False, True, True]
    assert {tuple(grant.grant_id for grant in answer.grants) for answer in answers} == {
        tuple(grant.grant_id for grant in answers[0].grants)
    }
    assert await driver.available() == 125
    said = await refusal(driver.rpc.FailPurchase(billing.FailPurchaseRequest(payment_reference="tx1")))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "PURCHASE_CONFIRMED")


async def test_a_failed_payment_gives_nothing(driver: Driver) -> None:
    await driver.account()
    pending = await driver.purchase("small", method="USD")
    request = billing.FailPurchaseRequest(purchase_id=pending.purchase_id, reason="card refused")
    failed = await driver.rpc.FailPurchase(request)
    assert (failed.purchase.state, failed.purchase.reason) == (P.STATE_FAILED, "card refused")
    assert (await driver.rpc.FailPurchase(request)).replayed
    assert (await refusal(driver.paid(purchase_id=pending.purchase_id))).reason == "PURCHASE_FAILED"
    assert await driver.available() == 0


async def test_a_purchase_keeps_its_quote(driver: Driver) -> None:
    await driver.account()
    request = billing.CreatePurchaseRequest(account_id="acme", request_id="p", pack_id="small", method="USD")
    pending = (await driver.rpc.CreatePurchase(request)).purchase
    dearer = CATALOG.replace("prices: {USD: 10, INSPI: 8}, validity: 30 days", "prices: {USD: 99}, validity: never")
    apply = catalogs.ApplyCatalogRequest(document=dearer.replace("small:", "tiny:", 1), request_id="dearer")
    apply.document = apply.document.replace("packs: [small]", "packs: [tiny]")
    await catalogs_rpc.CatalogServiceStub(driver.sidecar.channel).ApplyCatalog(apply)
    again = await driver.rpc.CreatePurchase(request)
    assert again.replayed
    assert again.purchase == pending
    answer = await driver.paid(purchase_id=pending.purchase_id)
    assert answer.purchase.price.amount == "10"
    assert [grant.amount_micros for grant in answer.grants] == [100 * CREDIT, 25 * CREDIT]
    assert answer.grants[0].HasField("expire_time")
    assert (await refusal(driver.purchase("small", method="USD"))).reason == "PACK_NOT_FOUND"


async def test_custom_amounts_cost_what_their_volume_says(driver: Driver) -> None:
    await driver.account()
    few = await driver.purchase("any", amount_micros=50 * CREDIT)
    many = await driver.purchase("any", amount_micros=200 * CREDIT)
    assert (few.price.amount, many.price.amount) == ("10.00", "30.00")
    answer = await driver.paid(purchase_id=many.purchase_id)
    assert len(answer.grants) == 1
    assert await driver.available() == 200
    assert (await refusal(driver.purchase("any", amount_micros=5 * CREDIT))).reason == "INVALID_AMOUNT"
    assert (await refusal(driver.purchase("any", amount_micros=55 * CREDIT))).reason == "INVALID_AMOUNT"
    assert (await refusal(driver.purchase("any"))).reason == "INVALID_AMOUNT"


async def test_a_payment_belongs_to_one_purchase(driver: Driver) -> None:
    await driver.account("one")
    await driver.account("two")

    async def begin(name: str) -> str:
        try:
            await driver.purchase("small", name, method="USD", payment_reference="tx")
        except grpc.aio.AioRpcError as error:
            return Refusal.of(error).reason
        return "begun"

    outcomes = await asyncio.gather(*(begin(name) for name in ("one", "two", "one", "two")))
    assert sorted(outcomes) == ["PAYMENT_REFERENCE_USED"] * 3 + ["begun"]
    other = await driver.purchase("small", "one", method="USD")
    said = await refusal(driver.paid(purchase_id=other.purchase_id, payment_reference="tx"))
    assert said.reason == "PAYMENT_REFERENCE_USED"
    own = await driver.purchase("small", "one", method="USD", payment_reference="mine")
    said = await refusal(driver.paid(purchase_id=own.purchase_id, payment_reference="not mine"))
    assert (said.field, said.metadata["payment_reference"]) == ("payment_reference", "mine")


async def test_what_is_refused(driver: Driver) -> None:
    await driver.account()
    assert (await refusal(driver.purchase("none"))).reason == "PACK_NOT_FOUND"
    assert (await refusal(driver.purchase("small"))).field == "method"
    assert (await refusal(driver.purchase("small", method="EUR"))).field == "method"
    assert (await refusal(driver.purchase("small", "nobody", method="USD"))).reason == "ACCOUNT_NOT_FOUND"
    assert (await refusal(driver.paid(purchase_id="none"))).reason == "PURCHASE_NOT_FOUND"
    assert (await refusal(driver.paid(payment_reference="none"))).reason == "PURCHASE_NOT_FOUND"
    assert (await refusal(driver.paid())).field == "purchase_id"
    request = billing.CreatePurchaseRequest(account_id="acme", request_id="p", pack_id="small", method="USD")
    await driver.rpc.CreatePurchase(request)
    request.method = "INSPI"
    assert (await refusal(driver.rpc.CreatePurchase(request))).reason == "REQUEST_ID_REUSED"


async def test_pages_of_purchases(driver: Driver) -> None:
    await driver.account()
    begun = [(await driver.purchase("small", method="USD")).purchase_id for _ in range(5)]
    await driver.paid(purchase_id=begun[1])
    seen: list[str] = []
    request = billing.ListPurchasesRequest(account_id="acme", page_size=2)
    while True:
        page = await driver.rpc.ListPurchases(request)
        seen += [purchase.purchase_id for purchase in page.purchases]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == begun[::-1]
    paid = await driver.rpc.ListPurchases(billing.ListPurchasesRequest(account_id="acme", state=P.STATE_CONFIRMED))
    assert [purchase.purchase_id for purchase in paid.purchases] == [begun[1]]
    request = billing.ListPurchasesRequest(account_id="nobody")
    assert (await refusal(driver.rpc.ListPurchases(request))).reason == "ACCOUNT_NOT_FOUND"


async def test_a_paused_task_goes_on_when_the_purchase_is_confirmed(driver: Driver) -> None:
    await driver.account(credits=1)
    request = metering.ReserveRequest(account_id="acme", request_id="paused", amount_micros=60 * CREDIT)
    request.wait.FromSeconds(30)
    waiting = asyncio.ensure_future(driver.sidecar.metering.Reserve(request))
    await wait_until(driver.sidecar.waiters)
    pending = await driver.purchase("small", method="USD")
    await driver.paid(purchase_id=pending.purchase_id)
    assert (await waiting).reservation.reserved_micros == 60 * CREDIT
