"""Alerts that were set off, and their deliveries."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from earmark.ledger.tables.core import KEY, metadata

__all__ = ["notification_deliveries", "notifications"]

notifications = Table(
    "notifications",
    metadata,
    Column("notification_key", KEY, primary_key=True, autoincrement=True),
    # Made of what set it off, so that it is stored once, whoever finds it how often.
    Column("notification_id", Text, nullable=False, unique=True),
    Column("account_key", BigInteger, ForeignKey("accounts.account_key"), nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("threshold", BigInteger, nullable=False),
    Column("limit_key", Text, nullable=False),
    # The limit's amount, or what is left of the grant.
    Column("amount", BigInteger, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("entry_number", BigInteger, nullable=False),
    Column("grant_number", BigInteger, nullable=False),
    Column("expire_time", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Index("notifications_by_account", "account_key", "create_time", "notification_key"),
    Index("notifications_by_time", "create_time", "notification_key"),
)

notification_deliveries = Table(
    "notification_deliveries",
    metadata,
    Column("notification_key", BigInteger, ForeignKey("notifications.notification_key"), nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    # By the database's clock, as is everything about a delivery.
    Column("attempt_time", BigInteger, nullable=False),
    Column("next_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("notification_key", "position", name="notification_deliveries_pkey"),
    Index(
        "notification_deliveries_due",
        "next_time",
        sqlite_where=text("state = 1"),
        postgresql_where=text("state = 1"),
    ),
)
