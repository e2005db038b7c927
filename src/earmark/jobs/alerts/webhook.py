"""Notifications as signed webhooks.

A receiver computes HMAC-SHA256 of `t.body` with the shared secret, `t` being the header's, and compares; it refuses a
`t` that is minutes old, and takes `Earmark-Notification-Id` a second time for the same notification.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import aiohttp
import msgspec

from earmark.domain.ids import format_grant_id
from earmark.domain.states import AlertKind
from earmark.jobs.alerts.channels import DeliveryError
from earmark.ledger.notifications import DueDelivery, NotificationRecord

__all__ = ["ID_HEADER", "SIGNATURE_HEADER", "Webhooks", "body_of", "signature"]

SIGNATURE_HEADER = "Earmark-Signature"
ID_HEADER = "Earmark-Notification-Id"

_GONE = 410
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


def signature(secret: str, seconds: int, body: bytes) -> str:
    """Return the value of the signature's header.

    Example:
        >>> signature("secret", 1, b"{}")
        't=1,v1=1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908'
    """
    signed = hmac.new(secret.encode(), b"%d.%s" % (seconds, body), hashlib.sha256).hexdigest()
    return f"t={seconds},v1={signed}"


def body_of(notification: NotificationRecord) -> bytes:
    """Return the JSON that a webhook receives: the fields of the proto's `Notification` under their names."""
    fields: dict[str, str | int] = {
        "notification_id": notification.notification_id,
        "account_id": notification.account_id,
        "kind": f"KIND_{notification.kind.name}",
        "message": notification.message,
        "balance_micros": notification.balance,
        "create_time": _time(notification.create_time),
    }
    match notification.kind:
        case AlertKind.LOW_BALANCE | AlertKind.CRITICAL_BALANCE:
            fields |= {"threshold_micros": notification.threshold, "entry_number": notification.entry_number}
        case AlertKind.LIMIT_NEAR:
            fields |= {
                "threshold_micros": notification.threshold,
                "limit_name": notification.limit_name,
                "limit_micros": notification.amount,
                "entry_number": notification.entry_number,
            }
        case AlertKind.EXPIRING_SOON:
            fields |= {
                "grant_id": format_grant_id(notification.grant),
                "remaining_micros": notification.amount,
                "expire_time": _time(notification.expire_time),
            }
    return _encode(fields)


class Webhooks:
    """Posts notifications. Redirects are not followed: what was signed for one address is for no other.

    Which addresses may be reached is the operator's to decide, by the network or by a proxy (`HTTPS_PROXY` is heeded):
    private ones are as good as others here.
    """

    def __init__(self, secret: str, timeout_seconds: float) -> None:
        """`secret` signs for accounts without one of their own; "" leaves those unsigned."""
        self._secret = secret
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, delivery: DueDelivery) -> None:
        """Post a notification; any answer of 200 to 299 accepts it."""
        if self._session is None:
            # Nothing is kept between receivers, neither cookies nor connections.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                trust_env=True,
            )
        body = body_of(delivery.notification)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "earmark",
            ID_HEADER: delivery.notification.notification_id,
        }
        secret = delivery.secret or self._secret
        if secret:
            headers[SIGNATURE_HEADER] = signature(secret, delivery.now // 1_000_000, body)
        try:
            # The status is all that is wanted: the body of the answer is not read, however long it is.
            async with self._session.post(
                delivery.target, data=body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except TimeoutError:
            raise DeliveryError(f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise DeliveryError(f"{type(problem).__name__}: {problem}") from problem
        if not 200 <= status <= 299:
            raise DeliveryError(f"the receiver answered {status}", final=status == _GONE)

    async def close(self) -> None:
        """Give connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _time(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")
