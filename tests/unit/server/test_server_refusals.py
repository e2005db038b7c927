"""Refusals in full: which limit and when it resets, what the plan lacks, which purchase helps."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from earmark.domain.catalog import (
    Catalog,
    CustomAmount,
    FixedPrice,
    LimitRule,
    LimitScope,
    LimitWindow,
    Operation,
    Pack,
    VolumeRate,
)
from earmark.domain.limits import FOREVER, limit_key
from earmark.engine.operations import Details, Reserve
from earmark.engine.results import RefusalCode, Refused
from earmark.errors import EarmarkError, Reason
from earmark.server.refusals import Refusals
from tests.unit.server.catalogs import Installed

CREDIT = 1_000_000
RULE = LimitRule("daily", LimitScope.USER, LimitWindow.DAY, 10 * CREDIT, created_seq=4)


def reserve(operation: str = "") -> Reserve:
    details = msgspec.json.encode(Details(operation=operation)).decode()
    return Reserve("acme", "d", "c", 1, 1, 1, 0, details, "")


def refusals(catalog: Catalog | None = None) -> Refusals:
    return Refusals(Installed(catalog or Catalog(1)), lambda: 0)


def exceeded(reset_time: int) -> Refused:
    numbers = (10 * CREDIT, 7 * CREDIT, 4 * CREDIT, reset_time)
    return Refused(RefusalCode.LIMIT_EXCEEDED, numbers, limit_key(RULE, "ann:x"))


def test_a_limit_is_named_with_its_window() -> None:
    failure = refusals().error(exceeded(1_800_000_000_000_000), reserve())
    assert failure.reason == Reason.LIMIT_EXCEEDED
    assert failure.metadata == {
        "limit_name": "daily",
        "limit_scope": "user",
        "limit_subject": "ann:x",
        "limit_window": "day",
        "limit_micros": "10000000",
        "used_micros": "7000000",
        "required_micros": "4000000",
        "reset_time": "2027-01-15T08:00:00Z",
    }
    assert failure.message == (
        "the limit 'daily' of user 'ann:x' of account 'acme' allows 10 credits a day: 7 are used, 4 are required; "
        "it resets at 2027-01-15T08:00:00Z"
    )


def test_a_limit_that_is_for_ever_does_not_reset() -> None:
    failure = refusals().error(exceeded(FOREVER), reserve())
    assert "reset_time" not in failure.metadata


def test_what_the_plan_lacks_is_named() -> None:
    sold = Operation("video", FixedPrice(1), requires="films")
    failure = refusals(Catalog(1, operations={"video": sold})).error(
        Refused(RefusalCode.NOT_ENTITLED, ()), reserve("video")
    )
    assert failure.metadata == {"operation": "video", "entitlement": "films"}
    assert "video" in failure.message
    assert "films" in failure.message


def short(catalog: Catalog, shortfall: int) -> EarmarkError:
    refused = Refused(RefusalCode.INSUFFICIENT_CREDITS, (0, shortfall, shortfall))
    return refusals(catalog).error(refused, reserve())


def test_the_smallest_purchase_is_one_pack_if_any_is_large_enough() -> None:
    packs = {name: Pack(name, credits, {"USD": "1"}) for name, credits in (("s", 10), ("m", 100), ("l", 500))}
    catalog = Catalog(1, packs=packs)
    assert short(catalog, 11).metadata["pack_id"] == "m"
    assert short(catalog, 10).metadata["pack_id"] == "s"
    several = short(catalog, 900).metadata
    assert (several["pack_id"], several["pack_count"], several["pack_micros"]) == ("l", "2", "1000")


def test_a_custom_amount_is_what_just_covers_it() -> None:
    rates = (VolumeRate(0, {"USD": Decimal("0.1")}),)
    custom = CustomAmount(50 * CREDIT, 1_000 * CREDIT, 5 * CREDIT, rates)
    packs = {"l": Pack("l", 500 * CREDIT, {"USD": "9"}), "any": Pack("any", 0, custom=custom)}
    found = short(Catalog(1, packs=packs), 61 * CREDIT).metadata
    assert (found["pack_id"], found["pack_micros"]) == ("any", str(65 * CREDIT))


def test_without_packs_none_is_named() -> None:
    assert "pack_id" not in short(Catalog(1), 5).metadata
