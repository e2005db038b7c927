"""Stream records as the batch script writes them, and accounts to write them about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from earmark.domain.ids import ContentDigest, ReservationDigest, content_digest, partition_of, reservation_digest
from earmark.domain.states import EntryKind, GrantKind
from earmark.engine.operations import Details, Settlement
from earmark.engine.records import StreamElement, StreamRecord
from earmark.ledger import Ledger
from earmark.ledger.models import AdminTicket, NewAccount, NewGrant, Written

PARTITIONS = 4
NOW = 1_795_000_000_000_000
"""A time of 2026, in microseconds: more than 32 bits hold."""
DAY = 86_400_000_000

Element = tuple[int, StreamElement]


def json_text(struct: msgspec.Struct) -> str:
    return msgspec.json.encode(struct).decode()


def digest(account_id: str, request_id: str) -> ReservationDigest:
    return reservation_digest(account_id, request_id)


def content(what: str) -> ContentDigest:
    return content_digest(what.encode())


def partition(account_id: str) -> int:
    return partition_of(account_id, PARTITIONS)


def record(kind: EntryKind, account_id: str, entry_number: int, **fields: Any) -> StreamRecord:
    """A record that says nothing but what is given."""
    empty = StreamRecord(
        kind=kind.value,
        account_id=account_id,
        entry_number=entry_number,
        time=NOW + entry_number,
        amount=0,
        available_after=0,
        allocations=(),
        admin_seq=0,
        settlement="",
        digest="",
        reserved=0,
        uncollected=0,
        late=0,
        create_time=0,
        expire_time=0,
        price_version=0,
        content="",
        details="",
        grant=0,
        grant_kind=0,
        refusal=0,
    )
    return msgspec.structs.replace(empty, **fields)


def granted(ticket: AdminTicket, entry_number: int, amount: int, **fields: Any) -> StreamRecord:
    """The record of a grant that the script applied."""
    return record(
        EntryKind.GRANT,
        ticket.account_id,
        entry_number,
        amount=amount,
        available_after=amount,
        admin_seq=ticket.admin_seq,
        grant=ticket.admin_seq,
        grant_kind=GrantKind.FREE.value,
        **fields,
    )


def ended(
    kind: EntryKind,
    account_id: str,
    entry_number: int,
    request_id: str = "generation",
    *,
    details: Details = Details(),  # noqa: B008  frozen
    settlement: Settlement = Settlement(),  # noqa: B008  frozen
    **fields: Any,
) -> StreamRecord:
    """The record of a reservation that ended."""
    what: dict[str, Any] = {
        "digest": digest(account_id, request_id),
        "create_time": NOW - DAY,
        "expire_time": NOW + DAY,
        "content": content(request_id),
        "details": json_text(msgspec.structs.replace(details, request_id=request_id)),
        "settlement": json_text(settlement),
    }
    return record(kind, account_id, entry_number, **{**what, **fields})


def charged(account_id: str, entry_number: int, amount: int, grant: int = 1, **fields: Any) -> StreamRecord:
    """The record of a charge that one grant pays."""
    what: dict[str, Any] = {
        "amount": amount,
        "reserved": amount,
        "allocations": (grant, GrantKind.FREE.value, amount) if amount else (),
    }
    return ended(EntryKind.CHARGE, account_id, entry_number, **{**what, **fields})


def configured(ticket: AdminTicket) -> StreamRecord:
    return record(EntryKind.CONFIGURED, ticket.account_id, 0, admin_seq=ticket.admin_seq)


def element(first_seq: int, *records: StreamRecord, epoch: int = 0) -> Element:
    """One script call's records."""
    return first_seq + len(records) - 1, StreamElement(1, epoch, first_seq, NOW, records)


class Writer:
    """Flushes records of one partition, keeping its position as a flusher does."""

    def __init__(self, ledger: Ledger, account_id: str) -> None:
        self._ledger = ledger
        self.partition = partition(account_id)
        self.flushed_seq = 0

    async def write(self, *records: StreamRecord) -> Sequence[Element]:
        """Flush the records as one element; returns it."""
        elements = [element(self.flushed_seq + 1, *records)]
        outcome = await self._ledger.flush(self.partition, 0, self.flushed_seq, elements)
        assert isinstance(outcome, Written), outcome
        self.flushed_seq = outcome.flushed_seq
        return elements


async def create(ledger: Ledger, account_id: str = "acme", **fields: Any) -> Writer:
    """Create an account; returns a writer of its partition's records."""
    await ledger.accounts.create(NewAccount(account_id, **fields), "create", content("create"))
    return Writer(ledger, account_id)


async def grant(ledger: Ledger, account_id: str = "acme", amount: int = 1000, **fields: Any) -> AdminTicket:
    """Record a grant; its request id is unique in a test that gives no two grants the same fields."""
    wanted = NewGrant(**{"kind": GrantKind.FREE, "amount": amount, "acquire_time": NOW, **fields})
    what = repr(wanted)
    return await ledger.accounts.record_grant(account_id, str(content(what)), content(what), wanted)
