"""What calls claim: derived from configurations that are kept under their config_seq, and read only when they moved."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from earmark.domain.catalog import (
    Catalog,
    CycleKind,
    FixedPrice,
    LimitMode,
    LimitRule,
    LimitScope,
    LimitWindow,
    Operation,
    Plan,
)
from earmark.domain.limits import FOREVER
from earmark.domain.plans import Overrides
from earmark.engine.operations import Details, LimitClaim, Reserve
from earmark.errors import EarmarkError, Reason, Unavailable
from earmark.server.claims import UNKNOWN, AccountClaims, Configuration, HeldPlan, includes
from earmark.server.recent import Recent
from tests.unit.server.catalogs import Installed, Recorded

DAY = 86_400_000_000
NOW = int(datetime(2026, 5, 20, 12, tzinfo=UTC).timestamp()) * 1_000_000
DAILY = LimitRule("daily", LimitScope.USER, LimitWindow.DAY, 100)
LIFETIME = LimitRule("ever", LimitScope.ACCOUNT, LimitWindow.LIFETIME, 1_000, LimitMode.NOTIFY, near_percent=50)


def reserve(operation: str = "", user_id: str = "", config_seq: int = UNKNOWN) -> Reserve:
    details = msgspec.json.encode(Details(operation=operation, user_id=user_id)).decode()
    return Reserve("acme", "d", "c", 1, 1, 1, 0, details, user_id, config_seq=config_seq)


def catalog(version: int = 1, **fields: Any) -> Catalog:
    return Catalog(version, **fields)


async def test_nothing_is_looked_up_for_accounts_that_have_nothing_special() -> None:
    recorded = Recorded()
    claims = AccountClaims(recorded, Installed(catalog(operations={"a": Operation("a", FixedPrice(1))})))
    assert claims.of("acme", "a", "ann", "", "") == (0, True, ())
    assert recorded.reads == 0


async def test_an_account_is_read_once_and_kept_under_its_number() -> None:
    recorded = Recorded({"acme": Configuration(3, limits=(replace(DAILY, created_seq=3),))})
    claims = AccountClaims(recorded, Installed())
    derived = await claims.derive(reserve(user_id="ann", config_seq=0), NOW, 3)
    assert derived.config_seq == 3
    assert derived.limits == claims.of("acme", "", "ann", "", "")[2]
    assert derived.limits[0].key == "daily:3:day:user:ann"
    assert claims.of("acme", "", "", "", "") == (3, True, ()), "the limit is one of users"
    assert recorded.reads == 1


async def test_limits_of_the_catalog_make_unknown_accounts_be_derived_later() -> None:
    recorded = Recorded({"acme": Configuration(0, time_zone="Asia/Tokyo")})
    installed = Installed(catalog(limits=(DAILY, LIFETIME)))
    claims = AccountClaims(recorded, installed)
    assert claims.of("acme", "", "ann", "", "") == (UNKNOWN, True, ())
    derived = await claims.derive(reserve(user_id="ann"), NOW, 0)
    midnight = NOW + 3 * 3_600_000_000
    assert derived.limits == (
        LimitClaim(
            "daily:0:day:user:ann",
            100,
            80,
            True,  # noqa: FBT003 - positional in msgspec's arrays
            (midnight - 2 * DAY, midnight - DAY, midnight - DAY, midnight, midnight, midnight + DAY),
        ),
        LimitClaim("ever:0:lifetime:account:", 1_000, 500, False, (0, FOREVER)),  # noqa: FBT003
    )
    assert claims.of("acme", "", "ann", "", "") == (0, True, derived.limits)


async def test_another_catalog_is_applied_to_what_is_known() -> None:
    recorded = Recorded({"acme": Configuration(2)})
    installed = Installed()
    claims = AccountClaims(recorded, installed)
    await claims.derive(reserve(), NOW, 2)
    installed.current = catalog(2, limits=(LIFETIME,))
    assert claims.of("acme", "", "", "", "") == (UNKNOWN, True, ())
    assert [claim.key for claim in (await claims.derive(reserve(), NOW, 2)).limits] == ["ever:0:lifetime:account:"]
    assert recorded.reads == 1


async def test_the_next_day_is_derived_without_sql() -> None:
    recorded = Recorded({"acme": Configuration(1, limits=(DAILY,))})
    claims = AccountClaims(recorded, Installed())
    before = await claims.derive(reserve(user_id="ann"), NOW, 1)
    recorded.away = True
    after = await claims.derive(reserve(user_id="ann"), NOW + 30 * DAY, 1)
    assert before.limits[0].windows != after.limits[0].windows
    starts, ends = after.limits[0].windows[::2], after.limits[0].windows[1::2]
    assert any(start <= NOW + 30 * DAY < end for start, end in zip(starts, ends, strict=True))


async def test_a_change_on_its_way_to_redis_counts_already() -> None:
    recorded = Recorded({"acme": Configuration(7, limits=(DAILY,))})
    claims = AccountClaims(recorded, Installed())
    derived = await claims.derive(reserve(user_id="ann", config_seq=0), NOW, 5)
    assert derived.config_seq == 5, "what the script has"
    assert derived.limits
    assert claims.of("acme", "", "", "", "")[0] == 7
    await claims.derive(reserve(), NOW, 5)
    assert recorded.reads == 1


async def test_sql_behind_redis_is_told() -> None:
    claims = AccountClaims(Recorded({"acme": Configuration(4)}), Installed())
    with pytest.raises(EarmarkError) as caught:
        await claims.derive(reserve(), NOW, 5)
    assert caught.value.reason == Reason.RECOVERING


async def test_a_reading_that_began_before_the_change_is_repeated() -> None:
    recorded = Recorded({"acme": Configuration(4)})
    claims = AccountClaims(recorded, Installed())
    early = asyncio.ensure_future(claims.derive(reserve(), NOW, 4))
    await asyncio.sleep(0)
    late = asyncio.ensure_future(claims.derive(reserve(), NOW, 5))
    await asyncio.sleep(0)
    recorded.answers["acme"] = Configuration(5)
    assert (await early).config_seq == 4
    assert (await late).config_seq == 5


async def test_sql_away_concerns_only_who_needs_it() -> None:
    recorded = Recorded({"acme": Configuration(1), "other": Configuration(1)})
    claims = AccountClaims(recorded, Installed())
    await claims.derive(reserve(), NOW, 1)
    recorded.away = True
    assert (await claims.derive(reserve(), NOW, 1)).config_seq == 1
    with pytest.raises(Unavailable):
        await claims.derive(reserve(), NOW, 2)


async def test_entitlements_are_the_plans_with_the_subscriptions_over_them() -> None:
    plan = Plan("pro", 1, entitlements={"api": "false", "analytics": "true", "seats": "5"})
    overrides = Overrides(entitlements={"api": "true", "seats": "0"})
    held = HeldPlan(Plan("pro", 1), NOW, NOW, NOW + 30 * DAY, overrides)
    operations = {
        name: Operation(name, FixedPrice(1), requires=requires)
        for name, requires in (("a", "api"), ("b", "analytics"), ("c", "seats"), ("d", "missing"), ("e", ""))
    }
    claims = AccountClaims(
        Recorded({"acme": Configuration(1, plan=held)}), Installed(catalog(plans={"pro": plan}, operations=operations))
    )
    assert claims.of("acme", "a", "", "", "api") == (UNKNOWN, True, ())
    entitled = {name: (await claims.derive(reserve(name), NOW, 1)).entitled for name in operations}
    assert entitled == {"a": True, "b": True, "c": False, "d": False, "e": True}
    assert [claims.of("acme", name, "", "", sold.requires)[1] for name, sold in operations.items()] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert await claims.entitled("acme", "api")
    assert not await claims.entitled("acme", "missing")


async def test_limits_of_a_cycle_follow_the_subscription() -> None:
    anchor = int(datetime(2026, 3, 15, 10, 30, tzinfo=UTC).timestamp()) * 1_000_000
    april = int(datetime(2026, 4, 15, 10, 30, tzinfo=UTC).timestamp()) * 1_000_000
    held = HeldPlan(Plan("pro", 1, cycle=CycleKind.MONTHLY), anchor, anchor, april)
    rule = LimitRule("cycle", LimitScope.ACCOUNT, LimitWindow.CYCLE, 5)
    claims = AccountClaims(Recorded({"acme": Configuration(1, limits=(rule,), plan=held)}), Installed())
    [claim] = (await claims.derive(reserve(), NOW, 1)).limits
    assert int(datetime(2026, 5, 15, 10, 30, tzinfo=UTC).timestamp()) * 1_000_000 in claim.windows[::2]


@pytest.mark.parametrize(
    ("text", "included"),
    [("true", True), ("50", True), ("high", True), ("false", False), ("0", False), ("None", False), ("", False)],
)
def test_words_that_say_no(text: str, included: bool) -> None:
    assert includes({"name": text}, "name") is included


def test_what_was_used_last_is_kept() -> None:
    recent: Recent[int, str] = Recent(10)
    for number in range(100):
        recent.put(number, str(number))
        assert recent.get(0) == "0", "asked for all the time"
        assert len(recent) <= 20
    assert recent.get(99) == "99"
    assert recent.get(50) is None
    recent.pop(99)
    assert recent.get(99) is None
