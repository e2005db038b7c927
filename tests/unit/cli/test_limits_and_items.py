"""Limits and items of estimates, as people type them."""

from __future__ import annotations

import pytest
import typer

from earmark.cli.account.limits import parse_limit
from earmark.cli.items import PlannedItem, parse_item
from earmark.cli.subscription import parse_rollover
from earmark.cli.values import parse_expiry
from earmark.credits import MAX_MICROS
from earmark.v1.catalog_pb2 import Limit


def test_a_limit_with_everything() -> None:
    text = "name=videos, scope=operation, subject=video.generate, window=day, amount=32.5, mode=NOTIFY, near=90%"
    assert parse_limit(text).message() == Limit(
        name="videos",
        scope=Limit.SCOPE_OPERATION,
        subject="video.generate",
        window=Limit.WINDOW_DAY,
        amount_micros=32_500_000,
        mode=Limit.MODE_NOTIFY,
        near_percent=90,
    )


def test_a_limit_counts_the_account_and_blocks_unless_it_says_otherwise() -> None:
    limit = parse_limit("name=all,window=lifetime,amount=0").message()
    assert (limit.scope, limit.mode, limit.near_percent) == (Limit.SCOPE_ACCOUNT, Limit.MODE_BLOCK, 0)
    assert parse_limit("name=each,scope=user,window=cycle,amount=5").message().subject == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("daily", "write it as KEY=VALUE"),
        ("window=day,amount=1", "lacks name=…"),
        ("name=a,amount=1", "lacks window=…"),
        ("name=a,window=day", "lacks amount=…"),
        ("name=a,name=b,window=day,amount=1", "given twice"),
        ("name=a,window=week,amount=1", "window=week is none of day, month, cycle, lifetime"),
        ("name=a,window=day,amount=1,scope=team", "scope=team is none of account, user, project, operation"),
        ("name=a,window=day,amount=1,mode=warn", "mode=warn is none of block, notify"),
        ("name=a,window=day,amount=ten", "'ten' is not an amount of credits"),
        ("name=a,window=day,amount=1,near=0", "near=0: write a percentage from 1 to 100"),
        ("name=a,window=day,amount=1,subject=ann", "a subject takes a scope"),
        ("name=a,window=day,amount=1,color=red", "'color' is none of name, window, amount"),
    ],
)
def test_what_is_no_limit_says_why(text: str, words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        parse_limit(text)


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("chat.message", PlannedItem("chat.message")),
        ("chat.message:500", PlannedItem("chat.message", 500)),
        ("image:0,size=small", PlannedItem("image", 0, attributes={"size": "small"})),
        ("image,size=small,quality=high", PlannedItem("image", attributes={"size": "small", "quality": "high"})),
        ("chat:in=9+out=0,model=a", PlannedItem("chat", usage={"in": 9, "out": 0}, attributes={"model": "a"})),
        ("llm:large:3", PlannedItem("llm:large", 3)),
        ("image,note=a=b", PlannedItem("image", attributes={"note": "a=b"})),
    ],
)
def test_items(text: str, item: PlannedItem) -> None:
    assert parse_item(text) == item


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no operation"),
        (":4", "names no operation"),
        (",size=small", "names no operation"),
        ("image:many", "'many' is no number of units"),
        ("image:", "'' is no number of units"),
        ("image:-1", "'-1' is no number of units"),
        (f"image:{MAX_MICROS + 1}", "no number of units"),
        ("chat:in=few", "'few' is no number of units"),
        ("image,small", "write it as KEY=VALUE"),
        ("image,size=a,size=b", "given twice"),
    ],
)
def test_what_is_no_item_says_why(text: str, words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        parse_item(text)


def test_all_may_roll_over_and_credits_may_never_expire() -> None:
    assert parse_rollover("all") == MAX_MICROS
    assert parse_rollover("40") == 40_000_000
    assert parse_expiry("Never").moment is None
    day = parse_expiry("2027-07-27")
    assert day.moment is not None
    assert day.needs_zone
    assert not parse_expiry("30d").needs_zone
