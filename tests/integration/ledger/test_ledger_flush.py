"""The flush: every settled record stands in SQL exactly once, whatever is delivered how often by whom."""

from __future__ import annotations

import asyncio
import random

import pytest

from earmark.credits import MAX_MICROS
from earmark.domain.states import EntryKind, GrantKind
from earmark.engine.operations import Details, Settlement
from earmark.engine.records import StreamRecord
from earmark.engine.results import RefusalCode
from earmark.ledger import Ledger
from earmark.ledger.connections import Database
from earmark.ledger.models import (
    AdminOutcome,
    AdminState,
    Allocation,
    Conflict,
    EntryFilter,
    Fenced,
    GrantProjection,
    PartitionPosition,
    Written,
)
from tests.integration.ledger.stream import (
    NOW,
    Element,
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


def database(ledger: Ledger) -> Database:
    return ledger._database


async def set_back(ledger: Ledger, number: int) -> None:
    """Let SQL forget how far it is, and nothing else: everything is delivered again."""
    statement = f"UPDATE partitions SET flushed_seq = 0 WHERE partition = {number}"
    await database(ledger).write(lambda connection: connection.exec_driver_sql(statement).close())


async def state(ledger: Ledger, account_id: str = "acme") -> tuple[object, ...]:
    """All that a flush changes of an account."""
    return (
        await ledger.entries.list(EntryFilter(account_id=account_id), 1000),
        await ledger.projections.account_projections([account_id]),
        await ledger.accounts.list_grants(account_id, 1000),
        await ledger.archive.read_account(account_id, partition(account_id)),
    )


async def test_a_flush_writes_entries_allocations_totals_and_the_position(ledger: Ledger) -> None:
    writer = await create(ledger)
    first, second = await grant(ledger, amount=100), await grant(ledger, amount=50)
    await writer.write(
        granted(first, 1, 100),
        granted(second, 2, 50),
        charged("acme", 3, 130, allocations=(1, 1, 100, 2, 1, 30), uncollected=7, reserved=140),
        ended(EntryKind.RELEASE, "acme", 4, "failed"),
    )
    assert await ledger.partitions.read(writer.partition) == PartitionPosition(0, 4)
    totals = (await ledger.projections.account_projections(["acme"]))["acme"]
    assert (totals.entry_number, totals.granted, totals.charged, totals.uncollected) == (4, 150, 130, 7)
    assert totals.grants == (GrantProjection(2, GrantKind.FREE, 20, 0, void=False),)
    entry = await ledger.entries.get("acme", 3)
    assert entry is not None
    assert entry.allocations == (Allocation(1, GrantKind.FREE, 100), Allocation(2, GrantKind.FREE, 30))
    assert (entry.amount, entry.reserved, entry.uncollected, entry.debt, entry.seq) == (130, 140, 7, 0, 3)


async def test_flushing_twice_is_flushing_once(ledger: Ledger) -> None:
    writer = await create(ledger)
    elements = [*await writer.write(granted(await grant(ledger), 1, 1000), charged("acme", 2, 10))]
    before = await state(ledger)
    outcome = await ledger.flush(writer.partition, 0, 0, elements)
    assert outcome == Fenced(PartitionPosition(0, 2))
    assert await state(ledger) == before


async def test_records_that_are_delivered_again_count_once(ledger: Ledger) -> None:
    writer = await create(ledger)
    void = await ledger.accounts.record_void("acme", "void", content("void"), (await grant(ledger)).admin_seq)
    suspend = await ledger.accounts.set_suspended("acme", "suspend", content("suspend"), suspended=True)
    records = (
        granted((await ledger_ticket(ledger, 1)), 1, 1000),
        charged("acme", 2, 10),
        record(EntryKind.GRANT_VOIDED, "acme", 3, amount=990, grant=1, admin_seq=void.admin_seq),
        configured(suspend),
    )
    elements = [*await writer.write(*records)]
    before = await state(ledger)
    await set_back(ledger, writer.partition)
    new = element(5, ended(EntryKind.RELEASE, "acme", 4, "later"))
    assert await ledger.flush(writer.partition, 0, 0, [*elements, new]) == Written(5, 1, 4)
    await set_back(ledger, writer.partition)
    assert await ledger.flush(writer.partition, 0, 0, elements) == Written(4, 0, 4)
    assert (await state(ledger))[2] == before[2]
    totals = (await ledger.projections.account_projections(["acme"]))["acme"]
    assert (totals.entry_number, totals.charged, totals.voided) == (4, 10, 990)


async def ledger_ticket(ledger: Ledger, admin_seq: int):
    """The ticket of the grant that was recorded under this number with the defaults of `grant`."""
    ticket = await grant(ledger)
    assert (ticket.admin_seq, ticket.replayed) == (admin_seq, True)
    return ticket


async def test_an_entry_of_another_content_under_a_taken_number_stops_the_partition(ledger: Ledger) -> None:
    writer = await create(ledger)
    await writer.write(granted(await grant(ledger), 1, 1000), charged("acme", 2, 10))
    before = await state(ledger)
    await set_back(ledger, writer.partition)
    forks = [
        charged("acme", 2, 11),
        charged("acme", 2, 10, time=NOW),
        charged("acme", 2, 10, allocations=(2, 1, 10)),
        charged("acme", 2, 10, request_id="another"),
        ended(EntryKind.RELEASE, "acme", 2),
    ]
    for fork in forks:
        outcome = await ledger.flush(writer.partition, 0, 0, [element(1, fork, charged("acme", 3, 1))])
        assert isinstance(outcome, Conflict)
        assert (outcome.account_id, outcome.entry_number) == ("acme", 2)
        assert "holds another content" in outcome.message
    assert await state(ledger) == (await state(ledger))
    assert (await state(ledger))[:3] == before[:3]


async def test_the_same_entry_under_another_seq_and_epoch_is_the_same_entry(ledger: Ledger) -> None:
    writer = await create(ledger)
    await writer.write(granted(await grant(ledger), 1, 1000), charged("acme", 2, 10))
    again = element(3, charged("acme", 2, 10), charged("acme", 3, 5, request_id="next"), epoch=1)
    assert await ledger.partitions.raise_epoch(writer.partition, 0, 1)
    assert await ledger.flush(writer.partition, 1, 2, [again]) == Written(4, 1, 1)


@pytest.mark.parametrize("numbers", [(2, 4), (2, 2), (3,), (2, 3, 3)])
async def test_numbers_with_a_gap_or_twice_are_a_conflict(ledger: Ledger, numbers: tuple[int, ...]) -> None:
    writer = await create(ledger)
    await writer.write(granted(await grant(ledger), 1, 1000))
    records = [charged("acme", number, 1, request_id=f"r{at}") for at, number in enumerate(numbers)]
    outcome = await ledger.flush(writer.partition, 0, 1, [element(2, *records)])
    assert isinstance(outcome, Conflict)
    assert outcome.account_id == "acme"
    assert await ledger.partitions.read(writer.partition) == PartitionPosition(0, 1)


async def test_a_flusher_of_another_epoch_or_position_is_fenced(ledger: Ledger) -> None:
    writer = await create(ledger)
    records = [element(1, granted(await grant(ledger), 1, 1000))]
    assert await ledger.partitions.raise_epoch(writer.partition, 0, 3)
    at = PartitionPosition(3, 0)
    assert await ledger.flush(writer.partition, 0, 0, records) == Fenced(at)
    assert await ledger.flush(writer.partition, 4, 0, records) == Fenced(at)
    assert await ledger.flush(writer.partition, 3, 1, records) == Fenced(at)
    assert await ledger.flush(99, 3, 0, records) == Fenced(None)
    assert await ledger.entries.last_entry("acme") is None
    assert await ledger.flush(writer.partition, 3, 0, records) == Written(1, 1, 0)


async def test_of_two_flushers_at_the_same_moment_one_writes(ledger: Ledger) -> None:
    writer = await create(ledger)
    records = [element(1, granted(await grant(ledger), 1, 1000), charged("acme", 2, 10))]
    outcomes = await asyncio.gather(*(ledger.flush(writer.partition, 0, 0, records) for _ in range(4)))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Fenced", "Fenced", "Fenced", "Written"]
    totals = (await ledger.projections.account_projections(["acme"]))["acme"]
    assert (totals.entry_number, totals.charged) == (2, 10)


async def test_an_empty_flush_changes_nothing_but_tells_whether_one_is_fenced(ledger: Ledger) -> None:
    assert await ledger.flush(0, 0, 0, []) == Written(0, 0, 0)
    assert await ledger.flush(0, 1, 0, []) == Fenced(PartitionPosition(0, 0))


@pytest.mark.parametrize(
    ("strange", "says"),
    [
        (charged("nobody", 1, 1), "does not know the account"),
        (charged("acme", 1, 5, grant=77), "a grant that the ledger does not know"),
        (charged("acme", 1, 5, allocations=(1, 1, 6)), "more than the charge"),
        (charged("acme", 1, MAX_MICROS), "contradict the ledger's totals"),
        (record(EntryKind.DEBT_REPAID, "acme", 1, amount=1, grant=1), "contradict the ledger's totals"),
        (record(EntryKind.CONFIGURED, "acme", 0, admin_seq=2), "does not follow"),
        (record(EntryKind.GRANT, "acme", 1, amount=1, admin_seq=2, grant=2), "does not follow"),
    ],
)
async def test_records_that_contradict_the_ledger_are_a_conflict(
    ledger: Ledger, strange: StreamRecord, says: str
) -> None:
    writer = await create(ledger)
    await grant(ledger)
    number = partition(strange.account_id)
    outcome = await ledger.flush(number, 0, 0, [element(1, strange)])
    assert isinstance(outcome, Conflict)
    assert says in outcome.message
    assert await ledger.entries.last_entry("acme") is None
    assert await ledger.partitions.read(writer.partition) == PartitionPosition(0, 0)


async def test_a_configuration_that_sql_never_recorded_is_a_conflict(ledger: Ledger) -> None:
    writer = await create(ledger)
    strange = element(1, record(EntryKind.CONFIGURED, "acme", 0, admin_seq=1))
    outcome = await ledger.flush(writer.partition, 0, 0, [strange])
    assert isinstance(outcome, Conflict)
    assert "recorded no administrative operation 1" in outcome.message


async def test_elements_that_do_not_follow_each_other_are_a_conflict(ledger: Ledger) -> None:
    writer = await create(ledger)
    first = element(1, granted(await grant(ledger), 1, 1000))
    for elements in ([first, first], [(2, first[1])], [(0, first[1])]):
        assert isinstance(await ledger.flush(writer.partition, 0, 0, elements), Conflict | Fenced)
    assert await ledger.partitions.read(writer.partition) == PartitionPosition(0, 0)


async def test_an_account_of_another_partition_is_a_conflict(ledger: Ledger) -> None:
    writer = await create(ledger)
    other = (writer.partition + 1) % 4
    outcome = await ledger.flush(other, 0, 0, [element(1, granted(await grant(ledger), 1, 1000))])
    assert isinstance(outcome, Conflict)
    assert f"belongs to partition {writer.partition}" in outcome.message


async def test_the_largest_amounts_survive(ledger: Ledger) -> None:
    writer = await create(ledger)
    ticket = await grant(ledger, amount=MAX_MICROS)
    await writer.write(
        granted(ticket, 1, MAX_MICROS, expire_time=MAX_MICROS),
        charged("acme", 2, MAX_MICROS, uncollected=MAX_MICROS, available_after=MAX_MICROS, price_version=2**31 - 1),
    )
    entry = await ledger.entries.get("acme", 2)
    assert entry is not None
    assert (entry.amount, entry.uncollected, entry.available_after) == (MAX_MICROS,) * 3
    assert entry.allocations == (Allocation(1, GrantKind.FREE, MAX_MICROS),)
    totals = (await ledger.projections.account_projections(["acme"]))["acme"]
    assert (totals.granted, totals.charged, totals.grants) == (MAX_MICROS, MAX_MICROS, ())


async def test_debt_is_what_no_grant_paid_and_is_repaid_by_later_ones(ledger: Ledger) -> None:
    writer = await create(ledger, overdraft_limit=100)
    await writer.write(granted(await grant(ledger, amount=10), 1, 10), charged("acme", 2, 45, allocations=(1, 1, 10)))
    entry = await ledger.entries.get("acme", 2)
    assert entry is not None
    assert entry.debt == 35
    second = await grant(ledger, amount=50)
    await writer.write(
        granted(second, 3, 50),
        record(EntryKind.DEBT_REPAID, "acme", 4, amount=35, grant=2, allocations=(2, 1, 35)),
        record(EntryKind.GRANT_EXPIRED, "acme", 5, amount=15, grant=2, allocations=(2, 1, 15)),
    )
    totals = (await ledger.projections.account_projections(["acme"]))["acme"]
    assert (totals.granted, totals.charged, totals.repaid, totals.expired, totals.debt) == (60, 45, 35, 15, 0)
    left = await ledger.accounts.get_grant("acme", 2)
    assert (left.repaid, left.expired, left.remaining) == (35, 15, 0)


async def test_administration_is_pending_until_its_record_is_flushed(ledger: Ledger) -> None:
    writer = await create(ledger)
    ticket = await grant(ledger)
    await ledger.accounts.set_suspended("acme", "s", content("s"), suspended=True)
    assert await ledger.accounts.accounts_with_pending_administration(10) == ["acme"]
    assert (await ledger.accounts.get_grant("acme", 1)).pending
    await writer.write(granted(ticket, 1, 1000))
    assert not (await ledger.accounts.get_grant("acme", 1)).pending
    assert await ledger.accounts.admin_outcome("acme", 1) == AdminOutcome(AdminState.APPLIED, 0)
    assert await ledger.accounts.admin_outcome("acme", 2) == AdminOutcome(AdminState.PENDING, 0)
    assert await ledger.accounts.admin_outcome("acme", 3) is None
    await writer.write(record(EntryKind.CONFIGURED, "acme", 0, admin_seq=2))
    assert await ledger.accounts.accounts_with_pending_administration(10) == []


async def test_a_refused_grant_is_gone_and_its_request_id_is_free(ledger: Ledger) -> None:
    writer = await create(ledger)
    await grant(ledger)
    refused = record(EntryKind.ADMIN_REFUSED, "acme", 0, admin_seq=1, refusal=RefusalCode.TOO_MANY_GRANTS.value)
    elements = [*await writer.write(refused)]
    assert await ledger.accounts.admin_outcome("acme", 1) == AdminOutcome(
        AdminState.REFUSED, RefusalCode.TOO_MANY_GRANTS.value
    )
    assert await ledger.accounts.list_grants("acme", 10) == []
    again = await grant(ledger)
    assert (again.admin_seq, again.replayed) == (2, False)
    await writer.write(granted(again, 1, 1000))
    await set_back(ledger, writer.partition)
    assert await ledger.flush(writer.partition, 0, 0, elements) == Written(1, 0, 1)
    assert [found.number for found in await ledger.accounts.list_grants("acme", 10)] == [2]


HOSTILE = [
    "'; DROP TABLE entries; --",
    'back\\slash "quoted" $1 ?1 :name %s {} {{}} \\N \\.',
    "line\nend\ttab\r\n",
    "\\u0000 as six characters",
    "𝄞 ünïcödé \u202e right to left \ufeff",
    "NULL",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_texts_come_back_to_the_letter(ledger: Ledger, text: str) -> None:
    account_id = "acme'\\{}\"%s;--"
    writer = await create(ledger, account_id, display_name=text)
    ticket = await grant(ledger, account_id, comment=text)
    details = Details(operation=text, user_id=text, project_id=text, labels={text: text}, attributes={text: text})
    settlement = Settlement(comment=text, actor=text)
    await writer.write(
        granted(ticket, 1, 1000),
        charged(account_id, 2, 1, request_id="a\\b'c\"", details=details, settlement=settlement),
    )
    (found,) = await ledger.entries.list(
        EntryFilter(
            account_id=account_id,
            kinds=(EntryKind.CHARGE,),
            # Nobody asks for entries without a name: an empty one selects all.
            operation=text or None,
            user_id=text or None,
            project_id=text or None,
            labels={text: text},
        ),
        10,
    )
    assert found.details.labels == found.details.attributes == {text: text}
    assert (found.settlement.comment, found.settlement.actor, found.request_id) == (text, text, "a\\b'c\"")
    assert found.digest == digest(account_id, "a\\b'c\"")
    assert (await ledger.accounts.get_grant(account_id, 1)).comment == text
    assert (await ledger.accounts.get(account_id)).display_name == text
    await set_back(ledger, writer.partition)
    known = element(1, charged(account_id, 2, 1, request_id="a\\b'c\"", details=details, settlement=settlement))
    assert await ledger.flush(writer.partition, 0, 0, [known]) == Written(1, 0, 1)


async def test_a_nul_that_came_through_does_not_stop_the_partition(ledger: Ledger) -> None:
    writer = await create(ledger)
    details = Details(operation="a\0b", labels={"k\0": "v\\\0"})
    records = (granted(await grant(ledger), 1, 1000), charged("acme", 2, 1, details=details))
    elements = [*await writer.write(*records)]
    entry = await ledger.entries.get("acme", 2)
    assert entry is not None
    assert (entry.details.operation, entry.details.labels) == ("a\ufffdb", {"k\ufffd": "v\\\ufffd"})
    assert await ledger.entries.list(EntryFilter(labels={"k\ufffd": "v\\\ufffd"}), 10) == [entry]
    await set_back(ledger, writer.partition)
    assert await ledger.flush(writer.partition, 0, 0, elements) == Written(2, 0, 2)


async def test_many_accounts_in_batches_of_any_size_add_up(ledger: Ledger) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    names = [name for name in (f"account-{number}" for number in range(200)) if partition(name) == 0]
    position, numbers = 0, dict.fromkeys(names, 1)
    records = []
    for name in names:
        await create(ledger, name)
        records.append(granted(await grant(ledger, name, amount=10**9), 1, 10**9))
    spent = dict.fromkeys(names, 0)
    for at in range(3000):
        name = chance.choice(names)
        numbers[name] += 1
        amount = chance.randrange(1000)
        spent[name] += amount
        records.append(charged(name, numbers[name], amount, request_id=f"request-{at}"))
    while records:
        elements: list[Element] = []
        for _ in range(chance.randrange(1, 40)):
            size = chance.randrange(1, 65)
            some, records = records[:size], records[size:]
            if some:
                start = elements[-1][0] if elements else position
                elements.append(element(start + 1, *some))
        outcome = await ledger.flush(0, 0, position, elements)
        assert isinstance(outcome, Written)
        position = outcome.flushed_seq
    assert position == 3000 + len(names)
    projections = await ledger.projections.account_projections(names)
    assert {name: totals.charged for name, totals in projections.items()} == spent
    assert {name: totals.entry_number for name, totals in projections.items()} == numbers
    assert {name: totals.grants[0].remaining for name, totals in projections.items()} == {
        name: 10**9 - amount for name, amount in spent.items()
    }
    paged = [totals async for page in ledger.projections.pages(0, page_size=7) for totals in page]
    assert {totals.account_id: totals for totals in paged} == projections


async def test_the_event_loop_runs_while_a_large_flush_is_written(ledger: Ledger) -> None:
    writer = await create(ledger)
    await writer.write(granted(await grant(ledger, amount=10**9), 1, 10**9))
    records = [charged("acme", 2 + at, 1, request_id=f"request-{at}") for at in range(5000)]
    flush = asyncio.create_task(ledger.flush(writer.partition, 0, 1, [element(2, *records)]))
    turns = 0
    while not flush.done():
        await asyncio.sleep(0)
        turns += 1
    assert flush.result() == Written(5001, 5000, 0)
    # A blocked loop would have had a handful of turns, one for each statement.
    assert turns > 100
