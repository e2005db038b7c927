"""The group that the account commands join."""

from __future__ import annotations

from earmark.cli.groups import CommandGroup

__all__ = ["commands"]

commands = CommandGroup("Create, show and change accounts, and give them credits.")
