"""Limits, entitlements, thresholds and their notices over gRPC, through midnight and through changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from redis.asyncio import Redis

from earmark.v1 import account_pb2, catalog_pb2, ledger_pb2, reservation_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import billing_service_pb2 as billing
from earmark.v1 import metering_service_pb2 as pb
from tests.integration.server.conftest import Sidecar, open_test_sidecar, refusal
from tests.integration.server.test_server_session import call, collect, said
from tests.support.waiting import wait_until

CREDIT = 1_000_000
Notice = reservation_pb2.Notice


def limit(name: str = "daily", credits: int = 10, **fields: Any) -> catalog_pb2.Limit:
    return catalog_pb2.Limit(
        **{
            "name": name,
            "scope": catalog_pb2.Limit.SCOPE_ACCOUNT,
            "window": catalog_pb2.Limit.WINDOW_DAY,
            "amount_micros": credits * CREDIT,
            **fields,
        }
    )


async def update(sidecar: Sidecar, request_id: str, mask: str, **fields: Any) -> account_pb2.Account:
    request = accounts.UpdateAccountRequest(
        account=account_pb2.Account(account_id="acme", **fields),
        update_mask=FieldMask(paths=mask.split()),
        request_id=request_id,
    )
    account: account_pb2.Account = (await sidecar.accounts.UpdateAccount(request)).account
    return account


async def charge(sidecar: Sidecar, request_id: str, credits: int, **fields: Any) -> pb.ChargeResponse:
    return await sidecar.charge(request_id, amount_micros=credits * CREDIT, **fields)


def kinds(notices: Any) -> list[int]:
    return [notice.kind for notice in notices]


@pytest.mark.parametrize(
    ("scope", "within", "beside"),
    [
        (catalog_pb2.Limit.SCOPE_USER, {"user_id": "ann"}, {"user_id": "bob"}),
        (catalog_pb2.Limit.SCOPE_PROJECT, {"project_id": "site"}, {"project_id": "shop"}),
        (catalog_pb2.Limit.SCOPE_OPERATION, {"operation": "video"}, {"operation": "image"}),
    ],
)
async def test_a_limit_counts_each_by_itself(
    sidecar: Sidecar, scope: catalog_pb2.Limit.Scope, within: dict[str, str], beside: dict[str, str]
) -> None:
    await sidecar.account()
    account = await update(sidecar, "limit", "limits", limits=[limit(scope=scope)])
    assert account.limits[0].near_percent == 80
    assert account.limits[0].create_time.seconds
    await charge(sidecar, "first", 7, **within)
    refused = await refusal(charge(sidecar, "second", 4, **within))
    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    midnight = datetime.fromisoformat(refused.metadata.pop("reset_time"))
    assert (midnight.hour, midnight.minute, midnight.tzinfo) == (0, 0, UTC)
    assert refused.metadata == {
        "limit_name": "daily",
        "limit_scope": next(iter(within)).removesuffix("_id"),
        "limit_subject": next(iter(within.values())),
        "limit_window": "day",
        "limit_micros": str(10 * CREDIT),
        "used_micros": str(7 * CREDIT),
        "required_micros": str(4 * CREDIT),
    }
    await charge(sidecar, "beside", 9, **beside)
    await charge(sidecar, "nobody", 9)
    partly = await sidecar.reserve("partly", 4, min_amount_micros=CREDIT, **within)
    assert partly.reservation.reserved_micros == 3 * CREDIT


async def test_what_is_given_back_counts_no_more(sidecar: Sidecar) -> None:
    await sidecar.account()
    await update(sidecar, "limit", "limits", limits=[limit()])
    held = await sidecar.reserve("held", 8)
    assert (await refusal(sidecar.reserve("more", 3))).reason == "LIMIT_EXCEEDED"
    await sidecar.commit(held, amount_micros=2 * CREDIT)
    more = await sidecar.reserve("more", 8)
    extend = pb.ExtendRequest(reservation_id=more.reservation.reservation_id, request_id="e", additional_micros=CREDIT)
    refused = await refusal(sidecar.metering.Extend(extend))
    assert (refused.reason, refused.metadata["limit_name"]) == ("LIMIT_EXCEEDED", "daily")
    await sidecar.metering.Release(pb.ReleaseRequest(reservation_id=more.reservation.reservation_id))
    await charge(sidecar, "rest", 8)


async def test_a_soft_limit_only_tells(sidecar: Sidecar) -> None:
    await sidecar.account()
    goal = limit("goal", mode=catalog_pb2.Limit.MODE_NOTIFY, near_percent=50)
    await update(sidecar, "limit", "limits", limits=[goal])
    assert not (await charge(sidecar, "a", 4)).notices
    near = (await charge(sidecar, "b", 1)).notices
    assert kinds(near) == [Notice.KIND_LIMIT_NEAR]
    assert (near[0].limit_name, near[0].threshold_micros) == ("goal", 10 * CREDIT)
    assert "'goal'" in near[0].message
    assert kinds((await charge(sidecar, "c", 100)).notices) == [Notice.KIND_LIMIT_NEAR]


async def test_midnight_is_the_accounts(sidecar: Sidecar) -> None:
    await sidecar.accounts.CreateAccount(
        accounts.CreateAccountRequest(account_id="acme", request_id="create", time_zone="Asia/Tokyo", limits=[limit()])
    )
    await sidecar.accounts.CreateGrant(
        accounts.CreateGrantRequest(account_id="acme", request_id="grant", amount_micros=500 * CREDIT)
    )
    now = await sidecar.move(by=timedelta(seconds=1))
    # A minute before midnight in Tokyo.
    evening = (now + timedelta(days=2)).replace(hour=14, minute=59, second=0, microsecond=0)
    await sidecar.move(to=evening)
    held = await sidecar.reserve("before", 6)
    refused = await refusal(sidecar.reserve("more", 6))
    assert refused.metadata["reset_time"] == (evening + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    extend = pb.ExtendRequest(reservation_id=held.reservation.reservation_id, request_id="e")
    extend.ttl.FromSeconds(3_600)
    await sidecar.metering.Extend(extend)
    await sidecar.move(by=timedelta(minutes=2))
    await charge(sidecar, "next-day", 10)
    # It counts in the day in which it was made.
    settled = await sidecar.commit(held)
    assert settled.charged_micros == 6 * CREDIT
    assert (await refusal(charge(sidecar, "too-much", 1))).metadata["used_micros"] == str(10 * CREDIT)


async def test_a_change_is_seen_by_another_sidecar_at_once(
    redis_url: str, database_url: str, sidecar: Sidecar, socket_path: Path
) -> None:
    await sidecar.account()
    await charge(sidecar, "plain", 20)
    async with open_test_sidecar(redis_url, database_url, f"unix:{socket_path.with_name('other')}") as other:
        await charge(other, "plain-there", 20)
        await update(sidecar, "limit", "limits", limits=[limit()])
        assert (await refusal(charge(other, "limited", 11))).reason == "LIMIT_EXCEEDED"
        stream = other.metering.Session()
        too_much = pb.ChargeRequest(account_id="acme", request_id="streamed", amount_micros=11 * CREDIT)
        await stream.write(pb.SessionRequest(calls=[call(1, charge=too_much)]))
        assert said((await collect(stream, 1))[1]).reason == "LIMIT_EXCEEDED"
        await update(other, "raised", "limits", limits=[limit(credits=12)])
        await charge(sidecar, "raised", 11)
        # A larger limit goes on counting; one of another kind begins at nothing.
        assert (await refusal(charge(other, "more", 2))).metadata["used_micros"] == str(11 * CREDIT)
        weekly = limit(window=catalog_pb2.Limit.WINDOW_MONTH)
        await update(sidecar, "anew", "limits", limits=[weekly])
        await charge(other, "anew", 10)
        await update(sidecar, "none", "limits")
        await charge(other, "free", 100)


async def test_limits_of_the_catalog_are_replaced_by_name(sidecar: Sidecar) -> None:
    await sidecar.account()
    await charge(sidecar, "before", 50)
    await sidecar.install("format: 1\nname: limited\nlimits: {daily: {window: day, amount: 5}}\n")
    refused = await refusal(charge(sidecar, "limited", 6))
    assert (refused.metadata["limit_micros"], refused.metadata["used_micros"]) == (str(5 * CREDIT), "0")
    await update(sidecar, "own", "limits", limits=[limit(credits=30)])
    await charge(sidecar, "own", 20)
    await sidecar.install("format: 1\nname: limited\nlimits: {lifetime: {window: lifetime, amount: 1}}\n", "second")
    refused = await refusal(charge(sidecar, "both", 5))
    assert refused.metadata["limit_name"] == "lifetime"
    assert "reset_time" not in refused.metadata
    await sidecar.install("format: 1\nname: free\noperations: {chat: 1}\n", "third")
    await charge(sidecar, "again", 10)
    assert (await refusal(charge(sidecar, "still", 10))).metadata["limit_name"] == "daily"


async def test_who_only_observes_is_told(sidecar: Sidecar) -> None:
    await sidecar.account()
    await update(
        sidecar,
        "observe",
        "limits enforcement",
        limits=[limit()],
        enforcement=account_pb2.Account.ENFORCEMENT_OBSERVE,
    )
    charged = await charge(sidecar, "much", 11)
    assert charged.charged_micros == 11 * CREDIT
    assert kinds(charged.notices) == [Notice.KIND_WOULD_REFUSE, Notice.KIND_LIMIT_NEAR]


PLANS = """
format: 1
name: plans
default_plan: free
alerts_entitlement: alerts
thresholds: {low: 40, critical: 10}
operations:
  chat: 1
  api: {price: 2, requires: api_access}
plans:
  free:
    credits: 50
    kind: free
    cycle: once
    entitlements: {api_access: false, alerts: false}
  pro:
    credits: 100
    entitlements: {api_access: true, alerts: true}
    limits: {monthly: {window: cycle, amount: 20}}
"""


async def subscribed(sidecar: Sidecar) -> None:
    await sidecar.install(PLANS)
    await sidecar.account(credits=0)


async def test_a_new_account_has_the_default_plan(sidecar: Sidecar) -> None:
    await subscribed(sidecar)
    assert await sidecar.available() == 50 * CREDIT
    again = await sidecar.accounts.CreateAccount(accounts.CreateAccountRequest(account_id="acme", request_id="create"))
    assert again.replayed
    assert await sidecar.available() == 50 * CREDIT


async def test_a_plan_includes_operations_and_limits(sidecar: Sidecar) -> None:
    await subscribed(sidecar)
    refused = await refusal(sidecar.priced("api", "api"))
    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "NOT_ENTITLED")
    assert refused.metadata == {"operation": "api", "entitlement": "api_access"}
    assert (await refusal(sidecar.charge("amount", "api", amount_micros=1))).reason == "NOT_ENTITLED"
    await sidecar.billing.CreateSubscription(
        billing.CreateSubscriptionRequest(account_id="acme", request_id="pro", plan_id="pro")
    )
    assert (await sidecar.charge("api", "api")).charged_micros == 2 * CREDIT
    refused = await refusal(sidecar.charge("chats", "chat", quantity=19))
    assert (refused.metadata["limit_name"], refused.metadata["limit_window"]) == ("monthly", "cycle")
    await sidecar.move(by=timedelta(days=32))
    await sidecar.charge("chats", "chat", quantity=19)


async def test_thresholds_of_its_own_take_the_plan_that_includes_them(sidecar: Sidecar) -> None:
    await subscribed(sidecar)
    thresholds = account_pb2.Thresholds(low_balance_micros=CREDIT)
    refused = await refusal(update(sidecar, "t", "thresholds", thresholds=thresholds))
    assert (refused.reason, refused.metadata["entitlement"]) == ("NOT_ENTITLED", "alerts")
    created = accounts.CreateAccountRequest(account_id="other", request_id="c", thresholds=thresholds)
    assert (await refusal(sidecar.accounts.CreateAccount(created))).reason == "NOT_ENTITLED"
    await update(sidecar, "cleared", "thresholds contacts")
    await sidecar.billing.CreateSubscription(
        billing.CreateSubscriptionRequest(account_id="acme", request_id="pro", plan_id="pro")
    )
    account = await update(sidecar, "t", "thresholds", thresholds=thresholds)
    assert account.thresholds == thresholds


async def test_the_balance_is_warned_of_in_words(sidecar: Sidecar) -> None:
    await subscribed(sidecar)
    assert not (await sidecar.charge("a", "chat", quantity=9)).notices
    low = (await sidecar.charge("b", "chat")).notices
    assert kinds(low) == [Notice.KIND_LOW_BALANCE]
    assert (low[0].threshold_micros, low[0].message) == (40 * CREDIT, "40 credits are left, at or below 40")
    critical = (await sidecar.charge("c", "chat", quantity=30)).notices
    assert kinds(critical) == [Notice.KIND_CRITICAL_BALANCE]
    assert critical[0].message == "10 credits are left, at or below the critical 10"


async def test_the_catalogs_horizon_says_what_expires_soon(sidecar: Sidecar) -> None:
    await sidecar.install("format: 1\nname: soon\nexpiring_soon: 3 days\ngrants: {free: {validity: 2 days}}\n")
    await sidecar.account(credits=5)
    notices = (await charge(sidecar, "a", 1)).notices
    assert kinds(notices) == [Notice.KIND_EXPIRING_SOON]
    assert notices[0].message.startswith("4 credits expire soon, the first of them at 20")


async def test_grants_end_by_the_rule_of_their_kind(sidecar: Sidecar) -> None:
    await sidecar.install(
        "format: 1\nname: rules\ngrants: {free: {validity: 30 days, priority: 7}, purchase: {validity: 12 months}}\n"
    )
    await sidecar.accounts.CreateAccount(
        accounts.CreateAccountRequest(account_id="acme", request_id="create", time_zone="Europe/Paris")
    )

    async def grant(request_id: str, **fields: Any) -> Any:
        request = accounts.CreateGrantRequest(
            **{"account_id": "acme", "request_id": request_id, "amount_micros": 1, **fields}
        )
        return await sidecar.accounts.CreateGrant(request)

    ruled = (await grant("ruled")).grant
    paris = timedelta(hours=1) if datetime.now(UTC).month in (11, 12, 1, 2) else timedelta(hours=2)
    end = ruled.expire_time.ToDatetime(UTC) + paris
    assert (end.hour, end.minute, ruled.priority) == (0, 0, 7)
    assert timedelta(days=30) < end - paris - ruled.acquire_time.ToDatetime(UTC) <= timedelta(days=31, hours=1)
    forever = (await grant("forever", never_expires=True, priority=3)).grant
    assert (forever.HasField("expire_time"), forever.priority) == (False, 3)
    assert not (await grant("other", kind="KIND_PROMOTION")).grant.HasField("expire_time")
    await sidecar.move(by=timedelta(hours=30))
    again = await grant("ruled")
    assert (again.replayed, again.grant.expire_time) == (True, ruled.expire_time)
    assert (await refusal(grant("ruled", never_expires=True))).reason == "REQUEST_ID_REUSED"
    past = datetime(2020, 1, 1, tzinfo=UTC)
    assert (await refusal(grant("past", acquire_time=past))).field == "acquire_time"


async def test_limits_hold_after_redis_lost_everything(redis_url: str, sidecar: Sidecar) -> None:
    await sidecar.account()
    await update(sidecar, "limit", "limits", limits=[limit()])
    await charge(sidecar, "used", 8)
    await sidecar.entry(ledger_pb2.LedgerEntry.KIND_CHARGE)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()

    async def served() -> str:
        refused = await refusal(charge(sidecar, "more", 3))
        return "" if refused.code == "UNAVAILABLE" else f"{refused.reason} {refused.metadata.get('used_micros')}"

    assert await wait_until(served) == f"LIMIT_EXCEEDED {8 * CREDIT}"
