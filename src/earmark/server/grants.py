"""Grants for callers: what SQL recorded of them, with what Redis says is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from earmark.domain.ids import format_grant_id
from earmark.engine.operations import ReadBalance
from earmark.engine.ports import Metering
from earmark.engine.results import BalanceRead
from earmark.errors import NotFound, Unavailable
from earmark.ledger.accounts import Accounts
from earmark.ledger.models import GrantRecord
from earmark.server.replies import fill_time
from earmark.server.unary import execute
from earmark.v1 import grant_pb2 as pb

__all__ = ["LiveGrant", "burn_down_grants", "fill_grant", "live_grants"]

_NUMBERS = 8


class LiveGrant:
    """A grant with something left, as Redis sees it now."""

    __slots__ = ("acquire_time", "expire_time", "held", "kind", "number", "priority", "remaining", "void")

    def __init__(self, numbers: Sequence[int]) -> None:
        (
            self.number,
            self.kind,
            self.priority,
            self.expire_time,
            self.acquire_time,
            self.remaining,
            self.held,
            self.void,
        ) = numbers


def live_grants(numbers: Sequence[int]) -> dict[int, LiveGrant]:
    """Return the grants of a balance that was read, by number, in burn-down order."""
    grants = (LiveGrant(numbers[at : at + _NUMBERS]) for at in range(0, len(numbers), _NUMBERS))
    return {grant.number: grant for grant in grants}


async def read_live_grants(engine: Metering, account_id: str) -> dict[int, LiveGrant] | None:
    """Return the account's live grants, or None while Redis is away."""
    try:
        result = await execute(engine, ReadBalance(account_id, True))  # noqa: FBT003 - positional in msgspec's arrays
    except Unavailable:
        return None
    return live_grants(result.grants) if isinstance(result, BalanceRead) else None


class _Grants(Protocol):
    def add(self) -> pb.Grant: ...


async def burn_down_grants(accounts: Accounts, account_id: str, numbers: Sequence[int], into: _Grants) -> None:
    """Write the grants that Redis holds, in its order, with what SQL knows of them; without that while SQL is away."""
    live = live_grants(numbers)
    if not live:
        return
    records: dict[int, GrantRecord] = {}
    try:
        for record in await accounts.list_grants(account_id, 2 * len(live)):
            records[record.number] = record
        for number in live.keys() - records.keys():
            records[number] = await accounts.get_grant(account_id, number)
    except (Unavailable, NotFound):
        pass  # What is left and when it expires is Redis's to tell.
    for grant in live.values():
        fill_live(into.add(), account_id, grant, records.get(grant.number))


def fill_live(into: pb.Grant, account_id: str, live: LiveGrant, record: GrantRecord | None) -> None:
    """Write a grant that Redis holds."""
    if record is not None:
        fill_grant(into, record, {live.number: live}, 0)
        return
    into.grant_id = format_grant_id(live.number)
    into.account_id = account_id
    into.kind = live.kind  # type: ignore[assignment]  # The numbers are the proto's.
    into.priority = live.priority
    into.state = pb.Grant.STATE_VOIDED if live.void else pb.Grant.STATE_ACTIVE
    into.available_micros = live.remaining
    into.reserved_micros = live.held
    fill_time(into.acquire_time, live.acquire_time)
    if live.expire_time:
        fill_time(into.expire_time, live.expire_time)


def fill_grant(into: pb.Grant, record: GrantRecord, live: Mapping[int, LiveGrant] | None, now: int) -> None:
    """Write a grant; `live` are the account's live grants (None while Redis is away), `now` in microseconds."""
    into.grant_id = format_grant_id(record.number)
    into.account_id = record.account_id
    into.kind = int(record.kind)  # type: ignore[assignment]
    into.amount_micros = record.amount
    into.priority = record.priority
    fill_time(into.acquire_time, record.acquire_time)
    if record.expire_time:
        fill_time(into.expire_time, record.expire_time)
    fill_time(into.create_time, record.create_time)
    into.comment = record.comment
    into.reservation_id = record.reservation_id
    into.request_id = record.request_id
    into.expired_micros = record.expired
    into.voided_micros = record.voided
    into.repaid_micros = record.repaid
    left = live.get(record.number) if live is not None else None
    if left is not None:
        into.available_micros = left.remaining
        into.reserved_micros = left.held
        # Redis is ahead of SQL by what is not flushed yet. What left the grant and neither expired, was voided nor
        # repaid debt was charged, so that the parts always add up to the amount.
        gone = record.amount - left.remaining - left.held - record.expired - record.voided - record.repaid
        into.charged_micros = max(record.charged, gone)
        into.state = pb.Grant.STATE_VOIDED if left.void else pb.Grant.STATE_ACTIVE
        return
    into.charged_micros = record.charged
    if live is None and record.remaining:
        into.available_micros = record.remaining
    into.state = _state(record, live, now)


def _state(record: GrantRecord, live: Mapping[int, LiveGrant] | None, now: int) -> pb.Grant.State:
    if record.pending and live is None:
        return pb.Grant.STATE_PENDING
    if record.void or record.voided:
        return pb.Grant.STATE_VOIDED
    if record.expired or (record.remaining and 0 < record.expire_time <= now):
        return pb.Grant.STATE_EXPIRED
    if live is None and record.remaining:
        return pb.Grant.STATE_ACTIVE
    return pb.Grant.STATE_EXHAUSTED
