"""Accounts, their members and their administration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, text
from sqlalchemy.exc import IntegrityError

from earmark.domain.ids import ContentDigest, partition_of
from earmark.domain.states import Enforcement
from earmark.engine.operations import Configure
from earmark.errors import Reason, error
from earmark.ledger import grants
from earmark.ledger.administration import (
    AdminCall,
    account_not_found,
    encode_operation,
    find_request,
    request_reused,
    store_operation,
)
from earmark.ledger.configuration import (
    Admit,
    adding,
    balance_thresholds,
    encode_json,
    limits_of,
    new_limits,
    read_configuration,
    record_changes,
    removing,
    soon_horizon,
    thresholds_of,
)
from earmark.ledger.connections import Database
from earmark.ledger.models import (
    AccountChanges,
    AccountConfiguration,
    AccountRecord,
    AdminOutcome,
    AdminState,
    AdminTicket,
    Contacts,
    GrantRecord,
    MemberRecord,
    MemberRole,
    NewAccount,
    NewGrant,
)
from earmark.ledger.stores import read_identity
from earmark.ledger.tables import account_totals, accounts, admin_operations, members

__all__ = ["Accounts", "create_account"]

# Inside the class, `list` is its method.
_AccountPage = list[AccountRecord]
_GrantPage = list[GrantRecord]
_AccountIds = list[str]

_contacts_of = msgspec.json.Decoder(Contacts).decode
_labels_of = msgspec.json.Decoder(dict[str, str]).decode

_ACCOUNT = select(accounts, account_totals.c.applied_admin_seq).join_from(accounts, account_totals)


class Accounts:
    """Accounts and grants as SQL has recorded them. What a ticket carries still has to be relayed to Redis.

    Every change takes a request id and the digest of its content: the same request again returns the first ticket,
    `replayed`; another content raises `AlreadyExists` with REQUEST_ID_REUSED. An unknown account raises `NotFound`
    with ACCOUNT_NOT_FOUND. The ledger checks no forms: names, amounts and times are valid already.
    """

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self, account: NewAccount, request_id: str, content: ContentDigest, *, actor: str = ""
    ) -> tuple[AccountRecord, bool]:
        """Create an account; nothing has to be relayed, Redis loads it when it is first used.

        Returns:
            The account as it is now, and whether this request had created it before.

        Raises:
            AlreadyExists: ACCOUNT_EXISTS; REQUEST_ID_REUSED.
        """
        call = self._call(account.account_id, request_id, content, actor, "")
        try:
            return await self._database.write(lambda connection: create_account(connection, account, call))
        except IntegrityError:
            # PostgreSQL let another request create it between our look and our insert: now we see it.
            return await self._database.write(lambda connection: create_account(connection, account, call))

    async def get(self, account_id: str) -> AccountRecord:
        """Return an account with its members."""
        return await self._database.read(lambda connection: _read(connection, account_id))

    async def configuration(self, account_id: str) -> AccountConfiguration:
        """Return what sidecars derive an account's calls from, as recorded; Redis may not have applied it yet."""
        return await self._database.read(lambda connection: read_configuration(connection, account_id))

    async def list(self, prefix: str, limit: int, after_account_id: str = "") -> _AccountPage:
        """Return a page of accounts in the order of their ids, without their members."""
        query = _ACCOUNT.where(accounts.c.account_id > after_account_id).order_by(accounts.c.account_id).limit(limit)
        if prefix:
            # Ids are printable ASCII: DEL is above all of them.
            query = query.where(accounts.c.account_id >= prefix, accounts.c.account_id < prefix + "\x7f")
        return await self._database.read(lambda connection: [_record(row, ()) for row in connection.execute(query)])

    async def update(
        self, account_id: str, request_id: str, content: ContentDigest, changes: AccountChanges, *, actor: str = ""
    ) -> AdminTicket:
        """Change the fields that are set.

        A limit that counts the same as before (scope, window, subject) goes on counting; any other counts from now on.
        A new time zone applies from the next window on.
        """
        call = self._call(account_id, request_id, content, actor, "")
        return await self._database.write(lambda connection: record_changes(connection, call, changes))

    async def set_suspended(
        self,
        account_id: str,
        request_id: str,
        content: ContentDigest,
        suspended: bool,
        *,
        reason: str = "",
        actor: str = "",
    ) -> AdminTicket:
        """Suspend or resume an account; it may be so already."""
        call = self._call(account_id, request_id, content, actor, reason)
        return await self._database.write(lambda connection: record_changes(connection, call, suspended=suspended))

    async def add_member(
        self,
        account_id: str,
        request_id: str,
        content: ContentDigest,
        user_id: str,
        role: MemberRole = MemberRole.MEMBER,
        *,
        admit: Admit | None = None,
        actor: str = "",
    ) -> AdminTicket:
        """Add a member, or give a member this role. What `admit` raises refuses a new one, within the transaction."""
        call = self._call(account_id, request_id, content, actor, "")
        change = adding(user_id, role, admit)
        return await self._database.write(lambda connection: record_changes(connection, call, membership=change))

    async def remove_member(
        self, account_id: str, request_id: str, content: ContentDigest, user_id: str, *, actor: str = ""
    ) -> AdminTicket:
        """Remove a member; does nothing more than take a number if the user is none."""
        call = self._call(account_id, request_id, content, actor, "")
        change = removing(user_id)
        return await self._database.write(lambda connection: record_changes(connection, call, membership=change))

    async def record_grant(
        self,
        account_id: str,
        request_id: str,
        content: ContentDigest,
        grant: NewGrant,
        *,
        max_grants: int = 256,
    ) -> AdminTicket:
        """Record a grant; its number is the ticket's admin_seq.

        Raises:
            FailedPrecondition: ADJUSTMENT_EXCEEDS_CHARGE, if all adjustments for the reservation together would make
                good more than it was charged.
            NotFound: RESERVATION_NOT_FOUND, if no flushed entry says that the adjusted reservation ended.
        """
        call = self._call(account_id, request_id, content, grant.actor, grant.comment)
        return await self._database.write(lambda connection: grants.record_grant(connection, call, grant, max_grants))

    async def record_void(
        self,
        account_id: str,
        request_id: str,
        content: ContentDigest,
        grant: int,
        *,
        reason: str = "",
        actor: str = "",
    ) -> AdminTicket:
        """Record that what is left of a grant is taken back.

        Raises:
            NotFound: GRANT_NOT_FOUND.
        """
        call = self._call(account_id, request_id, content, actor, reason)
        return await self._database.write(lambda connection: grants.record_void(connection, call, grant))

    async def get_grant(self, account_id: str, number: int) -> GrantRecord:
        """Return a grant, as far as entries are flushed.

        Raises:
            NotFound: GRANT_NOT_FOUND, also for a grant that Redis refused.
        """
        return await self._database.read(lambda connection: grants.read_grant(connection, account_id, number))

    async def list_grants(self, account_id: str, limit: int, before: int | None = None) -> _GrantPage:
        """Return a page of grants, newest first, those below the number `before`; without those that were refused."""
        return await self._database.read(lambda connection: grants.list_grants(connection, account_id, limit, before))

    async def admin_outcome(self, account_id: str, admin_seq: int) -> AdminOutcome | None:
        """Return how far an operation is, as flushed records tell; None if there is no such operation."""
        query = (
            select(admin_operations.c.state, admin_operations.c.refusal)
            .join_from(admin_operations, accounts)
            .where(accounts.c.account_id == account_id, admin_operations.c.admin_seq == admin_seq)
        )
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else AdminOutcome(AdminState(row.state), row.refusal)

    async def accounts_with_pending_administration(self, limit: int) -> _AccountIds:
        """Return accounts with operations that no flushed record confirms yet; those of the relay that died."""
        pending = (
            select(admin_operations.c.account_key)
            # To the letter as the partial index says it, so that it is used.
            .where(text("state = 0"))
            .distinct()
            .order_by(admin_operations.c.account_key)
            .limit(limit)
            .subquery()
        )
        query = select(accounts.c.account_id).join_from(
            pending, accounts, pending.c.account_key == accounts.c.account_key
        )
        return await self._database.read(lambda connection: list(connection.execute(query).scalars()))

    async def accounts_with_due_grants(self, now: int, limit: int) -> _AccountIds:
        """Return accounts with something left of a grant whose time has come, the longest due first.

        What open reservations hold of such a grant counts too: the account stays in the list until they end.
        """
        return await self._database.read(lambda connection: grants.due_accounts(connection, now, limit))

    def _call(self, account_id: str, request_id: str, content: ContentDigest, actor: str, comment: str) -> AdminCall:
        return AdminCall(account_id, request_id, content, self._clock(), actor, comment)


def create_account(connection: Connection, account: NewAccount, call: AdminCall) -> tuple[AccountRecord, bool]:
    """Insert an account; see `Accounts.create`."""
    query = select(accounts.c.account_key).where(accounts.c.account_id == account.account_id)
    account_key = connection.execute(query).scalar_one_or_none()
    if account_key is not None:
        earlier = find_request(connection, account_key, call.request_id)
        if earlier is None:
            raise error(
                Reason.ACCOUNT_EXISTS,
                f"the account {account.account_id!r} exists already",
                {"account_id": account.account_id},
            )
        if earlier.admin_seq != 0 or earlier.content != call.content:
            raise request_reused(call.request_id)
        return _read(connection, account.account_id), True
    store = read_identity(connection)
    if store is None:
        raise RuntimeError("the store was not initialised")
    configuration = {
        "suspended": False,
        "enforcement": account.enforcement.value,
        "overdraft_limit": account.overdraft_limit,
    }
    low, critical = balance_thresholds(account.thresholds)
    # Limits count from an admin_seq on, so that they share no counter with the catalog's: they take the first.
    admin_seq = 1 if account.limits else 0
    created = connection.execute(
        insert(accounts).values(
            account_id=account.account_id,
            partition=partition_of(account.account_id, store.partitions),
            admin_seq=admin_seq,
            config_seq=admin_seq,
            display_name=account.display_name,
            time_zone=account.time_zone,
            thresholds=encode_json(account.thresholds).decode(),
            soon_horizon=soon_horizon(account.thresholds),
            contacts=encode_json(account.contacts).decode(),
            labels=encode_json(account.labels).decode(),
            limits=encode_json(new_limits((), account.limits, admin_seq, call.now)).decode(),
            create_time=call.now,
            update_time=call.now,
            **configuration,
        )
    )
    assert created.inserted_primary_key is not None
    account_key = int(created.inserted_primary_key[0])
    totals = ("entry_number", "granted", "charged", "expired", "voided", "borrowed", "repaid", "uncollected")
    connection.execute(
        insert(account_totals).values(
            account_key=account_key,
            applied_admin_seq=admin_seq,
            config_seq=admin_seq,
            low_balance=low,
            critical_balance=critical,
            **dict.fromkeys(totals, 0),
            **configuration,
        )
    )
    store_operation(connection, account_key, call, 0, AdminState.APPLIED, b"")
    if admin_seq:
        # Redis cannot know the account yet: what it loads has the limits' number already.
        applied = Configure(
            account_id=account.account_id,
            admin_seq=admin_seq,
            config_seq=admin_seq,
            low_balance=low,
            critical_balance=critical,
            suspended=False,
            enforcement=account.enforcement.value,
            overdraft_limit=account.overdraft_limit,
        )
        unnamed = msgspec.structs.replace(call, request_id="")
        store_operation(connection, account_key, unnamed, admin_seq, AdminState.APPLIED, encode_operation(applied))
    return _read(connection, account.account_id), False


def _read(connection: Connection, account_id: str) -> AccountRecord:
    row = connection.execute(_ACCOUNT.where(accounts.c.account_id == account_id)).one_or_none()
    if row is None:
        raise account_not_found(account_id)
    current = (
        select(members.c.user_id, members.c.role, members.c.create_time)
        .where(members.c.account_key == row.account_key, members.c.removed_seq.is_(None))
        .order_by(members.c.user_id)
    )
    found = (
        MemberRecord(member.user_id, MemberRole(member.role), member.create_time)
        for member in connection.execute(current)
    )
    return _record(row, tuple(found))


def _record(row: Row[Any], found: tuple[MemberRecord, ...]) -> AccountRecord:
    return AccountRecord(
        account_id=row.account_id,
        partition=row.partition,
        display_name=row.display_name,
        suspended=row.suspended,
        enforcement=Enforcement(row.enforcement),
        time_zone=row.time_zone,
        overdraft_limit=row.overdraft_limit,
        thresholds=thresholds_of(row.thresholds),
        contacts=_contacts_of(row.contacts),
        labels=_labels_of(row.labels),
        create_time=row.create_time,
        update_time=row.update_time,
        admin_seq=row.admin_seq,
        applied_admin_seq=row.applied_admin_seq,
        members=found,
        limits=limits_of(row.limits),
        config_seq=row.config_seq,
    )
