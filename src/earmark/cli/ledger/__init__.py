"""`earmark ledger`: reading the ledger of record and its alerts, over gRPC."""

from __future__ import annotations

from earmark.cli.ledger import alerts, entries, explain, export
from earmark.cli.ledger.group import commands

__all__ = ["alerts", "commands", "entries", "explain", "export"]
