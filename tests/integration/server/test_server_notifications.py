"""Alerts over gRPC, from the charge that sets them off to the list and the webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web

from earmark.v1 import account_pb2, catalog_pb2
from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import ledger_service_pb2 as pb
from tests.integration.server.conftest import Sidecar, refusal
from tests.support.waiting import wait_until

CREDIT = 1_000_000
Kind = pb.Notification


async def listed(sidecar: Sidecar, count: int, **fields: object) -> list[pb.Notification]:
    """The account's notifications, as soon as there are so many."""
    request = pb.ListNotificationsRequest(**{"account_id": "acme", **fields})  # type: ignore[arg-type]

    async def all_there() -> list[pb.Notification]:
        found = list((await sidecar.ledger.ListNotifications(request)).notifications)
        return found if len(found) >= count else []

    return await wait_until(all_there)


async def created(sidecar: Sidecar, credits: int, **fields: object) -> None:
    await sidecar.accounts.CreateAccount(
        accounts.CreateAccountRequest(account_id="acme", request_id="create", **fields)  # type: ignore[arg-type]
    )
    await sidecar.accounts.CreateGrant(
        accounts.CreateGrantRequest(account_id="acme", request_id="grant", amount_micros=credits * CREDIT)
    )


@pytest.fixture
async def hooks() -> AsyncIterator[tuple[str, list[dict[str, object]]]]:
    """A receiver, and what it received."""
    received: list[dict[str, object]] = []

    async def hook(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", received
    await runner.cleanup()


async def test_thresholds_are_told_once_a_crossing_and_delivered(
    sidecar: Sidecar, hooks: tuple[str, list[dict[str, object]]]
) -> None:
    url, received = hooks
    await created(
        sidecar,
        100,
        thresholds=account_pb2.Thresholds(low_balance_micros=50 * CREDIT, critical_balance_micros=10 * CREDIT),
        contacts=account_pb2.Contacts(webhook_url=url),
    )
    for number, credits in enumerate([40, 20, 5, 30]):  # 60, 40: low, 35, 5: critical
        await sidecar.charge(str(number), amount_micros=credits * CREDIT)
    critical, low = await listed(sidecar, 2)
    assert (low.kind, low.threshold_micros, low.balance_micros) == (Kind.KIND_LOW_BALANCE, 50 * CREDIT, 40 * CREDIT)
    assert (critical.kind, critical.balance_micros, critical.entry_number) == (
        Kind.KIND_CRITICAL_BALANCE,
        5 * CREDIT,
        5,
    )
    assert critical.message == "The balance of acme is critical: 5 credits are left, the threshold is 10."
    await wait_until(lambda: len(received) == 2)
    assert {body["notification_id"] for body in received} == {low.notification_id, critical.notification_id}

    async def delivered() -> bool:
        found = await listed(sidecar, 2)
        return all(way.state == Kind.DELIVERY_STATE_DELIVERED for each in found for way in each.deliveries)

    await wait_until(delivered)
    [way] = (await listed(sidecar, 2))[0].deliveries
    assert (way.channel, way.target, way.attempts, way.error) == ("webhook", url, 1, "")
    assert way.HasField("attempt_time")


async def test_a_limit_that_is_near_is_told(sidecar: Sidecar) -> None:
    limit = catalog_pb2.Limit(
        name="daily",
        scope=catalog_pb2.Limit.SCOPE_ACCOUNT,
        window=catalog_pb2.Limit.WINDOW_DAY,
        amount_micros=10 * CREDIT,
        mode=catalog_pb2.Limit.MODE_NOTIFY,
    )
    await created(sidecar, 100, limits=[limit])
    await sidecar.charge("a", amount_micros=8 * CREDIT)
    [near] = await listed(sidecar, 1)
    assert (near.kind, near.limit_name, near.threshold_micros) == (Kind.KIND_LIMIT_NEAR, "daily", 10 * CREDIT)
    await sidecar.charge("b", amount_micros=3 * CREDIT)
    [full, _] = await listed(sidecar, 2)
    assert "is used up" in full.message


async def test_credits_that_expire_soon_are_told(sidecar: Sidecar) -> None:
    await created(sidecar, 100)
    grant = accounts.CreateGrantRequest(account_id="acme", request_id="soon", amount_micros=7 * CREDIT)
    grant.expire_time.FromDatetime(await sidecar.move(by=timedelta(seconds=1)) + timedelta(days=30))
    made = await sidecar.accounts.CreateGrant(grant)
    await sidecar.move(by=timedelta(days=22))
    assert (await sidecar.ledger.ListNotifications(pb.ListNotificationsRequest(account_id="acme"))).notifications == []
    await sidecar.move(by=timedelta(days=2))
    [soon] = await listed(sidecar, 1)
    assert (soon.kind, soon.grant_id, soon.entry_number) == (Kind.KIND_EXPIRING_SOON, made.grant.grant_id, 0)
    assert soon.message.startswith("7 credits of acme expire at ")


async def test_notifications_come_in_pages(sidecar: Sidecar) -> None:
    await created(
        sidecar,
        100,
        thresholds=account_pb2.Thresholds(low_balance_micros=99 * CREDIT, critical_balance_micros=98 * CREDIT),
    )
    await sidecar.charge("a", amount_micros=3 * CREDIT)
    both = await listed(sidecar, 2)
    request = pb.ListNotificationsRequest(page_size=1)
    first = await sidecar.ledger.ListNotifications(request)
    request.page_token = first.next_page_token
    second = await sidecar.ledger.ListNotifications(request)
    assert [*first.notifications, *second.notifications] == both
    assert second.next_page_token == ""
    assert len(await listed(sidecar, 1, kind=Kind.KIND_LOW_BALANCE)) == 1
    for bad in (
        pb.ListNotificationsRequest(page_size=1, account_id="acme", page_token=first.next_page_token),
        pb.ListNotificationsRequest(kind=9),  # type: ignore[arg-type]
        pb.ListNotificationsRequest(account_id="\n"),
        pb.ListNotificationsRequest(page_size=-1),
    ):
        assert (await refusal(sidecar.ledger.ListNotifications(bad))).code == "INVALID_ARGUMENT"
