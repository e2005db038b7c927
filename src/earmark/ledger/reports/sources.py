"""How reports read sums: one scan of an index for each piece, and integers that are exact.

The bounds stand in the statements as literals. A planner that does not know them takes any range for a large one, and
reads the whole account instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, text

from earmark.credits import MAX_MICROS
from earmark.ledger.reports.pieces import Piece
from earmark.ledger.tables import entries

__all__ = ["bounded_sum", "exact_sum", "last_entry_time", "read_pieces"]

_PIECES_AT_ONCE = 64


def last_entry_time(connection: Connection, account_key: int) -> int:
    """Return the time of an account's last entry; -1 if it has none."""
    last = select(func.max(entries.c.time)).where(entries.c.account_key == account_key)
    found = connection.execute(last).scalar_one()
    return -1 if found is None else int(found)


def read_pieces(
    connection: Connection, pieces: Sequence[Piece], statement: str, values: Mapping[str, Any] | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a statement for every piece.

    Args:
        connection: Whose snapshot to read.
        pieces: The numbers of their ranges come as the rows' first column.
        statement: A SELECT in which `{piece}`, `{start}` and `{end}` stand for a piece's numbers; its columns come
            after the piece's number.
        values: Of the statement's parameters.
    """
    for at in range(0, len(pieces), _PIECES_AT_ONCE):
        selects = (
            statement.format(piece=piece, start=start, end=end)
            for piece, start, end in pieces[at : at + _PIECES_AT_ONCE]
        )
        for row in connection.execute(text(" UNION ALL ".join(selects)), values or {}):
            yield tuple(row)


def exact_sum(summed: str) -> str:
    """Return a sum as an integer; PostgreSQL's own type for it would come as a Decimal."""
    return f"CAST(sum({summed}) AS BIGINT)"


def bounded_sum(connection: Connection, summed: str) -> str:
    """Return a sum that stays at the largest number of the contract instead of passing it."""
    if connection.dialect.name == "postgresql":
        return f"CAST(least(sum({summed}), {MAX_MICROS}) AS BIGINT)"
    # SQLite's `sum` fails beyond 63 bits; `total` is exact below 2^53.
    return f"CAST(min(total({summed}), {MAX_MICROS}) AS BIGINT)"
