"""Accounts of another system, brought in with their past: one transaction each, which Redis knows nothing of.

The past becomes entries like any other, in the order of their times, so that every figure (lifetime totals, statements,
reconciliation) has its ground in the ledger: what a grant gave, what of it was charged, what expired. They carry the
seq 0, which no stream gives. The account is in SQL as if all of it had been applied, and Redis loads it when it is
first used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, table, update
from sqlalchemy import column as column_of
from sqlalchemy.exc import IntegrityError

from earmark.domain.ids import ContentDigest
from earmark.domain.states import EntryKind, GrantKind
from earmark.engine.operations import ApplyGrant, Settlement
from earmark.engine.records import StreamRecord
from earmark.errors import AlreadyExists, Reason, error
from earmark.ledger.accounts import create_account
from earmark.ledger.administration import AdminCall, account_key_of, encode_operation
from earmark.ledger.connections import Database
from earmark.ledger.flush.plan import PlannedEntry
from earmark.ledger.flush.rows import ALLOCATION_COLUMNS, ENTRY_COLUMNS, allocation_rows, entry_rows
from earmark.ledger.flush.usage import UsageDeltas
from earmark.ledger.models import AdminState, MemberRecord, NewAccount
from earmark.ledger.tables import (
    account_totals,
    accounts,
    admin_operations,
    entries,
    entry_allocations,
    grants,
    members,
)

__all__ = ["Extra", "ImportOutcome", "Imports", "NewImport", "PastGrant"]

CREATION = "import"
"""The request id that creates an imported account."""
MAX_OPEN_GRANTS = 256
"""With something left: as many as administration gives an account."""

_encode = msgspec.json.Encoder().encode
_PAST_COMMENT = _encode(Settlement(comment="before the import")).decode()


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

    request_id: str
    """Unique in the account."""
    kind: GrantKind
    amount: int
    charged: int
    expired: int
    """Before the import; what is left of a grant whose time is over expires by the import."""
    priority: int
    acquire_time: int | None
    """None for now, or as late as its expiry allows."""
    expire_time: int
    """0 for never."""
    comment: str


@dataclass(frozen=True, slots=True)
class NewImport:
    """An account of another system. Everything is valid already: the ledger checks no forms."""

    account: NewAccount
    """Without limits of its own."""
    grants: tuple[PastGrant, ...]
    members: tuple[MemberRecord, ...]
    content: ContentDigest
    """Of everything that makes it the same import."""


Extra = Callable[[Connection, int, int], None]
"""Writes what belongs to the account besides: takes the connection, the account's key, and now. Operations that it
records count as applied: Redis, which cannot know the account yet, loads it with them."""


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
            FailedPrecondition: TOO_MANY_GRANTS, if more than 256 grants have something left.
            EarmarkError: what an extra raises.
        """

        def write(connection: Connection) -> ImportOutcome:
            if not _bring(connection, wanted, actor, self._clock(), extras):
                return ImportOutcome.UNCHANGED
            if dry_run:
                raise _DryRunError
            return ImportOutcome.IMPORTED

        try:
            try:
                return await self._database.write(write)
            except IntegrityError:
                # PostgreSQL let somebody else create it between our look and our insert: now we see it.
                return await self._database.write(write)
        except _DryRunError:
            return ImportOutcome.VALID


class _DryRunError(Exception):
    """Takes the transaction back."""


def _bring(connection: Connection, wanted: NewImport, actor: str, now: int, extras: Sequence[Extra]) -> bool:
    """Write an account; False if it was brought before."""
    account_id = wanted.account.account_id
    call = AdminCall(account_id, CREATION, wanted.content, now, actor, "imported")
    try:
        record, replayed = create_account(connection, wanted.account, call)
    except AlreadyExists as refusal:
        if refusal.reason != Reason.REQUEST_ID_REUSED:
            raise
        message = f"the account {account_id!r} was imported before, with another content"
        raise error(Reason.REQUEST_ID_REUSED, message, {"account_id": account_id}) from None
    if replayed:
        return False
    key = account_key_of(connection, account_id)
    brought = _numbered(wanted.grants, record.admin_seq, now, call)
    if sum(each.left > 0 for each in brought) > MAX_OPEN_GRANTS:
        raise error(
            Reason.TOO_MANY_GRANTS,
            f"account {account_id!r} has more than {MAX_OPEN_GRANTS} grants with something left: bring those that "
            "expire together as one",
            {"account_id": account_id, "max_grants": MAX_OPEN_GRANTS},
        )
    past = _entries(account_id, key, brought)
    _insert_grants(connection, key, brought, call)
    _insert_entries(connection, record.partition, past)
    admin_seq = record.admin_seq + len(brought)
    connection.execute(update(accounts).where(accounts.c.account_key == key).values(admin_seq=admin_seq))
    if wanted.members:
        connection.execute(insert(members), [_member_row(key, member) for member in wanted.members])
    for extra in extras:
        extra(connection, key, now)
    _apply(connection, key, brought, len(past))
    return True


@dataclass(frozen=True, slots=True)
class _Brought:
    """A grant with its number, and what became of it by now."""

    number: int
    grant: PastGrant
    acquire_time: int
    expired: int
    settlement: str

    @property
    def left(self) -> int:
        """What can still be used."""
        return self.grant.amount - self.grant.charged - self.expired


def _numbered(past: Sequence[PastGrant], admin_seq: int, now: int, call: AdminCall) -> list[_Brought]:
    """Number the grants in the order in which they were acquired."""

    def acquired(grant: PastGrant) -> int:
        if grant.acquire_time is not None:
            return grant.acquire_time
        return min(now, grant.expire_time - 1) if grant.expire_time else now

    brought = []
    for number, grant in enumerate(sorted(past, key=lambda each: (acquired(each), each.request_id)), admin_seq + 1):
        over = 0 < grant.expire_time <= now
        expired = grant.amount - grant.charged if over else grant.expired
        settlement = Settlement(comment=grant.comment, actor=call.actor, request_id=grant.request_id)
        brought.append(_Brought(number, grant, acquired(grant), expired, _encode(settlement).decode()))
    return brought


def _entries(account_id: str, account_key: int, brought: Iterable[_Brought]) -> list[PlannedEntry]:
    """Return the entries of the past, numbered in the order of their times."""
    available = 0
    found: list[PlannedEntry] = []
    # A charge is known to have been after the grant, and no more: not now, which would be this month's use.
    for time, of, kind, amount in sorted(_events(brought), key=lambda event: (event[0], event[1].number)):
        available += amount if kind is EntryKind.GRANT else -amount
        is_grant, is_charge = kind is EntryKind.GRANT, kind is EntryKind.CHARGE
        record = StreamRecord(
            kind=kind.value,
            account_id=account_id,
            entry_number=len(found) + 1,
            time=time,
            amount=amount,
            available_after=available,
            allocations=(of.number, of.grant.kind.value, amount),
            admin_seq=of.number if is_grant else 0,
            settlement=of.settlement if is_grant else _PAST_COMMENT,
            digest="",
            reserved=0,
            uncollected=0,
            late=0,
            create_time=0,
            expire_time=of.grant.expire_time if is_grant else 0,
            price_version=0,
            content="",
            details="",
            grant=0 if is_charge else of.number,
            grant_kind=0 if is_charge else of.grant.kind.value,
            refusal=0,
        )
        found.append((account_key, 0, 0, record))
    return found


def _events(brought: Iterable[_Brought]) -> Iterator[tuple[int, _Brought, EntryKind, int]]:
    """Yield time and amount of what happened to each grant, in its order."""
    for each in brought:
        grant = each.grant
        yield each.acquire_time, each, EntryKind.GRANT, grant.amount
        if grant.charged:
            yield each.acquire_time, each, EntryKind.CHARGE, grant.charged
        if grant.expired:
            yield each.acquire_time, each, EntryKind.GRANT_EXPIRED, grant.expired
        if each.expired > grant.expired:
            yield grant.expire_time - 1, each, EntryKind.GRANT_EXPIRED, each.expired - grant.expired


def _insert_grants(connection: Connection, account_key: int, brought: Sequence[_Brought], call: AdminCall) -> None:
    """Write the grants, and the operations that give them, as applied."""
    if not brought:
        return
    connection.execute(insert(grants), [_grant_row(account_key, each, call) for each in brought])
    operations = []
    for each in brought:
        grant = each.grant
        operation = ApplyGrant(
            account_id=call.account_id,
            admin_seq=each.number,
            kind=grant.kind.value,
            priority=grant.priority,
            amount=grant.amount,
            acquire_time=each.acquire_time,
            expire_time=grant.expire_time,
            max_grants=MAX_OPEN_GRANTS,
            settlement=each.settlement,
        )
        operations.append(
            {
                "account_key": account_key,
                "admin_seq": each.number,
                "request_id": grant.request_id,
                "content": call.content,
                "state": AdminState.APPLIED.value,
                "refusal": 0,
                "operation": encode_operation(operation),
                "actor": call.actor,
                "comment": grant.comment,
                "create_time": call.now,
            }
        )
    connection.execute(insert(admin_operations), operations)


def _grant_row(account_key: int, each: _Brought, call: AdminCall) -> dict[str, Any]:
    grant = each.grant
    return {
        "account_key": account_key,
        "grant_number": each.number,
        "kind": grant.kind.value,
        "amount": grant.amount,
        "priority": grant.priority,
        "acquire_time": each.acquire_time,
        "expire_time": grant.expire_time,
        "create_time": call.now,
        "comment": grant.comment,
        "actor": call.actor,
        "reservation_id": "",
        "request_id": grant.request_id,
        "state": AdminState.APPLIED.value,
        "void": False,
        "open": each.left > 0,
        "charged": grant.charged,
        "expired": each.expired,
        "voided": 0,
        "repaid": 0,
    }


def _member_row(account_key: int, member: MemberRecord) -> dict[str, Any]:
    return {
        "account_key": account_key,
        "user_id": member.user_id,
        "added_seq": 0,
        "removed_seq": None,
        "role": member.role.value,
        "create_time": member.create_time,
    }


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


def _apply(connection: Connection, account_key: int, brought: Sequence[_Brought], entry_number: int) -> None:
    """Let the totals be as if Redis had applied everything, what the extras recorded too: it loads it so."""
    recorded = connection.execute(
        select(accounts.c.admin_seq, accounts.c.config_seq).where(accounts.c.account_key == account_key)
    ).one()
    connection.execute(
        update(admin_operations)
        .where(admin_operations.c.account_key == account_key)
        .values(state=AdminState.APPLIED.value)
    )
    connection.execute(
        update(account_totals)
        .where(account_totals.c.account_key == account_key)
        .values(
            entry_number=entry_number,
            applied_admin_seq=recorded.admin_seq,
            config_seq=recorded.config_seq,
            granted=sum(each.grant.amount for each in brought),
            charged=sum(each.grant.charged for each in brought),
            expired=sum(each.expired for each in brought),
        )
    )
