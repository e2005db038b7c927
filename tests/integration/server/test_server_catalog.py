"""`CatalogService` of a whole sidecar."""

from __future__ import annotations

from typing import Any

import pytest

from earmark.catalogs import PRESETS, read_source
from earmark.v1 import catalog_pb2 as catalog
from earmark.v1 import catalog_service_pb2 as pb
from earmark.v1 import catalog_service_pb2_grpc as rpc

from .conftest import Sidecar, refusal

CREDIT = 1_000_000
SMALL = """\
name: small
expiring_soon: 36 hours
limits: {daily: {window: day, amount: 5}}
operations:
  chat: 2  # to the letter
"""


@pytest.fixture
def catalogs(sidecar: Sidecar) -> Any:
    return rpc.CatalogServiceStub(sidecar.channel)


async def apply(catalogs: Any, document: str, request_id: str = "apply", **options: Any) -> pb.ApplyCatalogResponse:
    request = pb.ApplyCatalogRequest(document=document, request_id=request_id, **options)
    response = await catalogs.ApplyCatalog(request)
    assert isinstance(response, pb.ApplyCatalogResponse)
    return response


async def test_without_a_catalog_there_is_nothing(catalogs: Any) -> None:
    refused = await refusal(catalogs.GetCatalog(pb.GetCatalogRequest()))
    assert (refused.code, refused.reason) == ("NOT_FOUND", "CATALOG_NOT_FOUND")
    prices = await catalogs.ListPrices(pb.ListPricesRequest())
    assert (prices.version, len(prices.prices)) == (0, 0)
    assert (await catalogs.ListPlans(pb.ListPlansRequest())).version == 0
    assert (await catalogs.ListPacks(pb.ListPacksRequest())).version == 0


async def test_a_document_is_installed_once_and_kept_to_the_letter(catalogs: Any) -> None:
    applied = await apply(catalogs, SMALL)
    assert (applied.catalog.version, applied.catalog.name, applied.unchanged) == (1, "small", False)
    assert applied.catalog.horizon.ToSeconds() == 36 * 3_600
    (limit,) = applied.catalog.limits
    assert (limit.name, limit.scope, limit.window, limit.mode) == (
        "daily",
        catalog.Limit.SCOPE_ACCOUNT,
        catalog.Limit.WINDOW_DAY,
        catalog.Limit.MODE_BLOCK,
    )
    assert (await apply(catalogs, SMALL, "again")).unchanged
    assert (await apply(catalogs, SMALL)).unchanged
    await apply(catalogs, read_source("preset:monthly"), "other")
    first = (await catalogs.GetCatalog(pb.GetCatalogRequest(version=1))).catalog
    assert (first.version, first.document) == (1, SMALL)
    assert first.create_time.ToSeconds() > 0
    latest = (await catalogs.GetCatalog(pb.GetCatalogRequest())).catalog
    assert (latest.version, latest.name) == (2, "monthly")


async def test_a_check_installs_nothing(catalogs: Any) -> None:
    checked = await apply(catalogs, SMALL, "", validate_only=True)
    assert (checked.catalog.version, checked.unchanged) == (1, False)
    assert (await refusal(catalogs.GetCatalog(pb.GetCatalogRequest()))).reason == "CATALOG_NOT_FOUND"


async def test_what_is_wrong_is_named_by_line_and_field(catalogs: Any) -> None:
    refused = await refusal(apply(catalogs, "operations:\n  chat: 1\n  video: -16\n"))
    assert (refused.code, refused.reason, refused.field) == ("INVALID_ARGUMENT", "INVALID_CATALOG", "document")
    assert refused.metadata["line"] == "3"
    assert refused.metadata["column"] == "10"
    assert refused.metadata["path"] == "operations.video"
    assert "line 3, column 10: operations.video: expected a number of credits" in refused.message


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (pb.ApplyCatalogRequest(request_id="r"), "INVALID_ARGUMENT", "document"),
        (pb.ApplyCatalogRequest(document=SMALL), "INVALID_REQUEST_ID", "request_id"),
        (pb.ApplyCatalogRequest(document="a" * (2**20 + 1), request_id="r"), "INVALID_CATALOG", "document"),
        (pb.ApplyCatalogRequest(document="[" * 100_000, request_id="r"), "INVALID_CATALOG", "document"),
        (pb.ApplyCatalogRequest(document='"\\x00\\uFFFF": 1', request_id="r"), "INVALID_CATALOG", "document"),
    ],
)
async def test_bad_requests(catalogs: Any, request_: pb.ApplyCatalogRequest, reason: str, field: str) -> None:
    refused = await refusal(catalogs.ApplyCatalog(request_))
    assert (refused.reason, refused.field) == (reason, field)


async def test_versions_that_do_not_exist(catalogs: Any) -> None:
    assert (await refusal(catalogs.GetCatalog(pb.GetCatalogRequest(version=-1)))).reason == "INVALID_ARGUMENT"
    assert (await refusal(catalogs.GetCatalog(pb.GetCatalogRequest(version=2**40)))).reason == "INVALID_ARGUMENT"
    assert (await refusal(catalogs.GetCatalog(pb.GetCatalogRequest(version=9)))).reason == "CATALOG_NOT_FOUND"


async def test_the_action_matrix(catalogs: Any) -> None:
    await apply(catalogs, read_source("preset:inspira"))
    listed = await catalogs.ListPrices(pb.ListPricesRequest())
    assert listed.version == 1
    prices = {price.operation: price for price in listed.prices}
    assert list(prices)[:2] == ["chat.message", "image.generate"]
    chat, image, audit = (prices[name] for name in ("chat.message", "image.generate", "contract.audit"))
    assert (chat.rule, chat.text, chat.unit) == (catalog.OperationPrice.RULE_FIXED, "1 credit per message", "message")
    assert (image.rule, image.min_micros, image.max_micros) == (
        catalog.OperationPrice.RULE_BY_ATTRIBUTES,
        380_000,
        1_920_000,
    )
    assert [dict(line.attributes) for line in image.lines][3:5] == [
        {"size": "512x512", "quality": "draft"},
        {"size": "512x512", "quality": "standard"},
    ]
    assert dict(audit.lines[-1].attributes) == {}
    assert audit.lines[-1].text == "40 to 160 credits per contract"
    only = await catalogs.ListPrices(pb.ListPricesRequest(operation_prefix="image."))
    assert [price.operation for price in only.prices] == ["image.generate"]


async def test_plans(catalogs: Any) -> None:
    await apply(catalogs, read_source("preset:amisi"))
    plans = {plan.plan_id: plan for plan in (await catalogs.ListPlans(pb.ListPlansRequest())).plans}
    assert list(plans) == ["free", "basic", "pro", "business", "enterprise"]
    pro, enterprise = plans["pro"], plans["enterprise"]
    assert (pro.credits_micros, pro.rollover_cap_micros, pro.seats) == (50 * CREDIT, 100 * CREDIT, 3)
    assert [(price.method, price.amount) for price in pro.yearly_prices] == [("USD", "199.99")]
    assert pro.entitlements["resolution_4k"] == "true"
    assert plans["free"].once
    assert enterprise.custom
    assert not enterprise.HasField("seats")
    assert not enterprise.HasField("rollover_cap_micros")


async def test_packs_with_the_promotion_of_the_moment(catalogs: Any) -> None:
    document = read_source("preset:inspira")
    await apply(catalogs, document)
    listed = {pack.pack_id: pack for pack in (await catalogs.ListPacks(pb.ListPacksRequest())).packs}
    assert [(price.method, price.amount) for price in listed["starter"].prices] == [("USDT", "10"), ("INSPI", "9")]
    assert (listed["custom"].custom, listed["custom"].min_micros, len(listed["custom"].rates)) == (True, 50 * CREDIT, 4)
    now = document.replace("start: 2030-06-03", "start: 2020-01-01").replace("end: 2030-06-09", "end: 2090-01-01")
    await apply(catalogs, now, "promoted")
    promoted = await catalogs.ListPacks(pb.ListPacksRequest(method="INSPI"))
    creator = {pack.pack_id: pack for pack in promoted.packs}["creator"]
    assert creator.promotion_id == "creator-week"
    assert [(price.method, price.amount) for price in creator.prices] == [("INSPI", "20.66")]  # 20.655
    assert [(price.method, price.amount) for price in creator.regular_prices] == [("INSPI", "24.30")]
    assert len((await catalogs.ListPacks(pb.ListPacksRequest(method="USD"))).packs) == 0


@pytest.mark.parametrize("name", PRESETS)
async def test_every_preset_can_be_applied_and_listed(catalogs: Any, name: str) -> None:
    assert (await apply(catalogs, read_source(f"preset:{name}"))).catalog.name == name
    assert len((await catalogs.ListPrices(pb.ListPricesRequest())).prices) > 3
    assert len((await catalogs.ListPlans(pb.ListPlansRequest())).plans) > 0
    assert len((await catalogs.ListPacks(pb.ListPacksRequest())).packs) > 0
