"""What an account in Redis must be, by SQL and the stream; and where it is not. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from earmark.domain.states import EntryKind
from earmark.engine.records import StreamRecord
from earmark.engine.redis.packed import GRANT_STRIDE, PackedAccount, PackedCounter
from earmark.ledger.models import AccountProjection

__all__ = [
    "Difference",
    "Holds",
    "ResidentAccount",
    "Window",
    "check_document",
    "compare_counters",
    "compare_holds",
    "compare_with_ledger",
    "differences",
    "windows_of",
]

Window = tuple[str, int]
"""A limit's key and the start of the window."""

_FIRST_UNNUMBERED = 20
_REMAINING, _HELD = 5, 6


class Difference(msgspec.Struct, frozen=True):
    """Two figures of an account that should be the same. Amounts in microcredits."""

    account_id: str
    """"" where it is about a whole partition."""
    what: str
    redis: int | None
    """What Redis says; None if it says nothing. For a check of the ledger alone, what its totals say."""
    sql: int | None
    """What SQL and the stream say, or what must follow from the rest. For a check of the ledger alone, its entries."""
    partition: int


@dataclass(frozen=True, slots=True)
class ResidentAccount:
    """An account as Redis has it, the tail of its grants included."""

    account_id: str
    document: PackedAccount
    tail: tuple[int, ...]

    def grants(self) -> Iterable[tuple[int, int, int]]:
        """Yield number, remaining and held of every grant."""
        for numbers in (self.document.grants, self.tail):
            for at in range(0, len(numbers), GRANT_STRIDE):
                yield numbers[at], numbers[at + _REMAINING], numbers[at + _HELD]


@dataclass(slots=True)
class Holds:
    """The open reservations of an account."""

    count: int = 0
    reserved: int = 0
    by_grant: dict[int, int] = field(default_factory=dict)

    def add(self, reserved: int, allocations: Sequence[int]) -> None:
        """Add one: three numbers an allocation."""
        self.count += 1
        self.reserved += reserved
        for at in range(0, len(allocations), 3):
            self.by_grant[allocations[at]] = self.by_grant.get(allocations[at], 0) + allocations[at + 2]


def check_document(account: ResidentAccount) -> dict[str, tuple[int, int]]:
    """Return what of an account contradicts itself: the invariants of the semantics, within the document."""
    document = account.document
    left = held = 0
    least = min(document.available, document.reserved, document.debt)
    for _, grant_remaining, grant_held in account.grants():
        left += grant_remaining
        held += grant_held
        least = min(least, grant_remaining, grant_held)
    balance = document.available + document.reserved + document.charged + document.expired + document.voided
    checks = {
        "available, by its grants": (document.available, left),
        "reserved, by its grants": (document.reserved, held),
        "granted, by the balance equation": (document.granted, balance - document.debt),
        "the least amount, which is not negative": (least, max(least, 0)),
        "number of grants in the tail": (document.tail_count, len(account.tail) // GRANT_STRIDE),
    }
    return {what: pair for what, pair in checks.items() if pair[0] != pair[1]}


def compare_with_ledger(
    account: ResidentAccount, projection: AccountProjection, records: Iterable[StreamRecord]
) -> dict[str, tuple[int, int]]:
    """Return where an account is not what SQL, and after it the stream, say.

    Args:
        account: The account, read after the projection.
        projection: SQL's totals.
        records: The account's records of the stream, read after the account; those that SQL has and those that came
            after the account was read are left out here.
    """
    document = account.document
    expected = _Expected(projection)
    for record in records:
        if not expected.has(record) and not _is_later(record, document):
            expected.apply(record)
    checks: dict[str, tuple[int, int]] = {
        "entry number": (document.entry_number, expected.entry_number),
        "admin_seq": (document.admin_seq, expected.admin_seq),
        "granted": (document.granted, expected.granted),
        "charged": (document.charged, expected.charged),
        "expired": (document.expired, expected.expired),
        "voided": (document.voided, expected.voided),
        "debt": (document.debt, expected.debt),
        "room for what is carried over": (document.carry_room, expected.carry_room),
    }
    if document.admin_seq == projection.applied_admin_seq:
        # Otherwise records on their way change it, which do not say how.
        checks |= {
            name.replace("_", " "): (getattr(document, name), getattr(projection.configuration, name))
            for name in projection.configuration.__struct_fields__
        }
    in_redis = {number: left + held for number, left, held in account.grants() if left or held}
    for number in sorted(in_redis.keys() | {number for number, left in expected.left.items() if left}):
        checks[f"left of g{number}"] = (in_redis.get(number, 0), expected.left.get(number, 0))
    return {what: pair for what, pair in checks.items() if pair[0] != pair[1]}


def windows_of(projection: AccountProjection, records: Iterable[StreamRecord]) -> set[Window]:
    """Return the limit windows that SQL and the stream know of an account."""
    return {(counter.key, counter.start) for counter in projection.counters} | {
        (use.key, use.start) for record in records for use in record.windows
    }


def compare_counters(
    account: ResidentAccount,
    counters: Mapping[Window, PackedCounter],
    projection: AccountProjection,
    records: Iterable[StreamRecord],
    now: int,
) -> dict[str, tuple[int, int]]:
    """Return where the counters of limits, read at the account's version, do not say what SQL and the stream say.

    Only windows that have not ended at `now` count: the others are on their way out, here and there.
    """
    document = account.document
    ends = {(counter.key, counter.start): counter.end for counter in projection.counters}
    charged = {(counter.key, counter.start): counter.used for counter in projection.counters}
    for record in records:
        if record.entry_number > projection.entry_number and not _is_later(record, document):
            for use in record.windows:
                window = use.key, use.start
                ends[window] = use.end
                charged[window] = charged.get(window, 0) + use.amount
    found = {}
    for window, end in sorted(ends.items()):
        counter = counters.get(window)
        in_redis = counter.charged if counter is not None and counter.generation == document.generation else 0
        if end > now and in_redis != charged.get(window, 0):
            found[f"charged of {window[0]}"] = (in_redis, charged.get(window, 0))
    return found


def compare_holds(account: ResidentAccount, holds: Holds) -> dict[str, tuple[int, int]]:
    """Return where an account is not what its open reservations say; all were read at one version of it."""
    document = account.document
    held = {number: grant_held for number, _, grant_held in account.grants() if grant_held}
    checks = {
        "number of open reservations": (document.open, holds.count),
        "reserved, by open reservations": (document.reserved, holds.reserved),
    }
    for number in sorted(held.keys() | holds.by_grant.keys()):
        checks[f"held of g{number}"] = (held.get(number, 0), holds.by_grant.get(number, 0))
    return {what: pair for what, pair in checks.items() if pair[0] != pair[1]}


def _is_later(record: StreamRecord, document: PackedAccount) -> bool:
    if record.kind < _FIRST_UNNUMBERED:
        return record.entry_number > document.entry_number
    return record.admin_seq > document.admin_seq


class _Expected:
    """SQL's totals, moved on by records."""

    def __init__(self, projection: AccountProjection) -> None:
        self.entry_number = projection.entry_number
        self.admin_seq = projection.applied_admin_seq
        self.granted = projection.granted
        self.charged = projection.charged
        self.expired = projection.expired
        self.voided = projection.voided
        self.debt = projection.debt
        self.carry_room = projection.carry_room
        self.left = {grant.number: grant.remaining for grant in projection.grants}

    def has(self, record: StreamRecord) -> bool:
        if record.kind < _FIRST_UNNUMBERED:
            return record.entry_number <= self.entry_number
        return record.admin_seq <= self.admin_seq

    def apply(self, record: StreamRecord) -> None:
        # Were one missing, the number would stay behind that of Redis, or the sums would.
        self.entry_number += record.kind < _FIRST_UNNUMBERED
        self.admin_seq = max(self.admin_seq, record.admin_seq)
        if record.carry_room >= 0:
            self.carry_room = record.carry_room
        match record.kind:
            case EntryKind.CHARGE:
                self.charged += record.amount
                self.debt += record.amount - sum(record.allocations[2::3])
                self._use(record.allocations)
            case EntryKind.GRANT:
                self.granted += record.amount
                self.left[record.grant] = self.left.get(record.grant, 0) + record.amount
            case EntryKind.GRANT_EXPIRED:
                self.expired += record.amount
                self._use(record.allocations)
            case EntryKind.GRANT_VOIDED:
                self.voided += record.amount
                self._use(record.allocations)
            case EntryKind.DEBT_REPAID:
                self.debt -= record.amount
                self._use(record.allocations)
            case _:
                pass  # it moves no credits

    def _use(self, allocations: Sequence[int]) -> None:
        for at in range(0, len(allocations), 3):
            number = allocations[at]
            self.left[number] = self.left.get(number, 0) - allocations[at + 2]


def differences(account_id: str, partition: int, found: Mapping[str, tuple[int, int]]) -> list[Difference]:
    """Return what was found as differences."""
    return [Difference(account_id, what, redis, sql, partition) for what, (redis, sql) in found.items()]
