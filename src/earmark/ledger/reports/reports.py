"""The reports that the ledger answers."""

from __future__ import annotations

from earmark.ledger.connections import Database
from earmark.ledger.reports.models import MonthlySummary, UsageQuery, UsageReport
from earmark.ledger.reports.summary import read_summary
from earmark.ledger.reports.usage import read_usage

__all__ = ["Reports"]


class Reports:
    """Sums of settled entries, each report from one snapshot. An unknown account raises NotFound, ACCOUNT_NOT_FOUND."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def usage(self, query: UsageQuery) -> UsageReport:
        """Return what was used, by operation, user, project, day or month of the account's time zone."""
        return await self._database.read(lambda connection: read_usage(connection, query))

    async def summary(self, account_id: str, start_time: int, end_time: int) -> MonthlySummary:
        """Return what came, went and is left of each kind of grants in [start_time, end_time)."""
        return await self._database.read(lambda connection: read_summary(connection, account_id, start_time, end_time))
