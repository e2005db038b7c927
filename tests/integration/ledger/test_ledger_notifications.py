"""Notifications: listed newest first, warned of once, and each delivery claimed by one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from earmark.domain.states import AlertKind
from earmark.engine.records import Alert, WindowUse
from earmark.ledger import Ledger, open_ledger
from earmark.ledger.models import AccountChanges, Contacts, DeliveryState, Thresholds
from earmark.ledger.notifications import DueDelivery, NotificationRecord
from tests.integration.ledger.stream import DAY, NOW, Writer, charged, content, create, grant, granted

CONTACTS = Contacts(("a@example.org",), "https://example.org/hook", "secret")
WEEK, MINUTE = 7 * DAY, 60_000_000


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    """A ledger whose clock stands still."""
    opened = await open_ledger(ledger_url, clock=lambda: NOW)
    await opened.stores.initialise(4, for_tests=True)
    yield opened
    await opened.close()


def low(threshold: int = 500) -> Alert:
    return Alert(AlertKind.LOW_BALANCE.value, threshold, "", 0, threshold - 1)


async def spent(ledger: Ledger, account_id: str = "acme", alerts: int = 1, **fields: object) -> Writer:
    """An account with as many alerts, one a charge."""
    writer = await create(ledger, account_id, **fields)
    writer.flushed_seq = (await ledger.partitions.read(writer.partition)).flushed_seq
    await writer.write(
        granted(await grant(ledger, account_id), 1, 1000),
        *(charged(account_id, 2 + n, 1, request_id=str(n), alerts=(low(500 - n),)) for n in range(alerts)),
    )
    return writer


async def opened_grant(ledger: Ledger, writer: Writer, number: int, expire_time: int, account_id: str = "acme") -> None:
    ticket = await grant(ledger, account_id, amount=number * 1_000_000, expire_time=expire_time)
    await writer.write(granted(ticket, number, number * 1_000_000, expire_time=expire_time))


async def warned(ledger: Ledger) -> list[tuple[str, int]]:
    found = await ledger.notifications.list(None, 100, kind=AlertKind.EXPIRING_SOON)
    return sorted((record.account_id, record.grant) for record in found)


async def claim_one(ledger: Ledger, busy: int = MINUTE) -> DueDelivery:
    [delivery] = await ledger.notifications.claim(1, busy)
    return delivery


async def only(ledger: Ledger) -> NotificationRecord:
    [record] = await ledger.notifications.list(None, 100)
    return record


async def test_notifications_are_listed_newest_first_in_pages(ledger: Ledger) -> None:
    await spent(ledger, "acme", alerts=5)
    await spent(ledger, "other", alerts=2, contacts=CONTACTS)
    everything = await ledger.notifications.list(None, 100)
    assert [record.create_time for record in everything] == sorted(
        (record.create_time for record in everything), reverse=True
    )
    mine = await ledger.notifications.list("acme", 100)
    assert [record.entry_number for record in mine] == [6, 5, 4, 3, 2]
    for account_id, wanted in [(None, everything), ("acme", mine)]:
        paged: list[NotificationRecord] = []
        while page := await ledger.notifications.list(account_id, 2, paged[-1].position if paged else None):
            paged += page
        assert paged == wanted
    assert await ledger.notifications.list("acme", 100, kind=AlertKind.LIMIT_NEAR) == []
    assert len(await ledger.notifications.list("acme", 100, kind=AlertKind.LOW_BALANCE)) == 5
    assert await ledger.notifications.list("nobody", 100) == []
    [first, _] = await ledger.notifications.list("other", 100)
    assert [(way.channel, way.target, way.state) for way in first.deliveries] == [
        ("email", "a@example.org", DeliveryState.PENDING),
        ("webhook", "https://example.org/hook", DeliveryState.PENDING),
    ]


async def test_every_alert_says_in_words_what_happened(ledger: Ledger) -> None:
    writer = await create(ledger)
    near = Alert(AlertKind.LIMIT_NEAR.value, 800_000, "daily:0:day:user:a:b", 1_000_000, 7_000_000)
    full = Alert(AlertKind.LIMIT_NEAR.value, 1_000_000, "daily:0:day:user:a:b", 1_000_000, 7_000_000)
    critical = Alert(AlertKind.CRITICAL_BALANCE.value, 10_000_000, "", 0, 7_500_000)
    use = WindowUse("daily:0:day:user:a:b", NOW, NOW + DAY, 1)
    await writer.write(
        granted(await grant(ledger, amount=10_000_000, expire_time=NOW + DAY), 1, 10_000_000),
        charged("acme", 2, 1, windows=(use,), alerts=(critical, near, full)),
    )
    await ledger.notifications.warn_expiring(WEEK, 10)
    assert {record.message for record in await ledger.notifications.list("acme", 10)} == {
        "The balance of acme is critical: 7.5 credits are left, the threshold is 10.",
        "The limit daily of acme is almost used up: at least 0.8 of 1 credits were charged.",
        "The limit daily of acme is used up: at least 1 of 1 credits were charged.",
        "9.999999 credits of acme expire at 2026-11-19 11:06 UTC.",
    }


async def test_what_expires_soon_is_told_once(ledger: Ledger) -> None:
    writer = await create(ledger, contacts=CONTACTS)
    for number, expire_time in enumerate([0, NOW + WEEK, NOW + WEEK + 1, NOW, NOW + 1], 1):
        await opened_grant(ledger, writer, number, expire_time)
    assert await ledger.notifications.warn_expiring(WEEK, 100) == 2
    assert await ledger.notifications.warn_expiring(WEEK, 100) == 0
    assert await warned(ledger) == [("acme", 2), ("acme", 5)]
    [_, record] = await ledger.notifications.list("acme", 2)  # they have one time: the first that was stored is last
    assert (record.amount, record.balance, record.expire_time) == (5_000_000, 15_000_000, NOW + 1)
    assert (record.create_time, record.entry_number, len(record.deliveries)) == (NOW, 0, 2)
    assert await ledger.notifications.warn_expiring(WEEK + 1, 100) == 1


async def test_what_is_told_again_after_a_loss_keeps_its_id(ledger: Ledger) -> None:
    writer = await create(ledger)
    await opened_grant(ledger, writer, 1, NOW + DAY)
    await ledger.notifications.warn_expiring(WEEK, 100)
    before = await only(ledger)
    again = "UPDATE grants SET warned = false"
    await ledger._database.write(lambda connection: connection.exec_driver_sql(again).close())
    assert await ledger.notifications.warn_expiring(WEEK, 100) == 1
    assert await only(ledger) == before


async def test_an_account_has_a_horizon_of_its_own(ledger: Ledger) -> None:
    horizons = {"never": 0, "short": DAY, "default": None, "long": 3 * WEEK}
    for account_id, horizon in horizons.items():
        writer = await create(ledger, account_id, thresholds=Thresholds(expiring_soon=horizon))
        writer.flushed_seq = (await ledger.partitions.read(writer.partition)).flushed_seq
        for number, days in enumerate([1, 2, 14, 30], 1):
            await opened_grant(ledger, writer, number, NOW + days * DAY, account_id)
    while await ledger.notifications.warn_expiring(WEEK, 2):
        pass
    assert await warned(ledger) == [
        ("default", 1),
        ("default", 2),
        ("long", 1),
        ("long", 2),
        ("long", 3),
        ("short", 1),
    ]
    changes = AccountChanges(thresholds=Thresholds(expiring_soon=5 * WEEK))
    await ledger.accounts.update("never", "r", content("r"), changes)
    assert await ledger.notifications.warn_expiring(WEEK, 100) == 4


async def test_a_delivery_is_one_claimants_until_the_claim_lapses(ledger: Ledger) -> None:
    await spent(ledger, alerts=10, contacts=CONTACTS)
    claims = await asyncio.gather(*(ledger.notifications.claim(4, MINUTE) for _ in range(6)))
    claimed = [(way.notification_key, way.position) for claim in claims for way in claim]
    assert len(claimed) == len(set(claimed))
    claimed += [(way.notification_key, way.position) for way in await ledger.notifications.claim(100, MINUTE)]
    assert len(set(claimed)) == 20
    assert list(await ledger.notifications.claim(100, MINUTE)) == []


async def test_whoever_dies_with_a_claim_leaves_it_to_another(ledger: Ledger) -> None:
    await spent(ledger, contacts=Contacts(webhook_url="https://example.org/hook", webhook_secret="secret"))
    first = await claim_one(ledger, busy=0)
    second = await claim_one(ledger, busy=0)
    assert (first.attempt, second.attempt, second.secret) == (1, 2, "secret")
    assert first.notification.notification_id == second.notification.notification_id
    await ledger.notifications.failed(first, "too late to matter", None)
    assert (await claim_one(ledger)).attempt == 3


async def test_a_delivery_ends_delivered_or_failed(ledger: Ledger) -> None:
    await spent(ledger, contacts=CONTACTS)
    mail, hook = await ledger.notifications.claim(2, MINUTE)
    await ledger.notifications.delivered(mail)
    await ledger.notifications.failed(hook, "the receiver answered 500\0" + "x" * 1000, 0)
    [delivered, pending] = (await only(ledger)).deliveries
    assert (delivered.state, delivered.attempts, delivered.error) == (DeliveryState.DELIVERED, 1, "")
    assert delivered.attempt_time == mail.now
    assert (pending.state, len(pending.error)) == (DeliveryState.PENDING, 500)
    hook = await claim_one(ledger)
    await ledger.notifications.failed(hook, "the receiver answered 410", None)
    [_, failed] = (await only(ledger)).deliveries
    assert (failed.state, failed.attempts, failed.error) == (DeliveryState.FAILED, 2, "the receiver answered 410")
    assert list(await ledger.notifications.claim(10, MINUTE)) == []
