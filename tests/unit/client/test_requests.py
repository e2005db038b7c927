"""A request says what its caller wrote: absent is absent, zero is zero."""

from inspect import signature

import pytest

from earmark import AsyncClient
from earmark.client.keepalive import extension_seconds
from earmark.client.requests import charge_call, fill, only_one, reserve_call


def filled(request, **given):
    absent = dict.fromkeys(signature(fill).parameters)
    fill(**{**absent, "request": request, "account_id": "acme", "request_id": "q1", **given})
    return request


def test_absent_and_zero_are_different_things():
    absent = filled(reserve_call(ttl=None, wait=0.0).reserve, operation="image.generate")
    zero = filled(reserve_call(ttl=None, wait=0.0).reserve, amount=0, quantity=0, min_amount=0)
    assert not absent.HasField("amount_micros")
    assert not absent.HasField("quantity")
    assert not absent.HasField("usage")
    assert not absent.HasField("ttl")
    assert zero.HasField("amount_micros")
    assert zero.amount_micros == 0
    assert zero.HasField("quantity")
    assert zero.HasField("min_amount_micros")


def test_usage_without_counts_is_not_absent():
    assert filled(reserve_call(ttl=None, wait=0.0).reserve, usage={}).HasField("usage")


def test_a_charge_carries_everything():
    charge = filled(
        charge_call(wait=1.5, overage_policy="allow_with_overdraft", comment="why").charge,
        amount="0.02",
        user_id="ada",
        project_id="p",
        labels={"a": "b"},
        attributes={"size": "xl"},
    )
    assert (charge.account_id, charge.request_id, charge.amount_micros) == ("acme", "q1", 20_000)
    assert (charge.user_id, charge.project_id, charge.comment) == ("ada", "p", "why")
    assert dict(charge.labels) == {"a": "b"}
    assert dict(charge.attributes) == {"size": "xl"}
    assert charge.wait.ToMilliseconds() == 1500


def test_bad_arguments_are_refused_where_they_are_written():
    client = AsyncClient("127.0.0.1:1")
    with pytest.raises(TypeError, match="float"):
        client.reserve("acme", amount=0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        client.reserve("acme", quantity=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        client.reserve("acme", amount="-1")
    with pytest.raises(TypeError, match="seconds"):
        client.reserve("acme", amount=1, ttl="60")  # type: ignore[arg-type]


def test_of_several_ways_to_say_how_much_one_is_given():
    only_one(amount=None, quantity=3, usage=None)
    with pytest.raises(TypeError, match="amount, quantity"):
        only_one(amount=1, quantity=3, usage=None)


@pytest.mark.parametrize(
    ("age", "ttl", "seconds"),
    [
        (20.0, 60.0, 60.0),
        (86_340.0, 60.0, 59.0),
        (86_390.0, 60.0, None),
        (28_800.0, 86_400.0, None),
    ],
)
def test_no_hold_is_extended_beyond_a_day(age, ttl, seconds):
    assert extension_seconds(age, ttl) == seconds
