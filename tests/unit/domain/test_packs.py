"""What packs cost now, and what a purchase would give."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.domain.catalog import Catalog, CustomAmount, Pack, Promotion, Validity, ValidityKind, VolumeRate
from earmark.domain.money import money_text, scaled_text
from earmark.domain.packs import custom_prices, offer, promotion_in_force, quote_pack, volume_rates
from earmark.domain.states import GrantKind
from earmark.errors import EarmarkError, Reason

CREDIT = 1_000_000
DAYS_30 = Validity(ValidityKind.DAYS, 30)
STARTER = Pack("starter", 100 * CREDIT, {"USD": "10", "INSPI": "90"}, validity=DAYS_30)
ANY = Pack(
    "any",
    0,
    custom=CustomAmount(
        50 * CREDIT,
        10_000 * CREDIT,
        10 * CREDIT,
        (
            VolumeRate(0, {"USD": Decimal("0.1"), "INSPI": Decimal("0.95")}),
            VolumeRate(1_000 * CREDIT, {"USD": Decimal("0.09"), "INSPI": Decimal("0.875")}),
        ),
    ),
)
SALE = Promotion("sale", 100, 200, discount_percent=15)
GIFT = Promotion("gift", 100, 200, packs=("starter",), bonus=5 * CREDIT, bonus_percent=10)
FIXED = Promotion("fixed", 100, 200, prices={"starter": {"USD": "8"}})


def catalog(*promotions: Promotion) -> Catalog:
    return Catalog(
        7,
        packs={"starter": STARTER, "any": ANY},
        promotions=promotions,
        validity={GrantKind.PROMOTION: DAYS_30},
        priority={GrantKind.PROMOTION: 40},
    )


@pytest.mark.parametrize(
    ("credits", "price", "text"),
    [
        (100, "10", "0.100"),
        (250, "25", "0.100"),
        (550, "50", "0.091"),
        (1_100, "100", "0.091"),
        (2_350, "200", "0.085"),
    ],
)
def test_the_price_of_one_credit(credits: int, price: str, text: str):
    assert offer(Pack("p", credits * CREDIT, {"USD": price}), (), 0).unit_prices == {"USD": text}


def test_a_promotion_lasts_from_its_first_moment_to_before_its_last():
    assert [bool(promotion_in_force(STARTER, (SALE,), now)) for now in (99, 100, 199, 200)] == [
        False,
        True,
        True,
        False,
    ]


def test_the_first_promotion_that_is_about_the_pack_counts():
    assert promotion_in_force(STARTER, (GIFT, SALE), 150) is GIFT
    assert promotion_in_force(ANY, (GIFT, SALE), 150) is SALE
    assert promotion_in_force(ANY, (FIXED,), 150) is None


def test_a_discount():
    found = offer(STARTER, (SALE,), 150)
    assert found.prices == {"USD": "8.50", "INSPI": "76.50"}
    assert found.regular_prices == STARTER.prices
    assert found.unit_prices == {"USD": "0.085", "INSPI": "0.765"}


def test_a_bonus_makes_each_credit_cheaper():
    found = offer(STARTER, (GIFT,), 150)
    assert (found.credits, found.bonus, found.prices) == (100 * CREDIT, 15 * CREDIT, STARTER.prices)
    assert found.unit_prices["USD"] == "0.087"


def test_another_price_replaces_only_its_method():
    assert offer(STARTER, (FIXED,), 150).prices == {"USD": "8", "INSPI": "90"}


def test_a_custom_amount_costs_the_rate_that_it_reaches():
    assert ANY.custom is not None
    assert custom_prices(ANY.custom, 50 * CREDIT, 0) == {"USD": "5.00", "INSPI": "47.50"}
    assert custom_prices(ANY.custom, 990 * CREDIT, 0)["USD"] == "99.00"
    assert custom_prices(ANY.custom, 1_000 * CREDIT, 0) == {"USD": "90.00", "INSPI": "875.00"}
    assert custom_prices(ANY.custom, 1_010 * CREDIT, 15)["INSPI"] == "751.19"  # 751.1875
    assert offer(ANY, (SALE,), 150, 60 * CREDIT).prices["USD"] == "5.10"
    assert offer(ANY, (), 150).prices == {}
    assert [prices["INSPI"] for _, prices in volume_rates(ANY.custom, SALE)] == ["0.8075", "0.74375"]


def test_a_quote_says_all_that_a_purchase_gives():
    quoted = quote_pack(catalog(GIFT), "starter", 150, "USD")
    assert (quoted.price, quoted.regular_price, quoted.unit_price) == ("10", "10", "0.087")
    assert (quoted.credits, quoted.bonus, quoted.promotion_id) == (100 * CREDIT, 15 * CREDIT, "gift")
    assert (quoted.validity, quoted.bonus_validity, quoted.bonus_priority) == (DAYS_30, DAYS_30, 100)
    assert quoted.price_version == 7
    without = quote_pack(catalog(GIFT), "starter", 200, "INSPI")
    assert (without.price, without.bonus, without.promotion_id) == ("90", 0, "")
    custom = quote_pack(catalog(SALE), "any", 150, "USD", 60 * CREDIT)
    assert (custom.price, custom.regular_price, custom.unit_price) == ("5.10", "6.00", "0.085")


@pytest.mark.parametrize(
    ("pack", "method", "amount", "reason", "field"),
    [
        ("none", "USD", None, Reason.PACK_NOT_FOUND, None),
        ("starter", "EUR", None, Reason.INVALID_ARGUMENT, "method"),
        ("starter", "", None, Reason.INVALID_ARGUMENT, "method"),
        ("starter", "USD", 5, Reason.INVALID_AMOUNT, "amount_micros"),
        ("any", "USD", None, Reason.INVALID_AMOUNT, "amount_micros"),
        ("any", "USD", 40 * CREDIT, Reason.INVALID_AMOUNT, "amount_micros"),
        ("any", "USD", 10_010 * CREDIT, Reason.INVALID_AMOUNT, "amount_micros"),
        ("any", "USD", 55 * CREDIT, Reason.INVALID_AMOUNT, "amount_micros"),
    ],
)
def test_what_cannot_be_bought(pack: str, method: str, amount: int | None, reason: Reason, field: str | None):
    with pytest.raises(EarmarkError) as caught:
        quote_pack(catalog(), pack, 0, method, amount)
    assert (caught.value.reason, caught.value.field) == (reason, field)


@given(value=st.fractions(0, 10**9), digits=st.integers(0, 6))
def test_money_is_rounded_half_up(value: Fraction, digits: int):
    text = money_text(value, digits)
    assert -Fraction(1, 2) < (value - Fraction(text)) * 10**digits < Fraction(1, 2) or Fraction(text) > value
    assert abs(value - Fraction(text)) * 10**digits <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("price", "factor", "text"),
    [
        ("25", Fraction(1), "25"),
        ("25", Fraction(9, 10), "22.50"),
        ("9.99", Fraction(2), "19.98"),
        ("20", Fraction(2), "40"),
    ],
)
def test_prices_keep_their_decimals(price: str, factor: Fraction, text: str):
    assert scaled_text(price, factor) == text
