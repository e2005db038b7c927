"""Subscriptions, claimed identities, purchases."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from earmark.ledger.tables.core import KEY, admin_operations, metadata

__all__ = ["claimed_identities", "purchases", "subscription_events", "subscriptions"]

# Credits that Redis refused to an account that has too many grants are owed: they are looked for.
Index(
    "admin_operations_refused",
    admin_operations.c.create_time,
    admin_operations.c.account_key,
    sqlite_where=text("state = 2"),
    postgresql_where=text("state = 2"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("subscription_key", KEY, primary_key=True, autoincrement=True),
    Column("subscription_id", Text, nullable=False, unique=True),
    Column("account_key", BigInteger, ForeignKey("accounts.account_key"), nullable=False),
    # The account's: each process looks after its own partitions.
    Column("partition", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("plan_id", Text, nullable=False),
    # The plan as the catalog of this version had it, as JSON: it goes on so when a later catalog leaves it out.
    Column("plan", Text, nullable=False),
    Column("catalog_version", BigInteger, nullable=False),
    Column("overrides", Text, nullable=False),
    Column("term", SmallInteger, nullable=False),
    # What this cycle has given.
    Column("credits", BigInteger, nullable=False),
    Column("anchor_time", BigInteger, nullable=False),
    Column("cycle", BigInteger, nullable=False),
    Column("cycle_start", BigInteger, nullable=False),
    # 0 for a cycle that never ends.
    Column("cycle_end", BigInteger, nullable=False),
    Column("term_last_cycle", BigInteger, nullable=False),
    Column("next_term_paid", Boolean, nullable=False),
    # What the next term begins with instead, as JSON; empty for the same.
    Column("next_change", Text, nullable=False),
    # When the cycle job has to look at it; 0 for never.
    Column("due_time", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("end_time", BigInteger, nullable=False),
    Index(
        "subscriptions_current",
        "account_key",
        unique=True,
        sqlite_where=text("state <> 4"),
        postgresql_where=text("state <> 4"),
    ),
    Index("subscriptions_by_account", "account_key", "subscription_key"),
    Index(
        "subscriptions_due",
        "due_time",
        "subscription_key",
        sqlite_where=text("due_time > 0"),
        postgresql_where=text("due_time > 0"),
    ),
)

# What happened to the account's plan, under the number of the administrative operation that says so to Redis.
subscription_events = Table(
    "subscription_events",
    metadata,
    Column("account_key", BigInteger, ForeignKey("accounts.account_key"), nullable=False),
    Column("admin_seq", BigInteger, nullable=False),
    Column("subscription_key", BigInteger, ForeignKey("subscriptions.subscription_key"), nullable=False),
    Column("event", SmallInteger, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("cycle", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_key", "admin_seq", name="subscription_events_pkey"),
)

claimed_identities = Table(
    "claimed_identities",
    metadata,
    # Normalised: no two accounts claim for one identity.
    Column("identity", Text, primary_key=True),
    Column("account_key", BigInteger, ForeignKey("accounts.account_key"), nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
)

purchases = Table(
    "purchases",
    metadata,
    Column("purchase_key", KEY, primary_key=True, autoincrement=True),
    Column("purchase_id", Text, nullable=False, unique=True),
    Column("account_key", BigInteger, ForeignKey("accounts.account_key"), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("pack_id", Text, nullable=False),
    # The quote, kept until it is paid whatever the catalog says then.
    Column("credits", BigInteger, nullable=False),
    Column("bonus", BigInteger, nullable=False),
    Column("method", Text, nullable=False),
    Column("price", Text, nullable=False),
    Column("unit_price", Text, nullable=False),
    Column("promotion_id", Text, nullable=False),
    # Validity and priority of the credits and of the bonus, as JSON.
    Column("terms", Text, nullable=False),
    Column("price_version", BigInteger, nullable=False),
    Column("payment_reference", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("settle_time", BigInteger, nullable=False),
    Index("purchases_by_account", "account_key", "purchase_key"),
    Index("purchases_by_request", "account_key", "request_id", unique=True),
    Index(
        "purchases_by_reference",
        "payment_reference",
        unique=True,
        sqlite_where=text("payment_reference <> ''"),
        postgresql_where=text("payment_reference <> ''"),
    ),
)
