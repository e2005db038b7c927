"""Who the store is, and where its partitions stand."""

from __future__ import annotations

import asyncio

import pytest

from earmark.ledger import Ledger, open_ledger
from earmark.ledger.models import PartitionPosition
from tests.support.waiting import wait_until


async def test_the_first_to_initialise_decides_and_all_others_get_its_store(ledger_url: str) -> None:
    ledgers = [await open_ledger(ledger_url) for _ in range(4)]
    stores = await asyncio.gather(
        *(ledger.stores.initialise(number + 1, for_tests=False) for number, ledger in enumerate(ledgers))
    )
    assert len({store.store_id for store in stores}) == 1
    positions = await ledgers[0].partitions.read_all()
    assert positions == {number: PartitionPosition(0, 0) for number in range(stores[0].partitions)}
    for ledger in ledgers:
        await ledger.close()


async def test_before_it_is_initialised_there_is_no_store(ledger_url: str) -> None:
    ledger = await open_ledger(ledger_url)
    assert await ledger.stores.read() is None
    assert await ledger.partitions.read_all() == {}
    await ledger.close()


async def test_an_epoch_is_raised_by_one_of_two_who_try(ledger: Ledger) -> None:
    raised = await asyncio.gather(*(ledger.partitions.raise_epoch(1, 0, 1) for _ in range(2)))
    assert sorted(raised) == [False, True]
    assert await ledger.partitions.read(1) == PartitionPosition(1, 0)
    assert await ledger.partitions.read(0) == PartitionPosition(0, 0)


async def test_an_unknown_partition_is_a_mistake_of_the_caller(ledger: Ledger) -> None:
    with pytest.raises(LookupError, match="partition 4"):
        await ledger.partitions.read(4)
    assert not await ledger.partitions.raise_epoch(4, 0, 1)


async def test_a_lease_belongs_to_one_owner_until_it_ends(ledger: Ledger) -> None:
    hour = 3_600_000_000
    taken = await asyncio.gather(*(ledger.partitions.take_lease(2, owner, hour) for owner in ("a", "b")))
    assert sorted(taken) == [False, True]
    owner, other = ("a", "b") if taken[0] else ("b", "a")
    assert await ledger.partitions.take_lease(2, owner, hour)
    await ledger.partitions.release_lease(2, other)
    assert not await ledger.partitions.take_lease(2, other, hour)
    await ledger.partitions.release_lease(2, owner)
    assert await ledger.partitions.take_lease(2, other, 1)
    assert await wait_until(lambda: ledger.partitions.take_lease(2, owner, hour))
