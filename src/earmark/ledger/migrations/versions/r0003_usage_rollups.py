"""Roll-ups for reports, and the indexes of an account's history."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_PERIODS = (
    ("hour", 3_600_000_000, ("operation",)),
    ("day", 86_400_000_000, ("operation", "user_id", "project_id")),
)
# Of each charge: what it was settled with, else what was reserved, else 1.
_QUANTITIES = {
    "postgresql": """
        UPDATE entries SET quantity = coalesce(
            (nullif(settlement, '')::jsonb ->> 'q')::bigint, (nullif(details, '')::jsonb ->> 'q')::bigint, 1)
        WHERE kind = 2
    """,
    "sqlite": """
        UPDATE entries SET quantity = coalesce(
            json_extract(nullif(settlement, ''), '$.q'), json_extract(nullif(details, ''), '$.q'), 1)
        WHERE kind = 2
    """,
}
_USAGE = """
    INSERT INTO usage_{period}s (account_key, {period}, {names},
        charged, uncollected, succeeded, failed, expired, quantity)
    SELECT account_key, time / {length}, {names},
        sum(amount), sum(CASE kind WHEN 2 THEN uncollected ELSE 0 END), count(CASE kind WHEN 2 THEN 1 END),
        count(CASE kind WHEN 3 THEN 1 END), count(CASE kind WHEN 4 THEN 1 END),
        {least}(sum(quantity), 9007199254740991)
    FROM entries WHERE kind IN (2, 3, 4)
    GROUP BY account_key, time / {length}, {names}
"""
_GRANTS = """
    INSERT INTO grant_hours (account_key, hour, kind, granted, charged, expired, voided, repaid, uncollected)
    SELECT account_key, hour, kind,
        sum(granted), sum(charged), sum(expired), sum(voided), sum(repaid), sum(uncollected)
    FROM (
        SELECT account_key, time / 3600000000 AS hour, grant_kind AS kind,
            CASE kind WHEN 1 THEN amount ELSE 0 END AS granted, 0 AS charged,
            CASE kind WHEN 5 THEN amount ELSE 0 END AS expired, CASE kind WHEN 6 THEN amount ELSE 0 END AS voided,
            CASE kind WHEN 7 THEN amount ELSE 0 END AS repaid, 0 AS uncollected
        FROM entries WHERE kind IN (1, 5, 6, 7)
        UNION ALL
        SELECT account_key, time / 3600000000, 0, 0, debt, 0, 0, 0, uncollected
        FROM entries WHERE kind = 2 AND (debt > 0 OR uncollected > 0)
        UNION ALL
        SELECT e.account_key, e.time / 3600000000, a.kind, 0, a.amount, 0, 0, 0, 0
        FROM entry_allocations AS a
        JOIN entries AS e ON e.account_key = a.account_key AND e.entry_number = a.entry_number
        WHERE e.kind = 2
    ) AS uses
    GROUP BY account_key, hour, kind
"""


def upgrade() -> None:
    op.add_column("entries", sa.Column("quantity", sa.BigInteger(), nullable=False, server_default="0"))
    for period, _, names in _PERIODS:
        name = f"usage_{period}s"
        op.create_table(
            name,
            sa.Column("account_key", sa.BigInteger(), nullable=False),
            sa.Column(period, sa.Integer(), nullable=False),
            *(sa.Column(text, _name(), nullable=False) for text in names),
            *(
                sa.Column(number, sa.BigInteger(), nullable=False)
                for number in ("charged", "uncollected", "succeeded", "failed", "expired", "quantity")
            ),
            sa.PrimaryKeyConstraint("account_key", period, *names, name=f"{name}_pkey"),
            sqlite_with_rowid=False,
            postgresql_with={"fillfactor": "70"},
        )
    op.create_table(
        "grant_hours",
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        *(
            sa.Column(number, sa.BigInteger(), nullable=False)
            for number in ("granted", "charged", "expired", "voided", "repaid", "uncollected")
        ),
        sa.PrimaryKeyConstraint("account_key", "hour", "kind", name="grant_hours_pkey"),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": "70"},
    )
    connection = op.get_bind()
    fill_quantities(connection)
    fill_rollups(connection)
    _create_indexes()


def fill_quantities(connection: sa.Connection) -> None:
    """Give every charge its quantity."""
    connection.execute(sa.text(_QUANTITIES[connection.dialect.name]))


def fill_rollups(connection: sa.Connection) -> None:
    """Sum the entries into the roll-ups, which are empty."""
    least = "least" if connection.dialect.name == "postgresql" else "min"
    for period, length, names in _PERIODS:
        statement = _USAGE.format(period=period, length=length, names=", ".join(names), least=least)
        connection.execute(sa.text(statement))
    connection.execute(sa.text(_GRANTS))


def _create_indexes() -> None:
    op.create_index("entries_by_account_time", "entries", ["account_key", "time", "entry_number"], unique=False)
    for name, column, condition in (
        ("entries_by_operation", "operation", "operation <> ''"),
        ("entries_by_user", "user_id", "user_id <> ''"),
        ("entries_by_project", "project_id", "project_id <> ''"),
        # Charges are nearly all of an account's entries: the index of its times finds them as fast.
        ("entries_by_kind", "kind", "kind <> 2"),
    ):
        op.create_index(
            name,
            "entries",
            ["account_key", column, "time", "entry_number"],
            unique=False,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
    # A reservation's entries are found by its digest, which its request id makes.
    others = sa.text("kind NOT IN (2, 3, 4) AND request_id <> ''")
    op.create_index(
        "entries_by_request",
        "entries",
        ["account_key", "request_id"],
        unique=False,
        sqlite_where=others,
        postgresql_where=others,
    )


def _name() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
