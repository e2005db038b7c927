"""The four presets carry the rows of the systems that they are for."""

from __future__ import annotations

from fractions import Fraction

import pytest

from earmark.catalogs import PRESETS, parse_catalog, read_source
from earmark.domain.catalog import Catalog, CycleKind, FixedPrice, LimitMode, Pack, Validity, ValidityKind
from earmark.domain.estimates import Item, estimate
from earmark.domain.packs import custom_prices, offer
from earmark.domain.price_text import operation_text
from earmark.domain.pricing import needs_actual, quote, requirement, unit_bounds
from earmark.domain.states import GrantKind
from earmark.errors import EarmarkError

CREDIT = 1_000_000
DAYS_30 = Validity(ValidityKind.DAYS, 30)


def preset(name: str) -> Catalog:
    return parse_catalog(read_source(f"preset:{name}"))


def price(catalog: Catalog, operation: str, **attributes: str) -> int:
    return quote(catalog.operations[operation], 1, None, attributes).max_amount


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_catalog(name: str):
    catalog = preset(name)
    assert catalog.name == name
    for operation in catalog.operations.values():
        assert operation_text(operation)
        assert operation.display_name
        assert operation.category


class TestInspira:
    catalog = preset("inspira")

    def test_every_credit_lives_thirty_days_and_the_soonest_expiring_goes_first(self):
        assert self.catalog.validity == dict.fromkeys(GrantKind, DAYS_30)
        assert {pack.validity for pack in self.catalog.packs.values()} == {DAYS_30}
        assert {plan.validity for plan in self.catalog.plans.values()} == {DAYS_30}
        assert {plan.rollover for plan in self.catalog.plans.values()} == {None}
        places = {pack.priority for pack in self.catalog.packs.values()}
        places |= {plan.priority for plan in self.catalog.plans.values()}
        assert places | set(self.catalog.priority.values()) == {100}

    def test_the_free_plan_is_claimed_once_by_the_new(self):
        free = self.catalog.plans["free"]
        assert (free.claimed, free.only_new, free.cycle) == (True, True, CycleKind.ONCE)

    def test_prices(self):
        assert price(self.catalog, "chat.message") == CREDIT
        assert price(self.catalog, "video.generate") == 16 * CREDIT
        assert price(self.catalog, "video.generate", length="standard", quality="standard") == 16 * CREDIT
        assert price(self.catalog, "video.generate", length="short", quality="standard") < 16 * CREDIT
        assert price(self.catalog, "video.generate", length="long", quality="standard") > 16 * CREDIT
        assert price(self.catalog, "video.generate", length="standard", quality="high") > 16 * CREDIT
        assert price(self.catalog, "book.grade") == 100 * CREDIT
        audits = [price(self.catalog, "contract.audit", complexity=word) for word in ("simple", "standard", "complex")]
        assert audits == sorted(set(audits))
        assert needs_actual(self.catalog.operations["contract.audit"], {})

    def test_images_by_size_and_quality(self):
        qualities = ("draft", "standard", "high")
        small = [price(self.catalog, "image.generate", size="256x256", quality=quality) for quality in qualities]
        premium = [
            price(self.catalog, "image.generate", size=size, quality=quality)
            for size in ("512x512", "1024x1024")
            for quality in qualities
        ]
        assert (small[0], small[-1]) == (380_000, 480_000)
        assert (min(premium), max(premium)) == (960_000, 1_920_000)
        assert small == sorted(small)
        assert premium[:3] == sorted(premium[:3])
        assert premium[3:] == sorted(premium[3:])
        with pytest.raises(EarmarkError):
            price(self.catalog, "image.generate", size="256x256", quality="best")
        assert operation_text(self.catalog.operations["image.generate"]).startswith("0.38 to 1.92 credits")

    @pytest.mark.parametrize("method", ["USDT", "INSPI"])
    def test_the_price_of_a_credit_falls_from_pack_to_larger_pack_to_subscription_to_ultra(self, method: str):
        packs, plans = self.catalog.packs, self.catalog.plans
        units = [
            Fraction(packs[name].prices[method]) / packs[name].credits
            for name in ("starter", "creator", "professional")
        ]
        units += [Fraction(plans[name].monthly_prices[method]) / plans[name].credits for name in ("pro", "ultra")]
        assert units == sorted(set(units), reverse=True)

    def test_inspi_is_better_everywhere(self):
        for pack in self.catalog.packs.values():
            amount = pack.custom.min_amount if pack.custom else None
            prices = offer(pack, (), 0, amount).prices
            assert Fraction(prices["INSPI"]) < Fraction(prices["USDT"])

    def test_a_custom_amount_costs_less_a_credit_the_more_it_is_but_never_less_than_a_pack_of_its_size(self):
        custom = self.catalog.packs["custom"].custom
        assert custom is not None
        assert custom.min_amount == 50 * CREDIT
        units = [rate.unit_prices["USDT"] for rate in custom.rates]
        assert units == sorted(set(units), reverse=True)
        for name in ("starter", "creator", "professional"):
            pack: Pack = self.catalog.packs[name]
            bought = custom_prices(custom, pack.credits, 0)
            assert all(Fraction(bought[method]) >= Fraction(pack.prices[method]) for method in pack.prices)

    def test_promotions_give_more_or_cost_less_between_two_dates(self):
        event, week = self.catalog.promotions
        starter, creator = self.catalog.packs["starter"], self.catalog.packs["creator"]
        assert offer(starter, self.catalog.promotions, event.start_time).bonus == 20 * CREDIT
        assert offer(starter, self.catalog.promotions, event.end_time).bonus == 0
        assert offer(creator, self.catalog.promotions, week.start_time).prices["USDT"] == "22.95"
        assert offer(creator, self.catalog.promotions, week.start_time - 1).prices["USDT"] == "27"

    def test_warnings_and_limits(self):
        assert self.catalog.thresholds.low_balance == 20 * CREDIT
        assert self.catalog.horizon == 7 * 86_400 * CREDIT
        assert [(limit.name, limit.mode) for limit in self.catalog.limits] == [("daily-goal", LimitMode.NOTIFY)]


class TestWorkspace:
    catalog = preset("workspace")

    @pytest.mark.parametrize(
        ("platforms", "weeks", "posts_a_week", "complexity", "least", "most"),
        [(1, 1, 4, "standard", 10, 20), (3, 2, 4, "standard", 30, 60), (5, 4, 2, "complex", 50, 150)],
        ids=["single platform, 1 week", "multi-platform, 2 weeks", "full campaign, 1 month"],
    )
    def test_typical_campaigns(
        self, platforms: int, weeks: int, posts_a_week: int, complexity: str, least: int, most: int
    ):
        operations, attributes = self.catalog.operations, {"complexity": complexity}
        found = estimate(
            [
                Item(operations["campaign.create"], 1, None, attributes),
                Item(operations["content.generate"], platforms * weeks * posts_a_week, None, attributes),
            ]
        )
        assert (found.min_amount, found.max_amount) == (least * CREDIT, most * CREDIT)

    @pytest.mark.parametrize(
        ("operation", "least", "most"),
        [
            ("content.generate", 1, 3),
            ("content.regenerate", 1, 3),
            ("strategy.analyze", 2, 5),
            ("assistant.question", 0, 1),
            ("assistant.analysis", 1, 3),
            ("assistant.suggestion", 1, 2),
            ("post.generate", 1, 1),
            ("post.generate_multi", 1, 2),
            ("rss.process", 1, 1),
            ("content.optimize", 1, 2),
        ],
    )
    def test_ranges(self, operation: str, least: int, most: int):
        assert unit_bounds(self.catalog.operations[operation].price) == (least * CREDIT, most * CREDIT)

    def test_campaigns_cost_the_same_through_chat(self):
        assert self.catalog.operations["assistant.campaign"].price == self.catalog.operations["campaign.create"].price

    def test_free_actions(self):
        free = [each for each in self.catalog.operations.values() if unit_bounds(each.price) == (0, 0)]
        assert len(free) == 9
        assert {each.record for each in free} == {True, False}

    def test_packages(self):
        packs = [offer(pack, (), 0) for pack in self.catalog.packs.values()]
        assert [(each.credits // CREDIT, each.prices["USD"], each.unit_prices["USD"]) for each in packs] == [
            (100, "10", "0.100"),
            (250, "25", "0.100"),
            (550, "50", "0.091"),
            (1_100, "100", "0.091"),
            (2_350, "200", "0.085"),
        ]
        assert {each.pack.validity for each in packs} == {Validity(ValidityKind.MONTHS, 12)}

    def test_warnings(self):
        low, critical = self.catalog.thresholds.low_balance, self.catalog.thresholds.critical_balance
        assert low is not None
        assert 99 * CREDIT < low < 100 * CREDIT  # At 100 there is no warning yet.
        assert critical == 10 * CREDIT

    def test_alerts_are_for_plans_that_include_them(self):
        assert self.catalog.alerts_entitlement == "alerts"
        assert {plan.entitlements["alerts"] for plan in self.catalog.plans.values()} == {"true", "false"}


class TestMonthly:
    catalog = preset("monthly")

    def test_monthly_free_credits(self):
        plan = self.catalog.plans[self.catalog.default_plan]
        assert (plan.credits, plan.grant_kind, plan.cycle) == (1_500 * CREDIT, GrantKind.FREE, CycleKind.CALENDAR_MONTH)
        assert plan.validity == Validity(ValidityKind.CALENDAR_MONTH)

    def test_packs_never_expire_and_are_used_last(self):
        (pack,) = self.catalog.packs.values()
        assert (pack.credits, pack.prices, pack.validity) == (2_500 * CREDIT, {"USD": "25"}, Validity())
        assert self.catalog.plans["free"].priority < pack.priority
        assert offer(pack, (), 0).unit_prices == {"USD": "0.010"}

    def test_the_matrix(self):
        prices = {name: operation.price for name, operation in self.catalog.operations.items()}
        assert prices["text-to-image"] == FixedPrice(8 * CREDIT)
        assert prices["erase"] == FixedPrice(7 * CREDIT)
        assert prices["upscale"] == FixedPrice(0)
        assert {"translation", "background-removal", "enhancement"} < set(prices)
        assert all(operation.record for operation in self.catalog.operations.values())

    def test_an_alert_at_a_defined_limit(self):
        assert self.catalog.thresholds.low_balance is not None


class TestAmisi:
    catalog = preset("amisi")

    @pytest.mark.parametrize(
        ("name", "credits", "cap", "seats", "month", "year", "text"),
        [
            ("free", 5, None, 1, "0", None, ""),
            ("basic", 20, 40, 1, "9.99", "99.99", "16% savings with a year"),
            ("pro", 50, 100, 3, "19.99", "199.99", "17% savings with a year"),
            ("business", 150, 300, 10, "49.99", "499.99", "17% savings with a year"),
            ("enterprise", 0, None, None, None, None, "Custom pricing"),
        ],
    )
    def test_tiers(
        self,
        name: str,
        credits: int,
        cap: int | None,
        seats: int | None,
        month: str | None,
        year: str | None,
        text: str,
    ):
        plan = self.catalog.plans[name]
        assert (plan.credits, plan.seats, plan.text) == (credits * CREDIT, seats, text)
        assert (plan.monthly_prices.get("USD"), plan.yearly_prices.get("USD")) == (month, year)
        assert plan.validity == Validity()
        if cap is None:
            assert plan.rollover is None
        else:
            assert plan.rollover is not None
            assert (plan.rollover.cap, plan.rollover.kinds) == (cap * CREDIT, (GrantKind.SUBSCRIPTION,))

    def test_each_tier_is_an_upgrade_of_the_one_before(self):
        ranks = [self.catalog.plans[name].rank for name in ("free", "basic", "pro", "business", "enterprise")]
        assert ranks == sorted(set(ranks))
        assert self.catalog.default_plan == "free"
        assert self.catalog.plans["free"].cycle is CycleKind.ONCE
        assert self.catalog.plans["enterprise"].custom

    def test_prices(self):
        prices = [price(self.catalog, "image.generate", resolution=each) for each in ("720p", "1080p", "4K", "8K")]
        assert prices == [CREDIT, 2 * CREDIT, 3 * CREDIT, 4 * CREDIT]
        assert price(self.catalog, "chat.message") == CREDIT
        assert price(self.catalog, "image.analyze", detail="basic") == CREDIT
        assert price(self.catalog, "image.analyze", detail="detailed") == 2 * CREDIT

    def test_entitlements(self):
        def plans_with(entitlement: str) -> list[str]:
            return [name for name, plan in self.catalog.plans.items() if plan.entitlements[entitlement] == "true"]

        image = self.catalog.operations["image.generate"]
        assert requirement(image, {"resolution": "1080p"}) == ""
        assert plans_with(requirement(image, {"resolution": "4K"})) == ["pro", "business", "enterprise"]
        assert plans_with(requirement(image, {"resolution": "8K"})) == ["business", "enterprise"]
        assert plans_with(self.catalog.operations["api.access"].requires) == ["business", "enterprise"]
        assert plans_with(self.catalog.analytics_entitlement) == ["business", "enterprise"]
        storage = [plan.entitlements["storage_days"] for plan in self.catalog.plans.values()]
        assert storage == ["30", "90", "365", "unlimited", "unlimited"]

    def test_larger_packs_have_volume_discounts(self):
        units = [Fraction(pack.prices["USD"]) / pack.credits for pack in self.catalog.packs.values()]
        assert units == sorted(set(units), reverse=True)
