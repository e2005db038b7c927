"""Limits, thresholds and alerts."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for table, name, kind, default in (
        ("accounts", "limits", sa.Text(), "[]"),
        ("accounts", "config_seq", sa.BigInteger(), "0"),
        ("accounts", "previous_time_zone", sa.Text(), ""),
        ("accounts", "zone_change_time", sa.BigInteger(), "0"),
        ("accounts", "soon_horizon", sa.BigInteger(), "-1"),
        ("account_totals", "config_seq", sa.BigInteger(), "0"),
        ("account_totals", "low_balance", sa.BigInteger(), "-1"),
        ("account_totals", "critical_balance", sa.BigInteger(), "-1"),
        ("account_totals", "cycle_seq", sa.BigInteger(), "0"),
        ("account_totals", "carry_room", sa.BigInteger(), "0"),
        ("account_totals", "carry_kinds", sa.Integer(), "0"),
        ("grants", "warned", sa.Boolean(), sa.false()),
        ("entries", "windows", sa.Text(), ""),
    ):
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
    _copy_horizons(op.get_bind())
    op.create_index(
        "accounts_with_horizon",
        "accounts",
        ["account_key"],
        unique=False,
        sqlite_where=sa.text("soon_horizon >= 0"),
        postgresql_where=sa.text("soon_horizon >= 0"),
    )
    op.create_index(
        "grants_to_warn",
        "grants",
        ["expire_time", "account_key"],
        unique=False,
        sqlite_where=sa.text("open AND expire_time > 0 AND NOT warned"),
        postgresql_where=sa.text("open AND expire_time > 0 AND NOT warned"),
    )
    op.create_table(
        "limit_counters",
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_key", "key", "start_time", name="limit_counters_pkey"),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": "60"},
    )
    op.create_index("limit_counters_open", "limit_counters", ["account_key", "end_time"], unique=False)
    op.create_index("limit_counters_ended", "limit_counters", ["end_time"], unique=False)
    op.create_table(
        "notifications",
        sa.Column(
            "notification_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("notification_id", sa.Text(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("threshold", sa.BigInteger(), nullable=False),
        sa.Column("limit_key", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("entry_number", sa.BigInteger(), nullable=False),
        sa.Column("grant_number", sa.BigInteger(), nullable=False),
        sa.Column("expire_time", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_key"], ["accounts.account_key"]),
        sa.PrimaryKeyConstraint("notification_key"),
        sa.UniqueConstraint("notification_id"),
    )
    op.create_index(
        "notifications_by_account", "notifications", ["account_key", "create_time", "notification_key"], unique=False
    )
    op.create_index("notifications_by_time", "notifications", ["create_time", "notification_key"], unique=False)
    op.create_table(
        "notification_deliveries",
        sa.Column("notification_key", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("attempt_time", sa.BigInteger(), nullable=False),
        sa.Column("next_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["notification_key"], ["notifications.notification_key"]),
        sa.PrimaryKeyConstraint("notification_key", "position", name="notification_deliveries_pkey"),
    )
    op.create_index(
        "notification_deliveries_due",
        "notification_deliveries",
        ["next_time"],
        unique=False,
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )


def _copy_horizons(connection: sa.Connection) -> None:
    """Give accounts that have a horizon in their thresholds the column that the alerts ask for."""
    move = sa.text("UPDATE accounts SET soon_horizon = :horizon WHERE account_key = :key")
    for key, thresholds in connection.execute(
        sa.text("SELECT account_key, thresholds FROM accounts WHERE thresholds LIKE '%expiring_soon%'")
    ).all():
        horizon = json.loads(thresholds).get("expiring_soon")
        if horizon is not None:
            connection.execute(move, {"horizon": horizon, "key": key})
