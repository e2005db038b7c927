"""The invariants of the semantics, checked over a whole partition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from earmark.credits import MAX_MICROS
from earmark.domain.states import AlertKind, EntryKind, ReservationState
from earmark.engine.memory.model import Account
from earmark.engine.memory.partition import Partition
from earmark.engine.memory.store import MemoryStore
from earmark.engine.records import StreamRecord

__all__ = ["InvariantBroken", "check_invariants"]

_ENDS = (EntryKind.CHARGE, EntryKind.RELEASE, EntryKind.EXPIRED_HOLD)


class InvariantBroken(AssertionError):
    """A rule that must hold at every moment does not."""


@dataclass(slots=True)
class _Sums:
    """What the stream says about one account."""

    granted: int = 0
    charged: int = 0
    expired: int = 0
    voided: int = 0
    debt: int = 0
    last_number: int = 0
    given: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """By grant: what it got."""
    gone: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """By grant: what was charged, expired, voided or repaid from it."""
    counted: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    """By key and start of a limit's window: what charges count in it."""
    window_ends: dict[tuple[str, int], int] = field(default_factory=dict)
    counted_before: dict[tuple[str, int], int] = field(default_factory=dict)
    """The same before the last charge, for the windows that it names."""
    carry_room: int = 0
    balances: list[int] = field(default_factory=list)
    """After each record: what was available or reserved."""
    fired: dict[tuple[int, int], int] = field(default_factory=dict)
    """By kind and threshold of a balance alert: how many balances had been seen when it last fired."""

    @property
    def kept(self) -> int:
        """What is available or reserved."""
        return self.granted + self.debt - self.charged - self.expired - self.voided


def check_invariants(store: MemoryStore) -> None:
    """Check every invariant of a store whose accounts all began in it (loads bring back only what it evicted).

    Raises:
        InvariantBroken: naming the account and the numbers.
    """
    partition = store.partition
    sums = _sum_stream(partition.stream)
    _check_endings(partition.stream)
    for account in partition.accounts.values():
        _check_totals(account)
        _check_holds(partition, account)
        _check_counters(partition, account, sums[account.account_id])
        _check_carried(partition, account)
        _check_against_stream(account, sums[account.account_id])
        if not store.due_left:
            _check_nothing_due(partition, account)


def _require(condition: bool, account_id: str, what: str, *numbers: object) -> None:
    if not condition:
        raise InvariantBroken(f"account {account_id!r}: {what}: {numbers}")


def _check_totals(account: Account) -> None:
    """Invariants 1 to 3."""
    name = account.account_id
    kept = account.available + account.reserved + account.charged + account.expired + account.voided
    _require(account.granted == kept - account.debt, name, "the sum of the grants", account)
    for grant in account.grants.values():
        _require(grant.remaining >= 0 and grant.held >= 0, name, "a grant below zero", grant)
        _require(grant.live, name, "a spent grant is kept", grant)
        _require(not (grant.voided and grant.remaining), name, "a voided grant gives", grant)
    _require(account.debt >= 0, name, "debt below zero", account.debt)
    _require(account.debt == 0 or account.available == 0, name, "available while in debt", account.debt)
    for total in (account.granted, account.charged, account.expired, account.voided, account.debt):
        _require(0 <= total <= MAX_MICROS, name, "a total out of range", total)


def _check_holds(partition: Partition, account: Account) -> None:
    """Invariant 3: what is reserved belongs to a grant, and is what the open reservations hold."""
    held: dict[int, int] = defaultdict(int)
    for record in partition.records.values():
        if record.account_id != account.account_id:
            continue
        allocated = sum(record.allocations.values())
        match record.state:
            case ReservationState.ACTIVE:
                for (number, _), amount in record.allocations.items():
                    held[number] += amount
                _require(allocated == record.reserved, record.digest, "a hold without credits", record)
            case ReservationState.COMMITTED:
                _require(allocated <= record.charged, record.digest, "charged less than was taken", record)
            case ReservationState.RELEASED | ReservationState.EXPIRED:
                _require(not record.charged, record.digest, "a failed generation was charged", record)
    for number, grant in account.grants.items():
        _require(grant.held == held.pop(number, 0), account.account_id, "held by nobody", grant)
    _require(not held, account.account_id, "held from no grant", dict(held))


def _check_counters(partition: Partition, account: Account, sums: _Sums) -> None:
    """What a window has used is what open reservations and settled charges count in it."""
    held: dict[tuple[str, int], list[int]] = defaultdict(list)
    for record in partition.records.values():
        if record.account_id == account.account_id and record.state is ReservationState.ACTIVE:
            for key, start, _ in record.windows:
                held[key, start].append(record.counted)
    for place, counter in account.counters.items():
        amounts = held.pop(place, [])
        _require(counter.refs == len(amounts), account.account_id, "references of a window", counter)
        _require(counter.used == counter.charged + sum(amounts), account.account_id, "used of a window", counter)
        _require(counter.charged >= 0, account.account_id, "a window below zero", counter)
        _require(not counter.ended or counter.refs > 0, account.account_id, "a window outlived its end", counter)
        if counter.end > partition.now:
            _require(
                counter.charged == sums.counted.get(place, 0), account.account_id, "charged of a window", counter, sums
            )
    _require(not held, account.account_id, "a reservation counts nowhere", dict(held))
    for (key, start), charged in sums.counted.items():
        counter_missing = (key, start) not in account.counters
        ended = sums.window_ends[key, start] <= partition.now
        _require(not counter_missing or ended or charged == 0, account.account_id, "a window is lost", key, start)


def _check_carried(partition: Partition, account: Account) -> None:
    """What is available of earlier cycles, was taken of it since, or may still return to it, stays within the cap."""
    _require(account.carry_room >= 0, account.account_id, "carry room below zero", account.carry_room)
    if account.cycle_seq:
        carried = sum(grant.remaining for grant in account.grants.values() if account.carries(grant))
        taken = sum(
            record.kept
            for record in partition.records.values()
            if record.account_id == account.account_id
            and record.state is ReservationState.ACTIVE
            and record.cycle == account.cycle_seq
        )
        cap = partition.caps[account.account_id]
        within = carried + taken + account.carry_room <= cap
        _require(within, account.account_id, "carried above the cap", carried, taken, account.carry_room, cap)


def _check_against_stream(account: Account, sums: _Sums) -> None:
    """Invariants 3 and 7: the stream alone gives every total and every grant's remainder."""
    name = account.account_id
    totals = (account.granted, account.charged, account.expired, account.voided, account.debt)
    streamed = (sums.granted, sums.charged, sums.expired, sums.voided, sums.debt)
    _require(totals == streamed, name, "totals differ from the stream's", totals, streamed)
    _require(account.entry_number == sums.last_number, name, "entry number", sums.last_number)
    _require(account.carry_room == sums.carry_room, name, "carry room differs from the stream's", sums.carry_room)
    for number, given in sums.given.items():
        grant = account.grants.get(number)
        left = grant.remaining + grant.held if grant else 0
        _require(given - sums.gone[number] == left, name, "a grant's remainder", number, given, left)
    _require(set(account.grants) <= set(sums.given), name, "a grant from nowhere", account.grants)


def _check_nothing_due(partition: Partition, account: Account) -> None:
    for record in partition.records.values():
        overdue = record.state is ReservationState.ACTIVE and record.expire_time <= partition.now
        _require(not overdue, record.account_id, "a hold outlived its expiry", record)
    for grant in account.grants.values():
        usable = grant.remaining > 0 and grant.ended_by(partition.now)
        _require(not usable, account.account_id, "an expired grant is available", grant)


def _sum_stream(stream: Iterable[StreamRecord]) -> dict[str, _Sums]:
    by_account: dict[str, _Sums] = defaultdict(_Sums)
    for record in stream:
        sums = by_account[record.account_id]
        if record.carry_room >= 0:
            sums.carry_room = record.carry_room
        if record.kind >= EntryKind.CONFIGURED:
            _require(record.entry_number == 0, record.account_id, "a number on no entry", record)
        else:
            sums.last_number += 1
            _require(record.entry_number == sums.last_number, record.account_id, "a gap", record)
            _require(record.amount >= 0 and record.available_after >= 0, record.account_id, "negative", record)
            _add(sums, record)
        _check_alerts(sums, record)
    return by_account


def _check_alerts(sums: _Sums, record: StreamRecord) -> None:
    """No alert without a crossing: the balance, or the charges of a window, were on the other side before."""
    for alert in record.alerts:
        name = record.account_id
        _require(alert.balance == sums.kept, name, "an alert tells another balance", record)
        match AlertKind(alert.kind):
            case AlertKind.LIMIT_NEAR:
                places = [place for place in sums.counted_before if place[0] == alert.key]
                reached = any(sums.counted_before[it] < alert.threshold <= sums.counted[it] for it in places)
                _require(reached, name, "a limit is near that the charge did not move", record)
            case AlertKind.LOW_BALANCE | AlertKind.CRITICAL_BALANCE:
                seen = sums.balances[sums.fired.get((alert.kind, alert.threshold), 0) :]
                _require(any(balance > alert.threshold for balance in seen), name, "alerted twice", record)
                _require(alert.balance <= alert.threshold, name, "alerted above the threshold", record)
                sums.fired[alert.kind, alert.threshold] = len(sums.balances)
            case AlertKind.EXPIRING_SOON:
                raise InvariantBroken("no operation says what expires soon")
    sums.balances.append(sums.kept)


def _add(sums: _Sums, record: StreamRecord) -> None:
    taken = sum(record.allocations[2::3])
    if record.kind != EntryKind.GRANT:
        for start in range(0, len(record.allocations), 3):
            sums.gone[record.allocations[start]] += record.allocations[start + 2]
    match EntryKind(record.kind):
        case EntryKind.GRANT:
            sums.granted += record.amount
            sums.given[record.grant] += record.amount
        case EntryKind.CHARGE:
            sums.charged += record.amount
            sums.debt += record.amount - taken
            _require(taken <= record.amount, record.account_id, "took more than it charged", record)
            _count(sums, record)
        case EntryKind.GRANT_EXPIRED:
            sums.expired += record.amount
        case EntryKind.GRANT_VOIDED:
            sums.voided += record.amount
        case EntryKind.DEBT_REPAID:
            sums.debt -= record.amount
            _require(sums.debt >= 0, record.account_id, "repaid more than was owed", record)
        case EntryKind.RELEASE | EntryKind.EXPIRED_HOLD:
            _require(record.amount == 0, record.account_id, "an ended hold moved credits", record)
        case kind:
            raise InvariantBroken(f"no operation makes {kind!r}")


def _count(sums: _Sums, charge: StreamRecord) -> None:
    sums.counted_before = {(use.key, use.start): sums.counted[use.key, use.start] for use in charge.windows}
    for use in charge.windows:
        sums.counted[use.key, use.start] += use.amount
        sums.window_ends[use.key, use.start] = use.end


def _check_endings(stream: Iterable[StreamRecord]) -> None:
    """Invariants 4 to 6: a reservation ends once; only what has expired may still be charged, late."""
    endings: dict[tuple[str, int], list[StreamRecord]] = defaultdict(list)
    for record in stream:
        if record.kind in _ENDS:
            # An id that was retired after its replay window may be used again: the creation tells them apart.
            endings[record.digest, record.create_time].append(record)
    for (digest, _), records in endings.items():
        kinds = [record.kind for record in records]
        late = [record.late for record in records]
        once = len(kinds) == 1 and late == [0]
        late_commit = kinds == [EntryKind.EXPIRED_HOLD, EntryKind.CHARGE] and late == [0, 1]
        # What was free when it expired left no entry then.
        late_after_silence = kinds == [EntryKind.CHARGE] and late == [1]
        _require(once or late_commit or late_after_silence, digest, "ended more than once", kinds, late)
