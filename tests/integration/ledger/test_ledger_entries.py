"""Reading the ledger: filters, pages and exports of one moment."""

from __future__ import annotations

import random
from typing import Any

import pytest

from earmark.domain.states import EntryKind, Outcome, ReservationState
from earmark.engine.operations import Details, Settlement
from earmark.ledger import Ledger
from earmark.ledger.history import read_rows
from earmark.ledger.models import EntryFilter, EntryPosition, EntryRecord
from tests.integration.ledger.stream import (
    NOW,
    charged,
    create,
    digest,
    element,
    ended,
    grant,
    granted,
    json_text,
    partition,
)


@pytest.fixture
async def filled(ledger: Ledger) -> Ledger:
    """Three accounts with forty entries each, of all kinds of generations."""
    chance = random.Random(7)
    for account_id in ("acme", "beta", "gamma"):
        writer = await create(ledger, account_id)
        writer.flushed_seq = (await ledger.partitions.read(writer.partition)).flushed_seq
        granting = json_text(Settlement(request_id="granting"))
        records = [granted(await grant(ledger, account_id, amount=10**9), 1, 10**9, settlement=granting)]
        for number in range(2, 41):
            details = Details(
                operation=chance.choice(["image", "chat"]),
                user_id=chance.choice(["ann", "bob"]),
                project_id=chance.choice(["p", "q"]),
                labels=chance.choice([{}, {"a": "1"}, {"a": "1", "b": "2"}, {"a": "2"}]),
            )
            what: dict[str, Any] = {"request_id": f"r{number}", "details": details}
            if chance.random() < 0.6:
                records.append(charged(account_id, number, chance.randrange(100), **what))
            else:
                kind = chance.choice([EntryKind.RELEASE, EntryKind.EXPIRED_HOLD])
                records.append(ended(kind, account_id, number, **what))
        await writer.write(*records)
    return ledger


async def everything(ledger: Ledger, wanted: EntryFilter) -> list[EntryRecord]:
    return [entry async for chunk in ledger.entries.export(wanted, 1000) for entry in chunk]


FILTERS = [
    (EntryFilter(), lambda _: True),
    (EntryFilter(account_id="beta"), lambda entry: entry.account_id == "beta"),
    (EntryFilter(start_time=NOW + 10, end_time=NOW + 20), lambda entry: NOW + 10 <= entry.time < NOW + 20),
    (EntryFilter(kinds=(EntryKind.GRANT, EntryKind.CHARGE)), lambda entry: entry.kind <= EntryKind.CHARGE),
    (
        EntryFilter(operation="image", user_id="ann"),
        lambda e: e.details.operation == "image" and e.details.user_id == "ann",
    ),
    (EntryFilter(project_id="q"), lambda entry: entry.details.project_id == "q"),
    (EntryFilter(labels={"a": "1"}), lambda entry: entry.details.labels.get("a") == "1"),
    (EntryFilter(labels={"a": "1", "b": "2"}), lambda entry: entry.details.labels == {"a": "1", "b": "2"}),
    (EntryFilter(min_amount=20, max_amount=60), lambda entry: 20 <= entry.amount <= 60),
    (EntryFilter(max_amount=0), lambda entry: entry.amount == 0),
    (EntryFilter(outcome=Outcome.FAILED), lambda entry: entry.outcome is Outcome.FAILED),
    (EntryFilter(outcome=Outcome.FAILED, kinds=(EntryKind.CHARGE,)), lambda _: False),
    (EntryFilter(request_id="r7"), lambda entry: entry.request_id == "r7"),
    (EntryFilter(digest=digest("acme", "r7")), lambda entry: entry.account_id == "acme" and entry.request_id == "r7"),
    (EntryFilter(account_id="acme", request_id="r7"), lambda e: (e.account_id, e.request_id) == ("acme", "r7")),
    (
        EntryFilter(account_id="acme", request_id="granting"),
        lambda e: (e.account_id, e.kind) == ("acme", EntryKind.GRANT),
    ),
    (EntryFilter(account_id="acme", entry_number=7), lambda e: (e.account_id, e.entry_number) == ("acme", 7)),
    (EntryFilter(account_id="acme", entry_number=7, min_amount=10**9), lambda _: False),
    (
        EntryFilter(account_id="acme", kinds=(EntryKind.RELEASE, EntryKind.EXPIRED_HOLD, EntryKind.GRANT)),
        lambda e: e.account_id == "acme" and e.kind is not EntryKind.CHARGE,
    ),
    (
        EntryFilter(account_id="acme", user_id="ann", operation="chat", outcome=Outcome.FAILED, max_amount=5),
        lambda e: (
            (e.account_id, e.details.user_id, e.details.operation) == ("acme", "ann", "chat")
            and e.kind is EntryKind.RELEASE
        ),
    ),
    (
        EntryFilter(account_id="acme", project_id="q", labels={"a": "1"}, end_time=NOW + 30),
        lambda e: (
            (e.account_id, e.details.project_id, e.details.labels.get("a")) == ("acme", "q", "1") and e.time < NOW + 30
        ),
    ),
    (EntryFilter(account_id="nobody"), lambda _: False),
    (EntryFilter(account_id="acme", user_id="nobody"), lambda _: False),
]


async def test_filters_select_what_they_say_in_pages_and_in_exports(filled: Ledger) -> None:
    all_entries = await everything(filled, EntryFilter())
    assert len(all_entries) == 120
    assert all_entries == sorted(all_entries, key=lambda e: (e.time, e.position.account_key, e.entry_number))
    for wanted, passes in FILTERS:
        expected = [entry for entry in all_entries if passes(entry)]
        assert await everything(filled, wanted) == expected, wanted
        pages: list[EntryRecord] = []
        before: EntryPosition | None = None
        while page := await filled.entries.list(wanted, 7, before):
            pages += page
            before = page[-1].position
        assert pages == expected[::-1], wanted


@pytest.mark.parametrize("oldest", [False, True])
async def test_a_page_looks_only_so_far_and_says_where_to_go_on(filled: Ledger, oldest: bool) -> None:
    all_entries = await everything(filled, EntryFilter())
    for wanted, passes in FILTERS:
        expected = [entry.position for entry in all_entries if passes(entry)]
        found: list[EntryPosition] = []
        following: EntryPosition | None = None
        for _ in range(200):
            rows, following = await filled.entries._database.read(
                lambda connection, wanted=wanted, start=following: read_rows(  # type: ignore[misc]
                    connection, wanted, 3, start, oldest=oldest, examined=5
                )
            )
            assert len(rows) <= 3
            found += [EntryPosition(row.time, row.account_key, row.entry_number) for row in rows]
            if following is None:
                break
        assert found == (expected if oldest else expected[::-1]), wanted


async def test_an_export_is_of_one_moment(filled: Ledger) -> None:
    export = filled.entries.export(EntryFilter(account_id="acme"), chunk=10)
    exported = list(await anext(export))
    at = (await filled.partitions.read(partition("acme"))).flushed_seq
    new = element(at + 1, charged("acme", 41, 1, request_id="r41"))
    await filled.flush(partition("acme"), 0, at, [new])
    async for chunk in export:
        exported += chunk
    assert [entry.entry_number for entry in exported] == list(range(1, 41))
    last = await filled.entries.last_entry("acme")
    assert last is not None
    assert last.entry_number == 41


async def test_an_export_that_is_given_up_gives_its_connection_back(filled: Ledger) -> None:
    for _ in range(20):
        export = filled.entries.export(EntryFilter(), chunk=1)
        await anext(export)
        await export.aclose()  # type: ignore[attr-defined]
    assert len(await filled.entries.list(EntryFilter(), 1000)) == 120


async def test_ended_reservations_are_listed_by_their_last_entry(ledger: Ledger) -> None:
    writer = await create(ledger)
    await writer.write(
        granted(await grant(ledger), 1, 1000),
        ended(EntryKind.EXPIRED_HOLD, "acme", 2, "late", reserved=9),
        ended(EntryKind.RELEASE, "acme", 3, "failed", reserved=8),
        charged("acme", 4, 7, request_id="done"),
        charged("acme", 5, 6, request_id="late", late=1),
        ended(EntryKind.EXPIRED_HOLD, "acme", 6, "crashed"),
    )

    async def listed(state: ReservationState | None, before: int | None = None) -> list[tuple[int, ReservationState]]:
        page = await ledger.entries.ended_reservations("acme", state, 2, before)
        return [(found.entry_number, found.state) for found in page]

    committed, released, expired = (
        ReservationState.COMMITTED,
        ReservationState.RELEASED,
        ReservationState.EXPIRED,
    )
    assert await listed(None) == [(6, expired), (5, committed)]
    assert await listed(None, before=5) == [(4, committed), (3, released)]
    assert await listed(None, before=3) == []
    assert await listed(committed) == [(5, committed), (4, committed)]
    assert await listed(expired) == [(6, expired)]
    assert await listed(ReservationState.ACTIVE) == []
    (late, _) = await ledger.entries.ended_reservations("acme", committed, 2)
    assert (late.late, late.charged, late.digest) == (True, 6, digest("acme", "late"))
