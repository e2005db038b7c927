"""The tables of the ledger, as the newest migration leaves them (a test compares the two)."""

from earmark.ledger.tables import alerts, billing, catalogs, limits
from earmark.ledger.tables.core import (
    account_totals,
    accounts,
    admin_operations,
    entries,
    entry_allocations,
    grants,
    members,
    metadata,
    partitions,
    stores,
)
from earmark.ledger.tables.usage import grant_hours, usage_days, usage_hours

__all__ = [
    "account_totals",
    "accounts",
    "admin_operations",
    "alerts",
    "billing",
    "catalogs",
    "entries",
    "entry_allocations",
    "grant_hours",
    "grants",
    "limits",
    "members",
    "metadata",
    "partitions",
    "stores",
    "usage_days",
    "usage_hours",
]
