"""What is configured of an account: what sidecars derive calls from, and when they must look again."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from earmark.domain.catalog import LimitMode, LimitRule, LimitScope, LimitWindow
from earmark.domain.states import Enforcement, GrantKind
from earmark.engine.operations import ABSENT, NEVER, ApplyGrant, Configure, Renew
from earmark.errors import AlreadyExists, NotFound, Reason
from earmark.ledger import Ledger, open_ledger
from earmark.ledger.administration import AdminCall
from earmark.ledger.configuration import record_configuration
from earmark.ledger.connections import Query
from earmark.ledger.grants import record_grant, record_renewal
from earmark.ledger.models import AccountChanges, AdminTicket, NewAccount, NewGrant, NewRenewal, Thresholds
from tests.integration.ledger.stream import DAY, NOW, content, create, partition

T = TypeVar("T")

DAILY = LimitRule("daily", LimitScope.USER, LimitWindow.DAY, 100)
TOTAL = LimitRule("total", LimitScope.ACCOUNT, LimitWindow.LIFETIME, 1_000, LimitMode.NOTIFY)


async def changed(ledger: Ledger, request_id: str, **changes: object) -> Configure:
    """Change the account and return what Redis is told."""
    wanted = AccountChanges(**changes)  # type: ignore[arg-type]
    ticket = await ledger.accounts.update("acme", request_id, content(request_id), wanted)
    assert isinstance(ticket.operation, Configure)
    return ticket.operation


async def written(ledger: Ledger, query: Query[T]) -> T:
    return await ledger._database.write(query)


def call(request_id: str, what: str = "") -> AdminCall:
    return AdminCall("acme", request_id, content(what or request_id), NOW, "ann")


async def test_only_what_calls_are_derived_from_moves_the_configuration(ledger: Ledger) -> None:
    await create(ledger, time_zone="Europe/Paris")
    assert (await ledger.accounts.configuration("acme")).config_seq == 0
    for number, (name, value, moves) in enumerate(
        [
            ("display_name", "Acme", False),
            ("thresholds", Thresholds(5), False),
            ("time_zone", "Europe/Paris", False),
            ("limits", (DAILY,), True),
            ("limits", (DAILY,), False),
            ("limits", (replace(DAILY, amount=7),), True),
            ("time_zone", "Asia/Tokyo", True),
            ("enforcement", Enforcement.OBSERVE, False),
            ("limits", (), True),
        ],
        1,
    ):
        before = await ledger.accounts.configuration("acme")
        operation = await changed(ledger, str(number), **{name: value})
        after = await ledger.accounts.configuration("acme")
        assert operation.config_seq == (number if moves else ABSENT), (number, name)
        assert after.config_seq == (number if moves else before.config_seq)
        assert (await ledger.accounts.get("acme")).config_seq == after.config_seq


async def test_a_limit_goes_on_counting_while_it_counts_the_same(ledger: Ledger) -> None:
    await create(ledger)
    await changed(ledger, "1", limits=(DAILY, TOTAL))
    first = await ledger.accounts.get("acme")
    assert [(rule.name, rule.created_seq) for rule in first.limits] == [("daily", 1), ("total", 1)]
    assert {rule.create_time for rule in first.limits} == {first.update_time}
    raised = replace(DAILY, amount=500, mode=LimitMode.NOTIFY, near_percent=50)
    await changed(ledger, "2", limits=(TOTAL, raised))
    assert [rule.created_seq for rule in (await ledger.accounts.get("acme")).limits] == [1, 1]
    monthly = replace(raised, window=LimitWindow.MONTH)
    await changed(ledger, "3", limits=(replace(TOTAL, subject="acme"), monthly))
    found = (await ledger.accounts.configuration("acme")).limits
    assert [rule.created_seq for rule in found] == [3, 3]
    assert replace(found[1], created_seq=0, create_time=0) == monthly
    await changed(ledger, "4", limits=(monthly,))
    await changed(ledger, "5", limits=(TOTAL, monthly))
    assert [rule.created_seq for rule in (await ledger.accounts.configuration("acme")).limits] == [5, 3]


async def test_an_account_that_is_created_with_limits_has_a_number_of_its_own_for_them(ledger: Ledger) -> None:
    wanted = NewAccount("acme", limits=(DAILY,), thresholds=Thresholds(low_balance=9))
    account, _ = await ledger.accounts.create(wanted, "create", content("create"))
    assert (account.admin_seq, account.applied_admin_seq, account.config_seq) == (1, 1, 1)
    assert account.limits == (replace(DAILY, created_seq=1, create_time=account.create_time),)
    assert (await ledger.accounts.create(wanted, "create", content("create"))) == (account, True)
    _, load = await ledger.archive.read_account("acme", partition("acme"))
    assert load is not None
    assert (load.admin_seq, load.config_seq, load.low_balance) == (1, 1, 9)
    assert (await ledger.audit.page(partition("acme"))).contradictions == []
    assert (await changed(ledger, "2", display_name="Acme")).admin_seq == 2


async def test_every_configuration_says_the_thresholds_in_force(ledger: Ledger) -> None:
    await create(ledger, thresholds=Thresholds(critical_balance=0))
    assert (await changed(ledger, "1", display_name="Acme")).critical_balance == 0
    for request_id, thresholds, effective in [
        ("2", Thresholds(low_balance=100, critical_balance=10), (100, 10)),
        ("3", Thresholds(low_balance=100, critical_balance=10, balance_alerts_off=True), (NEVER, NEVER)),
        ("4", Thresholds(), (ABSENT, ABSENT)),
    ]:
        operation = await changed(ledger, request_id, thresholds=thresholds)
        assert (operation.low_balance, operation.critical_balance) == effective
        assert (await ledger.accounts.configuration("acme")).thresholds == thresholds


async def test_a_new_time_zone_remembers_the_one_before(ledger_url: str) -> None:
    now = NOW
    ledger = await open_ledger(ledger_url, clock=lambda: now)
    await ledger.stores.initialise(4, for_tests=False)
    await create(ledger, time_zone="Europe/Paris")
    found = await ledger.accounts.configuration("acme")
    assert (found.time_zone, found.previous_time_zone, found.zone_change_time) == ("Europe/Paris", "", 0)
    assert found.create_time == NOW
    now += DAY
    await changed(ledger, "1", time_zone="Asia/Tokyo")
    found = await ledger.accounts.configuration("acme")
    assert (found.time_zone, found.previous_time_zone, found.zone_change_time) == ("Asia/Tokyo", "Europe/Paris", now)
    await ledger.close()


async def test_changes_that_share_a_transaction_are_numbered_in_their_order(ledger: Ledger) -> None:
    await create(ledger)
    renewal = NewRenewal(GrantKind.SUBSCRIPTION, 50, NOW, cap=40, kinds=(GrantKind.SUBSCRIPTION, GrantKind.FREE))

    def begin_cycle(connection: Connection) -> list[AdminTicket]:
        return [
            record_renewal(connection, call("renewal/s1/2"), renewal),
            record_configuration(connection, call("plan/s1/2")),
            record_grant(connection, call("bonus/s1/2"), NewGrant(GrantKind.PROMOTION, 5, NOW), 1024),
        ]

    tickets = await written(ledger, begin_cycle)
    renew, configure, bonus = (ticket.operation for ticket in tickets)
    assert isinstance(renew, Renew)
    assert (renew.admin_seq, renew.cap, renew.kinds, renew.config_seq) == (1, 40, 1 << 2 | 1 << 1, ABSENT)
    assert isinstance(configure, Configure)
    assert (configure.admin_seq, configure.config_seq) == (2, 2)
    assert isinstance(bonus, ApplyGrant)
    assert (await ledger.accounts.configuration("acme")).config_seq == 2
    assert [grant.number for grant in await ledger.accounts.list_grants("acme", 10)] == [3, 1]
    assert await ledger.archive.read_admin_operations("acme", 0) == [renew, configure, bonus]
    again = await written(ledger, begin_cycle)
    assert [(ticket.admin_seq, ticket.replayed) for ticket in again] == [(1, True), (2, True), (3, True)]


async def test_a_renewal_without_credits_or_cap_has_no_grant(ledger: Ledger) -> None:
    await create(ledger)
    renewal = NewRenewal(GrantKind.SUBSCRIPTION, 0, NOW)
    ticket = await written(ledger, lambda connection: record_renewal(connection, call("r"), renewal))
    assert isinstance(ticket.operation, Renew)
    assert (ticket.operation.cap, ticket.operation.kinds) == (ABSENT, 0)
    assert await ledger.accounts.list_grants("acme", 10) == []
    with pytest.raises(AlreadyExists) as reused:
        await written(ledger, lambda connection: record_renewal(connection, call("r", "other"), renewal))
    assert reused.value.reason is Reason.REQUEST_ID_REUSED


async def test_an_unknown_account_has_no_configuration(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        await ledger.accounts.configuration("acme")
    with pytest.raises(NotFound):
        await written(ledger, lambda connection: record_configuration(connection, call("r")))
