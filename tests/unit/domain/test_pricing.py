"""What operations cost, to the microcredit."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import (
    AttributePrice,
    FixedPrice,
    FreePrice,
    Operation,
    PerUnitPrice,
    PriceRow,
    PriceRule,
    RangePrice,
    Rounding,
    TokenPrice,
)
from earmark.domain.price_text import applied_text, operation_text
from earmark.domain.pricing import (
    Quote,
    affordable_quantity,
    needs_actual,
    price_actual,
    quote,
    quote_min,
    unit_bounds,
)
from earmark.errors import EarmarkError, Reason

CREDIT = 1_000_000
MESSAGE = Operation("chat.message", FixedPrice(CREDIT), unit="message")
STRATEGY = Operation("strategy", RangePrice(2 * CREDIT, 5 * CREDIT))
TOKENS = Operation("text", TokenPrice(500_000, 1_500_000, 50_000, per=1_000, minimum=10_000))
CHARACTERS = Operation("translate", PerUnitPrice(200_000, step=1_000, count="characters", minimum=300_000))
IMAGE = Operation(
    "image",
    AttributePrice(
        (
            PriceRow({"size": ("256x256",), "quality": ("draft",)}, FixedPrice(380_000)),
            PriceRow({"size": ("256x256",)}, FixedPrice(480_000)),
            PriceRow({"size": ("512x512", "1024x1024")}, FixedPrice(1_920_000)),
        )
    ),
    unit="image",
)


def refused(reason: Reason, field: str, operation: Operation, *call, **options) -> None:
    with pytest.raises(EarmarkError) as caught:
        quote(operation, *call, **options)
    assert (caught.value.reason, caught.value.field) == (reason, field)


class TestQuote:
    def test_fixed_is_for_each_unit(self):
        assert quote(MESSAGE, None, None, {}) == Quote(CREDIT, CREDIT, needs_actual=False, units=1)
        assert quote(MESSAGE, 7, None, {}).max_amount == 7 * CREDIT
        assert quote(MESSAGE, 0, None, {}).max_amount == 0

    def test_free_takes_anything(self):
        operation = Operation("view", FreePrice())
        assert quote(operation, 3, None, {}).max_amount == 0
        assert quote(operation, None, {"views": 9}, {"a": "b"}).max_amount == 0

    def test_a_range_reserves_its_upper_bound_and_wants_an_actual(self):
        assert quote(STRATEGY, 3, None, {}) == Quote(6 * CREDIT, 15 * CREDIT, needs_actual=True, units=3)
        assert needs_actual(STRATEGY, {})
        assert not needs_actual(MESSAGE, {})

    def test_a_begun_step_counts_whole(self):
        assert quote(CHARACTERS, None, {"characters": 2_001}, {}).max_amount == 600_000
        assert quote(CHARACTERS, None, {"characters": 2_000}, {}).max_amount == 400_000

    def test_a_minimum_is_for_what_is_more_than_nothing(self):
        assert quote(CHARACTERS, None, {"characters": 1}, {}).max_amount == 300_000
        assert quote(CHARACTERS, None, {"characters": 0}, {}).max_amount == 0

    def test_cached_tokens_are_a_part_of_the_input(self):
        usage = {"input_tokens": 1_000, "cached_input_tokens": 400, "output_tokens": 10}
        assert quote(TOKENS, None, usage, {}).max_amount == 600 * 500 + 400 * 50 + 10 * 1_500
        assert quote(TOKENS, None, {"output_tokens": 1}, {}).max_amount == 10_000
        assert quote(TOKENS, None, {"input_tokens": 0}, {}).max_amount == 0
        refused(Reason.INVALID_AMOUNT, "usage", TOKENS, None, {"input_tokens": 1, "cached_input_tokens": 2}, {})

    def test_a_table_takes_the_first_line_that_fits(self):
        def price(**attributes: str) -> int:
            return quote(IMAGE, 2, None, attributes).max_amount

        assert price(size="256x256", quality="draft") == 760_000
        assert price(size="256x256", quality="fine", style="oil") == 960_000
        assert price(size="512x512") == price(size="1024x1024") == 3_840_000
        refused(Reason.UNPRICEABLE, "attributes", IMAGE, 1, None, {"size": "8x8"})
        refused(Reason.UNPRICEABLE, "items[2].attributes", IMAGE, 1, None, {}, within="items[2].")

    def test_the_wrong_measure_is_refused_not_free(self):
        refused(Reason.UNPRICEABLE, "usage", MESSAGE, None, {"input_tokens": 9}, {})
        refused(Reason.UNPRICEABLE, "usage", STRATEGY, None, {"input_tokens": 9}, {})
        refused(Reason.UNPRICEABLE, "quantity", TOKENS, 4, None, {})
        refused(Reason.UNPRICEABLE, "usage", TOKENS, None, None, {})
        refused(Reason.UNPRICEABLE, "usage", TOKENS, None, {"prompt": 4}, {})
        refused(Reason.UNPRICEABLE, "usage", CHARACTERS, None, {"letters": 4}, {})
        refused(Reason.UNPRICEABLE, "quantity", CHARACTERS, 4, None, {})
        refused(Reason.UNPRICEABLE, "usage", Operation("o", PerUnitPrice(1)), None, {"letters": 4}, {})

    def test_a_product_beyond_the_largest_amount_is_refused(self):
        many = MAX_MICROS // CREDIT
        assert quote(MESSAGE, many, None, {}).max_amount == many * CREDIT
        refused(Reason.INVALID_AMOUNT, "quantity", MESSAGE, many + 1, None, {})
        refused(Reason.INVALID_AMOUNT, "quantity", STRATEGY, MAX_MICROS, None, {})
        refused(Reason.INVALID_AMOUNT, "usage", CHARACTERS, None, {"characters": MAX_MICROS}, {})


class TestMinimum:
    def test_fewer_units_at_the_upper_price(self):
        assert quote_min(MESSAGE, 5, 2, {}) == 2 * CREDIT
        assert quote_min(STRATEGY, 5, 2, {}) == 10 * CREDIT
        assert quote_min(MESSAGE, None, 0, {}) == 0

    @pytest.mark.parametrize(
        ("operation", "quantity", "reason"),
        [(MESSAGE, 1, Reason.INVALID_AMOUNT), (TOKENS, 5, Reason.UNPRICEABLE), (CHARACTERS, 5, Reason.UNPRICEABLE)],
    )
    def test_refusals(self, operation: Operation, quantity: int, reason: Reason):
        with pytest.raises(EarmarkError) as caught:
            quote_min(operation, quantity, 2, {})
        assert (caught.value.reason, caught.value.field) == (reason, "min_quantity")


class TestActual:
    def test_a_batch_of_which_some_failed_costs_what_succeeded(self):
        assert quote(MESSAGE, 10, None, {}).max_amount == 10 * CREDIT
        assert price_actual(MESSAGE, 8, None, {}, field="quantity") == 8 * CREDIT
        assert price_actual(MESSAGE, 0, None, {}, field="quantity") == 0

    def test_usage_is_priced_as_it_was_reserved(self):
        assert price_actual(TOKENS, None, {"input_tokens": 900}, {}, field="usage") == 450_000

    @pytest.mark.parametrize("field", ["quantity", "additional_quantity"])
    def test_a_range_wants_an_amount(self, field: str):
        assert price_actual(STRATEGY, 0, None, {}, field=field) == 0
        with pytest.raises(EarmarkError) as caught:
            price_actual(STRATEGY, 2, None, {}, field=field)
        assert (caught.value.reason, caught.value.field) == (Reason.ACTUAL_REQUIRED, field)

    @pytest.mark.parametrize(("operation", "call"), [(MESSAGE, (None, {"a": 1})), (TOKENS, (3, None))])
    def test_the_wrong_measure(self, operation: Operation, call: tuple[int | None, dict[str, int] | None]):
        with pytest.raises(EarmarkError) as caught:
            price_actual(operation, call[0], call[1], {}, field="usage")
        assert (caught.value.reason, caught.value.field) == (Reason.UNPRICEABLE, "usage")


class TestAffordable:
    def test_how_many_the_balance_affords(self):
        assert affordable_quantity(MESSAGE, None, {}, 12 * CREDIT + 1) == 12
        assert affordable_quantity(STRATEGY, None, {}, 12 * CREDIT) == 2
        assert affordable_quantity(IMAGE, None, {"size": "512x512"}, 0) == 0
        assert affordable_quantity(TOKENS, {"input_tokens": 1_000}, {}, CREDIT) == 2
        assert affordable_quantity(Operation("view", FreePrice()), None, {}, CREDIT) is None

    @given(
        amount=st.integers(1, 10**7),
        step=st.integers(1, 5_000),
        minimum=st.integers(0, 10**7),
        rounding=st.sampled_from(Rounding),
        available=st.integers(0, 10**9),
    )
    def test_one_more_is_beyond_it(self, amount: int, step: int, minimum: int, rounding: Rounding, available: int):
        operation = Operation("o", PerUnitPrice(amount, step, "", minimum, rounding))
        most = affordable_quantity(operation, None, {}, available)
        assert most is not None
        assert quote(operation, most, None, {}).max_amount <= available
        assert quote(operation, most + 1, None, {}).max_amount > available


class TestRounding:
    @given(amount=st.integers(0, 10**9), step=st.integers(1, 10**6), count=st.integers(0, 10**6))
    def test_exact_is_rounded_up_once(self, amount: int, step: int, count: int):
        operation = Operation("o", PerUnitPrice(amount, step, rounding=Rounding.EXACT))
        exact = Fraction(amount * count, step)
        assert 0 <= quote(operation, count, None, {}).max_amount - exact < 1

    @given(amount=st.integers(0, 10**9), step=st.integers(1, 10**6), count=st.integers(0, 10**6))
    def test_up_charges_less_than_a_step_too_much(self, amount: int, step: int, count: int):
        operation = Operation("o", PerUnitPrice(amount, step))
        more = quote(operation, count, None, {}).max_amount - Fraction(amount * count, step)
        assert 0 <= more < max(amount, 1)

    @given(
        prices=st.tuples(*[st.integers(0, 10**8)] * 3),
        per=st.sampled_from([1, 1_000, 1_000_000, 7]),
        counts=st.tuples(*[st.integers(0, 10**6)] * 3),
    )
    def test_tokens_are_rounded_up_once_for_their_sum(self, prices, per: int, counts):
        cached, fresh, output = counts
        rule = TokenPrice(prices[0], prices[1], prices[2], per)
        usage = {"input_tokens": cached + fresh, "output_tokens": output, "cached_input_tokens": cached}
        exact = Fraction(fresh * prices[0] + output * prices[1] + cached * prices[2], per)
        assert 0 <= quote(Operation("o", rule), None, usage, {}).max_amount - exact < 1


@pytest.mark.parametrize(
    ("price", "unit", "text"),
    [
        (FixedPrice(CREDIT), "message", "1 credit per message"),
        (FixedPrice(100 * CREDIT), "book", "100 credits per book"),
        (FixedPrice(0), "image", "free"),
        (FreePrice(), "", "free"),
        (RangePrice(2 * CREDIT, 5 * CREDIT), "", "2 to 5 credits"),
        (RangePrice(0, CREDIT), "question", "0 to 1 credit per question"),
        (IMAGE.price, "image", "0.38 to 1.92 credits per image, by size and quality"),
        (IMAGE.price, "", "0.38 to 1.92 credits by size and quality"),
        (PerUnitPrice(CREDIT), "item", "1 credit per item"),
        (PerUnitPrice(500_000, 1_000), "word", "0.5 credits per 1,000 words"),
        (PerUnitPrice(2_000_000, count="seconds", minimum=CREDIT), "", "2 credits per second, at least 1 credit"),
        (PerUnitPrice(500_000, 1_000, "characters"), "", "0.5 credits per 1,000 characters"),
        (
            TokenPrice(500_000, 1_500_000, 50_000, 1_000),
            "",
            "0.5 credits per 1,000 input tokens, 1.5 per 1,000 output, 0.05 per 1,000 cached input",
        ),
        (
            AttributePrice((PriceRow({"tier": ("a",)}, TokenPrice(1, 1, 1)),), FixedPrice(CREDIT)),
            "answer",
            "from 0 credits per answer, by tier",
        ),
    ],
)
def test_prices_in_words(price: PriceRule, unit: str, text: str):
    assert operation_text(Operation("o", price, unit=unit)) == text


def test_own_words_of_an_operation_and_of_the_line_that_fits():
    assert operation_text(Operation("o", FixedPrice(1), text="almost nothing")) == "almost nothing"
    assert applied_text(IMAGE, {"size": "512x512"}) == "1.92 credits per image"
    assert applied_text(MESSAGE, {"size": "512x512"}) == "1 credit per message"


def test_bounds_of_one_unit():
    assert unit_bounds(IMAGE.price) == (380_000, 1_920_000)
    assert unit_bounds(CHARACTERS.price) == (300_000, None)
    assert unit_bounds(PerUnitPrice(200, 1_000)) == (200, 200)
