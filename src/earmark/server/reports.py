"""The reports of `LedgerService`: who may ask for them, which range is meant, and how they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from zoneinfo import ZoneInfo

from earmark.domain.catalog import CurrentCatalog
from earmark.domain.days import first_of_month, local_date, start_of_day
from earmark.errors import Reason, error
from earmark.ledger.accounts import Accounts
from earmark.ledger.models import AccountRecord, MemberRole
from earmark.ledger.reports import GroupBy, OrderBy, Reports, SummaryLine, UsageQuery, UsageRow
from earmark.server import checks
from earmark.server.replies import fill_time
from earmark.v1 import ledger_service_pb2 as pb

__all__ = ["Entitlements", "ReportAnswers"]

_MAX_GROUPS = 3
_MAX_DAYS = 3_700
_DAY = 86_400 * checks.SECOND
_DEFAULT_ROWS = 1_000
_MAX_ROWS = 10_000
_GROUPS: dict[int, str] = {number: text for text, number in pb.GetUsageReportRequest.GroupBy.items() if number}
_ORDERS: dict[int, str] = {number: text for text, number in pb.GetUsageReportRequest.OrderBy.items()}


class Entitlements(Protocol):
    """What the plans of accounts include."""

    async def entitled(self, account_id: str, name: str) -> bool:
        """Return whether an account's plan has an entitlement.

        Raises:
            EarmarkError: ACCOUNT_NOT_FOUND; SQL is away.
        """
        ...


class ReportAnswers:
    """Answers report requests from the ledger."""

    def __init__(
        self,
        reports: Reports,
        accounts: Accounts,
        catalogs: CurrentCatalog,
        entitlements: Entitlements,
        now: Callable[[], int],
    ) -> None:
        """`now` is the store's time in microseconds: where ranges end that name no end."""
        self._reports = reports
        self._accounts = accounts
        self._catalogs = catalogs
        self._entitlements = entitlements
        self._now = now

    async def usage(self, request: pb.GetUsageReportRequest) -> pb.GetUsageReportResponse:
        """Sum what was used.

        Raises:
            EarmarkError: INVALID_ARGUMENT; WRONG_ROLE; ACCOUNT_NOT_FOUND; NOT_ENTITLED; SQL is away.
        """
        account_id = checks.account_id(request.account_id)
        groups = [GroupBy(checks.member_of(group, _GROUPS, "group_by")) for group in request.group_by]
        if not 0 < len(groups) <= _MAX_GROUPS or len(set(groups)) < len(groups):
            raise checks.invalid("group_by", f"name one to {_MAX_GROUPS} different ones")
        if {GroupBy.DAY, GroupBy.MONTH} <= set(groups):
            raise checks.invalid("group_by", "a row is a day or a month, not both")
        order = OrderBy(checks.member_of(request.order_by, _ORDERS, "order_by"))
        limit = request.limit or _DEFAULT_ROWS
        if not 0 < limit <= _MAX_ROWS:
            raise checks.invalid("limit", f"{limit} is not between 1 and {_MAX_ROWS}")
        names = {
            field: checks.name(getattr(request, field), field) or None
            for field in ("operation", "user_id", "project_id")
        }
        asking = checks.name(request.requesting_user_id, "requesting_user_id")
        given = _Range(request)
        account = await self._accounts.get(account_id)
        if asking and account.members:
            _check_role(account, asking)
        entitlement = self._catalogs.current.analytics_entitlement
        if entitlement and not await self._entitlements.entitled(account_id, entitlement):
            raise error(
                Reason.NOT_ENTITLED,
                f"the plan of account {account_id!r} does not include usage reports, which take the entitlement "
                f"{entitlement!r}",
                {"entitlement": entitlement},
            )
        start, end = given.of(account.time_zone, self._now())
        if GroupBy.DAY in groups and end - start > _MAX_DAYS * _DAY:
            raise checks.invalid("group_by", f"the range has more than {_MAX_DAYS} days; group by month")
        query = UsageQuery(account_id, start, end, tuple(groups), **names, order_by=order, limit=limit)
        report = await self._reports.usage(query)
        response = pb.GetUsageReportResponse(row_count=report.row_count)
        for row in report.rows:
            _fill_row(response.rows.add(), row, timed=GroupBy.DAY in groups or GroupBy.MONTH in groups)
        _fill_row(response.total, report.total, timed=False)
        fill_time(response.start_time, start)
        fill_time(response.end_time, end)
        return response

    async def summary(self, request: pb.GetMonthlySummaryRequest) -> pb.GetMonthlySummaryResponse:
        """Sum what came, went and is left.

        Raises:
            EarmarkError: INVALID_ARGUMENT; ACCOUNT_NOT_FOUND; SQL is away.
        """
        account_id = checks.account_id(request.account_id)
        given = _Range(request)
        account = await self._accounts.get(account_id)
        start, end = given.of(account.time_zone, self._now())
        summary = await self._reports.summary(account_id, start, end)
        response = pb.GetMonthlySummaryResponse(
            borrowed_micros=summary.borrowed, uncollected_micros=summary.uncollected
        )
        for into, line in (
            (response.total, summary.total),
            (response.free, summary.free),
            (response.purchased, summary.purchased),
            (response.subscription, summary.subscription),
            *((response.kinds.add(), line) for line in summary.kinds),
        ):
            _fill_line(into, line)
        fill_time(response.start_time, start)
        fill_time(response.end_time, end)
        return response


class _Range:
    """The range that a request names, in microseconds."""

    def __init__(self, request: pb.GetUsageReportRequest | pb.GetMonthlySummaryRequest) -> None:
        self._start = checks.time(request.start_time, "start_time") if request.HasField("start_time") else None
        self._end = checks.time(request.end_time, "end_time") if request.HasField("end_time") else None

    def of(self, time_zone: str, now: int) -> tuple[int, int]:
        """Return it; what is absent is the account's month so far, or up to the end that is named."""
        end = now if self._end is None else self._end
        start = self._start
        if start is None:
            zone = ZoneInfo(time_zone)
            last = now if self._end is None else max(0, end - 1)
            # A month that began before 1970 in the zone begins then: there are no earlier times.
            start = max(0, start_of_day(first_of_month(local_date(last, zone)), zone))
        if start > end:
            raise checks.invalid("start_time" if self._end is None else "end_time", "the range ends before it starts")
        return start, end


def _check_role(account: AccountRecord, user_id: str) -> None:
    if not any(member.user_id == user_id and member.role is MemberRole.ADMIN for member in account.members):
        raise error(
            Reason.WRONG_ROLE,
            f"requesting_user_id: {user_id!r} is no admin of account {account.account_id!r}",
            field="requesting_user_id",
        )


def _fill_row(into: pb.UsageRow, row: UsageRow, *, timed: bool) -> None:
    into.operation = row.operation
    into.user_id = row.user_id
    into.project_id = row.project_id
    if timed:
        fill_time(into.start_time, row.start_time)
    into.charged_micros = row.charged
    into.uncollected_micros = row.uncollected
    into.succeeded_count = row.succeeded
    into.failed_count = row.failed
    into.expired_count = row.expired
    into.quantity = row.quantity
    into.previous_charged_micros = row.previous_charged


def _fill_line(into: pb.SummaryLine, line: SummaryLine) -> None:
    if line.kind is not None:
        into.kind = int(line.kind)  # type: ignore[assignment]  # The numbers are the proto's.
    into.carried_in_micros = line.carried_in
    into.allocated_micros = line.allocated
    into.consumed_micros = line.consumed
    into.expired_micros = line.expired
    into.voided_micros = line.voided
    into.repaid_micros = line.repaid
    into.remaining_micros = line.remaining
