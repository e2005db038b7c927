"""`monthly` (seed 003): free credits each month, packs that do not expire, a log and a summary for the admins."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from earmark.v1 import account_pb2, grant_pb2, ledger_pb2, reservation_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import ledger_service_pb2 as ledger
from tests.acceptance.system import System, balanced, credits, micros, timestamp
from tests.support.waiting import wait_until_sync

FREE, PURCHASE = grant_pb2.Grant.KIND_FREE, grant_pb2.Grant.KIND_PURCHASE
ENTRY = ledger_pb2.LedgerEntry


def test_monthly_free(monthly: System) -> None:
    """1,500 each month to every account, in full in mid-month, valid in that month of its zone, never carried on."""
    zone = ZoneInfo("Asia/Kolkata")
    start = monthly.move_to_month_start("Asia/Kolkata")
    monthly.move(days=14)  # in mid-month
    account = monthly.account(time_zone="Asia/Kolkata")
    assert monthly.available(account) == 1_500
    monthly.charge(account, "text-to-image")
    here = start.astimezone(zone)
    end = (here.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    monthly.move(to=end - timedelta(minutes=1))
    assert monthly.available(account) == 1_492  # through the last minute of the account's month
    monthly.move(to=end + timedelta(minutes=1))
    assert monthly.available(account) == 1_500  # in full, and nothing of before
    monthly.move_to_month_start("Asia/Kolkata")
    assert monthly.available(account) == 1_500
    expired = monthly.entries(account, kinds=[ENTRY.KIND_GRANT_EXPIRED])
    assert [credits(entry.amount_micros) for entry in expired] == [1_500, 1_492]
    assert len(monthly.entries(account, kinds=[ENTRY.KIND_GRANT])) == 3  # one a month, each once


def test_packs(monthly: System) -> None:
    """2,500 for $25, never expiring; free credits first; one action may use both."""
    monthly.move_to_month_start()
    (pack,) = monthly.packs().values()
    assert credits(pack.credits_micros) == 2_500
    assert [(price.method, Decimal(price.amount)) for price in pack.prices] == [("USD", Decimal(25))]
    account = monthly.account()
    bought = monthly.buy(account, pack.pack_id)
    assert not bought.grants[0].HasField("expire_time")
    assert monthly.available(account) == 4_000
    monthly.charge(account, amount="1497")
    assert monthly.available(account) == 2_503
    both = monthly.charge(account, "text-to-image").reservation  # 3 free ones are left, the action takes 8
    used = [(allocation.kind, credits(allocation.amount_micros)) for allocation in both.allocations]
    assert used == [(FREE, 3), (PURCHASE, 5)]
    monthly.move(days=400)
    assert monthly.available(account) == 2_495 + 1_500


def test_matrix(monthly: System) -> None:
    """The action matrix can be listed for the help page."""
    matrix = monthly.prices()
    assert {"translation", "background-removal", "enhancement"} < set(matrix)
    assert credits(matrix["text-to-image"].max_micros) == 8
    assert credits(matrix["erase"].max_micros) == 7
    assert credits(matrix["upscale"].max_micros) == 0
    assert matrix["text-to-image"].text == "8 credits per image"
    assert all(price.display_name and price.text for price in matrix.values())
    account = monthly.account()
    for operation, price in matrix.items():
        before = monthly.available(account)
        monthly.charge(account, operation)
        assert before - monthly.available(account) == credits(price.max_micros)


def test_automatic(monthly: System) -> None:
    """Balance checked, action processed, credits deducted; third-party calls are outside."""
    account = monthly.account()
    before = monthly.available(account)
    held = monthly.reserve(account, "erase", user_id="ann")  # checked, and set aside
    assert monthly.available(account) == before - 7
    done = monthly.commit(held)  # deducted when it is processed
    assert credits(done.charged_micros) == 7
    assert credits(done.balance.available_micros) == before - 7
    failed = monthly.reserve(account, "erase", user_id="ann")
    monthly.release(failed, "the model failed")
    assert monthly.available(account) == before - 7
    monthly.charge(account, amount=monthly.available(account) - 6)
    with monthly.refused("INSUFFICIENT_CREDITS") as refusal:
        monthly.reserve(account, "erase")
    assert refusal.metadata["shortfall_micros"] == str(micros(1))
    with monthly.refused("UNKNOWN_OPERATION"):
        monthly.reserve(account, "openai.chat")  # not of this catalog: nothing is reserved for it


def test_alerts(monthly: System) -> None:
    """At or below the limit: an e-mail to the admins, and a notification for the dashboard."""
    account = monthly.account(
        contacts=account_pb2.Contacts(emails=["admin@shop.example", "second@shop.example"]),
        thresholds=account_pb2.Thresholds(low_balance_micros=micros(100)),
    )
    monthly.charge(account, amount="1399")
    assert not monthly.notifications(account)
    at_the_limit = monthly.charge(account, amount="1")
    assert [notice.kind for notice in at_the_limit.notices] == [reservation_pb2.Notice.KIND_LOW_BALANCE]
    monthly.charge(account, amount="1")  # once for each crossing
    (low,) = monthly.notifications(account)
    assert low.kind == ledger.Notification.KIND_LOW_BALANCE
    assert credits(low.threshold_micros) == 100
    assert credits(low.balance_micros) == 100
    for address in ("admin@shop.example", "second@shop.example"):
        wait_until_sync(lambda address=address: monthly.inbox.to(address), seconds=20)  # type: ignore[misc]
        (mail,) = monthly.inbox.to(address)
        assert account in str(mail.get_payload()) or account in str(mail["subject"])


def test_log(monthly: System) -> None:
    """Date and time, user, action, credits, each kind used with its amount, comment, failed or successful."""
    account = monthly.account()
    monthly.buy(account, "pack-2500")
    monthly.charge(account, amount="1495", user_id="ann", comment="the first")
    begun = monthly.now()
    monthly.charge(account, "text-to-image", user_id="ann", comment="for the shop window")
    monthly.release(monthly.reserve(account, "erase", user_id="ben"), "no mask was given")
    failed, succeeded = monthly.entries(account, start_time=timestamp(begun - timedelta(seconds=1)))[:2]
    assert (succeeded.user_id, succeeded.operation) == ("ann", "text-to-image")
    assert succeeded.outcome == ENTRY.OUTCOME_SUCCEEDED
    assert succeeded.comment == "for the shop window"
    assert credits(succeeded.amount_micros) == 8
    assert [(part.kind, credits(part.amount_micros)) for part in succeeded.allocations] == [(FREE, 5), (PURCHASE, 3)]
    assert abs(succeeded.create_time.ToDatetime(tzinfo=ZoneInfo("UTC")) - begun) < timedelta(minutes=1)
    assert (failed.user_id, failed.operation, failed.comment) == ("ben", "erase", "no mask was given")
    assert failed.outcome == ENTRY.OUTCOME_FAILED
    assert failed.amount_micros == 0


def test_summary(monthly: System) -> None:
    """Any range: carried in + allocated = consumed + expired + voided + remaining, free and purchased apart."""
    start = monthly.move_to_month_start().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    account = monthly.account()
    monthly.buy(account, "pack-2500")
    monthly.charge(account, amount="1600")
    gift = monthly.grant(account, 40, kind=FREE, comment="a welcome")
    monthly.accounts.VoidGrant(
        accounts.VoidGrantRequest(account_id=account, request_id=monthly.id(), grant_id=gift.grant.grant_id), timeout=30
    )
    first = monthly.move_to_month_start()
    second = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    monthly.charge(account, amount="100")
    monthly.reserve(account, amount="30", ttl=timedelta(hours=2))
    month = monthly.summary(account, start, second)
    free, purchased = month.free, month.purchased
    assert (credits(free.carried_in_micros), credits(free.allocated_micros)) == (0, 1_540)
    assert (credits(free.consumed_micros), credits(free.voided_micros), credits(free.expired_micros)) == (1_500, 40, 0)
    assert credits(purchased.allocated_micros) == 2_500
    assert (credits(purchased.consumed_micros), credits(purchased.remaining_micros)) == (100, 2_400)
    following = monthly.summary(account, second)
    assert credits(following.purchased.carried_in_micros) == 2_400
    assert credits(following.free.carried_in_micros) == 0  # never carried forward
    assert credits(following.free.allocated_micros) == 1_500
    assert credits(following.free.consumed_micros) == 100
    assert credits(following.free.remaining_micros) == 1_400  # the open hold's 30 included
    odd = monthly.summary(account, start + timedelta(hours=12, minutes=7, seconds=3), first)
    for report in (month, following, odd):
        for line in (report.total, report.free, report.purchased, report.subscription, *report.kinds):
            assert balanced(line)
