"""Accounts and their administration: numbered without a gap, each request once."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from earmark.credits import MAX_MICROS
from earmark.domain.states import Enforcement, EntryKind, GrantKind
from earmark.engine.operations import ApplyGrant, Configure, VoidGrant
from earmark.errors import AlreadyExists, FailedPrecondition, NotFound, Reason
from earmark.ledger import Ledger
from earmark.ledger.models import (
    AccountChanges,
    AdminTicket,
    Contacts,
    MemberRole,
    NewAccount,
    NewGrant,
    Thresholds,
)
from tests.integration.ledger.stream import (
    DAY,
    NOW,
    Writer,
    charged,
    content,
    create,
    digest,
    ended,
    grant,
    granted,
    partition,
    record,
)

from earmark.domain.ids import format_reservation_id  # isort: skip


async def test_an_account_is_stored_as_it_was_asked_for(ledger: Ledger) -> None:
    wanted = NewAccount(
        "acme",
        display_name="Acme",
        time_zone="Europe/Paris",
        overdraft_limit=MAX_MICROS,
        enforcement=Enforcement.OBSERVE,
        thresholds=Thresholds(low_balance=0, expiring_soon=7 * DAY),
        contacts=Contacts(("a@example.org", "b@example.org"), "https://example.org/hook"),
        labels={"tier": "pro"},
    )
    account, replayed = await ledger.accounts.create(wanted, "r", content("c"))
    assert not replayed
    assert account == await ledger.accounts.get("acme")
    for name in wanted.__struct_fields__:
        assert getattr(account, name) == getattr(wanted, name)
    assert (account.partition, account.admin_seq, account.suspended) == (partition("acme"), 0, False)


async def test_creating_twice_is_a_replay_or_tells_what_is_wrong(ledger: Ledger) -> None:
    first, _ = await ledger.accounts.create(NewAccount("acme"), "r", content("c"))
    assert await ledger.accounts.create(NewAccount("acme"), "r", content("c")) == (first, True)
    for request_id, what, reason in [
        ("r", "other", Reason.REQUEST_ID_REUSED),
        ("r2", "c", Reason.ACCOUNT_EXISTS),
    ]:
        with pytest.raises(AlreadyExists) as refusal:
            await ledger.accounts.create(NewAccount("acme"), request_id, content(what))
        assert refusal.value.reason is reason
    with pytest.raises(AlreadyExists, match="was used for another request"):
        await ledger.accounts.set_suspended("acme", "r", content("suspend"), suspended=True)


async def test_an_account_that_many_create_at_once_is_created_once(ledger: Ledger) -> None:
    created = await asyncio.gather(*(ledger.accounts.create(NewAccount("acme"), "r", content("c")) for _ in range(8)))
    assert sorted(replayed for _, replayed in created) == [False] + [True] * 7


async def test_an_unknown_account_is_not_found(ledger: Ledger) -> None:
    accounts, what = ledger.accounts, content("c")
    for call in (
        accounts.get("none"),
        accounts.update("none", "r", what, AccountChanges()),
        accounts.set_suspended("none", "r", what, suspended=True),
        accounts.add_member("none", "r", what, "ann"),
        accounts.remove_member("none", "r", what, "ann"),
        accounts.record_grant("none", "r", what, NewGrant(GrantKind.FREE, 1, NOW)),
        accounts.record_void("none", "r", what, 1),
        accounts.get_grant("none", 1),
        accounts.list_grants("none", 10),
    ):
        with pytest.raises(NotFound) as refusal:
            await call
        assert refusal.value.reason is Reason.ACCOUNT_NOT_FOUND
    assert await accounts.admin_outcome("none", 1) is None


async def test_accounts_are_listed_by_id_in_byte_order(ledger: Ledger) -> None:
    ids = ["B", "a", "a-1", "a~", "a%", "aa", "a_", "b", "~"]
    for account_id in ids:
        await create(ledger, account_id)
    assert [account.account_id for account in await ledger.accounts.list("", 100)] == sorted(ids)
    with_a = sorted(account_id for account_id in ids if account_id.startswith("a"))
    first = await ledger.accounts.list("a", 2)
    rest = await ledger.accounts.list("a", 100, first[-1].account_id)
    assert [account.account_id for account in first + rest] == with_a
    assert [account.account_id for account in await ledger.accounts.list("a%", 100)] == ["a%"]


async def test_every_change_takes_the_next_number_and_says_what_redis_must_know(ledger: Ledger) -> None:
    await create(ledger)
    accounts = ledger.accounts
    changes = AccountChanges(display_name="New", labels={"a": "b"}, thresholds=Thresholds(5), contacts=Contacts())
    limits = AccountChanges(overdraft_limit=7, enforcement=Enforcement.OBSERVE)
    tickets = [
        await accounts.update("acme", "r1", content("1"), changes),
        await accounts.set_suspended("acme", "r2", content("2"), suspended=True),
        await accounts.update("acme", "r3", content("3"), limits),
        await accounts.add_member("acme", "r4", content("4"), "ann", MemberRole.ADMIN),
        await accounts.add_member("acme", "r5", content("5"), "ann"),
        await accounts.remove_member("acme", "r6", content("6"), "bob"),
        await accounts.remove_member("acme", "r7", content("7"), "ann"),
        await accounts.set_suspended("acme", "r8", content("8"), suspended=False),
    ]
    assert [ticket.operation for ticket in tickets] == [
        Configure("acme", 1, suspended=False, enforcement=1, overdraft_limit=0, low_balance=5),
        Configure("acme", 2, suspended=True, enforcement=1, overdraft_limit=0, low_balance=5),
        Configure("acme", 3, suspended=True, enforcement=2, overdraft_limit=7, low_balance=5),
        Configure("acme", 4, suspended=True, enforcement=2, overdraft_limit=7, members_added=("ann",), low_balance=5),
        Configure("acme", 5, suspended=True, enforcement=2, overdraft_limit=7, low_balance=5),
        Configure("acme", 6, suspended=True, enforcement=2, overdraft_limit=7, low_balance=5),
        Configure("acme", 7, suspended=True, enforcement=2, overdraft_limit=7, members_removed=("ann",), low_balance=5),
        Configure("acme", 8, suspended=False, enforcement=2, overdraft_limit=7, low_balance=5),
    ]
    assert await ledger.archive.read_admin_operations("acme", 5) == [ticket.operation for ticket in tickets[5:]]
    account = await accounts.get("acme")
    assert (account.display_name, account.labels, account.thresholds) == ("New", {"a": "b"}, Thresholds(5))
    assert (account.admin_seq, account.applied_admin_seq, account.overdraft_limit) == (8, 0, 7)
    replay = await accounts.update("acme", "r1", content("1"), changes)
    assert replay == AdminTicket("acme", 1, replayed=True, operation=tickets[0].operation)
    with pytest.raises(AlreadyExists) as refusal:
        await accounts.update("acme", "r1", content("1b"), changes)
    assert refusal.value.reason is Reason.REQUEST_ID_REUSED


async def test_members_are_those_of_now(ledger: Ledger) -> None:
    await create(ledger)
    numbers = count()
    for action in ("+bob", "+ann", "-bob", "+bob", "+cyd", "-cyd"):
        call = ledger.accounts.add_member if action[0] == "+" else ledger.accounts.remove_member
        request_id = f"r{next(numbers)}"
        await call("acme", request_id, content(request_id), action[1:])
    members = (await ledger.accounts.get("acme")).members
    assert [(member.user_id, member.role) for member in members] == [
        ("ann", MemberRole.MEMBER),
        ("bob", MemberRole.MEMBER),
    ]


async def test_simultaneous_changes_get_numbers_without_a_gap(ledger: Ledger) -> None:
    await create(ledger)
    tickets = await asyncio.gather(
        *(
            ledger.accounts.set_suspended("acme", f"r{at % 10}", content(str(at % 10)), suspended=at % 2 == 0)
            for at in range(30)
        )
    )
    assert sorted({ticket.admin_seq for ticket in tickets}) == list(range(1, 11))
    assert sum(not ticket.replayed for ticket in tickets) == 10
    operations = await ledger.archive.read_admin_operations("acme", 0)
    assert [operation.admin_seq for operation in operations] == list(range(1, 11))


async def test_a_grant_is_recorded_as_it_is_relayed(ledger: Ledger) -> None:
    await create(ledger)
    wanted = NewGrant(GrantKind.PURCHASE, MAX_MICROS, NOW, NOW + DAY, 7, comment="pack", actor="shop")
    ticket = await ledger.accounts.record_grant("acme", "r", content("c"), wanted, max_grants=1024)
    assert isinstance(ticket.operation, ApplyGrant)
    assert (ticket.operation.amount, ticket.operation.max_grants, ticket.operation.priority) == (MAX_MICROS, 1024, 7)
    found = await ledger.accounts.get_grant("acme", 1)
    assert (found.kind, found.amount, found.expire_time, found.comment, found.actor) == (
        GrantKind.PURCHASE,
        MAX_MICROS,
        NOW + DAY,
        "pack",
        "shop",
    )
    assert (found.pending, found.remaining, found.request_id) == (True, MAX_MICROS, "r")
    assert await ledger.archive.read_admin_operations("acme", 0) == [ticket.operation]


async def test_grants_are_listed_newest_first(ledger: Ledger) -> None:
    await create(ledger)
    for amount in range(1, 6):
        await grant(ledger, amount=amount)
    first = await ledger.accounts.list_grants("acme", 2)
    rest = await ledger.accounts.list_grants("acme", 10, before=first[-1].number)
    assert [found.number for found in first + rest] == [5, 4, 3, 2, 1]


async def test_a_void_names_a_grant_that_exists(ledger: Ledger) -> None:
    await create(ledger)
    await grant(ledger)
    ticket = await ledger.accounts.record_void("acme", "v", content("v"), 1, reason="mistake", actor="ann")
    assert isinstance(ticket.operation, VoidGrant)
    assert (ticket.admin_seq, ticket.operation.grant) == (2, 1)
    assert '"mistake"' in ticket.operation.settlement
    with pytest.raises(NotFound) as refusal:
        await ledger.accounts.record_void("acme", "v2", content("v2"), 2)
    assert refusal.value.reason is Reason.GRANT_NOT_FOUND


async def adjust(ledger: Ledger, request_id: str, amount: int, reservation: str = "job") -> AdminTicket:
    reservation_id = format_reservation_id("acme", digest("acme", reservation))
    wanted = NewGrant(GrantKind.ADJUSTMENT, amount, NOW, reservation_id=reservation_id)
    return await ledger.accounts.record_grant("acme", request_id, content(request_id), wanted)


async def test_adjustments_never_make_good_more_than_was_charged(ledger: Ledger) -> None:
    writer = await create(ledger)
    await writer.write(
        granted(await grant(ledger), 1, 1000),
        charged("acme", 2, 100, request_id="job"),
        ended(EntryKind.RELEASE, "acme", 3, "failed"),
        ended(EntryKind.EXPIRED_HOLD, "acme", 4, "late"),
        charged("acme", 5, 10, request_id="late", late=1),
    )
    first = await adjust(ledger, "a1", 60)
    assert (await adjust(ledger, "a1", 60)).replayed
    for request_id, amount, reservation in [("a2", 41, "job"), ("a3", 1, "failed"), ("a4", 11, "late")]:
        with pytest.raises(FailedPrecondition) as refusal:
            await adjust(ledger, request_id, amount, reservation)
        assert refusal.value.reason is Reason.ADJUSTMENT_EXCEEDS_CHARGE
    await adjust(ledger, "a5", 10, "late")
    await writer.write(record(EntryKind.ADMIN_REFUSED, "acme", 0, admin_seq=first.admin_seq, refusal=10))
    await adjust(ledger, "a2", 41)
    with pytest.raises(NotFound) as unknown:
        await adjust(ledger, "a6", 1, "never")
    assert unknown.value.reason is Reason.RESERVATION_NOT_FOUND
    assert (await ledger.accounts.get("acme")).admin_seq == 4


async def test_of_adjustments_at_the_same_moment_only_so_many_pass_as_the_charge_covers(ledger: Ledger) -> None:
    writer = await create(ledger)
    await writer.write(granted(await grant(ledger), 1, 1000), charged("acme", 2, 100, request_id="job"))
    outcomes = await asyncio.gather(*(adjust(ledger, f"a{at}", 30) for at in range(12)), return_exceptions=True)
    assert sum(isinstance(outcome, AdminTicket) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, FailedPrecondition) for outcome in outcomes) == 9


async def test_another_accounts_charge_cannot_be_made_good(ledger: Ledger) -> None:
    other = await create(ledger, "other")
    await other.write(granted(await grant(ledger, "other"), 1, 1000), charged("other", 2, 100, request_id="job"))
    await create(ledger)
    reservation_id = format_reservation_id("other", digest("other", "job"))
    wanted = NewGrant(GrantKind.ADJUSTMENT, 1, NOW, reservation_id=reservation_id)
    with pytest.raises(NotFound) as refusal:
        await ledger.accounts.record_grant("acme", "a", content("a"), wanted)
    assert refusal.value.reason is Reason.RESERVATION_NOT_FOUND


async def test_due_grants_are_those_with_something_left(ledger: Ledger) -> None:
    assert await ledger.accounts.accounts_with_due_grants(NOW + 9 * DAY, 10) == []
    for account_id, days in [("late", 2), ("early", 1), ("never", 0), ("pending", 1)]:
        writer = await create(ledger, account_id)
        writer.flushed_seq = (await ledger.partitions.read(writer.partition)).flushed_seq
        ticket = await grant(ledger, account_id, expire_time=NOW + days * DAY if days else 0)
        if account_id != "pending":
            await writer.write(granted(ticket, 1, 1000))
    due = ledger.accounts.accounts_with_due_grants
    assert await due(NOW + DAY - 1, 10) == []
    assert await due(NOW + DAY, 10) == ["early"]
    assert await due(NOW + 9 * DAY, 10) == ["early", "late"]
    assert await due(NOW + 9 * DAY, 1) == ["early"]
    writer = Writer(ledger, "early")
    writer.flushed_seq = (await ledger.partitions.read(writer.partition)).flushed_seq
    await writer.write(record(EntryKind.GRANT_EXPIRED, "early", 2, amount=1000, grant=1))
    assert await due(NOW + 9 * DAY, 10) == ["late"]
    assert await ledger.accounts.accounts_with_pending_administration(10) == ["pending"]
