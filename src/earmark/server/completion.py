"""Ended reservations from SQL: whole ones, and the details of those that Redis still knows."""

from __future__ import annotations

import asyncio
from time import monotonic

import msgspec

from earmark.domain.ids import ReservationDigest
from earmark.domain.states import EntryKind
from earmark.engine.results import ReservationView
from earmark.errors import Unavailable
from earmark.ledger.entries import Entries
from earmark.ledger.models import Allocation, EndedReservation, EntryRecord

__all__ = ["complete", "ended_view"]

_ENDINGS = {EntryKind.CHARGE, EntryKind.RELEASE, EntryKind.EXPIRED_HOLD}
_encode = msgspec.json.Encoder().encode


def _flat(allocations: tuple[Allocation, ...]) -> tuple[int, ...]:
    return tuple(number for each in allocations for number in (each.grant, int(each.kind), each.amount))


def ended_view(ended: EndedReservation) -> ReservationView:
    """Return an ended reservation as the engine would show it."""
    return ReservationView(
        digest=ended.digest,
        state=ended.state,
        reserved=ended.reserved,
        charged=ended.charged,
        uncollected=ended.uncollected,
        late=int(ended.late),
        create_time=ended.create_time,
        expire_time=ended.expire_time,
        settle_time=ended.settle_time,
        price_version=ended.price_version,
        allocations=_flat(ended.allocations),
        details=_encode(ended.details).decode(),
        account_id=ended.account_id,
    )


async def complete(entries: Entries, view: ReservationView, patience: float = 0.0) -> ReservationView:
    """Return an ended record with the details that its entry has; as it is while SQL is away.

    Args:
        entries: The ledger's.
        view: What Redis knows.
        patience: How long to wait, in seconds, for an entry that is still on its way to SQL.
    """
    if view.details:
        return view
    deadline = monotonic() + patience
    while True:
        try:
            found = await entries.by_reservation(view.account_id, ReservationDigest(view.digest))
        except Unavailable:
            return view
        endings: list[EntryRecord] = [entry for entry in found if entry.kind in _ENDINGS]
        if endings:
            break
        if monotonic() >= deadline:
            return view
        await asyncio.sleep(0.02)
    last = max(endings, key=lambda entry: entry.entry_number)
    return msgspec.structs.replace(
        view,
        details=_encode(last.details).decode(),
        allocations=view.allocations or _flat(last.allocations),
        create_time=view.create_time or last.reservation_create_time,
        expire_time=view.expire_time or last.expire_time,
        settle_time=view.settle_time or last.time,
    )
