"""The tables of the ledger, as the newest migration leaves them (a test compares the two).

Accounts have a small integer key, so that the rows and indexes of entries and allocations stay narrow. What changes
with every flush (`account_totals`, four columns of `grants`) is apart from what is wide or indexed.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    false,
    text,
)

__all__ = [
    "KEY",
    "account_totals",
    "accounts",
    "admin_operations",
    "entries",
    "entry_allocations",
    "grants",
    "members",
    "metadata",
    "partitions",
    "stores",
]

metadata = MetaData()

# SQLite numbers rows by itself only for a column whose type is exactly INTEGER.
KEY = BigInteger().with_variant(Integer(), "sqlite")
# Byte order on both databases: pages of accounts and prefixes must not depend on a locale.
_ORDERED_TEXT = Text().with_variant(Text(collation="C"), "postgresql")

stores = Table(
    "stores",
    metadata,
    Column("singleton", SmallInteger, primary_key=True, autoincrement=False),
    Column("store_id", Text, nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("format", Integer, nullable=False),
    Column("for_tests", Boolean, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    CheckConstraint("singleton = 1", name="stores_singleton"),
)

partitions = Table(
    "partitions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("flushed_seq", BigInteger, nullable=False),
    Column("lease_owner", Text, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("account_key", KEY, primary_key=True, autoincrement=True),
    Column("account_id", _ORDERED_TEXT, nullable=False, unique=True),
    Column("partition", Integer, nullable=False),
    Column("admin_seq", BigInteger, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("enforcement", SmallInteger, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("overdraft_limit", BigInteger, nullable=False),
    Column("thresholds", Text, nullable=False),
    Column("contacts", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    # Its own limits, as JSON.
    Column("limits", Text, nullable=False, server_default="[]"),
    # The admin_seq of the last change of what sidecars derive calls from.
    Column("config_seq", BigInteger, nullable=False, server_default="0"),
    Column("previous_time_zone", Text, nullable=False, server_default=""),
    Column("zone_change_time", BigInteger, nullable=False, server_default="0"),
    # Of the thresholds, how long before their expiry credits are expiring soon; -1 for the catalog's horizon.
    Column("soon_horizon", BigInteger, nullable=False, server_default="-1"),
    Index("accounts_by_partition", "partition", "account_key"),
    Index(
        "accounts_with_horizon",
        "account_key",
        sqlite_where=text("soon_horizon >= 0"),
        postgresql_where=text("soon_horizon >= 0"),
    ),
)

account_totals = Table(
    "account_totals",
    metadata,
    Column("account_key", BigInteger, ForeignKey("accounts.account_key"), primary_key=True, autoincrement=False),
    Column("entry_number", BigInteger, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("charged", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),
    Column("voided", BigInteger, nullable=False),
    Column("borrowed", BigInteger, nullable=False),
    Column("repaid", BigInteger, nullable=False),
    Column("uncollected", BigInteger, nullable=False),
    Column("applied_admin_seq", BigInteger, nullable=False),
    # The configuration as of applied_admin_seq: what Redis has, and what a load may bring.
    Column("suspended", Boolean, nullable=False),
    Column("enforcement", SmallInteger, nullable=False),
    Column("overdraft_limit", BigInteger, nullable=False),
    Column("config_seq", BigInteger, nullable=False, server_default="0"),
    Column("low_balance", BigInteger, nullable=False, server_default="-1"),
    Column("critical_balance", BigInteger, nullable=False, server_default="-1"),
    # The last renewal with a cap, and what its cap still leaves.
    Column("cycle_seq", BigInteger, nullable=False, server_default="0"),
    Column("carry_room", BigInteger, nullable=False, server_default="0"),
    Column("carry_kinds", Integer, nullable=False, server_default="0"),
    CheckConstraint("repaid <= borrowed", name="account_totals_debt"),
    # Room on each page, so that an update stays on it and touches no index.
    postgresql_with={"fillfactor": "60"},
)

members = Table(
    "members",
    metadata,
    Column("account_key", BigInteger, ForeignKey("accounts.account_key"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("added_seq", BigInteger, nullable=False),
    Column("removed_seq", BigInteger, nullable=True),
    Column("role", SmallInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_key", "user_id", "added_seq", name="members_pkey"),
)

admin_operations = Table(
    "admin_operations",
    metadata,
    Column("account_key", BigInteger, ForeignKey("accounts.account_key"), nullable=False),
    Column("admin_seq", BigInteger, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("refusal", SmallInteger, nullable=False),
    # msgpack of the engine's operation; empty for the creation of the account, which has the admin_seq 0.
    Column("operation", LargeBinary, nullable=False),
    Column("actor", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_key", "admin_seq", name="admin_operations_pkey"),
    # A refused operation gives its request id back.
    Index(
        "admin_operations_by_request",
        "account_key",
        "request_id",
        unique=True,
        sqlite_where=text("state <> 2"),
        postgresql_where=text("state <> 2"),
    ),
    Index(
        "admin_operations_pending",
        "account_key",
        "admin_seq",
        sqlite_where=text("state = 0"),
        postgresql_where=text("state = 0"),
    ),
)

grants = Table(
    "grants",
    metadata,
    Column("account_key", BigInteger, ForeignKey("accounts.account_key"), nullable=False),
    Column("grant_number", BigInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("acquire_time", BigInteger, nullable=False),
    Column("expire_time", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("comment", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reservation_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("void", Boolean, nullable=False),
    # Applied, and something is left. A column of its own, so that the partial indexes change only when it flips.
    Column("open", Boolean, nullable=False),
    Column("charged", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),
    Column("voided", BigInteger, nullable=False),
    Column("repaid", BigInteger, nullable=False),
    # Somebody was told that it expires soon.
    Column("warned", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("account_key", "grant_number", name="grants_pkey"),
    CheckConstraint("charged + expired + voided + repaid <= amount", name="grants_within_amount"),
    Index("grants_open", "account_key", "grant_number", sqlite_where=text("open"), postgresql_where=text("open")),
    Index(
        "grants_due",
        "expire_time",
        "account_key",
        sqlite_where=text("open AND expire_time > 0"),
        postgresql_where=text("open AND expire_time > 0"),
    ),
    Index(
        "grants_to_warn",
        "expire_time",
        "account_key",
        sqlite_where=text("open AND expire_time > 0 AND NOT warned"),
        postgresql_where=text("open AND expire_time > 0 AND NOT warned"),
    ),
    Index(
        "grants_by_reservation",
        "account_key",
        "reservation_id",
        sqlite_where=text("reservation_id <> ''"),
        postgresql_where=text("reservation_id <> ''"),
    ),
    postgresql_with={"fillfactor": "60"},
)


def _history_index(name: str, column: str, condition: str) -> Index:
    """Return the index of an account's history of one operation, user, ..., in the order of time."""
    return Index(
        name,
        "account_key",
        column,
        "time",
        "entry_number",
        sqlite_where=text(condition),
        postgresql_where=text(condition),
    )


# No foreign keys here and below: they are checked row by row, and the flush has just read the accounts of its rows.
entries = Table(
    "entries",
    metadata,
    Column("account_key", BigInteger, nullable=False),
    Column("entry_number", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("available_after", BigInteger, nullable=False),
    Column("debt", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("uncollected", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("reservation_create_time", BigInteger, nullable=False),
    Column("expire_time", BigInteger, nullable=False),
    Column("admin_seq", BigInteger, nullable=False),
    Column("grant_number", BigInteger, nullable=False),
    Column("price_version", Integer, nullable=False),
    Column("partition", SmallInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("grant_kind", SmallInteger, nullable=False),
    Column("late", SmallInteger, nullable=False),
    Column("digest", Text, nullable=True),
    Column("content", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    # As Redis had them, to the letter: a later release's fields survive an earlier one's flusher.
    Column("details", Text, nullable=False),
    Column("settlement", Text, nullable=False),
    # The limit windows that it counts in, as JSON: key, start, end, amount of each; empty for none.
    Column("windows", Text, nullable=False, server_default=""),
    # Of a charge: what it was settled with, else what was reserved, else 1; 0 for every other kind.
    Column("quantity", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("account_key", "entry_number", name="entries_pkey"),
    Index(
        "entries_by_reservation",
        "digest",
        sqlite_where=text("digest IS NOT NULL"),
        postgresql_where=text("digest IS NOT NULL"),
    ),
    Index("entries_by_time", "time", "account_key", "entry_number"),
    Index("entries_by_account_time", "account_key", "time", "entry_number"),
    _history_index("entries_by_operation", "operation", "operation <> ''"),
    _history_index("entries_by_user", "user_id", "user_id <> ''"),
    _history_index("entries_by_project", "project_id", "project_id <> ''"),
    # Charges are nearly all of an account's entries: the index of its times finds them as fast.
    _history_index("entries_by_kind", "kind", "kind <> 2"),
    # A reservation's entries are found by its digest, which its request id makes. Not `NOT IN`: for that SQLite builds
    # a list of the three with every insert, which took a tenth of the flush.
    Index(
        "entries_by_request",
        "account_key",
        "request_id",
        sqlite_where=text("kind NOT BETWEEN 2 AND 4 AND request_id <> ''"),
        postgresql_where=text("kind NOT BETWEEN 2 AND 4 AND request_id <> ''"),
    ),
)

entry_allocations = Table(
    "entry_allocations",
    metadata,
    Column("account_key", BigInteger, nullable=False),
    Column("entry_number", BigInteger, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("grant_number", BigInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_key", "entry_number", "position", name="entry_allocations_pkey"),
    sqlite_with_rowid=False,
)
