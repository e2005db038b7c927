"""Relays administrative operations from SQL, where they are recorded first, to Redis, where they take effect."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from earmark.engine.administration import apply_recorded
from earmark.engine.operations import ApplyGrant, Configure, ReadBalance, Renew, VoidGrant
from earmark.engine.ports import Archive, Metering
from earmark.engine.results import Applied, BalanceRead, BalanceView, RefusalCode, Refused
from earmark.errors import EarmarkError, Internal, Reason, Unavailable, error
from earmark.ledger.accounts import Accounts
from earmark.ledger.models import AdminOperation, AdminState, AdminTicket
from earmark.server.grants import LiveGrant, live_grants
from earmark.server.status import refusal_error
from earmark.server.unary import execute

__all__ = ["AccountNow", "Relay"]

_OUTCOME_POLL_SECONDS = 0.05
_OUTCOME_PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class AccountNow:
    """What Redis says of an account after an administrative operation."""

    balance: BalanceView
    grants: dict[int, LiveGrant]


class Relay:
    """Brings recorded operations to Redis, in the order of their admin_seq.

    Safe beside other relays of the same account: Redis applies exactly its last admin_seq + 1, so that whoever comes
    second changes nothing. A crash between SQL and Redis leaves the operation recorded: the repeat with the same
    request id, or the background relay, completes it.
    """

    def __init__(self, engine: Metering, recorded: Archive, accounts: Accounts) -> None:
        self._engine = engine
        self._recorded = recorded
        self._accounts = accounts

    async def complete(self, ticket: AdminTicket) -> AccountNow:
        """Return when the ticket's operation has taken effect.

        Raises:
            EarmarkError: the refusal of this very operation, or a store is away and the repeat will complete it.
        """
        fresh = await self._apply(ticket.operation)
        now = await self.read(ticket.account_id)
        if not fresh and not self._visible(ticket, now):
            # Somebody else brought it there: how it ended stands in the stream, and soon in SQL.
            await self._await_outcome(ticket)
        return now

    async def complete_all(self, tickets: Sequence[AdminTicket], account_id: str) -> AccountNow:
        """Return when all tickets of an account, in the order of their admin_seqs, have taken effect.

        Raises:
            EarmarkError: the first refusal of one of them, after the others took effect; or a store is away and the
                repeat will complete them.
        """
        refused: EarmarkError | None = None
        brought_by_others = []
        for ticket in tickets:
            try:
                if not await self._apply(ticket.operation):
                    brought_by_others.append(ticket)
            except Unavailable:
                raise
            except EarmarkError as failure:
                refused = refused or failure
        now = await self.read(account_id)
        for ticket in brought_by_others:
            if not self._visible(ticket, now):
                await self._await_outcome(ticket)
        if refused is not None:
            raise refused
        return now

    async def wait_flushed(self, ticket: AdminTicket) -> None:
        """Wait until SQL shows what an operation that has taken effect changed, but not for ever."""
        with contextlib.suppress(Unavailable):
            await self._await_outcome(ticket)

    async def read(self, account_id: str) -> AccountNow:
        """Return the account's totals and live grants."""
        result = await execute(self._engine, ReadBalance(account_id, True))  # noqa: FBT003 - positional in msgspec's arrays
        if not isinstance(result, BalanceRead):
            raise Internal(Reason.INTERNAL, f"the store answered a read with {type(result).__name__}")
        return AccountNow(result.balance, live_grants(result.grants))

    async def _apply(self, operation: AdminOperation) -> bool:
        """Apply an operation and whatever is missing before it; return whether this call was the one to apply it."""
        applied = await self._attempt(operation)
        if applied.admin_seq >= operation.admin_seq:
            return applied.fresh
        before = operation.admin_seq - 1
        await apply_recorded(self._engine, self._recorded, operation.account_id, applied.admin_seq, before)
        return (await self._attempt(operation)).fresh

    async def _attempt(self, operation: AdminOperation) -> Applied:
        result = await execute(self._engine, operation)
        if not isinstance(result, Applied):
            raise Internal(Reason.INTERNAL, f"the store answered a relay with {type(result).__name__}")
        return result

    def _visible(self, ticket: AdminTicket, now: AccountNow) -> bool:
        """Return whether Redis itself shows that the operation took effect."""
        match ticket.operation:
            case Configure():
                return True  # Never refused.
            case ApplyGrant(admin_seq=number) | Renew(admin_seq=number):
                return number in now.grants
            case VoidGrant(grant=number):
                return number in now.grants and bool(now.grants[number].void)

    async def _await_outcome(self, ticket: AdminTicket) -> None:
        loop = asyncio.get_running_loop()
        patience = loop.time() + _OUTCOME_PATIENCE_SECONDS
        while True:
            outcome = await self._accounts.admin_outcome(ticket.account_id, ticket.admin_seq)
            if outcome is None:
                raise Internal(Reason.INTERNAL, "the ledger does not know an operation that it has recorded")
            match outcome.state:
                case AdminState.APPLIED:
                    return
                case AdminState.REFUSED:
                    raise refusal_error(Refused(RefusalCode(outcome.refusal), ()), ticket.operation)
                case AdminState.PENDING:
                    if loop.time() > patience:
                        raise error(
                            Reason.STORE_UNAVAILABLE,
                            "how an earlier call with this request_id ended is not in SQL yet: repeat the call",
                        )
                    await asyncio.sleep(_OUTCOME_POLL_SECONDS)
