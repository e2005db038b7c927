"""What the reports' queries share: the pieces of their ranges as a table, exact sums, the time of the last entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, BigInteger, ColumnElement, Connection, Integer, cast, column, func, select, values

from earmark.credits import MAX_MICROS
from earmark.ledger.reports.pieces import Piece
from earmark.ledger.tables import entries

__all__ = ["bounded_sum", "exact_sum", "last_entry_time", "piece_table"]


def last_entry_time(connection: Connection, account_key: int) -> int:
    """Return the time of an account's last entry; -1 if it has none."""
    last = select(func.max(entries.c.time)).where(entries.c.account_key == account_key)
    found = connection.execute(last).scalar_one()
    return -1 if found is None else int(found)


def piece_table(pieces: Sequence[Piece]) -> CTE:
    """Return pieces as a table with the columns `piece`, `start`, `end`: each is one scan of an index."""
    columns = (column("piece", Integer), column("start", BigInteger), column("end", BigInteger))
    # Literals: they are numbers, and a year of days is more parameters than a statement should have.
    return values(*columns, literal_binds=True).data(list(pieces)).cte("pieces")


def exact_sum(summed: ColumnElement[Any]) -> ColumnElement[int]:
    """Return a sum as an integer; PostgreSQL's own type for it would come as a Decimal."""
    return cast(func.sum(summed), BigInteger)


def bounded_sum(connection: Connection, summed: ColumnElement[Any]) -> ColumnElement[int]:
    """Return a sum that stays at the largest number of the contract instead of passing it."""
    if connection.dialect.name == "postgresql":
        return cast(func.least(func.sum(summed), MAX_MICROS), BigInteger)
    # SQLite's `sum` fails beyond 63 bits; `total` is exact below 2^53.
    return cast(func.min(func.total(summed), MAX_MICROS), BigInteger)
