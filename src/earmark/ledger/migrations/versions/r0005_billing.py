"""Subscriptions, claimed identities and purchases."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("subscription_key", _KEY, autoincrement=True, nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("catalog_version", sa.BigInteger(), nullable=False),
        sa.Column("overrides", sa.Text(), nullable=False),
        sa.Column("term", sa.SmallInteger(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("anchor_time", sa.BigInteger(), nullable=False),
        sa.Column("cycle", sa.BigInteger(), nullable=False),
        sa.Column("cycle_start", sa.BigInteger(), nullable=False),
        sa.Column("cycle_end", sa.BigInteger(), nullable=False),
        sa.Column("term_last_cycle", sa.BigInteger(), nullable=False),
        sa.Column("next_term_paid", sa.Boolean(), nullable=False),
        sa.Column("next_change", sa.Text(), nullable=False),
        sa.Column("due_time", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_key"], ["accounts.account_key"]),
        sa.PrimaryKeyConstraint("subscription_key"),
        sa.UniqueConstraint("subscription_id"),
    )
    op.create_index("subscriptions_by_account", "subscriptions", ["account_key", "subscription_key"], unique=False)
    op.create_index(
        "subscriptions_current",
        "subscriptions",
        ["account_key"],
        unique=True,
        sqlite_where=sa.text("state <> 4"),
        postgresql_where=sa.text("state <> 4"),
    )
    op.create_index(
        "subscriptions_due",
        "subscriptions",
        ["due_time", "subscription_key"],
        unique=False,
        sqlite_where=sa.text("due_time > 0"),
        postgresql_where=sa.text("due_time > 0"),
    )
    op.create_table(
        "subscription_events",
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("admin_seq", sa.BigInteger(), nullable=False),
        sa.Column("subscription_key", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.SmallInteger(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("cycle", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_key"], ["accounts.account_key"]),
        sa.ForeignKeyConstraint(["subscription_key"], ["subscriptions.subscription_key"]),
        sa.PrimaryKeyConstraint("account_key", "admin_seq", name="subscription_events_pkey"),
    )
    op.create_table(
        "claimed_identities",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_key"], ["accounts.account_key"]),
        sa.PrimaryKeyConstraint("identity"),
    )
    op.create_table(
        "purchases",
        sa.Column("purchase_key", _KEY, autoincrement=True, nullable=False),
        sa.Column("purchase_id", sa.Text(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("pack_id", sa.Text(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("bonus", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("unit_price", sa.Text(), nullable=False),
        sa.Column("promotion_id", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("price_version", sa.BigInteger(), nullable=False),
        sa.Column("payment_reference", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("settle_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_key"], ["accounts.account_key"]),
        sa.PrimaryKeyConstraint("purchase_key"),
        sa.UniqueConstraint("purchase_id"),
    )
    op.create_index("purchases_by_account", "purchases", ["account_key", "purchase_key"], unique=False)
    op.create_index("purchases_by_request", "purchases", ["account_key", "request_id"], unique=True)
    op.create_index(
        "purchases_by_reference",
        "purchases",
        ["payment_reference"],
        unique=True,
        sqlite_where=sa.text("payment_reference <> ''"),
        postgresql_where=sa.text("payment_reference <> ''"),
    )
    # Credits that Redis refused to an account that has too many grants are owed: they are looked for.
    op.create_index(
        "admin_operations_refused",
        "admin_operations",
        ["create_time", "account_key"],
        unique=False,
        sqlite_where=sa.text("state = 2"),
        postgresql_where=sa.text("state = 2"),
    )
