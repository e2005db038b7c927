"""The index of request ids, under a condition that SQLite need not build a list for with each insert."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.drop_index("entries_by_request", "entries")
    # Was: kind NOT IN (2, 3, 4) AND request_id <> ''
    others = sa.text("kind NOT BETWEEN 2 AND 4 AND request_id <> ''")
    op.create_index(
        "entries_by_request",
        "entries",
        ["account_key", "request_id"],
        unique=False,
        sqlite_where=others,
        postgresql_where=others,
    )
