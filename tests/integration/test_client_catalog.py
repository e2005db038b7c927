"""The Python client where a catalog prices: holds by operation, prices, estimates, what errors and notices say."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path

import grpc
import pytest

from earmark import AsyncClient, Client, InsufficientCredits, InvalidRequest, Item, NotFound, Reason, ResourceExhausted
from earmark.testing import EarmarkServer
from earmark.v1 import account_pb2, account_service_pb2, account_service_pb2_grpc
from earmark.v1.catalog_pb2 import Limit

CATALOG = """
name: studio
thresholds: {low: 20}
operations:
  image:
    unit: image
    price: {table: [{when: {size: small}, price: 2}, {when: {size: large}, price: 5}], default: refuse}
  post: {price: {range: [1, 3]}}
  chat: {price: {tokens: {input: 2, output: 6, per: 1000}}}
packs:
  some: {credits: 50, prices: {USD: 5}}
  many: {credits: 500, prices: {USD: 40}}
"""

TWO, FIVE = Decimal(2), Decimal(5)

_numbers = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EarmarkServer]:
    catalog: Path = tmp_path_factory.mktemp("catalog") / "catalog.yaml"
    catalog.write_text(CATALOG, encoding="utf-8")
    with EarmarkServer(catalog=str(catalog)) as running:
        yield running


@pytest.fixture
def client(server: EarmarkServer) -> Iterator[Client]:
    with Client(server.address) as connected:
        yield connected


@pytest.fixture
def account(client: Client) -> str:
    account_id = f"acct-{next(_numbers)}"
    client.create_account(account_id, grant=100)
    return account_id


def limit(server: EarmarkServer, account_id: str, **fields: object) -> None:
    """Give an account one limit, as an administrator does."""
    with grpc.insecure_channel(server.address) as channel:
        request = account_service_pb2.UpdateAccountRequest(
            account=account_pb2.Account(account_id=account_id, limits=[Limit(**fields)]),  # type: ignore[arg-type]
            request_id="limits",
        )
        request.update_mask.paths.append("limits")
        account_service_pb2_grpc.AccountServiceStub(channel).UpdateAccount(request)


def test_a_batch_commits_the_units_that_succeeded(client: Client, account: str) -> None:
    with client.reserve(account, operation="image", quantity=4, attributes={"size": "large"}) as hold:
        assert hold.reserved == 20
        hold.commit(quantity=3)
    assert hold.receipt.charged == 15
    assert hold.receipt.price_version == 1
    found = client.get_reservation(hold.reservation_id)
    assert (found.quantity, dict(found.attributes), found.price_version) == (4, {"size": "large"}, 1)


def test_usage_and_attributes_may_turn_out_otherwise(client: Client, account: str) -> None:
    with client.reserve(account, operation="chat", usage={"input_tokens": 1000, "output_tokens": 1000}) as hold:
        assert hold.reserved == 8
        hold.commit(usage={"input_tokens": 900, "output_tokens": 212})
    assert hold.receipt.charged == Decimal("3.072")
    with client.reserve(account, operation="image", attributes={"size": "large"}) as other:
        other.commit(quantity=1, attributes={"size": "small"})
    assert other.receipt.charged == 2
    assert client.charge(account, operation="image", quantity=2, attributes={"size": "small"}).charged == 4


def test_fewer_units_are_taken_where_a_minimum_allows_it(client: Client, account: str) -> None:
    attributes = {"size": "large"}
    with client.reserve(account, operation="image", quantity=30, min_quantity=10, attributes=attributes) as hold:
        assert hold.reserved == 100
        hold.commit(quantity=12)
    assert hold.receipt.charged == 60
    with pytest.raises(InsufficientCredits):
        client.charge(account, operation="image", quantity=30, min_quantity=10, attributes=attributes)


def test_a_range_takes_its_actual(client: Client, account: str) -> None:
    with pytest.raises(InvalidRequest) as refused, client.reserve(account, operation="post", quantity=2) as hold:
        assert hold.reserved == 6
    assert refused.value.reason == Reason.ACTUAL_REQUIRED
    with client.reserve(account, operation="post", quantity=2) as other:
        other.commit(amount="2.5")
    assert other.receipt.charged == Decimal("2.5")


def test_prices_tell_the_action_matrix(client: Client) -> None:
    image, post, chat = client.prices()
    assert (image.operation, image.rule, image.unit) == ("image", "by_attributes", "image")
    assert (image.least, image.most) == (TWO, FIVE)
    assert [(line.attributes["size"], line.least) for line in image.lines] == [("small", TWO), ("large", FIVE)]
    assert (post.rule, post.least, post.most) == ("range", Decimal(1), Decimal(3))
    assert (chat.rule, chat.most) == ("tokens", None)
    assert [price.operation for price in client.prices("po")] == ["post"]


def test_an_estimate_says_what_is_missing_and_which_packs_cover_it(client: Client, account: str) -> None:
    plan: list[Item | str] = [Item("image", 10, attributes={"size": "large"}), Item("post", quantity=20), "post"]
    found = client.estimate(account, plan, buffer_percent=20)
    assert [(int(item.least), int(item.most)) for item in found.items] == [(50, 50), (20, 60), (1, 3)]
    assert (found.least, found.most) == (Decimal("85.2"), Decimal("135.6"))
    assert (found.sufficient, found.shortfall, found.available) == (False, Decimal("35.6"), Decimal(100))
    assert found.items[0].affordable == 20
    assert [(pack.pack_id, pack.count, int(pack.amount), pack.prices["USD"]) for pack in found.packs] == [
        ("some", 1, 50, FIVE),
        ("many", 1, 500, Decimal(40)),
    ]
    assert str(found) == "85.2 to 135.6 credits; 100 available: 35.6 are missing"
    tokens = client.estimate(None, [Item("chat", usage={"input_tokens": 500})])
    assert (tokens.sufficient, tokens.most, tokens.items[0].affordable) == (True, Decimal(1), None)
    with pytest.raises(InvalidRequest) as unknown:
        client.estimate(account, ["post", "nothing"])
    assert (unknown.value.reason, unknown.value.field) == (Reason.UNKNOWN_OPERATION, "items[1].operation")
    with pytest.raises(NotFound):
        client.estimate("nobody", ["post"])
    with pytest.raises(TypeError):
        client.estimate(account, "post")


def test_a_quote_holds_nothing(client: Client, account: str) -> None:
    quote = client.quote(account, operation="image", quantity=3, attributes={"size": "large"})
    assert quote.amount == 15
    assert quote.price_version == 1
    assert client.balance(account).reserved == 0
    with pytest.raises(InsufficientCredits):
        client.quote(account, 101)
    assert client.balance(account).available == 100


def test_what_is_missing_names_the_shortfall_and_a_pack(client: Client, account: str) -> None:
    with pytest.raises(InsufficientCredits) as refused, client.reserve(account, amount=180):
        pass
    assert refused.value.reason == Reason.INSUFFICIENT_CREDITS
    assert refused.value.metadata["shortfall_micros"] == "80000000"
    assert refused.value.metadata["pack_id"] == "many"


def test_limits_name_themselves_in_notices_and_refusals(server: EarmarkServer, client: Client, account: str) -> None:
    limit(
        server,
        account,
        name="daily",
        scope=Limit.SCOPE_USER,
        window=Limit.WINDOW_DAY,
        amount_micros=10_000_000,
        near_percent=50,
    )
    with client.reserve(account, amount=6, user_id="ann") as hold:
        pass
    [notice] = hold.receipt.notices
    assert (notice.kind, notice.limit_name, notice.threshold) == ("limit_near", "daily", Decimal(10))
    with pytest.raises(ResourceExhausted) as refused, client.reserve(account, amount=5, user_id="ann"):
        pass
    error = refused.value
    assert error.reason == Reason.LIMIT_EXCEEDED
    assert (error.metadata["limit_name"], error.metadata["limit_subject"]) == ("daily", "ann")
    assert error.metadata["reset_time"].endswith("T00:00:00Z")
    assert client.charge(account, 5, user_id="bob").charged == 5


def test_a_low_balance_comes_with_the_receipt(client: Client, account: str) -> None:
    receipt = client.charge(account, 85)
    assert [(notice.kind, notice.threshold) for notice in receipt.notices] == [("low_balance", Decimal(20))]


async def test_the_same_for_asyncio(server: EarmarkServer) -> None:
    async with AsyncClient(server.address) as client:
        account_id = f"acct-{next(_numbers)}"
        await client.create_account(account_id, grant=10)
        await client.create_grant(account_id, 5, never_expires=True)
        assert (await client.balance(account_id)).available == 15
        assert (await client.estimate(account_id, ["post"])).items[0].affordable == 5
        assert [price.operation for price in await client.prices()] == ["image", "post", "chat"]
        assert (await client.quote(account_id, operation="post")).amount == 3
