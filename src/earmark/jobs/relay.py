"""The relay: brings administrative operations to Redis that SQL has recorded and whose process died before it could.

An operation carries its admin_seq and the script applies exactly the last + 1, so relaying twice, or beside the call
that recorded it, changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from earmark.engine.engine import Engine
from earmark.engine.ports import Archive, Metering
from earmark.engine.results import Applied, Refused
from earmark.errors import EarmarkError, Internal, Reason, error
from earmark.jobs.attempts import Attempts
from earmark.jobs.leases import Leases
from earmark.jobs.metrics import JobMetrics
from earmark.ledger.database import Ledger

__all__ = ["Relay", "RelayOptions", "relay_account"]

_log = structlog.get_logger("earmark.relay")

_ROUNDS = 4


async def relay_account(engine: Metering, archive: Archive, account_id: str, up_to: int) -> int:
    """Apply the account's recorded operations, in order, up to the admin_seq `up_to`; return how many took effect now.

    A refusal is the answer of the call that recorded the operation; it uses its admin_seq up, and the relay goes on.

    Raises:
        EarmarkError: ACCOUNT_NOT_FOUND; a store is away, or the account is being recovered: repeat later.
    """
    fresh = 0
    _, load = await archive.read_account(account_id, 0)  # of the position nothing is wanted: any partition will do
    behind = load.admin_seq if load is not None else 0
    for _ in range(_ROUNDS):
        if behind >= up_to:
            return fresh
        begun = behind
        for operation in await archive.read_admin_operations(account_id, behind):
            if operation.admin_seq > up_to:
                break
            match await engine.execute(operation):
                case Applied(admin_seq=applied) if applied < operation.admin_seq:
                    # Redis is behind what SQL confirms: those before it are missing too.
                    behind = applied
                    break
                case Applied() as answer:
                    fresh += answer.fresh
                case Refused():
                    fresh += 1
                case other:
                    raise Internal(Reason.INTERNAL, f"the store answered a relay with {type(other).__name__}")
            behind = operation.admin_seq
        if behind == begun:
            break
    if behind >= up_to:
        return fresh
    raise error(Reason.RECOVERING, f"account {account_id!r} cannot take its administrative operations yet")


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
