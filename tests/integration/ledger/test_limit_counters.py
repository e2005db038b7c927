"""Counters of limits leave SQL days after their window, and no sooner."""

from __future__ import annotations

from earmark.engine.records import WindowUse
from earmark.jobs.counters import CounterCleaner, CounterCleanerOptions
from earmark.ledger import open_ledger
from tests.integration.ledger.stream import DAY, NOW, charged, create, grant, granted


async def test_counters_that_ended_long_ago_go(ledger_url: str) -> None:
    ledger = await open_ledger(ledger_url, clock=lambda: NOW)
    try:
        await ledger.stores.initialise(4, for_tests=True)
        writer = await create(ledger)
        windows = [WindowUse("a", NOW - days * DAY, NOW - (days - 1) * DAY, 1) for days in (0, 2, 5, 6, 7, 8, 9)]
        await writer.write(granted(await grant(ledger), 1, 1000), charged("acme", 2, 1, windows=tuple(windows)))
        assert await ledger.counters.remove_ended(2) == 2
        cleaner = CounterCleaner(ledger.counters, lambda: True, CounterCleanerOptions(step=2))
        assert await cleaner.remove_ended() == 3
        assert await cleaner.remove_ended() == 0
        _, load = await ledger.archive.read_account("acme", writer.partition)
        assert load is not None
        assert [counter.start for counter in load.counters] == [NOW]
    finally:
        await ledger.close()
