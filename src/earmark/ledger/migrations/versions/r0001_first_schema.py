"""The first schema: stores, accounts, administration, grants, entries."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column(
            "account_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("account_id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("admin_seq", sa.BigInteger(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("enforcement", sa.SmallInteger(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("overdraft_limit", sa.BigInteger(), nullable=False),
        sa.Column("thresholds", sa.Text(), nullable=False),
        sa.Column("contacts", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_key"),
        sa.UniqueConstraint("account_id"),
    )
    op.create_index("accounts_by_partition", "accounts", ["partition", "account_key"], unique=False)
    op.create_table(
        "entries",
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("entry_number", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("available_after", sa.BigInteger(), nullable=False),
        sa.Column("debt", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("uncollected", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("reservation_create_time", sa.BigInteger(), nullable=False),
        sa.Column("expire_time", sa.BigInteger(), nullable=False),
        sa.Column("admin_seq", sa.BigInteger(), nullable=False),
        sa.Column("grant_number", sa.BigInteger(), nullable=False),
        sa.Column("price_version", sa.Integer(), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("grant_kind", sa.SmallInteger(), nullable=False),
        sa.Column("late", sa.SmallInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("settlement", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_key", "entry_number", name="entries_pkey"),
    )
    op.create_index(
        "entries_by_reservation",
        "entries",
        ["digest"],
        unique=False,
        sqlite_where=sa.text("digest IS NOT NULL"),
        postgresql_where=sa.text("digest IS NOT NULL"),
    )
    op.create_index("entries_by_time", "entries", ["time", "account_key", "entry_number"], unique=False)
    op.create_table(
        "entry_allocations",
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("entry_number", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("grant_number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_key", "entry_number", "position", name="entry_allocations_pkey"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "partitions",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("flushed_seq", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
    op.create_table(
        "stores",
        sa.Column("singleton", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("for_tests", sa.Boolean(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("singleton = 1", name="stores_singleton"),
        sa.PrimaryKeyConstraint("singleton"),
    )
    op.create_table(
        "account_totals",
        sa.Column("account_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_number", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), nullable=False),
        sa.Column("voided", sa.BigInteger(), nullable=False),
        sa.Column("borrowed", sa.BigInteger(), nullable=False),
        sa.Column("repaid", sa.BigInteger(), nullable=False),
        sa.Column("uncollected", sa.BigInteger(), nullable=False),
        sa.Column("applied_admin_seq", sa.BigInteger(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("enforcement", sa.SmallInteger(), nullable=False),
        sa.Column("overdraft_limit", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("repaid <= borrowed", name="account_totals_debt"),
        sa.ForeignKeyConstraint(
            ["account_key"],
            ["accounts.account_key"],
        ),
        sa.PrimaryKeyConstraint("account_key"),
        postgresql_with={"fillfactor": "60"},
    )
    op.create_table(
        "admin_operations",
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("admin_seq", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("refusal", sa.SmallInteger(), nullable=False),
        sa.Column("operation", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_key"],
            ["accounts.account_key"],
        ),
        sa.PrimaryKeyConstraint("account_key", "admin_seq", name="admin_operations_pkey"),
    )
    op.create_index(
        "admin_operations_by_request",
        "admin_operations",
        ["account_key", "request_id"],
        unique=True,
        sqlite_where=sa.text("state <> 2"),
        postgresql_where=sa.text("state <> 2"),
    )
    op.create_index(
        "admin_operations_pending",
        "admin_operations",
        ["account_key", "admin_seq"],
        unique=False,
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
    )
    op.create_table(
        "grants",
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("grant_number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("acquire_time", sa.BigInteger(), nullable=False),
        sa.Column("expire_time", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reservation_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("void", sa.Boolean(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), nullable=False),
        sa.Column("voided", sa.BigInteger(), nullable=False),
        sa.Column("repaid", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("charged + expired + voided + repaid <= amount", name="grants_within_amount"),
        sa.ForeignKeyConstraint(
            ["account_key"],
            ["accounts.account_key"],
        ),
        sa.PrimaryKeyConstraint("account_key", "grant_number", name="grants_pkey"),
        postgresql_with={"fillfactor": "60"},
    )
    op.create_index(
        "grants_by_reservation",
        "grants",
        ["account_key", "reservation_id"],
        unique=False,
        sqlite_where=sa.text("reservation_id <> ''"),
        postgresql_where=sa.text("reservation_id <> ''"),
    )
    op.create_index(
        "grants_due",
        "grants",
        ["expire_time", "account_key"],
        unique=False,
        sqlite_where=sa.text("open AND expire_time > 0"),
        postgresql_where=sa.text("open AND expire_time > 0"),
    )
    op.create_index(
        "grants_open",
        "grants",
        ["account_key", "grant_number"],
        unique=False,
        sqlite_where=sa.text("open"),
        postgresql_where=sa.text("open"),
    )
    op.create_table(
        "members",
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("added_seq", sa.BigInteger(), nullable=False),
        sa.Column("removed_seq", sa.BigInteger(), nullable=True),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_key"],
            ["accounts.account_key"],
        ),
        sa.PrimaryKeyConstraint("account_key", "user_id", "added_seq", name="members_pkey"),
    )
