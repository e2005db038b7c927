"""Subscriptions over gRPC: credits, changes, endings, confirmations."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta

import pytest

from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.billing.conftest import CREDIT, Driver, text
from tests.integration.server.conftest import refusal

S = billing.Subscription
FREE, SUBSCRIPTION = 1, 2


async def test_the_first_cycle_begins_at_once(driver: Driver) -> None:
    await driver.account()
    subscription = await driver.subscribe("pro")
    assert subscription.state == S.STATE_ACTIVE
    assert (subscription.cycle, subscription.credits_micros) == (1, 50 * CREDIT)
    assert subscription.anchor_time == subscription.cycle_start_time
    assert subscription.term_end_time == subscription.cycle_end_time
    assert dict(subscription.entitlements) == {"api": "true", "storage_days": "365"}
    assert (subscription.seats, subscription.rollover_cap_micros) == (3, 100 * CREDIT)
    assert await driver.available() == 50
    assert await driver.subscription() == subscription


async def test_a_repeat_changes_nothing(driver: Driver) -> None:
    await driver.account()
    first = billing.CreateSubscriptionRequest(account_id="acme", request_id="s", plan_id="basic")
    answers = await asyncio.gather(*(driver.rpc.CreateSubscription(first) for _ in range(4)))
    assert sorted(answer.replayed for answer in answers) == [False, True, True, True]
    assert await driver.available() == 20
    other = billing.CreateSubscriptionRequest(account_id="acme", request_id="s", plan_id="pro")
    assert (await refusal(driver.rpc.CreateSubscription(other))).reason == "REQUEST_ID_REUSED"
    grant = accounts.CreateGrantRequest(account_id="acme", request_id="s", amount_micros=1)
    assert (await refusal(driver.sidecar.accounts.CreateGrant(grant))).reason == "REQUEST_ID_REUSED"


async def test_what_is_refused(driver: Driver) -> None:
    await driver.account()
    assert (await refusal(driver.subscription())).reason == "SUBSCRIPTION_NOT_FOUND"
    assert (await refusal(driver.subscription("nobody"))).reason == "ACCOUNT_NOT_FOUND"
    assert (await refusal(driver.change("pro"))).reason == "SUBSCRIPTION_NOT_FOUND"
    assert (await refusal(driver.cancel())).reason == "SUBSCRIPTION_NOT_FOUND"
    said = await refusal(driver.subscribe("nothing"))
    assert (said.reason, said.metadata["plan_id"]) == ("PLAN_NOT_FOUND", "nothing")
    assert (await refusal(driver.subscribe("trial"))).field == "plan_id"
    assert (await refusal(driver.subscribe("own"))).field == "overrides.credits_micros"
    assert (await refusal(driver.subscribe(""))).field == "plan_id"
    assert (await refusal(driver.subscribe("pro", term=7))).field == "term"
    assert (await refusal(driver.subscribe("pro", overrides={"credits_micros": -1}))).reason == "INVALID_AMOUNT"
    await driver.subscribe("basic")
    said = await refusal(driver.subscribe("pro"))
    assert (said.reason, said.metadata["plan_id"]) == ("ALREADY_SUBSCRIBED", "basic")


async def test_overrides(driver: Driver) -> None:
    await driver.account()
    own = {"credits_micros": 700 * CREDIT, "rollover_cap_micros": 5, "seats": 9, "entitlements": {"beta": "true"}}
    subscription = await driver.subscribe("own", overrides=own)
    assert dict(subscription.entitlements) == {"api": "true", "beta": "true"}
    assert (subscription.seats, subscription.rollover_cap_micros) == (9, 5)
    assert await driver.available() == 700


async def test_a_plan_whose_credits_come_once_gives_way_to_one_with_cycles(driver: Driver) -> None:
    await driver.account()
    once = await driver.subscribe("starter")
    assert not once.HasField("cycle_end_time")
    assert (await refusal(driver.subscribe("starter"))).reason == "ALREADY_SUBSCRIBED"
    subscription = await driver.subscribe("basic")
    assert subscription.subscription_id != once.subscription_id
    assert await driver.available() == 25
    # Coming back to it gives nothing again.
    await driver.change("starter")
    await driver.move_by(days=32)
    assert (await driver.subscription()).plan_id == "starter"
    assert await driver.available() == 25


async def test_an_upgrade_gives_the_difference_and_keeps_the_anchor(driver: Driver) -> None:
    await driver.move_to(1, 31, 10)
    await driver.account()
    before = await driver.subscribe("basic")
    await driver.charge(15)
    await driver.move_to(2, 10)
    request = billing.ChangePlanRequest(account_id="acme", request_id="up", plan_id="pro")
    answer = await driver.rpc.ChangePlan(request)
    assert answer.immediate
    assert not answer.replayed
    assert answer.balance.available_micros == 35 * CREDIT
    after = answer.subscription
    assert (after.plan_id, after.cycle, after.anchor_time) == ("pro", 1, before.anchor_time)
    assert after.cycle_end_time == before.cycle_end_time
    again = await driver.rpc.ChangePlan(request)
    assert again.replayed
    assert again.immediate
    assert again.subscription == after
    assert await driver.available() == 35
    # The new cap, and the new credits, from the next renewal on.
    await driver.move_until(after.cycle_end_time.ToDatetime(UTC))
    assert await driver.available() == 85
    assert (await driver.subscription()).cycle == 2


async def test_a_downgrade_waits_for_the_end_of_the_cycle_and_can_be_taken_back(driver: Driver) -> None:
    await driver.account()
    await driver.subscribe("pro")
    answer = await driver.change("basic")
    assert not answer.immediate
    assert (answer.subscription.plan_id, answer.subscription.next_plan_id) == ("pro", "basic")
    back = await driver.change("pro")
    assert (back.subscription.plan_id, back.subscription.next_plan_id) == ("pro", "")
    assert await driver.available() == 50
    await driver.change("basic")
    await driver.move_by(days=32)
    subscription = await driver.subscription()
    assert (subscription.plan_id, subscription.next_plan_id, subscription.cycle) == ("basic", "", 2)
    # What the plan that ends lets go on, 100, went on.
    assert await driver.available() == 70
    await driver.move_by(days=31)
    assert await driver.available() == 60


async def test_entitlements_follow_the_plan_at_once(driver: Driver) -> None:
    def api(number: int) -> metering.ChargeRequest:
        return metering.ChargeRequest(account_id="acme", request_id=f"api{number}", operation="api")

    await driver.account()
    assert (await refusal(driver.sidecar.metering.Charge(api(1)))).reason == "NOT_ENTITLED"
    await driver.subscribe("basic")
    assert (await refusal(driver.sidecar.metering.Charge(api(2)))).reason == "NOT_ENTITLED"
    await driver.change("pro")
    await driver.sidecar.metering.Charge(api(3))
    await driver.cancel()
    await driver.sidecar.metering.Charge(api(4))
    await driver.move_by(days=32)
    assert (await refusal(driver.sidecar.metering.Charge(api(5)))).reason == "NOT_ENTITLED"
    assert not (await driver.subscription()).entitlements


async def test_a_cancelled_subscription_ends_with_its_cycle_and_leaves_its_credits(driver: Driver) -> None:
    await driver.account()
    await driver.subscribe("basic")
    cancelled = await driver.cancel()
    assert cancelled.state == S.STATE_CANCELLING
    assert (await driver.cancel()).state == S.STATE_CANCELLING
    await driver.move_by(days=32)
    ended = await driver.subscription()
    assert ended.state == S.STATE_ENDED
    assert ended.end_time == cancelled.cycle_end_time
    assert await driver.available() == 20
    assert (await refusal(driver.cancel())).reason == "SUBSCRIPTION_ENDED"
    assert (await refusal(driver.change("pro"))).reason == "SUBSCRIPTION_ENDED"
    assert (await driver.subscribe("pro")).state == S.STATE_ACTIVE
    assert await driver.available() == 70


async def test_a_cancellation_can_be_taken_back(driver: Driver) -> None:
    await driver.account()
    await driver.subscribe("basic")
    await driver.cancel()
    assert (await driver.change("basic")).subscription.state == S.STATE_ACTIVE
    await driver.move_by(days=32)
    assert (await driver.subscription()).cycle == 2


async def test_a_year_is_paid_at_once_and_gives_credits_monthly(driver: Driver) -> None:
    await driver.move_to(3, 1)
    await driver.account()
    begun = await driver.subscribe("basic", term=S.TERM_YEAR)
    assert text(begun.cycle_end_time) == "04-01 00:00"
    assert text(begun.term_end_time) == "03-01 00:00"
    await driver.cancel()
    await driver.move_to(2, 27)
    late = await driver.subscription()
    assert (late.state, late.cycle) == (S.STATE_CANCELLING, 12)
    # 20 new ones each month upon the 40 that go on.
    assert await driver.available() == 60
    await driver.move_to(3, 2)
    assert (await driver.subscription()).state == S.STATE_ENDED


async def test_another_term_begins_when_the_present_one_is_over(driver: Driver) -> None:
    await driver.account()
    begun = await driver.subscribe("basic")
    answer = await driver.change("basic", term=S.TERM_YEAR)
    assert not answer.immediate
    assert (answer.subscription.term, answer.subscription.next_plan_id) == (S.TERM_MONTH, "")
    await driver.move_by(days=32)
    later = await driver.subscription()
    assert later.term == S.TERM_YEAR
    assert later.term_end_time.ToDatetime() - begun.cycle_end_time.ToDatetime() > timedelta(days=360)


async def test_a_confirmed_plan_waits_for_its_payment(driver: Driver) -> None:
    await driver.account()
    begun = await driver.subscribe("paid")
    await driver.move_by(days=33)
    waiting = await driver.subscription()
    assert (waiting.state, waiting.cycle) == (S.STATE_AWAITING_RENEWAL, 1)
    assert await driver.available() == 0
    answers = await asyncio.gather(*(driver.confirm(request_id="paid") for _ in range(3)))
    assert sorted(answer.replayed for answer in answers) == [False, True, True]
    renewed = await driver.subscription()
    assert (renewed.state, renewed.cycle) == (S.STATE_ACTIVE, 2)
    assert renewed.cycle_start_time == begun.cycle_end_time
    assert await driver.available() == 30


async def test_a_late_confirmation_pays_the_cycle_that_holds_now(driver: Driver) -> None:
    await driver.move_to(1, 31, 12)
    await driver.account()
    await driver.subscribe("paid")
    await driver.move_to(5, 5)
    answer = await driver.confirm()
    assert answer.balance.available_micros == 30 * CREDIT
    assert (answer.subscription.cycle, text(answer.subscription.cycle_start_time)) == (4, "04-30 12:00")
    assert text(answer.subscription.cycle_end_time) == "05-31 12:00"


async def test_an_early_confirmation_pays_the_next_term_and_no_more(driver: Driver) -> None:
    await driver.account()
    await driver.subscribe("paid")
    early = await driver.confirm()
    assert early.subscription.term_end_time.seconds > early.subscription.cycle_end_time.seconds
    assert (await refusal(driver.confirm())).reason == "RENEWAL_NOT_DUE"
    await driver.move_by(days=33)
    assert (await driver.subscription()).cycle == 2
    assert await driver.available() == 30
    await driver.move_by(days=31)
    assert (await driver.subscription()).state == S.STATE_AWAITING_RENEWAL


async def test_only_what_waits_for_a_payment_can_be_confirmed(driver: Driver) -> None:
    await driver.account()
    await driver.subscribe("basic")
    said = await refusal(driver.confirm())
    assert (said.reason, said.metadata["plan_id"], said.metadata["cycle"]) == ("RENEWAL_NOT_DUE", "basic", "1")


async def test_who_waits_for_a_payment_can_go_on_with_a_plan_without_one(driver: Driver) -> None:
    await driver.account()
    await driver.subscribe("paid")
    await driver.move_by(days=33)
    answer = await driver.change("basic")
    assert answer.immediate
    assert (answer.subscription.state, answer.subscription.plan_id) == (S.STATE_ACTIVE, "basic")
    assert await driver.available() == 20


async def test_who_waits_for_a_payment_can_cancel_at_once(driver: Driver) -> None:
    await driver.account()
    await driver.subscribe("paid")
    await driver.move_by(days=33)
    assert (await driver.cancel()).state == S.STATE_ENDED


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles"])
async def test_calendar_months_are_the_accounts(driver: Driver, zone: str) -> None:
    await driver.move_to(2, 17)
    await driver.account(zone=zone)
    await driver.subscribe("gift")
    midnight = "00:00" if zone == "UTC" else "08:00"
    assert await driver.grants() == [(FREE, 15, f"03-01 {midnight}")]
    await driver.charge(5)
    await driver.move_to(3, 2)
    assert await driver.available() == 15
    assert (await driver.subscription()).cycle == 2
    await driver.move_to(5, 20)
    assert await driver.available() == 15
    assert (await driver.subscription()).cycle == 4


@pytest.mark.parametrize(("held", "charged", "after"), [(10, 10, 60), (10, 0, 60), (30, 5, 60), (30, 30, 50)])
async def test_the_cap_counts_what_is_unspent_and_open_holds_still_pay(
    driver: Driver, held: int, charged: int, after: int
) -> None:
    await driver.account()
    await driver.subscribe("basic")
    await driver.move_by(days=62)
    assert await driver.available() == 60  # 40 went on, 20 came
    end = (await driver.subscription()).cycle_end_time.ToDatetime(UTC)
    await driver.move_until(end - timedelta(hours=5))
    request = metering.ReserveRequest(account_id="acme", request_id="open", amount_micros=held * CREDIT)
    request.ttl.FromSeconds(24 * 3600)
    reservation = (await driver.sidecar.metering.Reserve(request)).reservation
    await driver.move_until(end + timedelta(hours=5))
    assert await driver.available() == min(40, 60 - held) + 20
    await driver.sidecar.metering.Commit(
        metering.CommitRequest(reservation_id=reservation.reservation_id, amount_micros=charged * CREDIT)
    )
    # What came back filled what the cap had left, and expired beyond it.
    assert await driver.available() == after
