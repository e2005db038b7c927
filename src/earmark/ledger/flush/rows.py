"""Rows of entries and allocations, from stream records. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

from earmark.domain.ids import parse_reservation_id
from earmark.domain.states import EntryKind
from earmark.engine.operations import Details, Settlement
from earmark.engine.records import StreamRecord
from earmark.errors import NotFound
from earmark.ledger.flush.plan import PlannedEntry

__all__ = [
    "ALLOCATION_COLUMNS",
    "EPOCH",
    "ENTRY_COLUMNS",
    "NUMBERS",
    "SEQ",
    "allocation_rows",
    "entry_rows",
]

ENTRY_COLUMNS = (
    "account_key",
    "entry_number",
    "seq",
    "epoch",
    "amount",
    "available_after",
    "debt",
    "reserved",
    "uncollected",
    "time",
    "reservation_create_time",
    "expire_time",
    "admin_seq",
    "grant_number",
    "quantity",
    "price_version",
    "partition",
    "kind",
    "grant_kind",
    "late",
    "digest",
    "content",
    "request_id",
    "operation",
    "user_id",
    "project_id",
    "details",
    "settlement",
    "windows",
)
NUMBERS = ENTRY_COLUMNS.index("digest")
"""How many columns at the beginning are integers; the others are texts."""
SEQ = ENTRY_COLUMNS.index("seq")
EPOCH = ENTRY_COLUMNS.index("epoch")
_FIRST_JSON = ENTRY_COLUMNS.index("details")

ALLOCATION_COLUMNS = ("account_key", "entry_number", "position", "grant_number", "kind", "amount")

T = TypeVar("T")
EntryRow = tuple[int | str | None, ...]
AllocationRow = tuple[int, int, int, int, int, int]

# Not the six characters \u0000 of a text, whose backslash JSON doubles.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

_CHARGE = EntryKind.CHARGE.value
# Most settlements hold no quantity: finding that out must not take decoding them.
_QUANTITY_KEY = '"q"'

_NO_DETAILS = Details()
_NO_SETTLEMENT = Settlement()
_details_of = msgspec.json.Decoder(Details).decode
_settlement_of = msgspec.json.Decoder(Settlement).decode
_encode = msgspec.json.Encoder().encode


def entry_rows(partition: int, entries: Iterable[PlannedEntry]) -> Iterator[EntryRow]:
    """Yield the entries' rows, in the order of ENTRY_COLUMNS."""
    for key, seq, epoch, record in entries:
        details, settlement, digest = _NO_DETAILS, _NO_SETTLEMENT, record.digest or None
        windows = _encode(record.windows).decode() if record.windows else ""
        if record.details:
            details = _decode(_details_of, record.details, _NO_DETAILS)
        if record.settlement and not (digest and details.request_id):
            settlement = _decode(_settlement_of, record.settlement, _NO_SETTLEMENT)
            if settlement.reservation_id and digest is None:
                digest = _digest(settlement.reservation_id)
        row: EntryRow = (
            key,
            record.entry_number,
            seq,
            epoch,
            record.amount,
            record.available_after,
            _debt(record),
            record.reserved,
            record.uncollected,
            record.time,
            record.create_time,
            record.expire_time,
            record.admin_seq,
            record.grant,
            _quantity(record, details) if record.kind == _CHARGE else 0,
            record.price_version,
            partition,
            record.kind,
            record.grant_kind,
            int(record.late),
            digest,
            record.content,
            details.request_id or settlement.request_id,
            details.operation,
            details.user_id,
            details.project_id,
            record.details,
            record.settlement,
            windows,
        )
        # JSON escapes NUL, the one character that PostgreSQL cannot store. The server refuses it in every text; should
        # one come through all the same, it must not stop the partition.
        if "\\u0000" in record.details or "\\u0000" in record.settlement or "\\u0000" in windows:
            row = _without_nul(row)
        yield row


def allocation_rows(entries: Iterable[PlannedEntry]) -> Iterator[AllocationRow]:
    """Yield the rows of the entries' allocations, in the order of ALLOCATION_COLUMNS."""
    for key, _seq, _epoch, record in entries:
        allocations = record.allocations
        for at in range(0, len(allocations), 3):
            yield (key, record.entry_number, at // 3, allocations[at], allocations[at + 1], allocations[at + 2])


def _quantity(record: StreamRecord, details: Details) -> int:
    """Return of how many units a charge is: what it was settled with, else what was reserved, else 1."""
    quantity = None
    if _QUANTITY_KEY in record.settlement:
        quantity = _decode(_settlement_of, record.settlement, _NO_SETTLEMENT).quantity
    if quantity is None:
        quantity = details.quantity
    return 1 if quantity is None else quantity


def _debt(record: StreamRecord) -> int:
    if record.kind != _CHARGE:
        return 0
    return record.amount - sum(record.allocations[2::3])


def _decode(decode: Callable[[str], T], text: str, default: T) -> T:
    try:
        return decode(text)
    except (msgspec.ValidationError, msgspec.DecodeError):
        # The text itself is kept in its column: what cannot be read today can be extracted later.
        return default


def _digest(reservation_id: str) -> str | None:
    try:
        return parse_reservation_id(reservation_id)[1]
    except NotFound:
        return None


def _without_nul(row: EntryRow) -> EntryRow:
    plain = (value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in row[:_FIRST_JSON])
    return (*plain, *(_ESCAPED_NUL.sub(r"\1\\ufffd", str(json)) for json in row[_FIRST_JSON:]))
