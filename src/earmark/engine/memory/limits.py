"""Limits: what a call may still spend in its windows, and what holds and charges count there."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.credits import MAX_MICROS
from earmark.domain.states import AlertKind
from earmark.engine.memory.model import Account, Counter, Mark, Record, Window
from earmark.engine.operations import LimitClaim
from earmark.engine.records import WindowUse
from earmark.engine.results import RefusalCode, Refused, Warned

__all__ = [
    "count_addition",
    "count_charge",
    "count_hold",
    "count_late",
    "end_window",
    "exceeded_by",
    "near_limits",
    "overflows",
    "room_within",
    "settle_hold",
    "uncount_hold",
    "window_uses",
    "windows_at",
]


def windows_at(claims: Sequence[LimitClaim], now: int) -> tuple[Window, ...] | None:
    """Return each claim's window that holds `now`, or None if one has none."""
    found: list[Window] = []
    for claim in claims:
        candidates = zip(claim.windows[::2], claim.windows[1::2], strict=True)
        window = next(((claim.key, start, end) for start, end in candidates if start <= now < end), None)
        if window is None:
            return None
        found.append(window)
    return tuple(found)


def _used(account: Account, window: Window) -> int:
    counter = account.counters.get(window[:2])
    return counter.used if counter else 0


def room_within(
    account: Account, claims: Sequence[LimitClaim], windows: Sequence[Window], amount: int, min_amount: int
) -> int | Refused:
    """Return what the limits that block leave of an amount, or the refusal of the first that leaves too little."""
    for claim, window in zip(claims, windows, strict=True):
        if not claim.blocks:
            continue
        used = _used(account, window)
        room = max(0, claim.amount - used)
        if room < min_amount:
            return Refused(RefusalCode.LIMIT_EXCEEDED, (claim.amount, used, min_amount, window[2]), claim.key)
        amount = min(amount, room)
    return amount


def exceeded_by(account: Account, record: Record, additional: int) -> Refused | None:
    """Return the refusal of the first limit of a reservation's windows that an addition would exceed."""
    for window in record.windows:
        counter = account.counters.get(window[:2])
        if counter is not None and counter.blocks and max(0, counter.amount - counter.used) < additional:
            numbers = (counter.amount, counter.used, additional, window[2])
            return Refused(RefusalCode.LIMIT_EXCEEDED, numbers, counter.key)
    return None


def overflows(account: Account, windows: Sequence[Window], added: int) -> bool:
    """Tell whether a counter would pass the largest number."""
    return any(_used(account, window) + added > MAX_MICROS for window in windows)


def _see(account: Account, claims: Sequence[LimitClaim], windows: Sequence[Window]) -> list[Counter]:
    """Return the counters of a call that takes effect; they know their limits from the last one that did."""
    counters = [account.counter(window) for window in windows]
    for claim, counter in zip(claims, counters, strict=True):
        counter.amount, counter.near, counter.blocks = claim.amount, claim.near, claim.blocks
    return counters


def count_hold(account: Account, claims: Sequence[LimitClaim], record: Record) -> None:
    """Count a new reservation in its windows."""
    for counter in _see(account, claims, record.windows):
        counter.used += record.counted
        counter.refs += 1


def count_charge(account: Account, claims: Sequence[LimitClaim], record: Record, counted: int) -> list[Mark]:
    """Count a Charge in its windows; return the marks that it reached."""
    return [mark for counter in _see(account, claims, record.windows) for mark in _charge(counter, counted)]


def count_addition(account: Account, record: Record, counted: int) -> None:
    """Count what was added to a reservation in its windows."""
    for window in record.windows:
        account.counters[window[:2]].used += counted


def uncount_hold(account: Account, record: Record, held: int) -> None:
    """Give the windows of a reservation that ended without a charge their share back."""
    for window in record.windows:
        counter = account.counters[window[:2]]
        counter.used -= held
        _drop_reference(account, counter)


def settle_hold(account: Account, record: Record, held: int, counted: int) -> list[Mark]:
    """Count what a Commit charges instead of what the reservation held; return the marks that it reached."""
    marks: list[Mark] = []
    for window in record.windows:
        counter = account.counters[window[:2]]
        counter.used -= held
        marks += _charge(counter, counted)
        _drop_reference(account, counter)
    return marks


def count_late(account: Account, record: Record, counted: int, now: int) -> list[Mark]:
    """Count a late commit in the windows of its reservation that are still counted."""
    marks: list[Mark] = []
    for window in record.windows:
        if window[:2] in account.counters or now < window[2]:
            marks += _charge(account.counter(window), counted)
    return marks


def _charge(counter: Counter, amount: int) -> list[Mark]:
    before = counter.charged
    counter.used += amount
    counter.charged += amount
    marks = [counter.near]
    if counter.near < counter.amount:
        marks.append(counter.amount)
    return [(mark, counter) for mark in marks if before < mark <= counter.charged]


def _drop_reference(account: Account, counter: Counter) -> None:
    counter.refs -= 1
    if counter.ended:
        end_window(account, counter)


def end_window(account: Account, counter: Counter) -> None:
    """Let the counter of a window that has ended go, as soon as no open reservation was made in it."""
    counter.ended = True
    if counter.refs == 0:
        del account.counters[counter.key, counter.start]


def window_uses(record: Record, counted: int) -> tuple[WindowUse, ...]:
    """Return the windows of a reservation as its ending names them."""
    return tuple(WindowUse(key, start, end, counted) for key, start, end in record.windows)


def near_limits(account: Account, record: Record) -> list[Warned]:
    """Return a warning for each of the reservation's limits that is near, as it is now."""
    counters = (account.counters.get(window[:2]) for window in record.windows)
    return [
        Warned(AlertKind.LIMIT_NEAR, counter.amount, counter.key)
        for counter in counters
        if counter is not None and counter.near > 0 and counter.charged >= counter.near
    ]
