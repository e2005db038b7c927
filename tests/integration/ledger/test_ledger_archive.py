"""What Redis may load: only what flushed entries and applied administration confirm."""

from __future__ import annotations

from earmark.domain.ids import format_reservation_id
from earmark.domain.states import EntryKind, GrantKind, ReservationState
from earmark.engine.operations import ApplyGrant, LoadAccount
from earmark.engine.ports import Archive
from earmark.ledger import Ledger
from earmark.ledger.models import AccountChanges
from tests.integration.ledger.stream import (
    DAY,
    NOW,
    charged,
    configured,
    content,
    create,
    digest,
    ended,
    grant,
    granted,
    partition,
    record,
)


async def load(ledger: Ledger) -> LoadAccount:
    archive: Archive = ledger.archive
    _, account = await archive.read_account("acme", partition("acme"))
    assert account is not None
    return account


async def test_a_new_account_loads_as_it_was_created(ledger: Ledger) -> None:
    await create(ledger, overdraft_limit=5)
    assert await ledger.archive.read_account("acme", partition("acme")) == (
        0,
        LoadAccount(
            account_id="acme",
            generation=0,
            entry_number=0,
            charged=0,
            granted=0,
            expired=0,
            voided=0,
            debt=0,
            suspended=False,
            enforcement=1,
            overdraft_limit=5,
            admin_seq=0,
            members=(),
            grants=(),
        ),
    )


async def test_what_nobody_created_is_none(ledger: Ledger) -> None:
    assert await ledger.archive.read_account("none", 1) == (0, None)
    assert await ledger.archive.read_reservation("none", digest("none", "r"), 1) == (0, None)
    assert await ledger.archive.read_admin_operations("none", 0) == []


async def test_configuration_that_was_not_applied_is_not_loaded(ledger: Ledger) -> None:
    writer = await create(ledger)
    accounts = ledger.accounts
    tickets = [
        await accounts.add_member("acme", "r1", content("1"), "ann"),
        await accounts.update("acme", "r2", content("2"), AccountChanges(overdraft_limit=9)),
        await accounts.remove_member("acme", "r3", content("3"), "ann"),
        await accounts.set_suspended("acme", "r4", content("4"), suspended=True),
        await accounts.add_member("acme", "r5", content("5"), "ann"),
    ]
    seen = []
    for ticket in tickets:
        account = await load(ledger)
        seen.append((account.admin_seq, account.members, account.overdraft_limit, account.suspended))
        await writer.write(configured(ticket))
    account = await load(ledger)
    seen.append((account.admin_seq, account.members, account.overdraft_limit, account.suspended))
    assert seen == [
        (0, (), 0, False),
        (1, ("ann",), 0, False),
        (2, ("ann",), 9, False),
        (3, (), 9, False),
        (4, (), 9, True),
        (5, ("ann",), 9, True),
    ]


async def test_several_configurations_in_one_flush_leave_the_last(ledger: Ledger) -> None:
    writer = await create(ledger)
    tickets = [
        await ledger.accounts.update("acme", f"r{limit}", content(str(limit)), AccountChanges(overdraft_limit=limit))
        for limit in (3, 1, 2)
    ]
    await writer.write(*map(configured, tickets))
    assert (await load(ledger)).overdraft_limit == 2


async def test_grants_load_with_what_flushed_entries_left_of_them(ledger: Ledger) -> None:
    writer = await create(ledger)
    tickets = [await grant(ledger, amount=amount, expire_time=NOW + DAY, priority=amount) for amount in (10, 20, 30)]
    await grant(ledger, amount=40)
    void = await ledger.accounts.record_void("acme", "v", content("v"), 2)
    await writer.write(
        *(granted(ticket, number, number * 10) for number, ticket in enumerate(tickets, 1)),
        charged("acme", 4, 25, allocations=(1, 1, 10, 3, 1, 15)),
    )
    account = await load(ledger)
    assert account.grants == (
        *(2, GrantKind.FREE, 20, NOW + DAY, NOW, 20, 0),
        *(3, GrantKind.FREE, 30, NOW + DAY, NOW, 15, 0),
    )
    assert (account.entry_number, account.granted, account.charged, account.admin_seq) == (4, 60, 25, 3)
    pending = await ledger.archive.read_admin_operations("acme", account.admin_seq)
    assert [operation.admin_seq for operation in pending] == [4, 5]
    await writer.write(granted(await grant(ledger, amount=40), 5, 40))
    # A part of the voided grant is held by a reservation that Redis knows: it comes back as voided, should it be lost.
    await writer.write(record(EntryKind.GRANT_VOIDED, "acme", 6, amount=12, grant=2, admin_seq=void.admin_seq))
    account = await load(ledger)
    assert account.grants[:7] == (2, GrantKind.FREE, 20, NOW + DAY, NOW, 8, 1)
    assert (account.voided, account.admin_seq) == (12, 5)


async def test_a_reservation_is_restored_as_its_last_entry_tells(ledger: Ledger) -> None:
    writer = await create(ledger)
    key = digest("acme", "job")
    await writer.write(
        granted(await grant(ledger), 1, 1000),
        ended(EntryKind.EXPIRED_HOLD, "acme", 2, "job", reserved=50, price_version=3),
    )
    flushed, expired = await ledger.archive.read_reservation("acme", key, writer.partition)
    assert expired is not None
    assert (flushed, expired.state, expired.reserved, expired.charged) == (2, ReservationState.EXPIRED, 50, 0)
    assert (expired.content, expired.price_version) == (content("job"), 3)
    assert (expired.create_time, expired.expire_time, expired.settle_time) == (NOW - DAY, NOW + DAY, NOW + 2)
    late = charged("acme", 3, 40, request_id="job", late=1, reserved=50, uncollected=2)
    await writer.write(late)
    flushed, committed = await ledger.archive.read_reservation("acme", key, writer.partition)
    assert committed is not None
    assert (flushed, committed.state, committed.charged) == (3, ReservationState.COMMITTED, 40)
    assert (committed.uncollected, committed.late, committed.entry_number) == (2, True, 3)
    assert committed.allocations == (1, 1, 40)
    assert committed.details == late.details
    await create(ledger, "other")
    assert await ledger.archive.read_reservation("other", key, writer.partition) == (3, None)


async def test_an_adjustment_is_not_mistaken_for_the_end_of_its_reservation(ledger: Ledger) -> None:
    writer = await create(ledger)
    await writer.write(granted(await grant(ledger), 1, 1000), charged("acme", 2, 40, request_id="job"))
    key = digest("acme", "job")
    ticket = await grant(
        ledger, amount=40, kind=GrantKind.ADJUSTMENT, reservation_id=format_reservation_id("acme", key)
    )
    assert isinstance(ticket.operation, ApplyGrant)
    await writer.write(granted(ticket, 3, 40, settlement=ticket.operation.settlement))
    _, found = await ledger.archive.read_reservation("acme", key, writer.partition)
    assert found is not None
    assert found.entry_number == 2
    about = await ledger.entries.by_reservation("acme", key)
    assert [entry.entry_number for entry in about] == [2, 3]
