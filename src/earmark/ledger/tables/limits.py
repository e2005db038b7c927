"""Counters of limits, as flushed entries make them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, Table, Text

from earmark.ledger.tables.core import metadata

__all__ = ["limit_counters"]

limit_counters = Table(
    "limit_counters",
    metadata,
    Column("account_key", BigInteger, nullable=False),
    # `limit_key` of `domain.limits`.
    Column("key", Text, nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_key", "key", "start_time", name="limit_counters_pkey"),
    # A load wants those whose window has not ended; those that ended long ago go.
    Index("limit_counters_open", "account_key", "end_time"),
    Index("limit_counters_ended", "end_time"),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": "60"},
)
