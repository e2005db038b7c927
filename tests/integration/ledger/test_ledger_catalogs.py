"""Versions of the catalog in SQL, and the one that sidecars have in force."""

from __future__ import annotations

import asyncio

import pytest

from earmark.catalogs.current import NO_CATALOG, Catalogs
from earmark.catalogs.problems import InvalidCatalog
from earmark.domain.catalog import Catalog, FixedPrice
from earmark.errors import EarmarkError, Reason
from earmark.ledger import Ledger, open_ledger
from tests.support.waiting import wait_until


def document(price: object) -> str:
    return f"name: test\noperations:\n  chat: {price}  # to the letter\n"


async def test_versions_are_kept_to_the_letter(ledger: Ledger) -> None:
    assert await ledger.catalogs.latest_version() == 0
    first, is_new = await ledger.catalogs.install(document(1), "test", "a", "ann")
    assert (first.version, is_new, first.document, first.name, first.actor) == (1, True, document(1), "test", "ann")
    second, _ = await ledger.catalogs.install(document(2), "test", "b", "")
    assert second.version == 2 == await ledger.catalogs.latest_version()
    assert await ledger.catalogs.get(1) == first
    assert await ledger.catalogs.get(2) == second
    for missing in (0, -1, 3, 2**40):
        assert await ledger.catalogs.get(missing) is None


async def test_the_document_that_is_installed_changes_nothing(ledger: Ledger) -> None:
    first, _ = await ledger.catalogs.install(document(1), "", "a", "")
    assert await ledger.catalogs.install(document(1), "", "b", "") == (first, False)
    await ledger.catalogs.install(document(2), "", "c", "")
    third, is_new = await ledger.catalogs.install(document(1), "", "d", "")
    assert (third.version, is_new) == (3, True)  # Back to the first is a change.


async def test_a_repeated_request_does_not_install_again_over_what_came_later(ledger: Ledger) -> None:
    first, _ = await ledger.catalogs.install(document(1), "", "a", "")
    await ledger.catalogs.install(document(2), "", "b", "")
    assert await ledger.catalogs.install(document(1), "", "a", "") == (first, False)
    assert await ledger.catalogs.latest_version() == 2
    with pytest.raises(EarmarkError) as caught:
        await ledger.catalogs.install(document(3), "", "a", "")
    assert caught.value.reason == Reason.REQUEST_ID_REUSED


async def test_of_many_at_once_each_takes_a_number_of_its_own(ledger: Ledger, ledger_url: str) -> None:
    other = await open_ledger(ledger_url)
    try:
        installed = await asyncio.gather(
            *((ledger, other)[n % 2].catalogs.install(document(n), "", f"r{n}", "") for n in range(8)),
            *((ledger, other)[n % 2].catalogs.install(document(n), "", f"r{n}", "") for n in range(8)),
        )
    finally:
        await other.close()
    numbers = {record.document: record.version for record, _ in installed}
    assert sorted(numbers.values()) == list(range(1, 9))
    assert sum(is_new for _, is_new in installed) == 8
    for record, _ in installed:
        assert numbers[record.document] == record.version


async def test_what_is_applied_is_in_force_here_at_once_and_elsewhere_soon(ledger: Ledger) -> None:
    seen: list[int] = []
    here, there = Catalogs(ledger.catalogs), Catalogs(ledger.catalogs, lambda it: seen.append(it.version), 0.02)
    await here.start()
    await there.start()
    try:
        assert here.current is there.current is NO_CATALOG
        applied = await here.apply(document("1.5"), "a", "ann")
        assert (applied.catalog.version, applied.unchanged) == (1, False)
        assert here.current.operations["chat"].price == FixedPrice(1_500_000)
        assert await wait_until(lambda: there.current.version == 1)
        await here.apply(document("2"), "b")
        assert await wait_until(lambda: there.current.version == 2)
        assert seen == [1, 2]
        old = await there.require(1)
        assert old.operations["chat"].price == FixedPrice(1_500_000)
        assert here.kept(1) == old
        assert (await here.apply(document("2"), "c")).unchanged
        assert (await here.apply(document("1.5"), "a")).catalog.version == 1
        assert here.current.version == 2
    finally:
        await here.close()
        await there.close()


async def test_a_new_sidecar_starts_with_the_latest(ledger: Ledger) -> None:
    first = Catalogs(ledger.catalogs)
    await first.apply(document(1), "a")
    second = Catalogs(ledger.catalogs)
    await second.start()
    assert second.current.version == 1
    await second.close()


async def test_a_check_installs_nothing(ledger: Ledger) -> None:
    catalogs = Catalogs(ledger.catalogs)
    checked = await catalogs.check(document(1))
    assert (checked.catalog.version, checked.record, checked.unchanged) == (1, None, False)
    assert await ledger.catalogs.latest_version() == 0
    await catalogs.apply(document(1))
    assert (await catalogs.check(document(1))).unchanged
    with pytest.raises(InvalidCatalog):
        await catalogs.check("operations: 3")
    with pytest.raises(InvalidCatalog):
        await catalogs.apply("operations: 3")
    with pytest.raises(EarmarkError) as caught:
        await catalogs.require(9)
    assert caught.value.reason == Reason.CATALOG_NOT_FOUND


async def test_a_catalog_of_a_newer_release_leaves_the_last_one_in_force(ledger: Ledger) -> None:
    changes: list[Catalog] = []
    catalogs = Catalogs(ledger.catalogs, changes.append, 0.02)
    await catalogs.apply(document(1))
    await ledger.catalogs.install("operations: {}\nof_tomorrow: 1\n", "", "", "")
    await catalogs.refresh()
    assert catalogs.current.version == 1
    with pytest.raises(EarmarkError, match=r"cannot read version 2 of the catalog: .*of_tomorrow: is unknown"):
        await Catalogs(ledger.catalogs).start()
    await catalogs.apply(document(3))
    assert [catalog.version for catalog in changes] == [1, 3]
