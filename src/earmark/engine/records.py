"""Stream records: what the batch function appends and the flusher writes to SQL.

One stream element holds what one call settled: `[format, epoch, first_seq, now, [record, ...]]` in msgpack,
under the id `<last seq>-0`. Records of one element have consecutive seqs.

They hold no cycles, so the collector need not look at the thousands that a flush has in hand (`gc=False`).
"""

from __future__ import annotations

import msgspec

__all__ = ["STREAM_FIELD", "Alert", "StreamElement", "StreamRecord", "WindowUse", "decode_element"]

STREAM_FIELD = b"e"


class Alert(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A threshold that the transition of a record crossed."""

    kind: int
    """`AlertKind`."""
    threshold: int
    """Microcredits: the balance's threshold, or what of a limit's window was charged when it fired."""
    key: str = ""
    """The limit's key, for LIMIT_NEAR."""
    amount: int = 0
    """The limit's amount, for LIMIT_NEAR."""
    balance: int = 0
    """What was available and reserved after the transition."""


class WindowUse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a charge counts for in one limit's window."""

    key: str
    start: int
    end: int
    amount: int
    """0 for an ending that charged nothing: it still names the window, for a late commit."""


class StreamRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One settled event. Amounts in microcredits, times in microseconds; 0, "" and () where a field says nothing."""

    kind: int
    """`EntryKind`. Below 20 it is a ledger entry with a number."""
    account_id: str
    entry_number: int
    time: int
    amount: int
    """What was charged, granted, expired, voided, repaid, always >= 0; 0 for RELEASE and EXPIRED_HOLD."""
    available_after: int
    allocations: tuple[int, ...]
    """Three numbers each: grant, kind, amount. A charge's debt is its amount less their sum."""
    admin_seq: int
    """Of the change that this applies (GRANT, GRANT_VOIDED by VoidGrant, CONFIGURED, ADMIN_REFUSED); else 0."""
    settlement: str
    """`Settlement` as JSON."""
    digest: str
    """The reservation, for CHARGE, RELEASE, EXPIRED_HOLD; "" otherwise."""
    reserved: int
    uncollected: int
    late: int
    create_time: int
    """The reservation's."""
    expire_time: int
    """The reservation's; for GRANT the grant's."""
    price_version: int
    content: str
    """The reservation's content digest."""
    details: str
    """The reservation's `Details` as JSON."""
    grant: int
    """The grant's number, for GRANT, GRANT_EXPIRED, GRANT_VOIDED, DEBT_REPAID."""
    grant_kind: int
    refusal: int
    """`RefusalCode`, for ADMIN_REFUSED."""
    alerts: tuple[Alert, ...] = ()
    """What the transition set off; on the last record of the account that it appended."""
    windows: tuple[WindowUse, ...] = ()
    """The limit windows in which the reservation was made, for CHARGE, RELEASE, EXPIRED_HOLD."""
    carry_room: int = -1
    """What the account's rollover cap still leaves, on records that changed it; else -1."""


class StreamElement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one call settled."""

    format: int
    epoch: int
    first_seq: int
    now: int
    records: tuple[StreamRecord, ...]


_decoder = msgspec.msgpack.Decoder(StreamElement)


def decode_element(blob: bytes) -> StreamElement:
    """Decode a stream element.

    Raises:
        msgspec.ValidationError: for bytes that no script of a known release wrote.
    """
    return _decoder.decode(blob)
