"""Totals that the flush keeps beside the entries, for the reconciler and for recovery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select, text

from earmark.domain.states import GrantKind
from earmark.ledger.connections import Database
from earmark.ledger.models import AccountProjection, GrantProjection
from earmark.ledger.tables import account_totals, accounts, grants

__all__ = ["Projections"]

_IDS_AT_ONCE = 1000
_TOTALS = select(account_totals, accounts.c.account_id).join_from(accounts, account_totals)


class Projections:
    """Accounts as flushed entries make them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account_projections(self, account_ids: Sequence[str]) -> dict[str, AccountProjection]:
        """Return the totals of these accounts, from one snapshot; unknown ones are left out."""
        return await self._database.read(lambda connection: _of_ids(connection, account_ids))

    async def pages(self, partition: int, page_size: int = 500) -> AsyncIterator[list[AccountProjection]]:
        """Yield all accounts of a partition; each page is a snapshot of its own."""
        after = 0
        while True:
            query = (
                _TOTALS.where(accounts.c.partition == partition, accounts.c.account_key > after)
                .order_by(accounts.c.account_key)
                .limit(page_size)
            )
            found = await self._database.read(lambda connection: _read(connection, query))  # noqa: B023  awaited here
            if found:
                yield list(found.values())
            if len(found) < page_size:
                return
            after = max(found)


def _of_ids(connection: Connection, account_ids: Sequence[str]) -> dict[str, AccountProjection]:
    projections: dict[str, AccountProjection] = {}
    for start in range(0, len(account_ids), _IDS_AT_ONCE):
        some = account_ids[start : start + _IDS_AT_ONCE]
        found = _read(connection, _TOTALS.where(accounts.c.account_id.in_(some)))
        projections.update((projection.account_id, projection) for projection in found.values())
    return projections


def _read(connection: Connection, query: Select[Any]) -> dict[int, AccountProjection]:
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
    return {row.account_key: _projection(row, left[row.account_key]) for row in rows}


def _projection(row: Row[Any], left: list[GrantProjection]) -> AccountProjection:
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
    )
