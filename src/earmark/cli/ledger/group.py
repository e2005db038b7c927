"""The group that the ledger commands join."""

from __future__ import annotations

from earmark.cli.groups import CommandGroup

__all__ = ["commands"]

commands = CommandGroup("Read the ledger: what settled, who caused it, which grants paid.")
