"""`earmark ledger`: reading the ledger of record, over gRPC."""

from __future__ import annotations

from earmark.cli.ledger import entries, explain, export
from earmark.cli.ledger.group import commands

__all__ = ["commands", "entries", "explain", "export"]
