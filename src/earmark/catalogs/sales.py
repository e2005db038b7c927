"""The parts of a document that say what is for sale: plans, packs, promotions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from earmark.catalogs.fields import MAX_NAME, Field, Section, texts
from earmark.catalogs.rules import GrantKindWord, read_limits, read_priority, read_validity
from earmark.domain.catalog import (
    CustomAmount,
    CycleKind,
    Pack,
    Plan,
    Promotion,
    Rollover,
    Validity,
    VolumeRate,
)
from earmark.domain.states import GrantKind

__all__ = ["Defaults", "read_packs", "read_plans", "read_promotions"]

_MAX_SEATS = 1_000_000
_MAX_RANK = 1_000_000
_MAX_PERCENT = 1_000
_UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the document says of grants by kind: plans and packs that say nothing follow it."""

    validity: Mapping[GrantKind, Validity]
    priority: Mapping[GrantKind, int]


def read_plans(section: Section | None, defaults: Defaults) -> dict[str, Plan]:
    """Read the plans."""
    if section is None:
        return {}
    plans = [_plan(name, field, rank, defaults) for rank, (name, field) in enumerate(section.named("a plan"))]
    return {plan.plan_id: plan for plan in plans if plan is not None}


def _plan(plan_id: str, field: Field, place: int, defaults: Defaults) -> Plan | None:
    section = field.section("a map with credits")
    if section is None:
        return None
    custom = _switch(section, "custom")
    credits = section.get("credits")
    if credits is None and not custom:
        section.wrong("credits is missing: expected an amount of credits, or custom: true")
    granted = credits.amount() if credits is not None else 0
    word = section.get("kind")
    kind = (word.choice(GrantKindWord) or GrantKindWord.SUBSCRIPTION).kind if word is not None else None
    kind = kind or GrantKind.SUBSCRIPTION
    prices = section.get("prices")
    monthly, yearly = _terms(prices)
    seats, rank, cycle, rollover = (section.get(name) for name in ("seats", "rank", "cycle", "rollover"))
    name, text = section.get("name"), section.get("text")
    validity = read_validity(section.get("validity"), defaults.validity.get(kind, Validity()))
    priority = read_priority(section.get("priority"), defaults.priority.get(kind, 100))
    entitlements = texts(section.get("entitlements"), "a map of entitlements by name")
    limits = read_limits(section.get("limits"))
    claimed, only_new = _switch(section, "claimed"), _switch(section, "only_new")
    confirmed = _switch(section, "confirmed_renewal")
    section.end()
    cycles = (cycle.choice(CycleKind) or CycleKind.MONTHLY) if cycle is not None else CycleKind.MONTHLY
    rolls = _rollover(rollover)
    if rollover is not None and rolls is not None and cycles is CycleKind.ONCE:
        rollover.wrong("a plan whose credits come once has no next cycle to roll over to")
    ranked = rank.integer("a whole number", 0, _MAX_RANK) if rank is not None else place
    members = None
    if seats is not None and not _is_word(seats, _UNLIMITED):
        members = seats.integer(f"a number of members, or {_UNLIMITED}", 1, _MAX_SEATS)
    return Plan(
        plan_id,
        granted or 0,
        display_name=(name.prose(longest=MAX_NAME) or "") if name is not None else "",
        rank=place if ranked is None else ranked,
        grant_kind=kind,
        priority=priority,
        validity=validity,
        cycle=cycles,
        rollover=rolls,
        monthly_prices=monthly,
        yearly_prices=yearly,
        entitlements=entitlements,
        seats=members,
        claimed=claimed,
        only_new=only_new,
        confirmed_renewal=confirmed,
        custom=custom,
        limits=limits,
        text=(text.prose() or "") if text is not None else "",
    )


def _terms(field: Field | None) -> tuple[Mapping[str, str], Mapping[str, str]]:
    section = field.section("a map with month and year") if field is not None else None
    if section is None:
        return {}, {}
    month, year = section.get("month"), section.get("year")
    section.end()
    return _prices(month), _prices(year)


def _rollover(field: Field | None) -> Rollover | None:
    if field is None:
        return None
    if field.is_scalar:
        what = f"the credits that roll over at most, or {_UNLIMITED}, or none"
        if _is_word(field, "none"):
            return None
        if _is_word(field, _UNLIMITED):
            return Rollover(None)
        amount = field.amount(what)
        return None if amount is None else Rollover(amount)
    section = field.section("an amount of credits, or a map with cap and kinds")
    if section is None:
        return None
    cap, kinds = section.need("cap", f"an amount of credits, or {_UNLIMITED}"), section.get("kinds")
    section.end()
    most = cap.amount() if cap is not None and not _is_word(cap, _UNLIMITED) else None
    words = [each.choice(GrantKindWord) for each in kinds.one_or_more("kinds of grants")] if kinds is not None else []
    counted = tuple(word.kind for word in words if word is not None)
    return Rollover(most, counted or (GrantKind.SUBSCRIPTION,))


def read_packs(section: Section | None, defaults: Defaults) -> dict[str, Pack]:
    """Read the packs."""
    if section is None:
        return {}
    packs = [_pack(name, field, defaults) for name, field in section.named("a pack")]
    return {pack.pack_id: pack for pack in packs if pack is not None}


def _pack(pack_id: str, field: Field, defaults: Defaults) -> Pack | None:
    section = field.section("a map with credits and prices, or with custom")
    if section is None:
        return None
    name, chosen = section.get("name"), section.get("custom")
    validity = read_validity(section.get("validity"), defaults.validity.get(GrantKind.PURCHASE, Validity()))
    priority = read_priority(section.get("priority"), defaults.priority.get(GrantKind.PURCHASE, 100))
    custom: CustomAmount | None = None
    credits: int | None = 0
    prices: Mapping[str, str] = {}
    if chosen is not None:
        custom = _custom(chosen)
        for extra in ("credits", "prices"):
            if (given := section.get(extra)) is not None:
                given.wrong("a custom amount has rates instead")
    else:
        amount = section.need("credits", "an amount of credits")
        credits = amount.amount() if amount is not None else None
        if credits == 0 and amount is not None:
            amount.wrong("expected more than 0 credits")
        prices = _prices(section.need("prices", "a price by method of payment, for example {USD: 10}"))
    section.end()
    if credits is None or (chosen is not None and custom is None):
        return None
    display_name = (name.prose(longest=MAX_NAME) or "") if name is not None else ""
    return Pack(pack_id, credits, prices, display_name, priority, validity, custom)


def _custom(field: Field) -> CustomAmount | None:
    section = field.section("a map with min, max, step and rates")
    if section is None:
        return None
    least, most = section.need("min", "an amount of credits"), section.need("max", "an amount of credits")
    step, rates = section.get("step"), section.need("rates", "a list of rates with from and prices")
    section.end()
    low = least.amount() if least is not None else None
    high = most.amount() if most is not None else None
    each = step.amount() if step is not None else 1_000_000
    listed = rates.items("a list of rates with from and prices") if rates is not None else []
    read = [_rate(item) for item in listed]
    volumes = [rate for rate in read if rate is not None]
    if low is None or high is None or each is None or rates is None or len(volumes) != len(listed):
        return None
    if not volumes:
        rates.wrong("expected at least one rate with from and prices")
        return None
    if least is not None and low == 0:
        least.wrong("expected more than 0 credits")
    if step is not None and each == 0:
        step.wrong("expected more than 0 credits")
    elif least is not None and low % each:
        least.wrong("must be a multiple of step")
    if most is not None and high < low:
        most.wrong("must not be below min")
    if volumes[0].from_amount > low:
        listed[0].wrong("the first rate must begin at or below min")
    for at in range(1, len(volumes)):
        if volumes[at].from_amount <= volumes[at - 1].from_amount:
            listed[at].wrong("rates must begin at rising amounts")
        if set(volumes[at].unit_prices) != set(volumes[0].unit_prices):
            listed[at].wrong("every rate must have the same methods of payment")
    return CustomAmount(low, high, each or 1, tuple(volumes))


def _rate(field: Field) -> VolumeRate | None:
    section = field.section("a rate with from and prices")
    if section is None:
        return None
    begin, prices = section.need("from", "an amount of credits"), section.need("prices", "the price of one credit")
    section.end()
    amount = begin.amount() if begin is not None else None
    unit_prices = {method: Decimal(price) for method, price in _prices(prices).items()}
    return None if amount is None or not unit_prices else VolumeRate(amount, unit_prices)


def read_promotions(section: Section | None, packs: Mapping[str, Pack], defaults: Defaults) -> tuple[Promotion, ...]:
    """Read the promotions."""
    if section is None:
        return ()
    found = [_promotion(name, field, packs, defaults) for name, field in section.named("a promotion")]
    return tuple(promotion for promotion in found if promotion is not None)


def _promotion(name: str, field: Field, packs: Mapping[str, Pack], defaults: Defaults) -> Promotion | None:
    section = field.section("a map with start, end, and what it gives")
    if section is None:
        return None
    begin, end = section.need("start", "a date or a time"), section.need("end", "a date or a time")
    display_name, only, bonus, more, less, instead = (
        section.get(key) for key in ("name", "packs", "bonus", "bonus_percent", "discount_percent", "prices")
    )
    lasts = section.get("validity")
    validity = read_validity(lasts, Validity()) if lasts is not None else None
    priority = read_priority(section.get("priority"), defaults.priority.get(GrantKind.PROMOTION, 100))
    section.end()
    start_time = begin.moment(through=False) if begin is not None else None
    end_time = end.moment(through=True) if end is not None else None
    if start_time is not None and end_time is not None and end is not None and end_time <= start_time:
        end.wrong("must lie after start")
    chosen = [each.known(packs, "a pack") for each in only.one_or_more("a list of packs")] if only is not None else []
    amount = bonus.amount() if bonus is not None else 0
    plus = more.percent(1, _MAX_PERCENT) if more is not None else 0
    minus = less.percent(1, 100) if less is not None else 0
    if bonus is None and more is None and less is None and instead is None:
        section.wrong("gives nothing: expected bonus, bonus_percent, discount_percent or prices")
    if less is not None and instead is not None:
        instead.wrong("cannot stand beside discount_percent: prices are final")
    overrides = _overrides(instead, packs)
    if start_time is None or end_time is None:
        return None
    return Promotion(
        name,
        start_time,
        end_time,
        tuple(pack for pack in chosen if pack is not None),
        amount or 0,
        plus or 0,
        minus or 0,
        overrides,
        validity,
        priority,
        (display_name.prose(longest=MAX_NAME) or "") if display_name is not None else "",
    )


def _overrides(field: Field | None, packs: Mapping[str, Pack]) -> Mapping[str, Mapping[str, str]]:
    section = field.section("prices by pack, for example {starter: {USD: 8}}") if field is not None else None
    if section is None:
        return {}
    fixed = {pack_id: pack for pack_id, pack in packs.items() if pack.custom is None}
    found: dict[str, Mapping[str, str]] = {}
    for pack_id in section.names():
        prices = section.get(pack_id)
        assert prices is not None
        if pack_id not in fixed:
            prices.wrong("is no pack with a price of its own")
        else:
            found[pack_id] = _prices(prices)
    return found


def _prices(field: Field | None) -> dict[str, str]:
    what = "prices by method of payment, for example {USD: 9.99}"
    section = field.section(what) if field is not None else None
    if section is None:
        return {}
    if not section.names():
        section.wrong(f"expected {what}")
    prices = {method: price.money() for method, price in section.methods()}
    return {method: price for method, price in prices.items() if price is not None}


def _switch(section: Section, name: str) -> bool:
    field = section.get(name)
    return field is not None and field.boolean() is True


def _is_word(field: Field, word: str) -> bool:
    return field.is_scalar and field.scalar(word) == word
