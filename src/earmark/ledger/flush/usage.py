"""What a flush adds to the roll-ups of the reports: counted while its rows pass by, then added in the same transaction.

Only new entries are counted. They become one addition for each hour, and each day, and what they are about: a thousand
charges of one operation of one account cost three.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import add
from typing import Any

from earmark.credits import MAX_MICROS
from earmark.domain.states import EntryKind
from earmark.ledger.flush.plan import PlannedEntry
from earmark.ledger.flush.rows import ENTRY_COLUMNS, EntryRow

__all__ = ["GRANT_HOURS", "HOUR", "USAGE_DAYS", "USAGE_HOURS", "Rollup", "RollupRow", "UsageDeltas"]

HOUR = 3_600_000_000
"""Microseconds."""
_HOURS_A_DAY = 24

RollupRow = tuple[Any, ...]
"""Keys and sums."""
_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rollup:
    """A table of sums."""

    table: str
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    types: tuple[str, ...]
    """PostgreSQL's, of keys and sums."""
    bounded: frozenset[str]
    """Sums that stay at the largest number of the contract instead of passing it: no other bound is on them."""

    def addition(self, rows: str, least: str) -> str:
        """Return the statement that adds rows.

        Args:
            rows: VALUES or SELECT.
            least: The database's function for the smaller of two.
        """
        columns = ", ".join((*self.keys, *self.sums))
        sums = ", ".join(f"{column} = {self._sum(column, least)}" for column in self.sums)
        keys = ", ".join(self.keys)
        return f"INSERT INTO {self.table} AS t ({columns}) {rows} ON CONFLICT ({keys}) DO UPDATE SET {sums}"

    def _sum(self, column: str, least: str) -> str:
        total = f"t.{column} + excluded.{column}"
        return f"{least}({total}, {MAX_MICROS})" if column in self.bounded else total


_NAMES = ("operation", "user_id", "project_id")
_USES = ("charged", "uncollected", "succeeded", "failed", "expired", "quantity")
_GRANT_USES = ("granted", "charged", "expired", "voided", "repaid", "uncollected")


def _usage(period: str, *names: str) -> Rollup:
    return Rollup(
        f"usage_{period}s",
        ("account_key", period, *names),
        _USES,
        ("bigint", "integer", *("text" for _ in names), *("bigint" for _ in _USES)),
        frozenset({"uncollected", "quantity"}),
    )


USAGE_HOURS = _usage("hour", "operation")
USAGE_DAYS = _usage("day", *_NAMES)
GRANT_HOURS = Rollup(
    "grant_hours",
    ("account_key", "hour", "kind"),
    _GRANT_USES,
    ("bigint", "integer", "smallint", *("bigint" for _ in _GRANT_USES)),
    frozenset({"uncollected"}),
)

_COLUMN = {name: at for at, name in enumerate(ENTRY_COLUMNS)}
_DEBT, _QUANTITY = _COLUMN["debt"], _COLUMN["quantity"]
_OPERATION, _USER, _PROJECT = (_COLUMN[name] for name in _NAMES)

_USED_CHARGED, _USED_UNCOLLECTED, _USED_QUANTITY = (
    _USES.index(name) for name in ("charged", "uncollected", "quantity")
)
_GRANT_CHARGED, _GRANT_UNCOLLECTED = _GRANT_USES.index("charged"), _GRANT_USES.index("uncollected")
_CHARGE = EntryKind.CHARGE.value
_COUNT_OF_KIND = {
    _CHARGE: _USES.index("succeeded"),
    EntryKind.RELEASE.value: _USES.index("failed"),
    EntryKind.EXPIRED_HOLD.value: _USES.index("expired"),
}
_GRANT_USE_OF_KIND = {
    EntryKind.GRANT.value: _GRANT_USES.index("granted"),
    EntryKind.GRANT_EXPIRED.value: _GRANT_USES.index("expired"),
    EntryKind.GRANT_VOIDED.value: _GRANT_USES.index("voided"),
    EntryKind.DEBT_REPAID.value: _GRANT_USES.index("repaid"),
}
_NO_GRANT = 0


class UsageDeltas:
    """Counts entries while their rows pass by; complete once all have passed."""

    def __init__(self) -> None:
        self._uses: dict[_Key, list[int]] = {}
        self._grant_uses: dict[_Key, list[int]] = {}

    def counting(self, entries: Iterable[PlannedEntry], rows: Iterable[EntryRow]) -> Iterator[EntryRow]:
        """Yield the rows of the entries as they are, and count them."""
        row: Any
        all_uses = self._uses
        for (key, _seq, _epoch, record), row in zip(entries, rows, strict=True):
            yield row
            kind, hour = record.kind, record.time // HOUR
            count = _COUNT_OF_KIND.get(kind)
            if count is None:
                use = _GRANT_USE_OF_KIND.get(kind)
                if use is not None:
                    self._of_grants(key, hour, record.grant_kind)[use] += record.amount
                continue
            about = (key, hour, row[_OPERATION], row[_USER], row[_PROJECT])
            uses = all_uses.get(about)
            if uses is None:
                uses = all_uses[about] = [0] * len(_USES)
            uses[count] += 1
            if kind != _CHARGE:
                continue
            uses[_USED_CHARGED] += record.amount
            uses[_USED_QUANTITY] += row[_QUANTITY]
            allocations = record.allocations
            for at in range(0, len(allocations), 3):
                self._of_grants(key, hour, allocations[at + 1])[_GRANT_CHARGED] += allocations[at + 2]
            debt, uncollected = row[_DEBT], record.uncollected
            if debt or uncollected:
                uses[_USED_UNCOLLECTED] += uncollected
                uncovered = self._of_grants(key, hour, _NO_GRANT)
                uncovered[_GRANT_CHARGED] += debt
                uncovered[_GRANT_UNCOLLECTED] += uncollected

    def _of_grants(self, key: int, hour: int, kind: int) -> list[int]:
        uses = self._grant_uses.get((key, hour, kind))
        if uses is None:
            uses = self._grant_uses[key, hour, kind] = [0] * len(_GRANT_USES)
        return uses

    def rows(self) -> Iterator[tuple[Rollup, list[RollupRow]]]:
        """Yield what to add to each table, in the order of its keys; nothing for a table without additions."""
        hours: dict[_Key, list[int]] = {}
        days: dict[_Key, list[int]] = {}
        for (key, hour, operation, user_id, project_id), uses in self._uses.items():
            _merge(hours, (key, hour, operation), uses)
            _merge(days, (key, hour // _HOURS_A_DAY, operation, user_id, project_id), uses)
        for rollup, deltas in ((USAGE_HOURS, hours), (USAGE_DAYS, days), (GRANT_HOURS, self._grant_uses)):
            if deltas:
                yield rollup, [(*about, *uses) for about, uses in sorted(_bounded(rollup, deltas).items())]


def _merge(sums: dict[_Key, list[int]], about: _Key, uses: list[int]) -> None:
    known = sums.get(about)
    sums[about] = uses if known is None else list(map(add, known, uses))


def _bounded(rollup: Rollup, deltas: dict[_Key, list[int]]) -> dict[_Key, list[int]]:
    for name in rollup.bounded:
        at = rollup.sums.index(name)
        for uses in deltas.values():
            if uses[at] > MAX_MICROS:
                uses[at] = MAX_MICROS
    return deltas
