"""Documents that become catalogs, and what is said of those that do not."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from earmark.catalogs import InvalidCatalog, Problem, document, parse_catalog, read_source
from earmark.credits import MAX_MICROS, format_credits
from earmark.domain.catalog import (
    AttributePrice,
    Catalog,
    CustomAmount,
    CycleKind,
    FixedPrice,
    FreePrice,
    LimitMode,
    LimitRule,
    LimitScope,
    LimitWindow,
    PerUnitPrice,
    PriceRow,
    PriceRule,
    RangePrice,
    Rollover,
    Rounding,
    Thresholds,
    TokenPrice,
    Validity,
    ValidityKind,
    VolumeRate,
)
from earmark.domain.states import GrantKind
from earmark.errors import InvalidRequest

CREDIT = 1_000_000
DAY = 86_400_000_000


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidCatalog) as caught:
        parse_catalog(text)
    assert str(caught.value).startswith("document: ")
    return [str(problem) for problem in caught.value.problems]


def problems_if_any(text: str) -> tuple[Problem, ...]:
    """Any other exception is a bug."""
    try:
        parse_catalog(text)
    except InvalidCatalog as refused:
        return refused.problems
    return ()


def priced(text: str) -> PriceRule:
    return parse_catalog(f"operations:\n  o: {{price: {text}}}").operations["o"].price


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("1", FixedPrice(CREDIT)),
        ("0.000001", FixedPrice(1)),
        ("'0.1'", FixedPrice(100_000)),
        ("0", FixedPrice(0)),
        ("9007199254.740991", FixedPrice(MAX_MICROS)),
        ("free", FreePrice()),
        ("{fixed: 2.5}", FixedPrice(2_500_000)),
        ("{range: [0, 1]}", RangePrice(0, CREDIT)),
        ("{per_unit: 0.5}", PerUnitPrice(500_000)),
        (
            "{per_unit: 0.5, step: 1000, count: characters, minimum: 1, rounding: exact}",
            PerUnitPrice(500_000, 1_000, "characters", CREDIT, Rounding.EXACT),
        ),
        ("{tokens: {input: 2, output: 6}}", TokenPrice(2 * CREDIT, 6 * CREDIT, 2 * CREDIT)),
        (
            "{tokens: {input: 0.5, output: 1.5, cached_input: 0.05, per: 1000, minimum: 0.01}}",
            TokenPrice(500_000, 1_500_000, 50_000, 1_000, 10_000),
        ),
        (
            "{table: [{when: {size: 256x256, hd: yes}, price: 1}, {when: {size: [8, 1.0]}, price: free}], default: 3}",
            AttributePrice(
                (
                    PriceRow({"size": ("256x256",), "hd": ("yes",)}, FixedPrice(CREDIT)),
                    PriceRow({"size": ("8", "1.0")}, FreePrice()),
                ),
                FixedPrice(3 * CREDIT),
            ),
        ),
        (
            "{table: [{when: {a: b}, price: {range: [1, 2]}}], default: refuse}",
            AttributePrice((PriceRow({"a": ("b",)}, RangePrice(CREDIT, 2 * CREDIT)),)),
        ),
    ],
)
def test_prices(text: str, rule: PriceRule):
    assert priced(text) == rule


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-1", "expected a number of credits, free, or a map with fixed, range, per_unit, tokens or table"),
        ("1e3", "'1e3' is given"),
        (".5", "'.5' is given"),
        ("1_000", "'1_000' is given"),
        ("nan", "'nan' is given"),
        ("", "nothing is given"),
        ("[1, 2]", "a list is given"),
        ("0.0000001", "the smallest unit is 0.000001"),
        ("9007199254.740992", "more than the largest amount"),
        ("99999999999999999999", "more than the largest amount"),
        ("{}", "expected a number of credits, free, or a map with"),
        ("{rang: [1, 2]}", "rang: is unknown: did you mean 'range'?"),
        ("{fixed: 1, range: [1, 2]}", "a price is one of fixed, range, not several"),
        ("{range: [1]}", "expected two amounts of credits, for example [1, 3]; 1 are given"),
        ("{range: [2, 2]}", "the first amount must be below the second"),
        ("{per_unit: 1, step: 0}", "0 is not between 1 and"),
        ("{per_unit: 1, rounding: down}", "'down' is unknown: expected one of up, exact"),
        ("{tokens: {input: 1}}", "output is missing: expected an amount of credits"),
        ("{table: []}", "expected at least one line with when and price"),
        ("{table: [{when: {}, price: 1}]}", "what fits everything is the table's default"),
        ("{table: [{when: {a: b}, price: {table: []}}]}", "a table cannot stand inside a table"),
        ("{table: [{when: {a: b}, price: 1}, {when: {a: b, c: d}, price: 2}]}", "never applies: line 1 of the table"),
        ("{table: [{when: {a: b}, price: 1, prise: 2}]}", "prise: is unknown: did you mean 'price'?"),
    ],
)
def test_prices_that_are_none(text: str, said: str):
    assert said in "; ".join(problems(f"operations:\n  o: {{price: {text}}}"))


@given(micros=st.integers(0, MAX_MICROS))
def test_every_amount_is_exact(micros: int):
    text = format_credits(micros).replace(",", "")
    assert parse_catalog(f"operations: {{o: {text}}}").operations["o"].price == FixedPrice(micros)


def test_an_operation_with_everything():
    catalog = parse_catalog(
        """
        operations:
          image.view:
            {price: free, name: View, unit: image, category: Images, requires: api, record: no, text: on the house}
        plans: {pro: {credits: 1, entitlements: {api: yes, storage: 30}}}
        """
    )
    operation = catalog.operations["image.view"]
    assert (operation.display_name, operation.unit, operation.category) == ("View", "image", "Images")
    assert (operation.requires, operation.record, operation.text) == ("api", False, "on the house")
    assert catalog.plans["pro"].entitlements == {"api": "true", "storage": "30"}


def test_an_empty_map_is_a_catalog_of_nothing():
    assert parse_catalog("{}", 7) == Catalog(7)


def test_the_rest_of_a_document():
    catalog = parse_catalog(
        """
        format: 1
        name: all
        description: everything
        expiring_soon: 36 hours
        strict: true
        default_plan: basic
        analytics_entitlement: analytics
        alerts_entitlement: alerts
        thresholds: {low: 100, critical: 10}
        grants:
          free: {validity: calendar month, priority: 10}
          purchase: {validity: 12 months, priority: 90}
          promotion: {validity: 1 day}
          adjustment: {validity: cycle}
        limits:
          daily: {window: day, amount: 50}
          chat: {scope: operation, subject: chat.message, window: lifetime, amount: 1.5, mode: notify, near: 50%}
        plans:
          basic: {credits: 20, entitlements: {analytics: true, alerts: no}}
          pro:
            name: Pro
            credits: 50
            rank: 7
            kind: free
            priority: 3
            validity: cycle
            cycle: calendar month
            rollover: {cap: 40, kinds: [subscription, free]}
            prices: {month: {USD: 9.99}, year: {USD: 99.990}}
            seats: 3
            confirmed_renewal: true
            limits: {daily: {window: cycle, amount: 70}}
            text: cheap
          big: {custom: true, rollover: unlimited, seats: unlimited}
          trial: {credits: 5, cycle: once, claimed: yes, only_new: on, rollover: none}
        packs:
          small: {credits: 100, prices: {USD: 10}}
          any:
            custom:
              {min: 50, max: 100, step: 5, rates: [{from: 0, prices: {USD: 0.1}}, {from: 75, prices: {USD: 0.09}}]}
            validity: never
        promotions:
          may: {start: 2026-05-01, end: 2026-05-31, packs: small, bonus: 5, bonus_percent: 10%, validity: 3 days}
          june:
            start: 2026-06-01T09:00:00+02:00
            end: 2026-06-01T08:00:00Z
            prices: {small: {USD: 8}}
        """
    )
    assert (catalog.name, catalog.horizon, catalog.strict, catalog.default_plan) == (
        "all",
        36 * DAY // 24,
        True,
        "basic",
    )
    assert (catalog.analytics_entitlement, catalog.alerts_entitlement) == ("analytics", "alerts")
    assert catalog.thresholds == Thresholds(100 * CREDIT, 10 * CREDIT)
    assert catalog.validity == {
        GrantKind.FREE: Validity(ValidityKind.CALENDAR_MONTH),
        GrantKind.PURCHASE: Validity(ValidityKind.MONTHS, 12),
        GrantKind.PROMOTION: Validity(ValidityKind.DAYS, 1),
        GrantKind.ADJUSTMENT: Validity(ValidityKind.CYCLE),
    }
    assert catalog.priority == {GrantKind.FREE: 10, GrantKind.PURCHASE: 90}
    assert catalog.limits == (
        LimitRule("daily", LimitScope.ACCOUNT, LimitWindow.DAY, 50 * CREDIT),
        LimitRule("chat", LimitScope.OPERATION, LimitWindow.LIFETIME, 1_500_000, LimitMode.NOTIFY, "chat.message", 50),
    )
    basic, pro, big, trial = catalog.plans.values()
    assert (basic.rank, big.rank, basic.rollover, basic.seats) == (0, 2, None, None)
    assert (pro.rank, pro.grant_kind, pro.priority, pro.validity) == (
        7,
        GrantKind.FREE,
        3,
        Validity(ValidityKind.CYCLE),
    )
    assert (pro.cycle, pro.seats, pro.confirmed_renewal, pro.text) == (CycleKind.CALENDAR_MONTH, 3, True, "cheap")
    assert pro.rollover == Rollover(40 * CREDIT, (GrantKind.SUBSCRIPTION, GrantKind.FREE))
    assert (pro.monthly_prices, pro.yearly_prices) == ({"USD": "9.99"}, {"USD": "99.990"})
    assert pro.limits == (LimitRule("daily", LimitScope.ACCOUNT, LimitWindow.CYCLE, 70 * CREDIT),)
    assert (big.custom, big.credits, big.rollover, big.seats) == (True, 0, Rollover(None), None)
    assert (trial.cycle, trial.claimed, trial.only_new, trial.rollover) == (CycleKind.ONCE, True, True, None)
    small, custom = catalog.packs.values()
    assert (small.validity, small.priority) == (Validity(ValidityKind.MONTHS, 12), 90)
    assert custom.validity == Validity()
    assert custom.custom == CustomAmount(
        50 * CREDIT,
        100 * CREDIT,
        5 * CREDIT,
        (VolumeRate(0, {"USD": Decimal("0.1")}), VolumeRate(75 * CREDIT, {"USD": Decimal("0.09")})),
    )
    may, june = catalog.promotions
    assert may.end_time - may.start_time == 31 * DAY  # Through the last day.
    assert (may.packs, may.bonus, may.bonus_percent) == (("small",), 5 * CREDIT, 10)
    assert (may.validity, june.validity) == (Validity(ValidityKind.DAYS, 3), None)
    assert (june.end_time - june.start_time, june.prices) == (DAY // 24, {"small": {"USD": "8"}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [a]", "line 1, column 7: name: expected a text; a list is given"),
        ("opertions: {}", "line 1, column 1: opertions: is unknown: did you mean 'operations'?"),
        ("format: 2", "format: 2 is not between 1 and 1"),
        ("strict: perhaps", "strict: expected true or false; 'perhaps' is given"),
        ("expiring_soon: 400 days", "expiring_soon: expected a time such as 7 days"),
        ("thresholds: {low: 1, critical: 2}", "thresholds.critical: must not be above low"),
        ("grants: {fre: {}}", "grants.fre: is unknown: did you mean 'free'?"),
        ("grants: {free: {validity: 30}}", "expected never, 30 days, 12 months, calendar month or cycle"),
        ("grants: {free: {validity: 0 days}}", "expected 1 to 36,525 days; 0 is given"),
        ("limits: {'a:b': {window: day, amount: 1}}", "'a:b' is no name for a limit"),
        ("limits: {a: {window: week, amount: 1}}", "'week' is unknown"),
        ("limits: {a: {window: day}}", "limits.a: amount is missing"),
        ("limits: {a: {window: day, amount: 1, subject: x}}", "an account's limit has no subject"),
        ("limits: {a: {window: day, amount: 1, near: 0}}", "expected a whole number of percent from 1 to 100"),
        ("operations: {o: {price: 1, record: false}}", "only a free operation may leave no entry"),
        ("operations: {o: {name: a}}", "operations.o: price is missing"),
        ("operations: {o: {price: 1, requires: x}}", "no plan has the entitlement 'x' that it requires"),
        ("plans: {p: {}}", "credits is missing: expected an amount of credits, or custom: true"),
        ("plans: {p: {credits: 1, cycle: weekly}}", "'weekly' is unknown"),
        ("plans: {p: {credits: 1, cycle: once, rollover: 5}}", "has no next cycle to roll over to"),
        ("plans: {p: {credits: 1, seats: 0}}", "0 is not between 1 and 1,000,000"),
        ("plans: {p: {credits: 1, prices: {month: 9}}}", "plans.p.prices.month: expected prices by method of payment"),
        ("plans: {p: {credits: 1, prices: {month: {USD: $9}}}}", "expected a price as a decimal number"),
        ("plans: {p: {credits: 1, claimed: true}}\ndefault_plan: p", "cannot be what every new account gets"),
        ("plans: {pro: {credits: 1}}\ndefault_plan: por", "there is no plan 'por': did you mean 'pro'?"),
        ("analytics_entitlement: x", "there is no entitlement of the plans 'x'"),
        ("packs: {p: {credits: 0, prices: {USD: 1}}}", "expected more than 0 credits"),
        ("packs: {p: {credits: 1}}", "prices is missing"),
        ("packs: {p: {credits: 1, prices: {}}}", "expected prices by method of payment"),
        ("packs: {p: {credits: 1, prices: {U S: 1}}}", "'U S' is no method of payment"),
        ("packs: {p: {credits: 1, prices: {USD: 1}, custom: {}}}", "a custom amount has rates instead"),
        ("packs: {p: {custom: {min: 5, max: 4, rates: [{from: 6, prices: {USD: 1}}]}}}", "must not be below min"),
        ("packs: {p: {custom: {min: 5, max: 9, rates: [{from: 6, prices: {USD: 1}}]}}}", "must begin at or below min"),
        ("packs: {p: {custom: {min: 5, max: 9, step: 2, rates: [{from: 0, prices: {USD: 1}}]}}}", "a multiple of step"),
        (
            "packs: {p: {custom: {min: 5, max: 9, rates: [{from: 1, prices: {A: 1}}, {from: 1, prices: {B: 1}}]}}}",
            "rates must begin at rising amounts",
        ),
        ("promotions: {p: {start: 2026-01-02, end: 2026-01-01, bonus: 1}}", "promotions.p.end: must lie after start"),
        ("promotions: {p: {start: 2026-01-02, end: 2026-01-03}}", "gives nothing"),
        ("promotions: {p: {start: tomorrow, end: 2026-01-03, bonus: 1}}", "expected a date such as 2026-07-01"),
        ("promotions: {p: {start: 2026-01-02T00:00, end: 2026-01-03, bonus: 1}}", "or a time with its zone"),
        ("promotions: {p: {start: 2026-01-02, end: 2026-01-03, bonus: 1, packs: [x]}}", "there is no pack 'x'"),
        ("promotions: {p: {start: 2026-01-02, end: 2026-01-03, prices: {x: {USD: 1}}}}", "is no pack with a price"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str):
    assert said in "; ".join(problems(text))


def test_all_that_is_wrong_is_said_at_once_in_order():
    found = problems("name: [a]\nplans:\n  x: {credit: 5}\n  x: {}\noperations:\n  a: 1.1234567\n")
    assert [line.partition(":")[0] for line in found] == [
        "line 1, column 7",
        "line 3, column 6",
        "line 3, column 7",
        "line 4, column 3",
        "line 6, column 6",
    ]
    assert "plans.x: is given twice; first on line 3" in found[3]


def test_no_more_is_said_than_anybody_reads():
    text = "operations:\n" + "".join(f"  o{number}: x\n" for number in range(500))
    with pytest.raises(InvalidCatalog) as caught:
        parse_catalog(text)
    assert len(caught.value.problems) == 50
    assert len(str(caught.value)) < 2_000
    assert caught.value.metadata == {"line": "2", "column": "7", "path": "operations.o0", "problems": "50"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a map with operations"),
        ("# nothing\n", "expected a map with operations"),
        ("- a", "expected a map with operations"),
        ("a: [1, 2\nb: 3", "line 2, column 2: is no YAML"),
        ("a: b: c", "line 1, column 5: is no YAML"),
        ("a:\n\tb: 1", "line 2, column 1: is no YAML"),
        ("a: 1\nb: \x01", "line 2, column 4: a character is not allowed"),
        ("a: \ud800", "is no valid text"),
        ("a: &x 1\nb: *x", "line 1, column 4: anchors and aliases"),
        ("a: *x", "anchors and aliases"),
        ("a: !!python/object:os.system x", "line 1, column 4: tags (here 'tag:yaml.org,2002:python/object:os"),
        ("a: 1\n---\nb: 1", "line 2, column 1: a second document"),
        ("? [a]\n: 1", "a key must be a single value"),
        ("a: " + "[" * 100_000, "is nested deeper than 24 levels"),
        ("a: [" + "1," * 60_000 + "1]", "has more than 50,000 values"),
        ("a" * (2**20 + 1), "has more than 1 MiB"),
        ("é" * 2**19 + "a", "has more than 1 MiB"),
    ],
)
def test_what_is_no_document(text: str, said: str):
    assert said in "; ".join(problems(text))


def test_the_parser_in_python_reads_the_same(monkeypatch: pytest.MonkeyPatch):
    text = read_source("preset:workspace")
    expected = parse_catalog(text)
    monkeypatch.setattr(document, "_Loader", yaml.SafeLoader)
    assert parse_catalog(text) == expected
    assert problems("a: 1\nb: \x01")[0].startswith("line 2, column 4: a character is not allowed")
    assert problems("a: b: c")[0].startswith("line 1, column 5: is no YAML")


@given(text=st.text())
def test_any_text_is_a_catalog_or_refused(text: str):
    found = problems_if_any(text)
    assert all(problem.path.isprintable() and problem.message.isprintable() for problem in found)


_words = st.sampled_from(
    ["operations", "plans", "packs", "price", "table", "when", "range", "custom", "rates", "credits", "1", "free", "x"]
)
_values = st.recursive(
    st.one_of(_words, st.integers(-1, 3), st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=20,
)


@given(value=st.dictionaries(_words, _values, max_size=4))
def test_any_document_is_a_catalog_or_refused(value: dict[str, object]):
    problems_if_any(yaml.safe_dump(value))


def test_sources(tmp_path: Path):
    file = tmp_path / "catalog.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: a\n")
    assert read_source(str(file)) == "name: a\n"
    assert read_source("preset:monthly").startswith("# ")
    file.write_bytes(b"name: a\nb: \xff")
    with pytest.raises(InvalidRequest, match="is no UTF-8 text: line 2"):
        read_source(str(file))
    file.write_bytes(b"a" * (2**20 + 1))
    with pytest.raises(InvalidRequest, match="more than 1 MiB"):
        read_source(str(file))
    with pytest.raises(InvalidRequest, match="there is no preset 'inspra': did you mean 'inspira'"):
        read_source("preset:inspra")
    with pytest.raises(OSError, match="No such file"):
        read_source(str(tmp_path / "none"))
