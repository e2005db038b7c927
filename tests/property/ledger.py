"""SQL, as small as it can be: what the stream and the administrative operations alone say about every account.

Loads and restores are built from it, so a machine that evicts and loads proves that the stream suffices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from earmark.domain.states import Enforcement, EntryKind, ReservationState
from earmark.engine.operations import (
    ABSENT,
    ApplyGrant,
    Configure,
    Counter,
    LoadAccount,
    Renew,
    RestoreReservation,
    VoidGrant,
)
from earmark.engine.records import StreamRecord

STATE_AFTER = {
    EntryKind.CHARGE: ReservationState.COMMITTED,
    EntryKind.RELEASE: ReservationState.RELEASED,
    EntryKind.EXPIRED_HOLD: ReservationState.EXPIRED,
}


Administration = ApplyGrant | VoidGrant | Configure | Renew


@dataclass
class Row:
    """An account's row."""

    entry_number: int = 0
    charged: int = 0
    granted: int = 0
    expired: int = 0
    voided: int = 0
    debt: int = 0
    suspended: bool = False
    enforcement: int = Enforcement.BLOCK
    overdraft_limit: int = 0
    admin_seq: int = 0
    members: set[str] = field(default_factory=set)
    config_seq: int = 0
    low_balance: int = ABSENT
    critical_balance: int = ABSENT
    cycle_seq: int = 0
    carry_room: int = 0
    carry_kinds: int = 0
    counters: dict[tuple[str, int], Counter] = field(default_factory=dict)
    grants: dict[int, ApplyGrant | Renew] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    voided_grants: set[int] = field(default_factory=set)
    seq: int = 0
    """Of the last record about the account."""


class Ledger:
    """Projects stream records."""

    def __init__(self) -> None:
        self.administration: dict[tuple[str, int], Administration] = {}
        self.rows: dict[str, Row] = defaultdict(Row)
        self.ended: dict[str, StreamRecord] = {}
        self.seq = 0

    def record(self, operation: Administration) -> None:
        """Note an administrative operation, as SQL does before it is relayed."""
        self.administration[operation.account_id, operation.admin_seq] = operation

    def project(self, records: Sequence[StreamRecord]) -> None:
        for record in records:
            self.seq += 1
            self._project(record)

    def _project(self, record: StreamRecord) -> None:
        row = self.rows[record.account_id]
        row.seq = self.seq
        if record.admin_seq:
            assert record.admin_seq == row.admin_seq + 1, "administration out of order"
            row.admin_seq = record.admin_seq
        if record.kind < EntryKind.CONFIGURED:
            row.entry_number += 1
            assert record.entry_number == row.entry_number, "a gap in the entry numbers"
        if record.carry_room >= 0:
            row.carry_room = record.carry_room
        taken = sum(record.allocations[2::3])
        for start in range(0, len(record.allocations) if record.kind != EntryKind.GRANT else 0, 3):
            row.left[record.allocations[start]] -= record.allocations[start + 2]
        match EntryKind(record.kind):
            case EntryKind.GRANT:
                operation = self.administration[record.account_id, record.admin_seq]
                assert isinstance(operation, ApplyGrant | Renew)
                assert record.amount == operation.amount
                if isinstance(operation, Renew):
                    _begin_cycle(row, operation)
                row.granted += record.amount
                row.grants[record.grant] = operation
                row.left[record.grant] = record.amount
            case EntryKind.CHARGE:
                row.charged += record.amount
                row.debt += record.amount - taken
                raised = record.amount > taken
                assert not raised or row.debt <= row.overdraft_limit, "debt above the limit in force"
                for use in record.windows:
                    counter = row.counters.get((use.key, use.start), Counter(use.key, use.start, use.end, 0))
                    used = counter.used + use.amount
                    row.counters[use.key, use.start] = Counter(use.key, use.start, counter.end, used)
            case EntryKind.GRANT_EXPIRED:
                row.expired += record.amount
            case EntryKind.GRANT_VOIDED:
                row.voided += record.amount
                row.voided_grants.add(record.grant)
            case EntryKind.DEBT_REPAID:
                row.debt -= record.amount
            case EntryKind.CONFIGURED:
                configuration = self.administration[record.account_id, record.admin_seq]
                if isinstance(configuration, Renew):
                    _begin_cycle(row, configuration)
                    return
                assert isinstance(configuration, Configure)
                row.suspended = configuration.suspended
                row.enforcement = configuration.enforcement
                row.overdraft_limit = configuration.overdraft_limit
                row.low_balance = configuration.low_balance
                row.critical_balance = configuration.critical_balance
                if configuration.config_seq != ABSENT:
                    row.config_seq = configuration.config_seq
                row.members -= set(configuration.members_removed)
                row.members |= set(configuration.members_added)
            case EntryKind.RELEASE | EntryKind.EXPIRED_HOLD | EntryKind.ADMIN_REFUSED:
                pass
            case EntryKind.REPAIR:
                raise AssertionError("no operation makes this entry")
        if record.kind in STATE_AFTER:
            self.ended[record.digest] = record

    def load(self, account_id: str, generation: int) -> LoadAccount:
        """Return the load of an account; an unknown one begins empty."""
        row = self.rows[account_id]
        grants = tuple(
            number
            for grant, left in sorted(row.left.items())
            if left > 0
            for number in (
                grant,
                row.grants[grant].kind,
                row.grants[grant].priority,
                row.grants[grant].expire_time,
                row.grants[grant].acquire_time,
                left,
                int(grant in row.voided_grants),
            )
        )
        return LoadAccount(
            account_id=account_id,
            generation=generation,
            entry_number=row.entry_number,
            charged=row.charged,
            granted=row.granted,
            expired=row.expired,
            voided=row.voided,
            debt=row.debt,
            suspended=row.suspended,
            enforcement=row.enforcement,
            overdraft_limit=row.overdraft_limit,
            admin_seq=row.admin_seq,
            members=tuple(sorted(row.members)),
            grants=grants,
            config_seq=row.config_seq,
            low_balance=row.low_balance,
            critical_balance=row.critical_balance,
            cycle_seq=row.cycle_seq,
            carry_room=row.carry_room,
            carry_kinds=row.carry_kinds,
            counters=tuple(row.counters.values()),
        )

    def restore(self, digest: str, generation: int) -> RestoreReservation | None:
        """Return the restore of an ended reservation, if one with this digest ever ended."""
        record = self.ended.get(digest)
        if record is None:
            return None
        return RestoreReservation(
            account_id=record.account_id,
            generation=generation,
            digest=digest,
            state=STATE_AFTER[EntryKind(record.kind)],
            content=record.content,
            reserved=record.reserved,
            charged=record.amount,
            uncollected=record.uncollected,
            late=record.late == 1,
            create_time=record.create_time,
            expire_time=record.expire_time,
            settle_time=record.time,
            price_version=record.price_version,
            entry_number=record.entry_number,
            details=record.details,
            allocations=record.allocations,
            windows=tuple((use.key, use.start, use.end) for use in record.windows),
        )


def _begin_cycle(row: Row, renewal: Renew) -> None:
    if renewal.config_seq != ABSENT:
        row.config_seq = renewal.config_seq
    if renewal.cap != ABSENT:
        row.cycle_seq = renewal.admin_seq
        row.carry_kinds = renewal.kinds
