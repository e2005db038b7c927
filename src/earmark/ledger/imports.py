"""Accounts of another system, brought in with their past: one transaction each, which Redis knows nothing of.

The past becomes entries like any other, so that every figure (lifetime totals, statements, reconciliation) has its
ground in the ledger: what a grant gave, what of it was charged, what expired. They carry the seq 0, which no stream
gives. The account is in SQL as if all of it had been applied, and Redis loads it when it is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, table, update
from sqlalchemy import column as column_of

from earmark.credits import MAX_MICROS
from earmark.domain.ids import ContentDigest
from earmark.domain.states import EntryKind, GrantKind
from earmark.engine.operations import ApplyGrant, Settlement
from earmark.engine.records import StreamRecord
from earmark.errors import Reason, error
from earmark.ledger.accounts import create_account
from earmark.ledger.administration import AdminCall, account_key_of, encode_operation, store_operation
from earmark.ledger.connections import Database
from earmark.ledger.flush.plan import PlannedEntry
from earmark.ledger.flush.rows import ALLOCATION_COLUMNS, ENTRY_COLUMNS, allocation_rows, entry_rows
from earmark.ledger.flush.usage import UsageDeltas
from earmark.ledger.models import AdminState, MemberRole, NewAccount
from earmark.ledger.tables import account_totals, accounts, entries, entry_allocations, grants, members

__all__ = ["ImportOutcome", "Imports", "NewImport", "PastGrant"]

_CREATION = "import"
"""The request id that creates an imported account; the grants' are `import/<their id>`."""

_encode = msgspec.json.Encoder().encode


@unique
class ImportOutcome(Enum):
    """What became of an account."""

    IMPORTED = "imported"
    UNCHANGED = "unchanged"
    """It was imported before, with the same content."""
    VALID = "valid"
    """It would be imported."""


@dataclass(frozen=True, slots=True)
class PastGrant:
    """A grant with what was used of it before. Amounts in microcredits, times in microseconds."""

    external_id: str
    kind: GrantKind
    amount: int
    charged: int
    expired: int
    """Before the import; what is left of a grant whose time is over expires by the import."""
    priority: int
    acquire_time: int
    expire_time: int
    """0 for never."""
    comment: str


@dataclass(frozen=True, slots=True)
class NewImport:
    """An account of another system. Everything is valid already: the ledger checks no forms."""

    account: NewAccount
    grants: tuple[PastGrant, ...]
    """Each `external_id` once."""
    members: tuple[tuple[str, MemberRole], ...]
    content: ContentDigest
    """Of everything that makes it the same import."""


Extra = Callable[[Connection, int, int], None]
"""Writes what belongs to the account besides: takes the connection, the account's key, and now."""


class Imports:
    """Brings accounts in."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def bring(
        self, wanted: NewImport, *, actor: str = "", dry_run: bool = False, extras: Sequence[Extra] = ()
    ) -> ImportOutcome:
        """Bring an account in, in one transaction with its extras, or nothing of it.

        Args:
            wanted: The account.
            actor: Who brings it.
            dry_run: Do everything, and take it back.
            extras: What else belongs to it, in this order.

        Raises:
            AlreadyExists: ACCOUNT_EXISTS; REQUEST_ID_REUSED, if it was imported with another content.
            InvalidRequest: INVALID_AMOUNT, if its grants pass the largest amount together.
        """

        def write(connection: Connection) -> ImportOutcome:
            fresh = _bring(connection, wanted, actor, self._clock(), extras)
            if not fresh:
                return ImportOutcome.UNCHANGED
            if dry_run:
                raise _DryRunError
            return ImportOutcome.IMPORTED

        try:
            return await self._database.write(write)
        except _DryRunError:
            return ImportOutcome.VALID


class _DryRunError(Exception):
    """Takes the transaction back."""


def _bring(connection: Connection, wanted: NewImport, actor: str, now: int, extras: Sequence[Extra]) -> bool:
    """Write an account; False if it was brought before."""
    account_id = wanted.account.account_id
    call = AdminCall(account_id, _CREATION, wanted.content, now, actor, "imported")
    record, replayed = create_account(connection, wanted.account, call)
    if replayed:
        return False
    key = account_key_of(connection, account_id)
    past = _Past(account_id, key, record.admin_seq, now)
    for grant in sorted(wanted.grants, key=lambda each: (each.acquire_time, each.external_id)):
        _bring_grant(connection, past, call, grant)
    _insert_entries(connection, record.partition, past.entries)
    _move_account(connection, past)
    if wanted.members:
        connection.execute(
            insert(members),
            [
                {
                    "account_key": key,
                    "user_id": user_id,
                    "added_seq": 0,
                    "removed_seq": None,
                    "role": role.value,
                    "create_time": now,
                }
                for user_id, role in wanted.members
            ],
        )
    for extra in extras:
        extra(connection, key, now)
    return True


@dataclass(slots=True)
class _Past:
    """The entries of an account's past, and what they sum up to."""

    account_id: str
    account_key: int
    admin_seq: int
    now: int
    entries: list[PlannedEntry] = field(default_factory=list)
    granted: int = 0
    charged: int = 0
    expired: int = 0

    def enter(self, kind: EntryKind, time: int, amount: int, grant: ApplyGrant, settlement: str) -> None:
        """Append an entry about a grant."""
        match kind:
            case EntryKind.GRANT:
                self.granted += amount
            case EntryKind.CHARGE:
                self.charged += amount
            case _:
                self.expired += amount
        about_grant = kind is not EntryKind.CHARGE
        record = StreamRecord(
            kind=kind.value,
            account_id=self.account_id,
            entry_number=len(self.entries) + 1,
            time=time,
            amount=amount,
            available_after=self.granted - self.charged - self.expired,
            allocations=(grant.admin_seq, grant.kind, amount),
            admin_seq=grant.admin_seq if kind is EntryKind.GRANT else 0,
            settlement=settlement,
            digest="",
            reserved=0,
            uncollected=0,
            late=0,
            create_time=0,
            expire_time=grant.expire_time if kind is EntryKind.GRANT else 0,
            price_version=0,
            content="",
            details="",
            grant=grant.admin_seq if about_grant else 0,
            grant_kind=grant.kind if about_grant else 0,
            refusal=0,
        )
        self.entries.append((self.account_key, 0, 0, record))


def _bring_grant(connection: Connection, past: _Past, call: AdminCall, grant: PastGrant) -> None:
    """Write a grant as one that was applied, and enter what became of it."""
    if past.granted + grant.amount > MAX_MICROS:
        raise error(
            Reason.INVALID_AMOUNT,
            f"grants: those of account {past.account_id!r} pass the largest amount together, 2^53 - 1 microcredits",
            field="grants",
        )
    past.admin_seq += 1
    request_id = f"{_CREATION}/{grant.external_id}"
    over = 0 < grant.expire_time <= past.now
    expired = grant.amount - grant.charged if over else grant.expired
    settlement = _encode(Settlement(comment=grant.comment, actor=call.actor, request_id=request_id)).decode()
    operation = ApplyGrant(
        account_id=past.account_id,
        admin_seq=past.admin_seq,
        kind=grant.kind.value,
        priority=grant.priority,
        amount=grant.amount,
        acquire_time=grant.acquire_time,
        expire_time=grant.expire_time,
        max_grants=len(past.entries) + 1,
        settlement=settlement,
    )
    connection.execute(
        insert(grants).values(
            account_key=past.account_key,
            grant_number=past.admin_seq,
            kind=grant.kind.value,
            amount=grant.amount,
            priority=grant.priority,
            acquire_time=grant.acquire_time,
            expire_time=grant.expire_time,
            create_time=past.now,
            comment=grant.comment,
            actor=call.actor,
            reservation_id="",
            request_id=request_id,
            state=AdminState.APPLIED.value,
            void=False,
            open=grant.amount > grant.charged + expired,
            charged=grant.charged,
            expired=expired,
            voided=0,
            repaid=0,
        )
    )
    of_grant = msgspec.structs.replace(call, request_id=request_id, comment=grant.comment)
    store_operation(
        connection, past.account_key, of_grant, past.admin_seq, AdminState.APPLIED, encode_operation(operation)
    )
    past.enter(EntryKind.GRANT, grant.acquire_time, grant.amount, operation, settlement)
    if grant.charged:
        # When, nobody knows any more; not now, which would be this month's use.
        past.enter(EntryKind.CHARGE, grant.acquire_time, grant.charged, operation, settlement)
    if expired:
        time = grant.expire_time - 1 if over else grant.acquire_time
        past.enter(EntryKind.GRANT_EXPIRED, time, expired, operation, settlement)


def _insert_entries(connection: Connection, partition: int, past: Sequence[PlannedEntry]) -> None:
    usage = UsageDeltas()
    _insert(connection, entries, ENTRY_COLUMNS, usage.counting(past, entry_rows(partition, past)))
    _insert(connection, entry_allocations, ALLOCATION_COLUMNS, allocation_rows(past))
    for rollup, rows in usage.rows():
        columns = (*rollup.keys, *rollup.sums)
        # The account is new: there is nothing to add to.
        _insert(connection, table(rollup.table, *map(column_of, columns)), columns, rows)


def _insert(connection: Connection, into: Any, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    values = [dict(zip(columns, row, strict=True)) for row in rows]
    if values:
        connection.execute(insert(into), values)


def _move_account(connection: Connection, past: _Past) -> None:
    moved = update(accounts).where(accounts.c.account_key == past.account_key)
    connection.execute(moved.values(admin_seq=past.admin_seq))
    connection.execute(
        update(account_totals)
        .where(account_totals.c.account_key == past.account_key)
        .values(
            entry_number=len(past.entries),
            applied_admin_seq=past.admin_seq,
            granted=past.granted,
            charged=past.charged,
            expired=past.expired,
        )
    )
