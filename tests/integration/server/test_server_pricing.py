"""Operations at the catalog's prices, over gRPC: every rule, on one stream and alone, here and at another sidecar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc.aio

from earmark.v1 import common_pb2 as common
from earmark.v1 import ledger_pb2
from earmark.v1 import metering_service_pb2 as pb
from tests.integration.server.conftest import Sidecar, open_test_sidecar, refusal
from tests.integration.server.test_server_session import call, collect, said

CREDIT = 1_000_000
CATALOG = """
format: 1
name: studio
operations:
  image:
    unit: image
    price:
      table:
        - {when: {size: small}, price: 0.5}
        - {when: {size: large}, price: 2}
      default: refuse
  message: {unit: message, price: 1}
  post: {unit: post, price: {range: [1, 3]}}
  view: {price: free, record: false}
  share: {price: free}
  speech: {price: {per_unit: 1, step: 60, count: seconds}}
  text: {price: {tokens: {input: 1, output: 2, cached_input: 0.5, per: 1000}}}
packs:
  small: {credits: 100, prices: {USD: 10}}
  large: {credits: 1000, prices: {USD: 80}}
"""


def usage(**counts: int) -> common.Usage:
    return common.Usage(counts=counts)


async def test_every_kind_of_price(sidecar: Sidecar) -> None:
    version = await sidecar.install(CATALOG)
    await sidecar.account()
    expected: list[tuple[str, dict[str, Any], int]] = [
        ("image", {"attributes": {"size": "small"}, "quantity": 3}, 1_500_000),
        ("message", {}, CREDIT),
        ("post", {"quantity": 2}, 6 * CREDIT),
        ("share", {}, 0),
        ("speech", {"usage": usage(seconds=61)}, 2 * CREDIT),
        ("text", {"usage": usage(input_tokens=1_000, cached_input_tokens=500, output_tokens=10)}, 770_000),
    ]
    for operation, fields, micros in expected:
        held = await sidecar.priced(operation, operation, **fields)
        assert (held.reservation.reserved_micros, held.reservation.price_version) == (micros, version), operation
    assert (await sidecar.priced("message", "message")).replayed
    for operation, fields, reason in (
        ("unheard", {}, "UNKNOWN_OPERATION"),
        ("image", {}, "UNPRICEABLE"),
        ("text", {"quantity": 1}, "UNPRICEABLE"),
    ):
        refused = await refusal(sidecar.priced("refused", operation, **fields))
        assert refused.reason == reason, refused


async def test_a_batch_commits_what_did_not_fail(sidecar: Sidecar) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account()
    held = await sidecar.priced("batch", "image", quantity=4, attributes={"size": "large"}, user_id="ann")
    settled = await sidecar.commit(held, quantity=3, comment="one failed")
    assert (settled.charged_micros, settled.balance.available_micros) == (6 * CREDIT, 494 * CREDIT)
    assert (await sidecar.commit(held, quantity=3)).replayed
    other = await refusal(sidecar.commit(held, quantity=2))
    assert (other.reason, other.metadata["charged_micros"]) == ("ALREADY_COMMITTED", str(6 * CREDIT))
    entry = await sidecar.entry(ledger_pb2.LedgerEntry.KIND_CHARGE)
    assert (entry.reserved_quantity, entry.quantity, entry.price_text) == (4, 3, "2 credits per image")


async def test_an_entry_of_a_whole_reservation_shows_its_quantity(sidecar: Sidecar) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account()
    await sidecar.commit(await sidecar.priced("one", "message"))
    entry = await sidecar.entry(ledger_pb2.LedgerEntry.KIND_CHARGE)
    assert (entry.reserved_quantity, entry.quantity, entry.price_version) == (1, 1, 1)


async def test_a_range_says_what_it_really_took(sidecar: Sidecar) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account()
    held = await sidecar.priced("post", "post", quantity=2)
    for fields in ({}, {"quantity": 2}):
        assert (await refusal(sidecar.commit(held, **fields))).reason == "ACTUAL_REQUIRED"
    settled = await sidecar.commit(held, amount_micros=3_500_000)
    assert (settled.charged_micros, settled.balance.available_micros) == (3_500_000, 496_500_000)
    refused = await refusal(sidecar.charge("charge", "post"))
    assert refused.reason == "ACTUAL_REQUIRED"
    assert (await sidecar.charge("charge", "post", amount_micros=CREDIT)).charged_micros == CREDIT


async def test_what_is_not_recorded_leaves_no_entry(sidecar: Sidecar) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account()
    for operation in ("view", "share"):
        assert (await sidecar.charge(operation, operation)).charged_micros == 0
    entry = await sidecar.entry(ledger_pb2.LedgerEntry.KIND_CHARGE)
    assert (entry.operation, entry.entry_number, entry.price_text) == ("share", 2, "free")


async def test_a_commit_may_come_through_another_sidecar(
    redis_url: str, database_url: str, sidecar: Sidecar, tmp_path: Path, socket_path: Path
) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account()
    by_quantity = await sidecar.priced("quantity", "image", quantity=4, attributes={"size": "large"})
    ranged = await sidecar.priced("range", "post")
    by_amount = await sidecar.reserve("amount", 2)
    extended = await sidecar.priced("extended", "message")
    listen = f"unix:{socket_path.with_name('other')}"
    async with open_test_sidecar(redis_url, database_url, listen) as other:
        assert (await other.commit(by_quantity, quantity=1)).charged_micros == 2 * CREDIT
        assert (await refusal(other.commit(ranged))).reason == "ACTUAL_REQUIRED"
        assert (await refusal(other.commit(by_amount, quantity=1))).reason == "UNPRICEABLE"
        assert (await other.commit(by_amount)).charged_micros == 2 * CREDIT
        extend = pb.ExtendRequest(
            reservation_id=extended.reservation.reservation_id, request_id="e", additional_quantity=2
        )
        assert (await other.metering.Extend(extend)).reservation.reserved_micros == 3 * CREDIT
        await other.metering.Release(pb.ReleaseRequest(reservation_id=extended.reservation.reservation_id))
        assert (await other.metering.Extend(extend)).replayed
        assert (await refusal(other.commit(extended, quantity=1))).reason == "ALREADY_RELEASED"
    async with open_test_sidecar(redis_url, database_url, listen) as another:
        # What it was for is in its entry only: Redis keeps no details of what is committed.
        assert (await another.commit(by_quantity, quantity=1)).replayed
        assert (await refusal(another.commit(extended, quantity=1))).reason == "ALREADY_RELEASED"


async def test_a_catalog_changes_without_a_restart_and_without_touching_what_is_reserved(sidecar: Sidecar) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account()
    held = await sidecar.priced("before", "message", quantity=3)
    version = await sidecar.install(CATALOG.replace("unit: message, price: 1", "unit: message, price: 7"), "second")
    assert version == 2
    assert (await sidecar.priced("before", "message", quantity=3)).replayed
    assert (await sidecar.commit(held, quantity=2)).charged_micros == 2 * CREDIT
    assert (await sidecar.priced("after", "message")).reservation.reserved_micros == 7 * CREDIT
    await sidecar.install("format: 1\nname: empty\noperations: {message: 9}\n", "third")
    # A repeat is answered whatever the catalog says today; another content under its id is told so.
    assert (await sidecar.priced("after", "message")).reservation.reserved_micros == 7 * CREDIT
    gone = await sidecar.priced("image", "message")
    assert gone.reservation.price_version == 3


async def test_a_repeat_outlives_its_operation(sidecar: Sidecar) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account()
    first = await sidecar.priced("r", "image", attributes={"size": "small"})
    charged = await sidecar.charge("c", "image", attributes={"size": "small"})
    await sidecar.install("format: 1\nname: empty\noperations: {message: 9}\n", "second")
    again = await sidecar.priced("r", "image", attributes={"size": "small"})
    assert again.replayed
    assert again.reservation.reservation_id == first.reservation.reservation_id
    repeated = await sidecar.charge("c", "image", attributes={"size": "small"})
    assert repeated.replayed
    assert repeated.charged_micros == charged.charged_micros
    assert (await refusal(sidecar.priced("r", "image", quantity=2))).reason == "REQUEST_ID_REUSED"
    assert (await refusal(sidecar.priced("new", "image"))).reason == "UNKNOWN_OPERATION"
    assert await sidecar.available() == 499 * CREDIT


async def test_a_session_prices_as_unary_calls_do(
    redis_url: str, database_url: str, sidecar: Sidecar, socket_path: Path
) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account()
    held = [await sidecar.priced(f"r{n}", "image", quantity=4, attributes={"size": "large"}) for n in range(3)]
    ranged = await sidecar.priced("range", "post")
    ids = [each.reservation.reservation_id for each in held]
    async with open_test_sidecar(redis_url, database_url, f"unix:{socket_path.with_name('other')}") as other:
        stream = other.metering.Session()
        commits = [
            pb.CommitRequest(reservation_id=ids[0], quantity=1),
            pb.CommitRequest(reservation_id=ids[1], quantity=4, attributes={"size": "small"}),
            pb.CommitRequest(reservation_id=ranged.reservation.reservation_id),
        ]
        calls = [call(number, commit=each) for number, each in enumerate(commits)]
        calls.append(call(3, extend=pb.ExtendRequest(reservation_id=ids[2], request_id="e", additional_quantity=1)))
        calls.append(call(4, reserve=pb.ReserveRequest(account_id="acme", request_id="u", operation="unheard")))
        calls.append(
            call(5, reserve=pb.ReserveRequest(account_id="acme", request_id="here", operation="message", quantity=2))
        )
        await stream.write(pb.SessionRequest(calls=calls))
        results = await collect(stream, 6)
        assert [results[n].commit.charged_micros for n in (0, 1)] == [2 * CREDIT, 2 * CREDIT]
        assert said(results[2]).reason == "ACTUAL_REQUIRED"
        assert results[3].extend.reservation.reserved_micros == 10 * CREDIT
        assert said(results[4]).reason == "UNKNOWN_OPERATION"
        here = results[5].reserve.reservation.reservation_id
        await stream.write(pb.SessionRequest(calls=[call(6, commit=pb.CommitRequest(reservation_id=here, quantity=1))]))
        assert (await collect(stream, 1))[6].commit.charged_micros == CREDIT
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF  # type: ignore[attr-defined]


async def test_a_shortfall_names_the_smallest_purchase(sidecar: Sidecar) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account(credits=10)
    small = await refusal(sidecar.priced("r", "message", quantity=60))
    assert (small.reason, small.metadata["shortfall_micros"]) == ("INSUFFICIENT_CREDITS", str(50 * CREDIT))
    assert (small.metadata["pack_id"], small.metadata["pack_micros"]) == ("small", str(100 * CREDIT))
    large = await refusal(sidecar.priced("r", "message", quantity=200))
    assert (large.metadata["pack_id"], large.metadata["pack_count"]) == ("large", "1")


async def test_an_estimate_compares_with_the_balance(sidecar: Sidecar) -> None:
    await sidecar.install(CATALOG)
    await sidecar.account(credits=10)
    items = [
        pb.EstimateItem(operation="image", quantity=4, attributes={"size": "large"}),
        pb.EstimateItem(operation="post", quantity=2),
    ]
    priced = await sidecar.metering.Estimate(pb.EstimateRequest(items=items))
    assert (priced.min_micros, priced.max_micros, priced.sufficient) == (10 * CREDIT, 14 * CREDIT, True)
    planned = await sidecar.metering.Estimate(
        pb.EstimateRequest(account_id="acme", items=items, buffer_percent=20, method="USD")
    )
    assert (planned.min_micros, planned.max_micros) == (12 * CREDIT, 16_800_000)
    assert (planned.sufficient, planned.shortfall_micros, planned.available_micros) == (
        False,
        6_800_000,
        10 * CREDIT,
    )
    assert [item.affordable_quantity for item in planned.items] == [5, 3]
    assert [item.text for item in planned.items] == ["2 credits per image", "1 to 3 credits per post"]
    assert [(each.pack.pack_id, each.count) for each in planned.packs] == [("small", 1), ("large", 1)]
    assert planned.price_version == 1
    for request, reason, field in (
        (pb.EstimateRequest(), "INVALID_ARGUMENT", "items"),
        (pb.EstimateRequest(items=items, buffer_percent=1_001), "INVALID_ARGUMENT", "buffer_percent"),
        (pb.EstimateRequest(items=[pb.EstimateItem(operation="no")]), "UNKNOWN_OPERATION", "items[0].operation"),
        (pb.EstimateRequest(items=[pb.EstimateItem(operation="image")]), "UNPRICEABLE", "items[0].attributes"),
        (pb.EstimateRequest(account_id="nobody", items=items), "ACCOUNT_NOT_FOUND", None),
    ):
        refused = await refusal(sidecar.metering.Estimate(request))
        assert (refused.reason, refused.field) == (reason, field)
