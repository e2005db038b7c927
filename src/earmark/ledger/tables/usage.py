"""Roll-ups of what was used, for reports. Each sums the entries of an hour or a day of UTC, and is never behind them.

What a report wants of an hour or a day that its range cuts, it reads from the entries (`ledger.reports`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text

from earmark.ledger.tables.core import metadata

__all__ = ["grant_hours", "usage_days", "usage_hours"]

# Byte order: comparing keys by a locale's rules would cost more than finding them.
_NAME = Text().with_variant(Text(collation="C"), "postgresql")


def _usage(name: str, period: str, *names: str) -> Table:
    return Table(
        name,
        metadata,
        Column("account_key", BigInteger, nullable=False),
        # Hours, or days, since 1970.
        Column(period, Integer, nullable=False),
        *(Column(text, _NAME, nullable=False) for text in names),
        Column("charged", BigInteger, nullable=False),
        Column("uncollected", BigInteger, nullable=False),
        Column("succeeded", BigInteger, nullable=False),
        Column("failed", BigInteger, nullable=False),
        Column("expired", BigInteger, nullable=False),
        Column("quantity", BigInteger, nullable=False),
        PrimaryKeyConstraint("account_key", period, *names, name=f"{name}_pkey"),
        sqlite_with_rowid=False,
        # Room on each page, so that an update stays on it and touches no index.
        postgresql_with={"fillfactor": "70"},
    )


usage_hours = _usage("usage_hours", "hour", "operation")
usage_days = _usage("usage_days", "day", "operation", "user_id", "project_id")

grant_hours = Table(
    "grant_hours",
    metadata,
    Column("account_key", BigInteger, nullable=False),
    Column("hour", Integer, nullable=False),
    # Of the grants; 0 for what no grant paid: then `charged` is what became debt.
    Column("kind", SmallInteger, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("charged", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),
    Column("voided", BigInteger, nullable=False),
    Column("repaid", BigInteger, nullable=False),
    # Only where kind is 0.
    Column("uncollected", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_key", "hour", "kind", name="grant_hours_pkey"),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": "70"},
)
