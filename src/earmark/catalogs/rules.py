"""The parts of a document that are not for sale: limits, thresholds, and how long credits last."""

from __future__ import annotations

import re
from enum import StrEnum, unique

from earmark.catalogs.fields import MAX_NAME, Field, Section
from earmark.domain.catalog import LimitMode, LimitRule, LimitScope, LimitWindow, Thresholds, Validity, ValidityKind
from earmark.domain.states import GrantKind

__all__ = ["GrantKindWord", "read_grants", "read_limits", "read_priority", "read_thresholds", "read_validity"]

_VALIDITY = "never, 30 days, 12 months, calendar month or cycle"
_SPAN = re.compile(r"([0-9]{1,6}) (day|month)s?")
_WHOLE = {
    "never": ValidityKind.NEVER,
    "calendar month": ValidityKind.CALENDAR_MONTH,
    "cycle": ValidityKind.CYCLE,
}
_MAX_DAYS = 36_525
_MAX_MONTHS = 1_200
_MAX_PRIORITY = 2**31 - 1


@unique
class GrantKindWord(StrEnum):
    """The kinds of grants, as documents name them."""

    FREE = "free"
    SUBSCRIPTION = "subscription"
    PURCHASE = "purchase"
    PROMOTION = "promotion"
    ADJUSTMENT = "adjustment"

    @property
    def kind(self) -> GrantKind:
        """The kind."""
        return GrantKind[self.name]


def read_validity(field: Field | None, default: Validity) -> Validity:
    """Read how long credits last."""
    text = field.scalar(_VALIDITY) if field is not None else None
    if field is None or text is None:
        return default
    words = " ".join(text.lower().replace("_", " ").split())
    if words in _WHOLE:
        return Validity(_WHOLE[words])
    span = _SPAN.fullmatch(words)
    if span is None:
        field.wrong(f"expected {_VALIDITY}; {text[:40]!r} is given")
        return default
    count, in_days = int(span[1]), span[2] == "day"
    most = _MAX_DAYS if in_days else _MAX_MONTHS
    if not 0 < count <= most:
        field.wrong(f"expected 1 to {most:,} {span[2]}s; {count} is given")
        return default
    return Validity(ValidityKind.DAYS if in_days else ValidityKind.MONTHS, count)


def read_priority(field: Field | None, default: int) -> int:
    """Read a place in the burn-down order: lower ones are used first."""
    value = field.integer("a whole number; lower ones are used first", 0, _MAX_PRIORITY) if field is not None else None
    return default if value is None else value


def read_grants(field: Field | None) -> tuple[dict[GrantKind, Validity], dict[GrantKind, int]]:
    """Read validity and priority by kind of grant."""
    validity: dict[GrantKind, Validity] = {}
    priority: dict[GrantKind, int] = {}
    section = field.section("a map by kind of grant") if field is not None else None
    if section is None:
        return validity, priority
    for word in GrantKindWord:
        given = section.get(word.value)
        rule = given.section("a map with validity and priority") if given is not None else None
        if rule is None:
            continue
        lasts, place = rule.get("validity"), rule.get("priority")
        rule.end()
        if lasts is not None:
            validity[word.kind] = read_validity(lasts, Validity())
        if place is not None:
            priority[word.kind] = read_priority(place, 100)
    section.end()
    return validity, priority


def read_thresholds(field: Field | None) -> Thresholds:
    """Read at or below which balances accounts are warned."""
    section = field.section("a map with low and critical") if field is not None else None
    if section is None:
        return Thresholds()
    low, critical = section.get("low"), section.get("critical")
    section.end()
    amounts = [each.amount() if each is not None else None for each in (low, critical)]
    if amounts[0] is not None and amounts[1] is not None and amounts[1] > amounts[0] and critical is not None:
        critical.wrong("must not be above low")
    return Thresholds(*amounts)


def read_limits(field: Field | None) -> tuple[LimitRule, ...]:
    """Read limits by name."""
    section = field.section("a map of limits by name") if field is not None else None
    if section is None:
        return ()
    rules = [_limit(name, each) for name, each in section.named("a limit")]
    return tuple(rule for rule in rules if rule is not None)


def _limit(name: str, field: Field) -> LimitRule | None:
    section: Section | None = field.section("a map with scope, window and amount")
    if section is None:
        return None
    window, amount = section.need("window", "day, month, cycle or lifetime"), section.need("amount", "credits")
    scope, subject, mode, near = (section.get(key) for key in ("scope", "subject", "mode", "near"))
    section.end()
    counted = scope.choice(LimitScope) if scope is not None else LimitScope.ACCOUNT
    lasts = window.choice(LimitWindow) if window is not None else None
    most = amount.amount() if amount is not None else None
    enforced = mode.choice(LimitMode) if mode is not None else LimitMode.BLOCK
    percent = near.percent(1, 100) if near is not None else 80
    named = subject.prose(longest=MAX_NAME) if subject is not None else ""
    if subject is not None and counted is LimitScope.ACCOUNT:
        subject.wrong("an account's limit has no subject: expected scope user, project or operation")
    if counted is None or lasts is None or most is None or enforced is None or percent is None or named is None:
        return None
    return LimitRule(name, counted, lasts, most, enforced, named, percent)
