"""`earmark account`: administration of accounts, members and grants, over gRPC."""

from __future__ import annotations

from earmark.cli.account import accounts, grants, members
from earmark.cli.account.group import commands

__all__ = ["accounts", "commands", "grants", "members"]
