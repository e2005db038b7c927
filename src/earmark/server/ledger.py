"""`LedgerService`: settled entries from SQL."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from earmark.domain.catalog import Catalog, Operation
from earmark.domain.ids import ReservationDigest, format_grant_id, format_reservation_id
from earmark.domain.limits import FOREVER, parse_limit_key
from earmark.domain.price_text import applied_text, operation_text
from earmark.domain.states import EntryKind, Outcome
from earmark.engine.records import WindowUse
from earmark.errors import InvalidRequest, NotFound
from earmark.ledger.entries import Entries
from earmark.ledger.models import EntryFilter, EntryPosition, EntryRecord
from earmark.server import checks
from earmark.server.admission import Admission
from earmark.server.catalog_forms import SCOPES, WINDOWS
from earmark.server.notifications import NotificationAnswers
from earmark.server.paging import MAX_PAGE_BYTES, decode_token, encode_token
from earmark.server.pricing import CatalogVersions
from earmark.server.replies import fill_time
from earmark.server.reports import ReportAnswers
from earmark.server.unary import Context, stream, unary
from earmark.server.validation import Requests
from earmark.v1 import ledger_pb2 as ledger
from earmark.v1 import ledger_service_pb2 as pb
from earmark.v1 import ledger_service_pb2_grpc as rpc

__all__ = ["LedgerServicer", "catalogs_of", "fill_entry"]

_CHUNK = 500
_KINDS: dict[int, str] = {number: text for text, number in ledger.LedgerEntry.Kind.items() if number}
_OUTCOMES: dict[int, str] = {number: text for text, number in ledger.LedgerEntry.Outcome.items()}


class LedgerServicer(rpc.LedgerServiceServicer):
    """The servicer."""

    needs_store = False

    def __init__(
        self,
        entries: Entries,
        requests: Requests,
        catalogs: CatalogVersions,
        reports: ReportAnswers,
        notifications: NotificationAnswers,
        admission: Admission,
    ) -> None:
        self.admission = admission
        self._notifications = notifications
        self._reports = reports
        self._entries = entries
        self._catalogs = catalogs
        self._requests = requests

    @unary
    async def ListLedgerEntries(
        self, request: pb.ListLedgerEntriesRequest, _context: Context
    ) -> pb.ListLedgerEntriesResponse:
        """List a page of entries, newest first."""
        entry_filter = self._filter(request.account_id, request.filter)
        size = checks.page_size(request.page_size)
        query = ("ListLedgerEntries", msgspec.to_builtins(entry_filter))
        before = decode_token(request.page_token, EntryPosition, query) if request.page_token else None
        page = await self._entries.page(entry_filter, size, before)
        priced_by = await catalogs_of(self._catalogs, page.entries)
        response, following = pb.ListLedgerEntriesResponse(), page.next
        room = MAX_PAGE_BYTES
        for number, entry in enumerate(page.entries):
            if room <= 0:
                following = page.entries[number - 1].position
                break
            row = response.entries.add()
            fill_entry(row, entry, priced_by)
            room -= row.ByteSize()
        if following is not None:
            response.next_page_token = encode_token(following, query)
        return response

    @unary
    async def ListNotifications(
        self, request: pb.ListNotificationsRequest, _context: Context
    ) -> pb.ListNotificationsResponse:
        """List a page of alerts, newest first."""
        return await self._notifications.page(request)

    @stream
    async def ExportLedger(
        self, request: pb.ExportLedgerRequest, _context: Context
    ) -> AsyncIterator[pb.ExportLedgerResponse]:
        """Stream all entries, oldest first. One chunk is in memory at a time: gRPC takes the next when it can send."""
        entry_filter = self._filter(request.account_id, request.filter)
        async for entries in self._entries.export(entry_filter, _CHUNK):
            response, room = pb.ExportLedgerResponse(), MAX_PAGE_BYTES
            priced_by = await catalogs_of(self._catalogs, entries)
            for entry in entries:
                if room <= 0:
                    yield response
                    response, room = pb.ExportLedgerResponse(), MAX_PAGE_BYTES
                row = response.entries.add()
                fill_entry(row, entry, priced_by)
                room -= row.ByteSize()
            yield response

    @unary
    async def GetUsageReport(self, request: pb.GetUsageReportRequest, _context: Context) -> pb.GetUsageReportResponse:
        """Sum what was used."""
        return await self._reports.usage(request)

    @unary
    async def GetMonthlySummary(
        self, request: pb.GetMonthlySummaryRequest, _context: Context
    ) -> pb.GetMonthlySummaryResponse:
        """Sum what came, went and is left."""
        return await self._reports.summary(request)

    def _filter(self, account_id: str, given: pb.LedgerFilter) -> EntryFilter:
        """Check a filter."""
        if account_id:
            checks.account_id(account_id)
        digest: ReservationDigest | None = None
        if given.reservation_id:
            owner, digest = self._requests.reservation(given.reservation_id, "filter.reservation_id")
            if account_id and owner != account_id:
                raise checks.invalid("filter.reservation_id", f"belongs to another account than {account_id!r}")
            account_id = owner
        start = checks.time(given.start_time, "filter.start_time") if given.HasField("start_time") else None
        end = checks.time(given.end_time, "filter.end_time") if given.HasField("end_time") else None
        if start is not None and end is not None and start > end:
            raise checks.invalid("filter.end_time", "is before filter.start_time")
        outcome = checks.member_of(given.outcome, _OUTCOMES, "filter.outcome")
        least = given.min_amount_micros if given.HasField("min_amount_micros") else None
        most = given.max_amount_micros if given.HasField("max_amount_micros") else None
        return EntryFilter(
            account_id=account_id or None,
            start_time=start,
            end_time=end,
            kinds=tuple(sorted({EntryKind(checks.member_of(kind, _KINDS, "filter.kinds")) for kind in given.kinds})),
            operation=checks.name(given.operation, "filter.operation") or None,
            user_id=checks.name(given.user_id, "filter.user_id") or None,
            project_id=checks.name(given.project_id, "filter.project_id") or None,
            labels=checks.labels(given.labels, "filter.labels"),
            min_amount=None if least is None else checks.amount(least, "filter.min_amount_micros"),
            max_amount=None if most is None else checks.amount(most, "filter.max_amount_micros"),
            outcome=Outcome(outcome) if outcome else None,
            digest=digest,
            request_id=checks.request_id(given.request_id, "filter.request_id") if given.request_id else None,
            entry_number=_entry_number(account_id, given),
        )


def _entry_number(account_id: str, given: pb.LedgerFilter) -> int | None:
    if not given.HasField("entry_number"):
        return None
    if not account_id:
        raise checks.invalid("filter.entry_number", "counts the entries of an account: name it")
    return checks.count(given.entry_number, "filter.entry_number")


async def catalogs_of(catalogs: CatalogVersions, entries: Sequence[EntryRecord]) -> dict[int, Catalog]:
    """Return the catalogs that priced entries, as far as this release can read them."""
    found: dict[int, Catalog] = {}
    for version in {entry.price_version for entry in entries if entry.price_version}:
        with contextlib.suppress(NotFound, InvalidRequest):
            found[version] = catalogs.kept(version) or await catalogs.require(version)
    return found


def _price_text(operation: Operation, attributes: Mapping[str, str]) -> str:
    try:
        return applied_text(operation, attributes)
    except InvalidRequest:  # An amount was committed, under attributes that have no price.
        return operation_text(operation)


def fill_entry(into: ledger.LedgerEntry, entry: EntryRecord, priced_by: Mapping[int, Catalog]) -> None:
    """Write an entry; `priced_by` are the catalogs of `catalogs_of`."""
    details, settlement = entry.details, entry.settlement
    attributes = {**details.attributes, **settlement.attributes}
    into.account_id = entry.account_id
    into.entry_number = entry.entry_number
    into.kind = int(entry.kind)  # type: ignore[assignment]  # The numbers are the proto's.
    into.amount_micros = entry.amount
    into.available_after_micros = entry.available_after
    if entry.digest is not None:
        into.reservation_id = format_reservation_id(entry.account_id, entry.digest)
    into.request_id = entry.request_id
    into.operation = details.operation
    if details.quantity is not None:
        into.reserved_quantity = details.quantity
    if settlement.quantity is not None:
        into.quantity = settlement.quantity
    elif settlement.usage:
        into.usage.counts.update(settlement.usage)
    elif entry.kind is EntryKind.CHARGE and entry.amount + entry.uncollected == entry.reserved:  # As it was reserved.
        if details.quantity is not None:
            into.quantity = details.quantity
        into.usage.counts.update(details.usage)
    into.attributes.update(attributes)
    into.price_version = entry.price_version
    catalog = priced_by.get(entry.price_version)
    operation = catalog.operations.get(details.operation) if catalog is not None else None
    if operation is not None:
        into.price_text = _price_text(operation, attributes)
    for part in entry.allocations:
        into.allocations.add(grant_id=format_grant_id(part.grant), kind=int(part.kind), amount_micros=part.amount)
    into.user_id = details.user_id
    into.project_id = details.project_id
    into.labels.update(details.labels)
    outcome = entry.outcome
    if outcome is not None:
        into.outcome = int(outcome)  # type: ignore[assignment]
    into.late = entry.late
    into.actor = settlement.actor
    into.comment = settlement.comment
    fill_time(into.create_time, entry.time)
    into.reserved_micros = entry.reserved
    into.uncollected_micros = entry.uncollected
    into.debt_micros = entry.debt
    for use in entry.windows:
        _fill_limit_use(into.limits.add(), use)


def _fill_limit_use(into: ledger.LedgerEntry.LimitUse, use: WindowUse) -> None:
    key = parse_limit_key(use.key)
    into.limit_name, into.subject = key.name, key.subject
    into.scope, into.window = SCOPES[key.scope], WINDOWS[key.window]
    fill_time(into.start_time, use.start)
    if use.end < FOREVER:
        fill_time(into.end_time, use.end)
    into.amount_micros = use.amount
