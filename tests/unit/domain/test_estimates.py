"""What a plan costs, whether the balance covers it, and which packs would."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import (
    Catalog,
    CustomAmount,
    FixedPrice,
    FreePrice,
    Operation,
    Pack,
    Promotion,
    RangePrice,
    VolumeRate,
)
from earmark.domain.estimates import Item, covering_packs, estimate
from earmark.errors import EarmarkError, Reason

CREDIT = 1_000_000
VIDEO = Operation("video", FixedPrice(16 * CREDIT), unit="video")
POST = Operation("post", RangePrice(CREDIT, 3 * CREDIT), unit="post")
VIEW = Operation("view", FreePrice())


def custom(*rates: tuple[int, str], least: int = 50, most: int = 10_000, step: int = 1) -> Pack:
    listed = tuple(VolumeRate(start * CREDIT, {"USD": Decimal(price)}) for start, price in rates)
    return Pack("any", 0, custom=CustomAmount(least * CREDIT, most * CREDIT, step * CREDIT, listed))


def catalog(*packs: Pack, promotions: tuple[Promotion, ...] = ()) -> Catalog:
    return Catalog(1, packs={pack.pack_id: pack for pack in packs}, promotions=promotions)


def ways(found) -> list[tuple[str, int, int, str]]:
    return [(way.offer.pack.pack_id, way.count, way.credits // CREDIT, way.prices.get("USD", "")) for way in found]


def test_a_list_with_a_buffer():
    found = estimate([Item(VIDEO, 2, None, {}), Item(POST, 10, None, {}), Item(VIEW, 4, None, {})], 20, 70 * CREDIT)
    assert [(item.min_amount, item.max_amount) for item in found.items] == [
        (32 * CREDIT, 32 * CREDIT),
        (10 * CREDIT, 30 * CREDIT),
        (0, 0),
    ]
    assert [item.affordable for item in found.items] == [4, 23, None]
    assert [item.text for item in found.items] == ["16 credits per video", "1 to 3 credits per post", "free"]
    assert (found.min_amount, found.max_amount) == (50_400_000, 74_400_000)
    assert (found.sufficient, found.shortfall) == (False, 4_400_000)


def test_without_a_balance_it_only_prices():
    found = estimate([Item(VIDEO, None, None, {})])
    assert (found.sufficient, found.shortfall, found.items[0].affordable) == (True, 0, None)


def test_a_balance_that_is_just_enough():
    assert estimate([Item(VIDEO, 1, None, {})], 25, 20 * CREDIT).sufficient
    assert estimate([Item(VIDEO, 1, None, {})], 25, 20 * CREDIT - 1).shortfall == 1


def test_the_error_names_the_item():
    with pytest.raises(EarmarkError) as caught:
        estimate([Item(VIDEO, 1, None, {}), Item(VIDEO, None, {"seconds": 3}, {})])
    assert caught.value.field == "items[1].usage"
    with pytest.raises(EarmarkError) as caught:
        estimate([Item(VIDEO, MAX_MICROS // 16 // CREDIT, None, {})] * 2)
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_AMOUNT, "items")


@given(amounts=st.lists(st.integers(0, 10**9), max_size=6), percent=st.integers(0, 1_000))
def test_the_buffer_is_rounded_up_once(amounts: list[int], percent: int):
    found = estimate([Item(Operation("o", FixedPrice(amount)), 1, None, {}) for amount in amounts], percent)
    assert 0 <= found.max_amount - Fraction(sum(amounts) * (100 + percent), 100) < 1


PACKS = (
    Pack("starter", 100 * CREDIT, {"USD": "10"}),
    Pack("popular", 550 * CREDIT, {"USD": "50"}),
    Pack("max", 2_350 * CREDIT, {"USD": "200"}),
)


def test_packs_that_cover_it_the_cheapest_way_first():
    assert ways(covering_packs(catalog(*PACKS), 80 * CREDIT, 0)) == [
        ("starter", 1, 100, "10"),
        ("popular", 1, 550, "50"),
        ("max", 1, 2_350, "200"),
    ]
    assert ways(covering_packs(catalog(*PACKS), 520 * CREDIT, 0))[:2] == [
        ("popular", 1, 550, "50"),
        ("starter", 6, 600, "60"),
    ]
    assert covering_packs(catalog(*PACKS), 0, 0) == ()


def test_promotions_count():
    sale = Promotion("sale", 0, 10, packs=("max",), prices={"max": {"USD": "9"}})
    assert ways(covering_packs(catalog(*PACKS, promotions=(sale,)), 80 * CREDIT, 5))[0] == ("max", 1, 2_350, "9")
    gift = Promotion("gift", 0, 10, packs=("starter",), bonus=50 * CREDIT)
    assert ways(covering_packs(catalog(*PACKS, promotions=(gift,)), 300 * CREDIT, 5))[0] == ("starter", 2, 300, "20")


def test_a_custom_amount_just_covers_it():
    assert ways(covering_packs(catalog(custom((0, "0.1")), *PACKS), 80_400_000, 0))[:2] == [
        ("any", 1, 81, "8.10"),
        ("starter", 1, 100, "10"),
    ]
    assert ways(covering_packs(catalog(custom((0, "0.1"))), CREDIT, 0)) == [("any", 1, 50, "5.00")]
    assert ways(covering_packs(catalog(custom((0, "0.1"), most=60, step=10)), 100 * CREDIT, 0)) == [
        ("any", 2, 120, "12.00")
    ]


def test_more_can_cost_less():
    pack = custom((0, "0.1"), (1_000, "0.05"))
    assert ways(covering_packs(catalog(pack), 400 * CREDIT, 0)) == [("any", 1, 400, "40.00")]
    assert ways(covering_packs(catalog(pack), 600 * CREDIT, 0)) == [("any", 1, 1_000, "50.00")]


def test_packs_of_another_method():
    packs = (*PACKS, Pack("token", 100 * CREDIT, {"INSPI": "1"}))
    assert ways(covering_packs(catalog(*packs), CREDIT, 0))[-1] == ("token", 1, 100, "")
    assert ways(covering_packs(catalog(*packs), CREDIT, 0, "INSPI")) == [("token", 1, 100, "")]


@given(
    shortfall=st.integers(1, 5_000 * CREDIT),
    step=st.sampled_from([1, 10, 25]),
    bonus=st.integers(0, 100),
    percent=st.integers(0, 100),
)
def test_every_way_covers_it(shortfall: int, step: int, bonus: int, percent: int):
    gift = Promotion("gift", 0, 10, bonus=bonus * CREDIT, bonus_percent=percent)
    pack = custom((0, "0.1"), (500, "0.09"), least=50, most=2_000, step=step)
    found = covering_packs(catalog(pack, *PACKS, promotions=(gift,)), shortfall, 5)
    assert len(found) == 4
    for way in found:
        assert way.credits >= shortfall
        assert way.count == 1 or way.credits - way.credits // way.count < shortfall
    prices = [Fraction(way.prices["USD"]) for way in found]
    assert prices == sorted(prices)
