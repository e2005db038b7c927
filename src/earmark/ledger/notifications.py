"""Notifications: alerts that were set off, and the way of each to whom it may concern.

The flush stores those of the stream's alerts; what expires soon is found here, because SQL knows every grant that is
open, those of accounts that Redis does not hold too. Everything about a delivery goes by the database's clock: several
sidecars share the work, and the test clock moves no mail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    Connection,
    Row,
    Select,
    bindparam,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)

from earmark.credits import format_credits
from earmark.domain.limits import parse_limit_key
from earmark.domain.states import AlertKind
from earmark.ledger.connections import Database
from earmark.ledger.flush.alerts import (
    DELIVERY_COLUMNS,
    NOTIFICATION_COLUMNS,
    NewNotification,
    contacts_of,
    deliveries,
    expiring,
)
from earmark.ledger.models import DeliveryState
from earmark.ledger.stores import database_now
from earmark.ledger.tables import account_totals, accounts, grants
from earmark.ledger.tables.alerts import notification_deliveries, notifications

__all__ = ["DeliveryRecord", "DueDelivery", "NotificationPosition", "NotificationRecord", "Notifications"]

_ERROR_LENGTH = 500

_NOTIFY = text(
    f"INSERT INTO notifications ({', '.join(NOTIFICATION_COLUMNS)}) "  # noqa: S608  constant names
    f"VALUES ({', '.join(f':{name}' for name in NOTIFICATION_COLUMNS)}) ON CONFLICT (notification_id) DO NOTHING"
)

_NOTIFICATIONS = select(notifications, accounts.c.account_id, accounts.c.contacts).join_from(notifications, accounts)
_DELIVER = text(
    f"INSERT INTO notification_deliveries (notification_key, {', '.join(DELIVERY_COLUMNS)}) "  # noqa: S608
    f"VALUES (:notification_key, {', '.join(f':{name}' for name in DELIVERY_COLUMNS)}) "
    "ON CONFLICT (notification_key, position) DO NOTHING"
)
_EXPIRING = select(
    grants.c.account_key,
    grants.c.grant_number,
    grants.c.expire_time,
    (grants.c.amount - grants.c.charged - grants.c.expired - grants.c.voided - grants.c.repaid).label("left"),
    (
        account_totals.c.granted
        - account_totals.c.charged
        - account_totals.c.expired
        - account_totals.c.voided
        + account_totals.c.borrowed
        - account_totals.c.repaid
    ).label("balance"),
    accounts.c.account_id,
    accounts.c.contacts,
).select_from(
    grants.join(accounts, grants.c.account_key == accounts.c.account_key).join(
        account_totals, account_totals.c.account_key == accounts.c.account_key
    )
)


class DeliveryRecord(Struct, frozen=True):
    """The way of a notification to one receiver."""

    channel: str
    """`email` or `webhook`."""
    target: str
    state: DeliveryState
    attempts: int
    error: str
    """The last failure; "" for none."""
    attempt_time: int
    """When it was last tried; 0 for never."""


class NotificationPosition(Struct, frozen=True, array_like=True):
    """Where a notification stands in lists; opaque to callers, who pass it back for the next page."""

    create_time: int
    notification_key: int


class NotificationRecord(Struct, frozen=True):
    """An alert that was set off."""

    position: NotificationPosition
    notification_id: str
    """The same at each delivery, and for whoever finds the same alert again."""
    account_id: str
    kind: AlertKind
    threshold: int
    """Of the balance, or what of the limit was charged when it fired; 0 for EXPIRING_SOON."""
    limit_key: str
    """"" if it is about no limit."""
    amount: int
    """The limit's amount, or what was left of the grant; else 0."""
    balance: int
    """What was available and reserved."""
    entry_number: int
    """0 for EXPIRING_SOON."""
    grant: int
    """For EXPIRING_SOON; else 0."""
    expire_time: int
    """The grant's."""
    create_time: int
    deliveries: tuple[DeliveryRecord, ...] = ()

    @property
    def limit_name(self) -> str:
        """The name of the limit that it is about; "" for none."""
        return parse_limit_key(self.limit_key).name if self.limit_key else ""

    @property
    def message(self) -> str:
        """The alert in one sentence."""
        match self.kind:
            case AlertKind.LOW_BALANCE | AlertKind.CRITICAL_BALANCE:
                which = "low" if self.kind is AlertKind.LOW_BALANCE else "critical"
                return (
                    f"The balance of {self.account_id} is {which}: {format_credits(self.balance)} credits are left, "
                    f"the threshold is {format_credits(self.threshold)}."
                )
            case AlertKind.EXPIRING_SOON:
                end = datetime.fromtimestamp(self.expire_time / 1e6, UTC)
                left = format_credits(self.amount)
                return f"{left} credits of {self.account_id} expire at {end:%Y-%m-%d %H:%M} UTC."
            case AlertKind.LIMIT_NEAR:
                used = "is used up" if self.threshold >= self.amount else "is almost used up"
                return (
                    f"The limit {self.limit_name} of {self.account_id} {used}: at least "
                    f"{format_credits(self.threshold)} of {format_credits(self.amount)} credits were charged."
                )


class DueDelivery(Struct, frozen=True):
    """A delivery that is this process's to try, for as long as it was claimed."""

    notification: NotificationRecord
    """Without its deliveries."""
    notification_key: int
    position: int
    channel: str
    target: str
    attempt: int
    """1 for the first."""
    secret: str
    """The account's own, for its webhook; "" for none."""
    now: int
    """The database's clock, in microseconds."""


class Notifications:
    """What was set off, and what is to be delivered."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def list(
        self,
        account_id: str | None,
        limit: int,
        before: NotificationPosition | None = None,
        kind: AlertKind | None = None,
    ) -> list[NotificationRecord]:
        """Return a page of notifications, newest first; of all accounts if none is given."""
        return await self._database.read(lambda connection: _list(connection, account_id, limit, before, kind))

    async def warn_expiring(self, horizon: int, limit: int) -> int:
        """Store a notification for each open grant that expires within its account's horizon, each once.

        Args:
            horizon: The catalog's, in microseconds, for accounts without their own.
            limit: How many at most.

        Returns:
            How many grants were looked after; `limit` of them may leave more.
        """
        return await self._database.write(lambda connection: _warn_expiring(connection, self._clock(), horizon, limit))

    async def claim(self, limit: int, busy: int) -> Sequence[DueDelivery]:
        """Return deliveries that are due, the longest due first; nobody else gets them for `busy` microseconds.

        A claim counts as an attempt. Whoever dies with it leaves it to be claimed again.
        """
        # Looking takes no lock: mostly nothing is due.
        if not await self._database.read(_is_due):
            return ()
        return await self._database.write(lambda connection: _claim(connection, limit, busy))

    async def delivered(self, delivery: DueDelivery) -> None:
        """Note that the receiver has accepted it."""
        values = {"state": DeliveryState.DELIVERED.value, "error": ""}
        await self._database.write(lambda connection: _settle(connection, delivery, values, whatever=True))

    async def failed(self, delivery: DueDelivery, error: str, retry_after: int | None) -> None:
        """Note a failure, and when to try again in microseconds; None gives it up."""

        def note(connection: Connection) -> None:
            values: dict[str, Any] = {"error": error.replace("\0", "\ufffd")[:_ERROR_LENGTH]}
            if retry_after is None:
                values["state"] = DeliveryState.FAILED.value
            else:
                values["next_time"] = database_now(connection) + retry_after
            _settle(connection, delivery, values, whatever=False)

        await self._database.write(note)


def _list(
    connection: Connection,
    account_id: str | None,
    limit: int,
    before: NotificationPosition | None,
    kind: AlertKind | None,
) -> list[NotificationRecord]:
    at = notifications.c.create_time, notifications.c.notification_key
    query = _NOTIFICATIONS.order_by(*(column.desc() for column in at)).limit(limit)
    if account_id is not None:
        key = select(accounts.c.account_key).where(accounts.c.account_id == account_id).scalar_subquery()
        query = query.where(notifications.c.account_key == key)
    if kind is not None:
        query = query.where(notifications.c.kind == kind.value)
    if before is not None:
        query = query.where(tuple_(*at) < tuple_(before.create_time, before.notification_key))
    rows = connection.execute(query).all()
    ways: dict[int, list[DeliveryRecord]] = {row.notification_key: [] for row in rows}
    sent = (
        select(notification_deliveries)
        .where(notification_deliveries.c.notification_key.in_(ways))
        .order_by(notification_deliveries.c.notification_key, notification_deliveries.c.position)
    )
    for way in connection.execute(sent):
        state = DeliveryState(way.state)
        record = DeliveryRecord(way.channel, way.target, state, way.attempts, way.error, way.attempt_time)
        ways[way.notification_key].append(record)
    return [_record(row, tuple(ways[row.notification_key])) for row in rows]


def _warn_expiring(connection: Connection, now: int, horizon: int, limit: int) -> int:
    rows = [*connection.execute(_expiring_within(now, horizon).limit(limit))]
    if len(rows) < limit:
        rows += connection.execute(_expiring_beyond(now, horizon).limit(limit - len(rows)))
    if not rows:
        return 0
    stored = [
        expiring(row.account_id, row.account_key, row.grant_number, row.expire_time, row.left, row.balance, now)
        for row in rows
    ]
    _store(connection, stored, {row.account_key: row.contacts for row in rows})
    warned = update(grants).where(
        grants.c.account_key == bindparam("account"), grants.c.grant_number == bindparam("number")
    )
    keys = [{"account": row.account_key, "number": row.grant_number} for row in rows]
    connection.execute(warned.values(warned=True), keys)
    return len(rows)


def _expiring_within(now: int, horizon: int) -> Select[Any]:
    """Grants that expire within the catalog's horizon, unless their account has a shorter one."""
    return (
        _EXPIRING.where(
            # To the letter as the partial index says it, so that it is used.
            text("open AND expire_time > 0 AND NOT warned"),
            grants.c.expire_time > now,
            grants.c.expire_time <= now + horizon,
            or_(accounts.c.soon_horizon < 0, grants.c.expire_time <= now + accounts.c.soon_horizon),
        )
        .order_by(grants.c.expire_time)
        # The flush may be at work on some of them: they come with the next look.
        .with_for_update(of=grants, skip_locked=True)
    )


def _expiring_beyond(now: int, horizon: int) -> Select[Any]:
    """Grants of accounts whose own horizon is longer than the catalog's: few, and asked for one by one."""
    return _EXPIRING.where(
        text("soon_horizon >= 0"),
        accounts.c.soon_horizon > horizon,
        text("open"),
        grants.c.expire_time > now + horizon,
        grants.c.expire_time <= now + accounts.c.soon_horizon,
        text("NOT warned"),
    ).with_for_update(of=grants, skip_locked=True)


def _store(connection: Connection, stored: Sequence[NewNotification], contacts: dict[int, str]) -> None:
    connection.execute(_NOTIFY, [dict(zip(NOTIFICATION_COLUMNS, row, strict=True)) for row in stored])
    ids = [row[0] for row in stored]
    query = select(notifications.c.notification_id, notifications.c.notification_key).where(
        notifications.c.notification_id.in_(ids)
    )
    keys: dict[str, int] = dict(map(tuple, connection.execute(query)))
    rows = [
        {"notification_key": keys[row[0]], **dict(zip(DELIVERY_COLUMNS, delivery, strict=True))}
        for row in stored
        for delivery in deliveries(contacts[row[1]])
    ]
    if rows:
        connection.execute(_DELIVER, rows)


def _is_due(connection: Connection) -> bool:
    # To the letter as the partial index says it, so that it is used.
    query = select(func.min(notification_deliveries.c.next_time)).where(text("state = 1"))
    first = connection.execute(query).scalar_one()
    return first is not None and first <= database_now(connection)


def _claim(connection: Connection, limit: int, busy: int) -> list[DueDelivery]:
    now = database_now(connection)
    due = (
        select(notification_deliveries)
        .where(text("state = 1"), notification_deliveries.c.next_time <= now)
        .order_by(notification_deliveries.c.next_time)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(due).all()
    if not rows:
        return []
    claimed = _one_delivery().values(
        next_time=now + busy, attempt_time=now, attempts=notification_deliveries.c.attempts + 1
    )
    connection.execute(claimed, [{"notification": row.notification_key, "place": row.position} for row in rows])
    about = _NOTIFICATIONS.where(notifications.c.notification_key.in_({row.notification_key for row in rows}))
    found = {row.notification_key: row for row in connection.execute(about)}
    return [
        DueDelivery(
            notification=_record(found[row.notification_key]),
            notification_key=row.notification_key,
            position=row.position,
            channel=row.channel,
            target=row.target,
            attempt=row.attempts + 1,
            secret=contacts_of(found[row.notification_key].contacts).webhook_secret,
            now=now,
        )
        for row in rows
    ]


def _settle(connection: Connection, delivery: DueDelivery, values: dict[str, Any], *, whatever: bool) -> None:
    """Write how an attempt ended; unless `whatever`, only if no later attempt has begun."""
    changed = _one_delivery().values(**values)
    if not whatever:
        changed = changed.where(
            notification_deliveries.c.attempts == delivery.attempt,
            notification_deliveries.c.state == DeliveryState.PENDING.value,
        )
    connection.execute(changed, {"notification": delivery.notification_key, "place": delivery.position})


def _one_delivery() -> Any:
    return update(notification_deliveries).where(
        notification_deliveries.c.notification_key == bindparam("notification"),
        notification_deliveries.c.position == bindparam("place"),
    )


def _record(row: Row[Any], ways: tuple[DeliveryRecord, ...] = ()) -> NotificationRecord:
    return NotificationRecord(
        position=NotificationPosition(row.create_time, row.notification_key),
        notification_id=row.notification_id,
        account_id=row.account_id,
        kind=AlertKind(row.kind),
        threshold=row.threshold,
        limit_key=row.limit_key,
        amount=row.amount,
        balance=row.balance,
        entry_number=row.entry_number,
        grant=row.grant_number,
        expire_time=row.expire_time,
        create_time=row.create_time,
        deliveries=ways,
    )
