"""What is configured of an account: changing it, and what sidecars derive calls from.

Functions of one connection; their transaction is the caller's. `config_seq` is the admin_seq of the last change of what
a call is derived from: the account's own limits, its time zone, its plan. Sidecars keep what they derive under it, and
Redis refuses a call that was derived under another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import UnsetType
from sqlalchemy import Connection, Row, insert, select, update

from earmark.domain.catalog import LimitRule
from earmark.domain.states import Enforcement
from earmark.engine.operations import ABSENT, NEVER, Configure
from earmark.ledger.administration import (
    AdminCall,
    account_not_found,
    lock_account,
    record_operation,
    replay_of,
)
from earmark.ledger.models import (
    AccountChanges,
    AccountConfiguration,
    AdminTicket,
    MemberRole,
    Thresholds,
)
from earmark.ledger.tables import accounts, members

__all__ = [
    "Admit",
    "Membership",
    "adding",
    "balance_thresholds",
    "encode_json",
    "limits_of",
    "new_limits",
    "read_configuration",
    "record_changes",
    "record_configuration",
    "removing",
    "soon_horizon",
    "thresholds_of",
]

encode_json = msgspec.json.Encoder(order="deterministic").encode
thresholds_of = msgspec.json.Decoder(Thresholds).decode
limits_of = msgspec.json.Decoder(tuple[LimitRule, ...]).decode

Membership = Callable[[Connection, Row[Any], AdminCall], tuple[tuple[str, ...], tuple[str, ...]]]
"""Changes the members' rows; returns whom it added and whom it removed."""

Admit = Callable[[Connection, Row[Any]], None]
"""Raises if the account, whose locked row it gets, may have no further member."""

_NOTHING = AccountChanges()


def record_changes(
    connection: Connection,
    call: AdminCall,
    changes: AccountChanges = _NOTHING,
    *,
    suspended: bool | None = None,
    membership: Membership | None = None,
    moved: bool = False,
) -> AdminTicket:
    """Record a change of an account's configuration.

    Args:
        connection: Whose transaction it becomes a part of.
        call: Who asks for it.
        changes: The fields that are set.
        suspended: None leaves it.
        membership: Changes the members.
        moved: Whether something else changes that calls are derived from, such as the account's plan.

    Raises:
        NotFound: ACCOUNT_NOT_FOUND.
        AlreadyExists: REQUEST_ID_REUSED.
    """
    account = lock_account(connection, call.account_id)
    replay = replay_of(connection, account.account_key, call)
    if replay is not None:
        return replay
    admin_seq = account.admin_seq + 1
    values = _values(account, changes, admin_seq, call.now)
    if suspended is not None:
        values["suspended"] = suspended
    moved = moved or "limits" in values or "time_zone" in values
    if moved:
        values["config_seq"] = admin_seq
    added, removed = membership(connection, account, call) if membership else ((), ())
    values["update_time"] = call.now
    connection.execute(update(accounts).where(accounts.c.account_key == account.account_key).values(**values))
    low, critical = balance_thresholds(thresholds_of(values.get("thresholds", account.thresholds)))
    operation = Configure(
        account_id=call.account_id,
        admin_seq=admin_seq,
        suspended=bool(values.get("suspended", account.suspended)),
        enforcement=int(values.get("enforcement", account.enforcement)),
        overdraft_limit=int(values.get("overdraft_limit", account.overdraft_limit)),
        members_added=added,
        members_removed=removed,
        config_seq=admin_seq if moved else ABSENT,
        low_balance=low,
        critical_balance=critical,
    )
    return record_operation(connection, account.account_key, call, operation)


def record_configuration(connection: Connection, call: AdminCall) -> AdminTicket:
    """Record that what calls are derived from has changed beside the account: its plan, entitlements, billing anchor.

    The account's `config_seq` becomes the ticket's admin_seq, in the caller's transaction, so that whoever reads the
    new configuration finds both. Redis never refuses it.

    Raises:
        NotFound: ACCOUNT_NOT_FOUND.
        AlreadyExists: REQUEST_ID_REUSED.
    """
    return record_changes(connection, call, moved=True)


def read_configuration(connection: Connection, account_id: str) -> AccountConfiguration:
    """Return what sidecars derive an account's calls from, as recorded.

    Raises:
        NotFound: ACCOUNT_NOT_FOUND.
    """
    row = connection.execute(select(accounts).where(accounts.c.account_id == account_id)).one_or_none()
    if row is None:
        raise account_not_found(account_id)
    return AccountConfiguration(
        account_id=account_id,
        config_seq=row.config_seq,
        time_zone=row.time_zone,
        previous_time_zone=row.previous_time_zone,
        zone_change_time=row.zone_change_time,
        create_time=row.create_time,
        enforcement=Enforcement(row.enforcement),
        thresholds=thresholds_of(row.thresholds),
        limits=limits_of(row.limits),
    )


def balance_thresholds(thresholds: Thresholds) -> tuple[int, int]:
    """Return the low and the critical threshold as Redis has them: ABSENT for the catalog's, NEVER for none."""
    if thresholds.balance_alerts_off:
        return NEVER, NEVER
    low, critical = thresholds.low_balance, thresholds.critical_balance
    return ABSENT if low is None else low, ABSENT if critical is None else critical


def soon_horizon(thresholds: Thresholds) -> int:
    """Return the account's own horizon for what expires soon; ABSENT for the catalog's."""
    return ABSENT if thresholds.expiring_soon is None else thresholds.expiring_soon


def new_limits(before: Sequence[LimitRule], wanted: Sequence[LimitRule], admin_seq: int, now: int) -> list[LimitRule]:
    """Return an account's limits after a change.

    One that counts the same as before goes on counting, whatever its amount is now; another one begins at nothing.
    """
    known = {rule.name: rule for rule in before}
    limits = []
    for rule in wanted:
        old = known.get(rule.name)
        goes_on = old is not None and _counts(old) == _counts(rule)
        created_seq, create_time = (old.created_seq, old.create_time) if old and goes_on else (admin_seq, now)
        limits.append(replace(rule, created_seq=created_seq, create_time=create_time))
    return limits


def adding(user_id: str, role: MemberRole, admit: Admit | None = None) -> Membership:
    """Add a member, whom `admit` lets in, or give a member this role."""

    def add(connection: Connection, account: Row[Any], call: AdminCall) -> tuple[tuple[str, ...], tuple[str, ...]]:
        member = _member(account.account_key, user_id)
        if connection.execute(update(members).where(*member).values(role=role.value)).rowcount:
            return (), ()
        if admit is not None:
            admit(connection, account)
        connection.execute(
            insert(members).values(
                account_key=account.account_key,
                user_id=user_id,
                added_seq=account.admin_seq + 1,
                role=role.value,
                create_time=call.now,
            )
        )
        return (user_id,), ()

    return add


def removing(user_id: str) -> Membership:
    """Remove a member, if the user is one."""

    def remove(connection: Connection, account: Row[Any], _call: AdminCall) -> tuple[tuple[str, ...], tuple[str, ...]]:
        member = _member(account.account_key, user_id)
        removed = update(members).where(*member).values(removed_seq=account.admin_seq + 1)
        return (), ((user_id,) if connection.execute(removed).rowcount else ())

    return remove


def _values(account: Row[Any], changes: AccountChanges, admin_seq: int, now: int) -> dict[str, Any]:
    """Return the columns that the changes change; limits and time zone only if they are others than before."""
    values: dict[str, Any] = {}
    for name in changes.__struct_fields__:
        value = getattr(changes, name)
        if isinstance(value, UnsetType) or name in {"limits", "time_zone"}:
            continue
        values[name] = value if isinstance(value, (str, int)) else encode_json(value).decode()
    if isinstance(changes.thresholds, Thresholds):
        values["soon_horizon"] = soon_horizon(changes.thresholds)
    if not isinstance(changes.limits, UnsetType):
        limits = encode_json(new_limits(limits_of(account.limits), changes.limits, admin_seq, now)).decode()
        if limits != account.limits:
            values["limits"] = limits
    if not isinstance(changes.time_zone, UnsetType) and changes.time_zone != account.time_zone:
        values |= {
            "time_zone": changes.time_zone,
            "previous_time_zone": account.time_zone,
            "zone_change_time": now,
        }
    return values


def _counts(rule: LimitRule) -> tuple[object, ...]:
    return rule.scope, rule.window, rule.subject


def _member(account_key: int, user_id: str) -> tuple[Any, ...]:
    return members.c.account_key == account_key, members.c.user_id == user_id, members.c.removed_seq.is_(None)
