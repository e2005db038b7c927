"""Totals that the flush keeps beside the entries, for the reconciler and for recovery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, text

from earmark.domain.states import GrantKind
from earmark.engine.operations import Counter
from earmark.ledger.connections import Database
from earmark.ledger.counters import open_counters
from earmark.ledger.models import AccountProjection, AppliedConfiguration, GrantProjection
from earmark.ledger.tables import account_totals, accounts, grants, members

__all__ = ["Projections"]

_IDS_AT_ONCE = 1000
_TOTALS = select(account_totals, accounts.c.account_id).join_from(accounts, account_totals)


class Projections:
    """Accounts as flushed entries make them."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def account_projections(self, account_ids: Sequence[str]) -> dict[str, AccountProjection]:
        """Return the totals of these accounts, from one snapshot; unknown ones are left out."""
        now = self._clock()
        return await self._database.read(lambda connection: _of_ids(connection, account_ids, now))

    async def pages(self, partition: int, page_size: int = 500) -> AsyncIterator[list[AccountProjection]]:
        """Yield all accounts of a partition; each page is a snapshot of its own."""
        after = 0
        while True:
            query = (
                _TOTALS.where(accounts.c.partition == partition, accounts.c.account_key > after)
                .order_by(accounts.c.account_key)
                .limit(page_size)
            )
            now = self._clock()
            found = await self._database.read(lambda connection: _read(connection, query, now))  # noqa: B023  awaited here
            if found:
                yield list(found.values())
            if len(found) < page_size:
                return
            after = max(found)


def _of_ids(connection: Connection, account_ids: Sequence[str], now: int) -> dict[str, AccountProjection]:
    projections: dict[str, AccountProjection] = {}
    for start in range(0, len(account_ids), _IDS_AT_ONCE):
        some = account_ids[start : start + _IDS_AT_ONCE]
        found = _read(connection, _TOTALS.where(accounts.c.account_id.in_(some)), now)
        projections.update((projection.account_id, projection) for projection in found.values())
    return projections


def _read(connection: Connection, query: Select[Any], now: int) -> dict[int, AccountProjection]:
    rows = connection.execute(query).all()
    left: dict[int, list[GrantProjection]] = {row.account_key: [] for row in rows}
    live = (
        select(grants)
        # To the letter as the partial index says it, so that it is used.
        .where(text("open"), grants.c.account_key.in_(list(left)))
        .order_by(grants.c.account_key, grants.c.grant_number)
    )
    for grant in connection.execute(live):
        left[grant.account_key].append(
            GrantProjection(
                number=grant.grant_number,
                kind=GrantKind(grant.kind),
                remaining=grant.amount - grant.charged - grant.expired - grant.voided - grant.repaid,
                expire_time=grant.expire_time,
                void=grant.void,
            )
        )
    counters = open_counters(connection, list(left), now)
    belonging = _members(connection, list(left))
    return {
        row.account_key: _projection(
            row, left[row.account_key], belonging.get(row.account_key, 0), counters[row.account_key]
        )
        for row in rows
    }


def _members(connection: Connection, account_keys: Sequence[int]) -> dict[int, int]:
    """Return how many members each account has, as Redis has applied it."""
    applied = account_totals.c.applied_admin_seq
    query = (
        select(members.c.account_key, func.count())
        .join_from(members, account_totals, members.c.account_key == account_totals.c.account_key)
        .where(
            members.c.account_key.in_(account_keys),
            members.c.added_seq <= applied,
            members.c.removed_seq.is_(None) | (members.c.removed_seq > applied),
        )
        .group_by(members.c.account_key)
    )
    return dict(map(tuple, connection.execute(query)))


def _projection(
    row: Row[Any], left: list[GrantProjection], belonging: int, counters: tuple[Counter, ...]
) -> AccountProjection:
    return AccountProjection(
        account_id=row.account_id,
        entry_number=row.entry_number,
        applied_admin_seq=row.applied_admin_seq,
        granted=row.granted,
        charged=row.charged,
        expired=row.expired,
        voided=row.voided,
        repaid=row.repaid,
        debt=row.borrowed - row.repaid,
        uncollected=row.uncollected,
        grants=tuple(left),
        configuration=AppliedConfiguration(
            suspended=int(row.suspended),
            enforcement=row.enforcement,
            overdraft_limit=row.overdraft_limit,
            config_seq=row.config_seq,
            low_balance=row.low_balance,
            critical_balance=row.critical_balance,
            cycle_seq=row.cycle_seq,
            carry_kinds=row.carry_kinds,
            members=belonging,
        ),
        carry_room=row.carry_room,
        counters=counters,
    )
