"""`AccountService` and `LedgerService` over a real channel."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from earmark.v1 import account_pb2
from earmark.v1 import account_service_pb2 as pb
from earmark.v1 import common_pb2 as common
from earmark.v1 import grant_pb2 as grants
from earmark.v1 import ledger_pb2 as ledger
from earmark.v1 import ledger_service_pb2 as ledger_service
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.server.conftest import Sidecar, refusal
from tests.support.waiting import wait_until

Entry = ledger.LedgerEntry


async def test_an_account_is_created_once(sidecar: Sidecar) -> None:
    request = pb.CreateAccountRequest(
        account_id="a {b}",
        request_id="c1",
        display_name="Ä",
        time_zone="Europe/Paris",
        overdraft_limit_micros=5,
        thresholds=account_pb2.Thresholds(low_balance_micros=0),
        contacts=account_pb2.Contacts(emails=["a@b.c"], webhook_url="https://x.y/z"),
        labels={"k": "v"},
    )
    created = await sidecar.accounts.CreateAccount(request)
    assert not created.replayed
    account = created.account
    assert (account.state, account.enforcement) == (
        account_pb2.Account.STATE_ACTIVE,
        account_pb2.Account.ENFORCEMENT_BLOCK,
    )
    assert account.thresholds.HasField("low_balance_micros")
    assert not account.thresholds.HasField("critical_balance_micros")
    again = await sidecar.accounts.CreateAccount(request)
    assert again.replayed
    assert again.account == account
    request.request_id = "c2"
    assert (await refusal(sidecar.accounts.CreateAccount(request))).reason == "ACCOUNT_EXISTS"
    request.request_id = "c1"
    request.time_zone = "UTC"
    assert (await refusal(sidecar.accounts.CreateAccount(request))).reason == "REQUEST_ID_REUSED"
    got = await sidecar.accounts.GetAccount(pb.GetAccountRequest(account_id="a {b}"))
    assert got.account == account


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"account_id": ""}, "account_id"),
        ({"request_id": ""}, "request_id"),
        ({"display_name": "d" * 257}, "display_name"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"time_zone": "a\x00b"}, "time_zone"),
        ({"overdraft_limit_micros": -1}, "overdraft_limit_micros"),
        ({"enforcement": 99}, "enforcement"),
        ({"thresholds": {"low_balance_micros": -1}}, "thresholds.low_balance_micros"),
        ({"contacts": {"emails": ["nobody"]}}, "contacts.emails"),
        ({"contacts": {"emails": ["a@b"] * 17}}, "contacts.emails"),
        ({"contacts": {"webhook_url": "ftp://x"}}, "contacts.webhook_url"),
        ({"labels": {"k": "\x00"}}, "labels['k']"),
    ],
)
async def test_a_malformed_account_is_refused(sidecar: Sidecar, fields: dict[str, Any], field: str) -> None:
    request = pb.CreateAccountRequest(**{"account_id": "acme", "request_id": "c1", **fields})
    refused = await refusal(sidecar.accounts.CreateAccount(request))
    assert (refused.code, refused.field) == ("INVALID_ARGUMENT", field)


async def test_an_update_changes_what_the_mask_names(sidecar: Sidecar) -> None:
    await sidecar.account()
    update = pb.UpdateAccountRequest(
        account=account_pb2.Account(
            account_id="acme", display_name="Acme", overdraft_limit_micros=7_000_000, time_zone="Asia/Tokyo"
        ),
        update_mask=FieldMask(paths=["display_name", "overdraft_limit_micros"]),
        request_id="u1",
    )
    changed = (await sidecar.accounts.UpdateAccount(update)).account
    assert (changed.display_name, changed.overdraft_limit_micros, changed.time_zone) == ("Acme", 7_000_000, "UTC")
    assert (await sidecar.accounts.UpdateAccount(update)).replayed
    update.request_id = "u2"
    update.update_mask.paths[:] = ["state"]
    assert (await refusal(sidecar.accounts.UpdateAccount(update))).field == "update_mask"
    update.update_mask.paths[:] = []
    assert (await refusal(sidecar.accounts.UpdateAccount(update))).field == "update_mask"
    # Redis knows the overdraft as soon as the call has answered.
    charge = metering.ChargeRequest(
        account_id="acme",
        request_id="c",
        amount_micros=507_000_000,
        overage_policy=common.OVERAGE_POLICY_ALLOW_WITH_OVERDRAFT,
    )
    charged = await sidecar.metering.Charge(charge)
    assert (charged.charged_micros, charged.balance.debt_micros) == (507_000_000, 7_000_000)


async def test_suspension_holds_at_once(sidecar: Sidecar) -> None:
    await sidecar.account()
    held = (await sidecar.reserve("r0")).reservation
    suspend = pb.SuspendAccountRequest(account_id="acme", request_id="s1", reason="late\npayment")
    suspended = await sidecar.accounts.SuspendAccount(suspend)
    assert suspended.account.state == account_pb2.Account.STATE_SUSPENDED
    refused = await refusal(sidecar.reserve("r1"))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "ACCOUNT_SUSPENDED")
    await sidecar.metering.Commit(metering.CommitRequest(reservation_id=held.reservation_id))
    await sidecar.accounts.ResumeAccount(pb.ResumeAccountRequest(account_id="acme", request_id="s2"))
    await sidecar.reserve("r1")
    assert (await sidecar.accounts.SuspendAccount(suspend)).replayed
    await sidecar.reserve("r2")  # The replay changed nothing.


async def test_only_members_may_spend(sidecar: Sidecar) -> None:
    await sidecar.account()
    added = await sidecar.accounts.AddMember(
        pb.AddMemberRequest(account_id="acme", request_id="m1", user_id="ada", role=account_pb2.Member.ROLE_ADMIN)
    )
    assert [(each.user_id, each.role) for each in added.account.members] == [("ada", account_pb2.Member.ROLE_ADMIN)]
    refused = await refusal(sidecar.reserve("r1", user_id="bob"))
    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "NOT_A_MEMBER")
    await sidecar.reserve("r1", user_id="ada")
    removed = await sidecar.accounts.RemoveMember(
        pb.RemoveMemberRequest(account_id="acme", request_id="m2", user_id="ada")
    )
    assert not removed.account.members
    assert (
        await refusal(sidecar.accounts.AddMember(pb.AddMemberRequest(account_id="acme", request_id="m3")))
    ).field == ("user_id")


async def test_accounts_are_listed_in_pages(sidecar: Sidecar) -> None:
    for number in range(5):
        await sidecar.account(f"b{number}", credits=0)
    await sidecar.account("a", credits=0)
    names: list[str] = []
    token = ""
    while True:
        page = await sidecar.accounts.ListAccounts(
            pb.ListAccountsRequest(account_id_prefix="b", page_size=2, page_token=token)
        )
        names += [each.account_id for each in page.accounts]
        token = page.next_page_token
        if not token:
            break
    assert names == [f"b{number}" for number in range(5)]


async def test_a_grant_can_be_spent_when_it_is_answered(sidecar: Sidecar) -> None:
    await sidecar.account(credits=0)
    request = pb.CreateGrantRequest(
        account_id="acme",
        request_id="g1",
        amount_micros=2_000_000,
        kind=grants.Grant.KIND_PURCHASE,
        priority=0,
        comment="thanks",
    )
    created = await sidecar.accounts.CreateGrant(request)
    grant = created.grant
    assert (grant.state, grant.kind, grant.priority) == (grants.Grant.STATE_ACTIVE, grants.Grant.KIND_PURCHASE, 0)
    assert (grant.amount_micros, grant.available_micros, grant.comment) == (2_000_000, 2_000_000, "thanks")
    assert created.balance.available_micros == 2_000_000
    await sidecar.reserve("r1", 2)
    again = await sidecar.accounts.CreateGrant(request)
    assert again.replayed
    assert (again.grant.grant_id, again.balance.available_micros) == (grant.grant_id, 0)
    request.amount_micros = 3_000_000
    assert (await refusal(sidecar.accounts.CreateGrant(request))).reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"amount_micros": 0}, "amount_micros"),
        ({"amount_micros": -1}, "amount_micros"),
        ({"amount_micros": 2**53}, "amount_micros"),
        ({"kind": 77}, "kind"),
        ({"priority": -1}, "priority"),
        ({"priority": 1_000_001}, "priority"),
        ({"expire_time": Timestamp(seconds=1)}, "expire_time"),
        ({"expire_time": Timestamp()}, "expire_time"),
        ({"expire_time": Timestamp(seconds=2**40)}, "expire_time"),
        ({"acquire_time": Timestamp(nanos=-1)}, "acquire_time"),
        ({"reservation_id": "AAAA"}, "reservation_id"),
        ({"comment": "\x07"}, "comment"),
    ],
)
async def test_a_malformed_grant_is_refused(sidecar: Sidecar, fields: dict[str, Any], field: str) -> None:
    await sidecar.account(credits=0)
    request = pb.CreateGrantRequest(**{"account_id": "acme", "request_id": "g", "amount_micros": 1, **fields})
    refused = await refusal(sidecar.accounts.CreateGrant(request))
    assert (refused.code, refused.field) == ("INVALID_ARGUMENT", field)


async def test_a_sum_beyond_the_largest_amount_is_refused_and_the_id_stays_free(sidecar: Sidecar) -> None:
    await sidecar.account(credits=1)
    request = pb.CreateGrantRequest(account_id="acme", request_id="g", amount_micros=2**53 - 1)
    refused = await refusal(sidecar.accounts.CreateGrant(request))
    assert (refused.reason, refused.field) == ("INVALID_AMOUNT", "amount_micros")
    request.amount_micros = 5

    async def granted() -> Any:
        try:
            return await sidecar.accounts.CreateGrant(request)
        except Exception:  # noqa: BLE001 - REQUEST_ID_REUSED until the refusal is in SQL
            return None

    response = await wait_until(granted)
    assert response.balance.available_micros == 1_000_005


async def test_a_void_takes_what_is_not_reserved(sidecar: Sidecar) -> None:
    await sidecar.account(credits=10)
    held = (await sidecar.reserve("r1", 4)).reservation
    request = pb.VoidGrantRequest(account_id="acme", request_id="v1", grant_id=held.allocations[0].grant_id)
    voided = await sidecar.accounts.VoidGrant(request)
    assert (voided.grant.state, voided.grant.voided_micros) == (grants.Grant.STATE_VOIDED, 6_000_000)
    assert (voided.balance.available_micros, voided.balance.reserved_micros) == (0, 4_000_000)
    assert (await sidecar.accounts.VoidGrant(request)).replayed
    await sidecar.metering.Commit(metering.CommitRequest(reservation_id=held.reservation_id))
    for grant_id in ("g99", "nonsense"):
        missing = pb.VoidGrantRequest(account_id="acme", request_id="v2", grant_id=grant_id)
        assert (await refusal(sidecar.accounts.VoidGrant(missing))).reason == "GRANT_NOT_FOUND"


async def test_an_adjustment_makes_good_a_charge_and_no_more(sidecar: Sidecar) -> None:
    await sidecar.account(credits=10)
    held = (await sidecar.reserve("r1", 4)).reservation
    await sidecar.metering.Commit(metering.CommitRequest(reservation_id=held.reservation_id))
    request = pb.CreateGrantRequest(
        account_id="acme",
        request_id="a1",
        amount_micros=3_000_000,
        kind=grants.Grant.KIND_ADJUSTMENT,
        reservation_id=held.reservation_id,
    )
    adjusted = await sidecar.accounts.CreateGrant(request)  # At once: the charge may not be flushed yet.
    assert adjusted.grant.reservation_id == held.reservation_id
    assert adjusted.balance.available_micros == 9_000_000
    request.request_id = "a2"
    refused = await refusal(sidecar.accounts.CreateGrant(request))
    assert refused.reason == "ADJUSTMENT_EXCEEDS_CHARGE"


async def test_grants_are_listed_newest_first(sidecar: Sidecar) -> None:
    await sidecar.account(credits=0)
    for number in range(5):
        await sidecar.accounts.CreateGrant(
            pb.CreateGrantRequest(account_id="acme", request_id=f"g{number}", amount_micros=number + 1)
        )
    first = await sidecar.accounts.ListGrants(pb.ListGrantsRequest(account_id="acme", page_size=3))
    second = await sidecar.accounts.ListGrants(
        pb.ListGrantsRequest(account_id="acme", page_size=3, page_token=first.next_page_token)
    )
    amounts = [each.amount_micros for page in (first, second) for each in page.grants]
    assert amounts == [5, 4, 3, 2, 1]
    assert second.next_page_token == ""
    missing = sidecar.accounts.ListGrants(pb.ListGrantsRequest(account_id="nobody"))
    assert (await refusal(missing)).reason == "ACCOUNT_NOT_FOUND"


async def test_the_ledger_is_read_with_filters_and_in_pages(sidecar: Sidecar) -> None:
    await sidecar.account(credits=100)
    for number in range(6):
        held = (
            await sidecar.reserve(
                f"r{number}", 1, operation="image" if number % 2 else "text", labels={"n": str(number)}
            )
        ).reservation
        if number < 3:
            await sidecar.metering.Commit(metering.CommitRequest(reservation_id=held.reservation_id))
        else:
            await sidecar.metering.Release(metering.ReleaseRequest(reservation_id=held.reservation_id, reason="failed"))

    async def read(**fields: Any) -> list[Any]:
        request = ledger_service.ListLedgerEntriesRequest(
            account_id="acme", filter=ledger_service.LedgerFilter(**fields), page_size=2
        )
        entries: list[Any] = []
        while True:
            page = await sidecar.ledger.ListLedgerEntries(request)
            entries += page.entries
            request.page_token = page.next_page_token
            if not request.page_token:
                return entries

    async def all_flushed() -> bool:
        return len(await read()) == 7

    await wait_until(all_flushed)
    everything = await read()
    assert [each.entry_number for each in everything] == [7, 6, 5, 4, 3, 2, 1]
    assert [each.kind for each in everything[:4]] == [Entry.KIND_RELEASE] * 3 + [Entry.KIND_CHARGE]
    assert everything[0].comment == "failed"
    assert everything[0].outcome == Entry.OUTCOME_FAILED
    assert [each.request_id for each in await read(kinds=[Entry.KIND_CHARGE])] == ["r2", "r1", "r0"]
    assert [each.request_id for each in await read(operation="image", outcome=Entry.OUTCOME_SUCCEEDED)] == ["r1"]
    assert [each.request_id for each in await read(labels={"n": "4"})] == ["r4"]
    assert [each.request_id for each in await read(reservation_id=everything[3].reservation_id)] == ["r2"]
    assert [each.kind for each in await read(min_amount_micros=2_000_000)] == [Entry.KIND_GRANT]
    assert await read(start_time=Timestamp(seconds=4_000_000_000)) == []
    exported = [
        entry
        async for chunk in sidecar.ledger.ExportLedger(ledger_service.ExportLedgerRequest(account_id="acme"))
        for entry in chunk.entries
    ]
    assert exported == everything[::-1]
    refused = await refusal(read(kinds=[Entry.KIND_CHARGE, 55]))
    assert refused.field == "filter.kinds"
    backwards = read(start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1))
    assert (await refusal(backwards)).field == "filter.end_time"


async def test_an_ended_reservation_is_whole_after_its_record_shrank(sidecar: Sidecar) -> None:
    await sidecar.account(credits=100)
    held = (await sidecar.reserve("r1", 2, operation="image", user_id="ada", labels={"k": "v"})).reservation
    commit = metering.CommitRequest(reservation_id=held.reservation_id)
    committed = (await sidecar.metering.Commit(commit)).reservation

    async def flushed() -> bool:
        page = await sidecar.ledger.ListLedgerEntries(ledger_service.ListLedgerEntriesRequest(account_id="acme"))
        return len(page.entries) == 2

    await wait_until(flushed)
    again = await sidecar.metering.Commit(commit)
    assert again.replayed
    assert again.reservation == committed
    got = await sidecar.metering.GetReservation(metering.GetReservationRequest(reservation_id=held.reservation_id))
    assert got.reservation == committed


async def test_pages_of_wide_rows_fit_a_message(sidecar: Sidecar) -> None:
    await sidecar.account(credits=100)
    wide = {f"{number:064}": "日" * 256 for number in range(16)}
    for number in range(300):
        await sidecar.reserve(f"r{number}", labels=wide, attributes=wide, amount_micros=1)
    request = metering.ListReservationsRequest(account_id="acme", page_size=1_000)
    seen = 0
    while True:
        page = await sidecar.metering.ListReservations(request)
        seen += len(page.reservations)
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert seen == 300
