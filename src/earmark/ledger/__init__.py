"""The SQL ledger of record: accounts, grants and every settled entry, exactly once."""

from earmark.ledger.database import Ledger, open_ledger
from earmark.ledger.schema import SchemaMismatch, upgrade

__all__ = ["Ledger", "SchemaMismatch", "open_ledger", "upgrade"]
