"""Notifications as e-mail, over SMTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Self
from urllib.parse import unquote, urlsplit

import aiosmtplib

from earmark.domain.states import AlertKind
from earmark.jobs.alerts.channels import DeliveryError
from earmark.jobs.alerts.webhook import ID_HEADER
from earmark.ledger.notifications import DueDelivery, NotificationRecord

__all__ = ["Mail", "MailServer", "message_of"]

_PORTS = {"smtp": 587, "smtps": 465}
_FINAL = range(500, 600)


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in, and whom it comes from."""

    host: str
    port: int
    sender: str
    """An address, or `Name <address>`."""
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    """TLS from the first byte on (`smtps`). Otherwise the connection is upgraded where the server offers it."""
    start_tls: bool = False
    """Refuse a server that does not offer the upgrade."""

    @classmethod
    def from_url(cls, url: str, sender: str) -> Self:
        """Read `smtp://user:password@host:587`, `smtps://…`, or `smtp://…?starttls=required`.

        Raises:
            ValueError: one line, without the password.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("must look like smtp://user:password@host:587 or smtps://user:password@host:465")
        if parts.query not in {"", "starttls=required"}:
            raise ValueError("the only option is ?starttls=required")
        if "@" not in parseaddr(sender)[1]:
            raise ValueError("an e-mail address is needed that alerts come from")
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            sender=sender,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=parts.scheme == "smtps",
            start_tls=parts.query != "",
        )


def message_of(notification: NotificationRecord, sender: str, receiver: str) -> EmailMessage:
    """Return the mail. Its id is the notification's, so that a mail that is sent twice can be told."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = receiver
    mail["Subject"] = f"{_subject(notification.kind)}: {notification.account_id}"
    moment = datetime.fromtimestamp(notification.create_time / 1e6, UTC)
    mail["Date"] = format_datetime(moment)
    domain = parseaddr(sender)[1].rpartition("@")[2]
    mail["Message-ID"] = f"<{notification.notification_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail[ID_HEADER] = notification.notification_id
    mail.set_content(
        f"{notification.message}\n\nAccount: {notification.account_id}\nTime: {moment:%Y-%m-%d %H:%M} UTC\n"
    )
    return mail


class Mail:
    """Hands mails in, each over a connection of its own: alerts are rare."""

    def __init__(self, server: MailServer | None, timeout_seconds: float) -> None:
        """Without a server every mail fails, until there is one or the repeats end."""
        self._server = server
        self._timeout = timeout_seconds

    async def send(self, delivery: DueDelivery) -> None:
        """Hand a mail in."""
        server = self._server
        if server is None:
            raise DeliveryError("no mail server is configured: set EARMARK_SMTP_URL and EARMARK_SMTP_FROM")
        try:
            await aiosmtplib.send(
                message_of(delivery.notification, server.sender, delivery.target),
                hostname=server.host,
                port=server.port,
                username=server.user or None,
                password=server.password or None,
                use_tls=server.tls,
                start_tls=True if server.start_tls else None,
                timeout=self._timeout,
            )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            [refusal] = refused.recipients
            raise DeliveryError(f"the receiver was refused: {refusal}", final=refusal.code in _FINAL) from refused
        except (aiosmtplib.SMTPException, OSError, ValueError) as problem:
            raise DeliveryError(f"{type(problem).__name__}: {problem}") from problem

    async def close(self) -> None:
        """Nothing is kept."""


def _subject(kind: AlertKind) -> str:
    match kind:
        case AlertKind.LOW_BALANCE:
            return "Low balance"
        case AlertKind.CRITICAL_BALANCE:
            return "Critical balance"
        case AlertKind.EXPIRING_SOON:
            return "Credits expire soon"
        case AlertKind.LIMIT_NEAR:
            return "Limit almost used up"
