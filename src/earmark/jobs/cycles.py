"""The cycle job: billing cycles begin, subscriptions end, change or wait when their time has come.

SQL moves the cycle in the transaction that records what Redis is to do about it, under the account's lock: each cycle
begins once, however many schedulers look, and one that was missed is made up for, in order. Relaying is done here at
once; whatever is left when the process dies, or Redis is away, the relay brings.

Besides it repairs what a process that died, or a full account, left behind: accounts without the catalog's default
plan, and credits that Redis refused to accounts with too many grants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import structlog

from earmark.domain.catalog import CurrentCatalog
from earmark.engine.administration import apply_recorded
from earmark.engine.ports import Metering
from earmark.engine.results import Applied, RefusalCode, Refused
from earmark.errors import EarmarkError
from earmark.jobs.metrics import JobMetrics
from earmark.ledger.database import Ledger
from earmark.ledger.models import AdminTicket

__all__ = ["CycleJob", "CycleOptions"]

_log = structlog.get_logger("earmark.cycles")


@dataclass(frozen=True, slots=True)
class CycleOptions:
    """Bounds of the cycle job."""

    interval_seconds: float = 0.5
    accounts: int = 50
    """That one transaction renews."""
    repair_seconds: float = 10.0
    """Between two looks for accounts without the default plan, and for refused credits."""
    window: int = 5_000
    """Accounts that one look for those without a plan goes through."""
    overlap: int = 1_000
    """Accounts that are looked at again: PostgreSQL shows keys in the order of commits, not of keys."""
    whole_seconds: float = 3_600.0
    """After this long all accounts are gone through again."""
    refused_micros: int = 3_600_000_000
    """How long refused credits wait for the next attempt."""


class CycleJob:
    """Renews in the partitions that this process looks after. Any number of these may run beside each other."""

    def __init__(
        self,
        engine: Metering,
        ledger: Ledger,
        catalogs: CurrentCatalog,
        clock: Callable[[], int],
        metrics: JobMetrics,
        held_partitions: Callable[[], Sequence[int]] | None = None,
        options: CycleOptions | None = None,
    ) -> None:
        """`clock` tells the store's time in microseconds; `held_partitions` are this process's, None for all."""
        self._engine = engine
        self._ledger = ledger
        self._catalogs = catalogs
        self._clock = clock
        self._metrics = metrics
        self._held = held_partitions
        self._options = options or CycleOptions()
        self._failing: set[str] = set()
        self._repaired = -self._options.repair_seconds
        self._checked = 0
        self._checked_for: tuple[int, tuple[int, ...] | None] = (0, None)
        self._checked_all = monotonic()

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await asyncio.sleep(self._options.interval_seconds)
            partitions = None if self._held is None else self._held()
            if partitions is not None and not partitions:
                continue
            try:
                await self._renew(partitions)
                if monotonic() - self._repaired >= self._options.repair_seconds:
                    self._repaired = monotonic()
                    await self._repair(partitions)
            except EarmarkError as failure:
                _log.debug("the cycle job waits", cause=failure.message)

    async def run_once(self) -> int:
        """Do everything that is due in all partitions, now; return how much it was.

        Raises:
            Unavailable: SQL is away. Redis being away raises nothing: what is recorded, the relay brings.
        """
        return await self._renew(None) + await self._repair(None)

    async def _renew(self, partitions: Sequence[int] | None) -> int:
        done = 0
        while True:
            catalog = self._catalogs.current
            # Those that cannot be renewed stay due: they must not hide the others.
            limit = self._options.accounts + len(self._failing)
            renewed = await self._ledger.billing.renew_due(catalog, limit, partitions)
            moved = [each for each in renewed if each.failure is None]
            failing = {each.account_id: each.failure for each in renewed if each.failure is not None}
            for account_id in failing.keys() - self._failing:
                _log.error("an account cannot be renewed", account_id=account_id, exc_info=failing[account_id])
            self._failing = set(failing)
            if not moved:
                return done
            cycles = sum(each.cycles for each in moved)
            done += len(moved)
            self._metrics.cycles.inc(cycles)
            _log.info("billing cycles", accounts=len(moved), cycles_begun=cycles)
            await asyncio.gather(*(self._relay(each.tickets) for each in moved))

    async def _repair(self, partitions: Sequence[int] | None) -> int:
        done = await self._subscribe_default(partitions)
        before = self._clock() - self._options.refused_micros
        tickets = await self._ledger.billing.settle_owed(before, self._options.accounts)
        await asyncio.gather(*(self._relay((ticket,)) for ticket in tickets))
        return done + len(tickets)

    async def _subscribe_default(self, partitions: Sequence[int] | None) -> int:
        catalog = self._catalogs.current
        if not catalog.default_plan:
            return 0
        what = (catalog.version, None if partitions is None else tuple(partitions))
        if what != self._checked_for or monotonic() - self._checked_all >= self._options.whole_seconds:
            self._checked, self._checked_for, self._checked_all = 0, what, monotonic()
        done = 0
        while True:
            last, found = await self._ledger.billing.accounts_without_plan(
                self._checked, self._options.window, partitions
            )
            for account_id in found:
                outcome = await self._ledger.billing.subscribe_default(account_id, catalog)
                if outcome is not None:
                    done += 1
                    await self._relay(outcome.tickets)
            if last - self._checked < self._options.window:
                break
            self._checked = last
        self._checked = max(self._checked, last - self._options.overlap)
        if done:
            _log.info("accounts got the default plan", accounts=done, plan=catalog.default_plan)
        return done

    async def _relay(self, tickets: Sequence[AdminTicket]) -> None:
        """Apply what was recorded of one account, in order; what cannot be applied now the relay brings."""
        for ticket in tickets:
            try:
                match await self._engine.execute(ticket.operation):
                    case Applied(admin_seq=applied) if applied < ticket.admin_seq:
                        archive, account_id = self._ledger.archive, ticket.account_id
                        await apply_recorded(self._engine, archive, account_id, applied, tickets[-1].admin_seq)
                        return
                    case Refused(code=code):
                        self._metrics.credits_refused.inc()
                        reason = RefusalCode(code).name
                        _log.warning("credits were refused; they are owed", account_id=ticket.account_id, reason=reason)
                    case _:
                        pass
            except EarmarkError as failure:
                _log.info("a renewal waits for the relay", account_id=ticket.account_id, cause=failure.message)
                return
