"""Notifications from what a flush brings: one for each alert, with a delivery to each of the account's contacts."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec

from earmark.domain.states import AlertKind
from earmark.engine.records import Alert, StreamRecord
from earmark.ledger.models import Contacts, DeliveryState

__all__ = [
    "DELIVERY_COLUMNS",
    "NOTIFICATION_COLUMNS",
    "DeliveryRow",
    "NewNotification",
    "alerted",
    "contacts_of",
    "deliveries",
    "expiring",
]

NOTIFICATION_COLUMNS = (
    "notification_id",
    "account_key",
    "kind",
    "threshold",
    "limit_key",
    "amount",
    "balance",
    "entry_number",
    "grant_number",
    "expire_time",
    "create_time",
)
DELIVERY_COLUMNS = ("position", "channel", "target", "state", "attempts", "error", "attempt_time", "next_time")

NewNotification = tuple[str, int, int, int, str, int, int, int, int, int, int]
"""In the order of NOTIFICATION_COLUMNS."""

DeliveryRow = tuple[int, str, str, int, int, str, int, int]
"""In the order of DELIVERY_COLUMNS."""

contacts_of = msgspec.json.Decoder(Contacts).decode


def alerted(account_key: int, entry_number: int, record: StreamRecord, alert: Alert) -> NewNotification:
    """Return the notification of an alert. `entry_number` is the account's last when the record has none itself."""
    # A record without a number is told from others of its kind by its admin_seq.
    cause = f"e{record.entry_number}" if record.entry_number else f"a{record.admin_seq}"
    key = alert.key.replace("\0", "\ufffd")
    return (
        _notification_id(record.account_id, alert.kind, alert.threshold, key, cause),
        account_key,
        alert.kind,
        alert.threshold,
        key,
        alert.amount,
        alert.balance,
        entry_number,
        0,
        0,
        record.time,
    )


def expiring(
    account_id: str, account_key: int, grant: int, expire_time: int, left: int, balance: int, now: int
) -> NewNotification:
    """Return the notification that a grant expires soon."""
    kind = AlertKind.EXPIRING_SOON.value
    notification_id = _notification_id(account_id, kind, expire_time, "", f"g{grant}")
    return (notification_id, account_key, kind, 0, "", left, balance, 0, grant, expire_time, now)


def deliveries(contacts: str) -> Iterator[DeliveryRow]:
    """Yield the deliveries that contacts, in JSON, ask for: one for each address. They are due at once."""
    wanted = contacts_of(contacts)
    targets: Iterable[tuple[str, str]] = [("email", email) for email in dict.fromkeys(wanted.emails)]
    if wanted.webhook_url:
        targets = [*targets, ("webhook", wanted.webhook_url)]
    for position, (channel, target) in enumerate(targets):
        yield position, channel, target, DeliveryState.PENDING.value, 0, "", 0, 0


def _notification_id(account_id: str, *what: str | int) -> str:
    digest = blake2b(msgspec.msgpack.encode((account_id, *what)), digest_size=16).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
