"""The relay: brings administrative operations to Redis that SQL has recorded and whose process died before it could.

An operation carries its admin_seq and the script applies exactly the last + 1, so relaying twice, or beside the call
that recorded it, changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from earmark.engine.administration import apply_recorded
from earmark.engine.engine import Engine
from earmark.engine.ports import Archive, Metering
from earmark.errors import EarmarkError
from earmark.jobs.attempts import Attempts
from earmark.jobs.leases import Leases
from earmark.jobs.metrics import JobMetrics
from earmark.ledger.database import Ledger

__all__ = ["Relay", "RelayOptions", "relay_account"]

_log = structlog.get_logger("earmark.relay")


async def relay_account(engine: Metering, archive: Archive, account_id: str, up_to: int) -> int:
    """Apply what SQL has recorded of an account beyond what it confirms; see `apply_recorded`."""
    _, load = await archive.read_account(account_id, 0)  # of the position nothing is wanted: any partition will do
    return await apply_recorded(engine, archive, account_id, load.admin_seq if load is not None else 0, up_to)


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """Bounds of the relay."""

    interval_seconds: float = 1.0
    patience_seconds: float = 2.0
    """How long the call that recorded an operation is left to relay it by itself."""
    limit: int = 500
    """Accounts that one look at SQL brings."""


class Relay:
    """Looks for operations that nobody relayed, in the partitions that this process sweeps."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        leases: Leases,
        metrics: JobMetrics,
        options: RelayOptions | None = None,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._leases = leases
        self._metrics = metrics
        self._options = options or RelayOptions()
        self._attempts = Attempts(self._options.patience_seconds)

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            await asyncio.sleep(self._options.interval_seconds)
            if not self._leases.held_partitions():
                continue
            try:
                await self._look()
            except EarmarkError as failure:
                _log.debug("relay waits", cause=failure.message)

    async def _look(self) -> None:
        # Operations stay on the list until their records are flushed: those must not hide the others.
        limit = self._options.limit + len(self._attempts)
        listed = await self._ledger.accounts.accounts_with_pending_administration(limit)
        for account_id in self._attempts.due(listed):
            if not self._leases.held(self._engine.partition_of(account_id)):
                continue
            try:
                record = await self._ledger.accounts.get(account_id)
                applied = await relay_account(self._engine, self._ledger.archive, account_id, record.admin_seq)
            except EarmarkError as failure:  # it is tried again, later; the others now
                _log.info("the administration of an account waits", account_id=account_id, cause=failure.message)
                continue
            if applied:
                self._metrics.relayed.inc(applied)
                _log.info("administrative operations relayed", account_id=account_id, count=applied)
