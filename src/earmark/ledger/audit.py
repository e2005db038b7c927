"""The ledger against itself: the entries and allocations on one side, the totals that the flush keeps on the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select

from earmark.domain.states import EntryKind
from earmark.ledger.connections import Database
from earmark.ledger.counters import decode_windows, open_counters
from earmark.ledger.models import AdminState
from earmark.ledger.tables import account_totals, accounts, admin_operations, entries, entry_allocations, grants

__all__ = ["Audit", "AuditPage", "Contradiction"]

_USES = {
    EntryKind.CHARGE: "charged",
    EntryKind.GRANT_EXPIRED: "expired",
    EntryKind.GRANT_VOIDED: "voided",
    EntryKind.DEBT_REPAID: "repaid",
}
_TOTALS = {EntryKind.GRANT: "granted", **_USES}


_Check = tuple[str, int, int]
"""What is checked, what the projections say, what the entries say."""


class Contradiction(msgspec.Struct, frozen=True):
    """Two places of the ledger that should say the same."""

    account_id: str
    what: str
    total: int
    """What the projections say."""
    entries: int
    """What the entries say."""


class AuditPage(msgspec.Struct, frozen=True):
    """What one snapshot showed of some accounts."""

    accounts: int
    entries: int
    contradictions: list[Contradiction]
    next_after: int | None
    """Where the next page begins; None at the end."""


class Audit:
    """Compares entries with totals. Reads every entry: for reconciliation, never on a caller's way."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def page(self, partition: int, after: int = 0, page_size: int = 200) -> AuditPage:
        """Compare some accounts of a partition, from one snapshot; `after` is the former page's `next_after`."""
        now = self._clock()
        return await self._database.read(lambda connection: _audit(connection, partition, after, page_size, now))


def _audit(connection: Connection, partition: int, after: int, page_size: int, now: int) -> AuditPage:
    query = (
        select(account_totals, accounts.c.account_id, accounts.c.admin_seq)
        .join_from(accounts, account_totals)
        .where(accounts.c.partition == partition, accounts.c.account_key > after)
        .order_by(accounts.c.account_key)
        .limit(page_size)
    )
    rows = connection.execute(query).all()
    keys = [row.account_key for row in rows]
    sums = _sums_by_kind(connection, keys)
    used = _sums_by_grant(connection, keys)
    granted = _grants_of(connection, keys)
    confirmed = _confirmed_operations(connection, keys)
    counted = _counted_by_limits(connection, keys, now)
    found: list[Contradiction] = []
    count = 0
    for row in rows:
        mine = sums.get(row.account_key, {})
        count += sum(kind.entries for kind in mine.values())
        checks = _check_totals(row, mine, confirmed.get(row.account_key, 0))
        checks += _check_grants(granted.get(row.account_key, ()), used.get(row.account_key, {}))
        checks += counted.get(row.account_key, ())
        found += [Contradiction(row.account_id, *check) for check in checks if check[1] != check[2]]
    return AuditPage(len(rows), count, found, keys[-1] if len(rows) == page_size else None)


def _sums_by_kind(connection: Connection, keys: Sequence[int]) -> dict[int, dict[int, Row[Any]]]:
    query = (
        select(
            entries.c.account_key,
            entries.c.kind,
            func.count().label("entries"),
            func.min(entries.c.entry_number).label("first"),
            func.max(entries.c.entry_number).label("last"),
            func.sum(entries.c.amount).label("amount"),
            func.sum(entries.c.debt).label("debt"),
            func.sum(entries.c.uncollected).label("uncollected"),
        )
        .where(entries.c.account_key.in_(keys))
        .group_by(entries.c.account_key, entries.c.kind)
    )
    sums: dict[int, dict[int, Row[Any]]] = defaultdict(dict)
    for row in connection.execute(query):
        sums[row.account_key][row.kind] = row
    return sums


def _sums_by_grant(connection: Connection, keys: Sequence[int]) -> dict[int, dict[tuple[int, int], int]]:
    """Return what the allocations say, per account, by grant and kind of entry."""
    query = (
        select(
            entry_allocations.c.account_key,
            entry_allocations.c.grant_number,
            entries.c.kind,
            func.sum(entry_allocations.c.amount).label("amount"),
        )
        .join_from(
            entry_allocations,
            entries,
            (entries.c.account_key == entry_allocations.c.account_key)
            & (entries.c.entry_number == entry_allocations.c.entry_number),
        )
        .where(entry_allocations.c.account_key.in_(keys))
        .group_by(entry_allocations.c.account_key, entry_allocations.c.grant_number, entries.c.kind)
    )
    sums: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for row in connection.execute(query):
        sums[row.account_key][row.grant_number, row.kind] = int(row.amount)
    return sums


def _grants_of(connection: Connection, keys: Sequence[int]) -> dict[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for grant in connection.execute(select(grants).where(grants.c.account_key.in_(keys))):
        found[grant.account_key].append(grant)
    return found


def _confirmed_operations(connection: Connection, keys: Sequence[int]) -> dict[int, int]:
    """Return how many administrative operations of each account flushed records confirm."""
    query = (
        select(admin_operations.c.account_key, func.count().label("operations"))
        .where(
            admin_operations.c.account_key.in_(keys),
            admin_operations.c.admin_seq > 0,
            admin_operations.c.state != AdminState.PENDING.value,
        )
        .group_by(admin_operations.c.account_key)
    )
    return {row.account_key: row.operations for row in connection.execute(query)}


def _counted_by_limits(connection: Connection, keys: Sequence[int], now: int) -> dict[int, list[_Check]]:
    """Return the checks of the limit counters whose window has not ended: the others may have been cleared."""
    counters = open_counters(connection, keys, now)
    limited = [key for key, some in counters.items() if some]
    sums: dict[tuple[int, str, int], int] = defaultdict(int)
    if limited:
        query = select(entries.c.account_key, entries.c.windows).where(
            entries.c.account_key.in_(limited), entries.c.windows != ""
        )
        for account_key, windows in connection.execute(query):
            for use in decode_windows(windows):
                sums[account_key, use.key, use.start] += use.amount
    return {
        key: [(f"ledger: used of {some.key}", some.used, sums[key, some.key, some.start]) for some in counters[key]]
        for key in limited
    }


def _check_totals(row: Row[Any], sums: Mapping[int, Row[Any]], confirmed: int) -> list[_Check]:
    def total(column: str) -> int:
        return sum(int(getattr(kind, column)) for kind in sums.values())

    charges = sums.get(EntryKind.CHARGE)
    checks: list[_Check] = [
        ("ledger: last entry number", row.entry_number, max((kind.last for kind in sums.values()), default=0)),
        ("ledger: number of entries", row.entry_number, total("entries")),
        ("ledger: applied admin_seq", row.applied_admin_seq, confirmed),
        ("ledger: borrowed", row.borrowed, total("debt")),
        # What an expired hold of an account that observes lacked is no charge yet: a late commit may still come.
        ("ledger: uncollected", row.uncollected, int(charges.uncollected) if charges is not None else 0),
    ]
    for kind, name in _TOTALS.items():
        summed = int(sums[kind].amount) if kind in sums else 0
        checks.append((f"ledger: {name}", getattr(row, name), summed))
    return checks


def _check_grants(listed: Sequence[Row[Any]], used: Mapping[tuple[int, int], int]) -> list[_Check]:
    checks: list[_Check] = []
    for grant in listed:
        number = grant.grant_number
        applied = grant.state == AdminState.APPLIED.value
        amount = grant.amount if applied else 0
        left = amount - grant.charged - grant.expired - grant.voided - grant.repaid
        checks.append((f"ledger: g{number} amount", amount, used.get((number, EntryKind.GRANT), 0)))
        checks.append((f"ledger: number of open grants g{number}", int(grant.open), int(left > 0)))
        checks += [
            (f"ledger: g{number} {name}", getattr(grant, name), used.get((number, kind), 0))
            for kind, name in _USES.items()
        ]
    known = {grant.grant_number for grant in listed}
    checks += [
        (f"ledger: g{number}, which does not exist", 0, amount)
        for (number, _), amount in used.items()
        if number not in known
    ]
    return checks
