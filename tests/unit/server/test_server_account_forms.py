"""Every bound of what an account is configured with."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import LimitMode, LimitRule, LimitScope, LimitWindow
from earmark.domain.states import GrantKind
from earmark.errors import EarmarkError, Reason
from earmark.ledger.models import Contacts, Thresholds
from earmark.server.account_forms import account_changes, asked_grant, creation_content, new_account, sets_alerts
from earmark.v1 import account_pb2, catalog_pb2
from earmark.v1 import account_service_pb2 as pb

Limit = catalog_pb2.Limit


def limit(**fields: Any) -> Limit:
    return Limit(**{"name": "l", "scope": Limit.SCOPE_USER, "window": Limit.WINDOW_DAY, "amount_micros": 5, **fields})


def create(*limits: Limit, **fields: Any) -> pb.CreateAccountRequest:
    return pb.CreateAccountRequest(account_id="acme", request_id="r", limits=limits, **fields)


def test_a_limit_is_read_with_its_defaults() -> None:
    [rule] = new_account(create(limit())).limits
    assert rule == LimitRule("l", LimitScope.USER, LimitWindow.DAY, 5, LimitMode.BLOCK, "", 80)
    widest = limit(name="n" * 64, subject="s:" * 64, mode=Limit.MODE_NOTIFY, near_percent=100, amount_micros=MAX_MICROS)
    [rule] = new_account(create(widest)).limits
    assert (rule.mode, rule.subject, rule.near_percent, rule.amount) == (LimitMode.NOTIFY, "s:" * 64, 100, MAX_MICROS)
    assert len(new_account(create(*(limit(name=str(number)) for number in range(16)))).limits) == 16


@pytest.mark.parametrize(
    ("limits", "field", "reason"),
    [
        ([limit(name=str(number)) for number in range(17)], "limits", Reason.INVALID_ARGUMENT),
        ([limit(), limit()], "limits[1].name", Reason.INVALID_ARGUMENT),
        ([limit(name="")], "limits[0].name", Reason.INVALID_ARGUMENT),
        ([limit(name="a:b")], "limits[0].name", Reason.INVALID_ARGUMENT),
        ([limit(name="n" * 65)], "limits[0].name", Reason.INVALID_ARGUMENT),
        ([limit(name="a\n")], "limits[0].name", Reason.INVALID_ARGUMENT),
        ([limit(scope=0)], "limits[0].scope", Reason.INVALID_ARGUMENT),
        ([limit(scope=9)], "limits[0].scope", Reason.INVALID_ARGUMENT),
        ([limit(window=0)], "limits[0].window", Reason.INVALID_ARGUMENT),
        ([limit(mode=7)], "limits[0].mode", Reason.INVALID_ARGUMENT),
        ([limit(), limit(name="m", near_percent=101)], "limits[1].near_percent", Reason.INVALID_ARGUMENT),
        ([limit(near_percent=-1)], "limits[0].near_percent", Reason.INVALID_ARGUMENT),
        ([limit(scope=Limit.SCOPE_ACCOUNT, subject="ann")], "limits[0].subject", Reason.INVALID_ARGUMENT),
        ([limit(subject="s" * 129)], "limits[0].subject", Reason.INVALID_ARGUMENT),
        ([limit(amount_micros=-1)], "limits[0].amount_micros", Reason.INVALID_AMOUNT),
        ([limit(amount_micros=MAX_MICROS + 1)], "limits[0].amount_micros", Reason.INVALID_AMOUNT),
    ],
)
def test_limits_beyond_their_bounds_name_the_field(limits: list[Limit], field: str, reason: Reason) -> None:
    with pytest.raises(EarmarkError) as caught:
        new_account(create(*limits))
    assert (caught.value.field, caught.value.reason) == (field, reason)


@pytest.mark.parametrize(
    ("contacts", "field"),
    [
        (account_pb2.Contacts(webhook_url="https://a", webhook_secret="s" * 257), "contacts.webhook_secret"),
        (account_pb2.Contacts(webhook_url="https://a", webhook_secret="a\nb"), "contacts.webhook_secret"),
        (account_pb2.Contacts(webhook_secret="secret"), "contacts.webhook_secret"),
        (account_pb2.Contacts(webhook_url="ftp://a"), "contacts.webhook_url"),
        (account_pb2.Contacts(emails=["nobody"]), "contacts.emails"),
    ],
)
def test_contacts_beyond_their_bounds_name_the_field(contacts: account_pb2.Contacts, field: str) -> None:
    with pytest.raises(EarmarkError) as caught:
        new_account(create(contacts=contacts))
    assert caught.value.field == field


def test_only_thresholds_and_contacts_that_say_something_take_an_entitlement() -> None:
    def changes(mask: str, **fields: Any) -> bool:
        account = account_pb2.Account(account_id="acme", **fields)
        request = pb.UpdateAccountRequest(account=account, update_mask=FieldMask(paths=mask.split()), request_id="r")
        return sets_alerts(account_changes(request))

    thresholds = account_pb2.Thresholds(balance_alerts_off=True)
    assert changes("thresholds", thresholds=thresholds)
    assert changes("contacts", contacts=account_pb2.Contacts(emails=["a@b"]))
    assert not changes("labels limits", thresholds=thresholds, limits=[limit()])
    assert not changes("thresholds contacts")


def test_what_was_sent_is_read() -> None:
    account = new_account(
        create(
            thresholds=account_pb2.Thresholds(low_balance_micros=0, balance_alerts_off=True),
            contacts=account_pb2.Contacts(webhook_url="https://a", webhook_secret="s"),
        )
    )
    assert account.thresholds == Thresholds(low_balance=0, balance_alerts_off=True)
    assert account.contacts == Contacts(webhook_url="https://a", webhook_secret="s")


def test_a_repeat_may_come_after_an_upgrade() -> None:
    """Of a request without limits the content is what releases without them made of it."""
    content = creation_content(new_account(create(display_name="Acme", labels={"a": "b"})))
    assert isinstance(content, dict)
    assert list(content) == [
        "account_id",
        "display_name",
        "time_zone",
        "overdraft_limit",
        "enforcement",
        "thresholds",
        "contacts",
        "labels",
    ]
    assert content["thresholds"] == {}
    assert content["labels"] == {}
    assert creation_content(new_account(create(limit()))) != creation_content(new_account(create()))


def grant(**fields: Any) -> pb.CreateGrantRequest:
    return pb.CreateGrantRequest(account_id="acme", request_id="r", **{"amount_micros": 1, **fields})


def test_a_grant_leaves_to_the_catalog_what_it_does_not_say() -> None:
    asked = asked_grant(grant())
    assert (asked.kind, asked.priority, asked.expire_time, asked.acquire_time) == (GrantKind.FREE, None, None, None)
    assert asked_grant(grant(priority=0)).priority == 0
    assert asked_grant(grant(never_expires=True)).expire_time == 0
    assert asked.content == (1, GrantKind.FREE, 100, 0, None, "")
    assert asked_grant(grant(never_expires=True)).content != asked.content


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (grant(amount_micros=0), "amount_micros"),
        (grant(priority=-1), "priority"),
        (grant(never_expires=True, expire_time={"seconds": 5}), "never_expires"),
        (grant(expire_time={}), "expire_time"),
        (grant(reservation_id="r"), "reservation_id"),
        (grant(kind=9), "kind"),
    ],
)
def test_grants_beyond_their_bounds_name_the_field(request_: pb.CreateGrantRequest, field: str) -> None:
    with pytest.raises(EarmarkError) as caught:
        asked_grant(request_)
    assert caught.value.field == field
