"""Reports: what was used, what came and went. Every figure is that of the entries, to the microcredit."""

from earmark.ledger.reports.models import (
    GroupBy,
    MonthlySummary,
    OrderBy,
    SummaryLine,
    UsageQuery,
    UsageReport,
    UsageRow,
)
from earmark.ledger.reports.reports import Reports

__all__ = [
    "GroupBy",
    "MonthlySummary",
    "OrderBy",
    "Reports",
    "SummaryLine",
    "UsageQuery",
    "UsageReport",
    "UsageRow",
]
