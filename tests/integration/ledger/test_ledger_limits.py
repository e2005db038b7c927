"""What a flush writes of limits, alerts and renewals: each once, and a load finds it again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from earmark.domain.limits import FOREVER
from earmark.domain.states import AlertKind, EntryKind, GrantKind
from earmark.engine.operations import ABSENT, Counter, LoadAccount
from earmark.engine.records import Alert, StreamRecord, WindowUse
from earmark.ledger import Ledger, open_ledger
from earmark.ledger.administration import AdminCall
from earmark.ledger.configuration import record_configuration
from earmark.ledger.grants import record_renewal
from earmark.ledger.models import AccountChanges, AdminTicket, Conflict, Contacts, NewRenewal, Thresholds, Written
from earmark.ledger.tables.alerts import notification_deliveries, notifications
from earmark.ledger.tables.limits import limit_counters
from tests.integration.ledger.stream import (
    DAY,
    NOW,
    Writer,
    charged,
    configured,
    content,
    create,
    digest,
    element,
    ended,
    grant,
    granted,
    partition,
    record,
)

START, END = NOW - NOW % DAY, NOW - NOW % DAY + DAY
LOW = Alert(AlertKind.LOW_BALANCE.value, 500, "", 0, 490)
NEAR = Alert(AlertKind.LIMIT_NEAR.value, 80, "daily:0:day:user:ann", 100, 490)
CONTACTS = Contacts(("a@example.org", "b@example.org", "a@example.org"), "https://example.org/hook", "secret")


def used(amount: int, key: str = "daily:0:day:user:ann", start: int = START, end: int = END) -> WindowUse:
    return WindowUse(key, start, end, amount)


async def rows(ledger: Ledger, table: Any) -> list[tuple[Any, ...]]:
    query = select(table).order_by(*table.primary_key)
    return await ledger._database.read(lambda connection: [tuple(row) for row in connection.execute(query)])


async def load(ledger: Ledger) -> LoadAccount:
    _, loaded = await ledger.archive.read_account("acme", partition("acme"))
    assert loaded is not None
    return loaded


async def deliver_again(ledger: Ledger, writer: Writer, *elements: Any) -> None:
    """Let SQL forget how far it is, and flush once more."""
    statement = f"UPDATE partitions SET flushed_seq = 0 WHERE partition = {writer.partition}"
    await ledger._database.write(lambda connection: connection.exec_driver_sql(statement).close())
    outcome = await ledger.flush(writer.partition, 0, 0, elements)
    assert isinstance(outcome, Written)
    assert outcome.entries == 0


def given(ticket: AdminTicket, entry_number: int, amount: int, **fields: Any) -> StreamRecord:
    """The record of a grant with its allocation, as the audit wants it."""
    return granted(ticket, entry_number, amount, allocations=(ticket.admin_seq, 1, amount), **fields)


async def renewed(ledger: Ledger, request_id: str = "renewal/s/1", **fields: Any) -> AdminTicket:
    renewal = NewRenewal(**{"kind": GrantKind.SUBSCRIPTION, "amount": 100, "acquire_time": NOW, **fields})
    call = AdminCall("acme", request_id, content(request_id), NOW)
    return await ledger._database.write(lambda connection: record_renewal(connection, call, renewal))


async def test_windows_are_kept_with_their_entry_and_counted(ledger: Ledger) -> None:
    writer = await create(ledger)
    ever = used(10, "total:3:account:", 0, FOREVER)
    elements = [
        *await writer.write(
            granted(await grant(ledger), 1, 1000),
            charged("acme", 2, 10, request_id="a", windows=(used(10), ever)),
            charged("acme", 3, 7, request_id="b", windows=(used(7, start=START + DAY, end=END + DAY),)),
            ended(EntryKind.RELEASE, "acme", 4, "c", windows=(used(0), used(0, "daily:0:day:user:bob"))),
        ),
        *await writer.write(charged("acme", 5, 5, request_id="d", windows=(used(5),))),
    ]
    counters = [
        ("daily:0:day:user:ann", START, END, 15),
        ("daily:0:day:user:ann", START + DAY, END + DAY, 7),
        ("total:3:account:", 0, FOREVER, 10),
    ]
    assert [row[1:] for row in await rows(ledger, limit_counters)] == counters
    await deliver_again(ledger, writer, *elements)
    assert [row[1:] for row in await rows(ledger, limit_counters)] == counters
    _, released = await ledger.archive.read_reservation("acme", digest("acme", "c"), writer.partition)
    assert released is not None
    assert released.windows == (("daily:0:day:user:ann", START, END), ("daily:0:day:user:bob", START, END))


async def test_the_same_entry_with_other_windows_is_another_entry(ledger: Ledger) -> None:
    writer = await create(ledger)
    await writer.write(granted(await grant(ledger), 1, 1000), charged("acme", 2, 10, windows=(used(10),)))
    statement = f"UPDATE partitions SET flushed_seq = 1 WHERE partition = {writer.partition}"
    await ledger._database.write(lambda connection: connection.exec_driver_sql(statement).close())
    other = element(2, charged("acme", 2, 10, windows=(used(9),)))
    assert isinstance(await ledger.flush(writer.partition, 0, 1, [other]), Conflict)


async def test_a_load_brings_the_counters_whose_window_has_not_ended(ledger_url: str) -> None:
    for now, found in [(NOW, {START, 0}), (END + DAY, {0})]:
        ledger = await open_ledger(ledger_url, clock=lambda now=now: now)  # type: ignore[misc]
        await ledger.stores.initialise(4, for_tests=False)
        if now == NOW:
            writer = await create(ledger)
            windows = (used(10), used(10, "total:0:lifetime:account:", 0, FOREVER))
            await writer.write(granted(await grant(ledger), 1, 1000), charged("acme", 2, 10, windows=windows))
        counters = (await load(ledger)).counters
        assert {counter.start for counter in counters} == found
        assert Counter("total:0:lifetime:account:", 0, FOREVER, 10) in counters
        await ledger.close()


async def test_an_alert_is_stored_once_with_a_delivery_to_each_contact(ledger: Ledger) -> None:
    writer = await create(ledger, contacts=CONTACTS)
    elements = await writer.write(
        granted(await grant(ledger), 1, 1000),
        charged("acme", 2, 510, alerts=(LOW, NEAR, Alert(4, 100, NEAR.key, 100, 490))),
    )
    stored = await rows(ledger, notifications)
    assert [row[3:] for row in stored] == [
        (1, 500, "", 0, 490, 2, 0, 0, NOW + 2),
        (4, 80, NEAR.key, 100, 490, 2, 0, 0, NOW + 2),
        (4, 100, NEAR.key, 100, 490, 2, 0, 0, NOW + 2),
    ]
    assert len({row[1] for row in stored}) == 3
    sent = await rows(ledger, notification_deliveries)
    targets = [("email", "a@example.org"), ("email", "b@example.org"), ("webhook", "https://example.org/hook")]
    assert [row[2:] for row in sent] == [(*target, 1, 0, "", 0, 0) for target in targets] * 3
    await deliver_again(ledger, writer, *elements)
    assert await rows(ledger, notifications) == stored
    assert await rows(ledger, notification_deliveries) == sent


async def test_alerts_of_records_without_a_number_are_told_apart(ledger: Ledger) -> None:
    writer = await create(ledger)
    first, second = await renewed(ledger, "r1", amount=0, cap=0), await renewed(ledger, "r2", amount=0, cap=0)
    await writer.write(
        record(EntryKind.CONFIGURED, "acme", 0, admin_seq=first.admin_seq, alerts=(LOW,)),
        record(EntryKind.CONFIGURED, "acme", 0, admin_seq=second.admin_seq, alerts=(LOW,)),
    )
    assert len(await rows(ledger, notifications)) == 2
    assert await rows(ledger, notification_deliveries) == []


async def test_a_renewal_sets_the_cycle_and_later_endings_its_room(ledger: Ledger) -> None:
    writer = await create(ledger)
    first = await writer.write(given(await grant(ledger), 1, 1000))
    ticket = await renewed(ledger, cap=40, kinds=(GrantKind.SUBSCRIPTION, GrantKind.FREE))
    elements = await writer.write(
        record(EntryKind.GRANT_EXPIRED, "acme", 2, amount=960, grant=1, grant_kind=1, allocations=(1, 1, 960)),
        given(ticket, 3, 100, carry_room=30),
    )
    loaded = await load(ledger)
    assert (loaded.cycle_seq, loaded.carry_kinds, loaded.carry_room) == (ticket.admin_seq, 1 << 1 | 1 << 2, 30)
    assert loaded.config_seq == 0
    assert (await ledger.accounts.get_grant("acme", ticket.admin_seq)).pending is False
    await writer.write(ended(EntryKind.RELEASE, "acme", 4, carry_room=12))
    assert (await load(ledger)).carry_room == 12
    await deliver_again(ledger, writer, *first, *elements)
    assert (await load(ledger)).carry_room == 12
    assert (await ledger.audit.page(writer.partition)).contradictions == []


async def test_a_renewal_and_what_it_changes_in_one_flush(ledger: Ledger) -> None:
    writer = await create(ledger)
    one = await renewed(ledger, "r1", cap=40, kinds=(GrantKind.SUBSCRIPTION,))
    two = await renewed(ledger, "r2", amount=0, cap=0, kinds=(GrantKind.FREE,))
    call = AdminCall("acme", "plan", content("plan"), NOW)
    three = await ledger._database.write(lambda connection: record_configuration(connection, call))
    four = await renewed(ledger, "r3")
    await writer.write(
        given(one, 1, 100, carry_room=40),
        ended(EntryKind.RELEASE, "acme", 2, carry_room=20),
        record(EntryKind.CONFIGURED, "acme", 0, admin_seq=two.admin_seq, carry_room=0),
        configured(three),
        given(four, 3, 100),
    )
    loaded = await load(ledger)
    assert (loaded.cycle_seq, loaded.carry_kinds, loaded.carry_room) == (two.admin_seq, 1 << 1, 0)
    assert (loaded.config_seq, loaded.admin_seq, loaded.granted) == (three.admin_seq, 4, 200)
    assert (await ledger.audit.page(writer.partition)).contradictions == []


async def test_a_refused_renewal_changes_nothing(ledger: Ledger) -> None:
    writer = await create(ledger)
    ticket = await renewed(ledger, cap=40, kinds=(GrantKind.SUBSCRIPTION,))
    await writer.write(record(EntryKind.ADMIN_REFUSED, "acme", 0, admin_seq=ticket.admin_seq, refusal=10))
    loaded = await load(ledger)
    assert (loaded.cycle_seq, loaded.carry_kinds, loaded.admin_seq, loaded.grants) == (0, 0, 1, ())
    assert await ledger.accounts.list_grants("acme", 10) == []
    assert not (await renewed(ledger, cap=40, kinds=(GrantKind.SUBSCRIPTION,))).replayed


async def test_thresholds_are_those_that_redis_has_applied(ledger: Ledger) -> None:
    writer = await create(ledger, thresholds=Thresholds(low_balance=7))
    changes = AccountChanges(thresholds=Thresholds(critical_balance=3), time_zone="Asia/Tokyo")
    ticket = await ledger.accounts.update("acme", "r", content("r"), changes)
    before = await load(ledger)
    assert (before.low_balance, before.critical_balance, before.config_seq) == (7, ABSENT, 0)
    await writer.write(configured(ticket))
    after = await load(ledger)
    assert (after.low_balance, after.critical_balance, after.config_seq) == (ABSENT, 3, 1)
