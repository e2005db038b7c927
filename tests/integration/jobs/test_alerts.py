"""Alerts reach whom they concern: over a real SMTP server and a real HTTP server, on both databases."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from prometheus_client import CollectorRegistry

from earmark.domain.states import AlertKind
from earmark.engine.records import Alert
from earmark.jobs.alerts import Deliverer, DeliveryOptions, ExpiringSoon, ExpiringSoonOptions, MailServer
from earmark.jobs.alerts.delivery import retry_after
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.runner import Jobs, JobsOptions
from earmark.ledger import Ledger, open_ledger
from earmark.ledger.models import Contacts, DeliveryState
from earmark.ledger.notifications import NotificationRecord
from tests.integration.ledger.stream import DAY, NOW, charged, create, grant, granted
from tests.support.stack import CREDIT, Stack
from tests.support.waiting import wait_until

FAST = DeliveryOptions(interval_seconds=0.02, timeout_seconds=2, first_pause_micros=1, longest_pause_micros=1)


@dataclass
class Receiver:
    """An HTTP server that answers as it is told, and a mail server."""

    url: str = ""
    port: int = 0
    answers: list[int] = field(default_factory=list)
    """Statuses, in order; 204 when they are used up."""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    refuse: str = ""
    """What the mail server answers to a recipient, if anything but yes."""
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)

    async def hook(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 204
        headers = {"Location": f"{self.url}/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)

    async def handle_RCPT(  # noqa: N802  aiosmtpd names it
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        assert isinstance(envelope.content, bytes)
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 accepted"


@contextlib.asynccontextmanager
async def mail_server(receiver: Receiver, **options: Any) -> AsyncIterator[None]:
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(receiver, hostname="localhost", **options), "127.0.0.1", 0
    )
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Both servers, on free ports."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with mail_server(receiver):
        yield receiver
    await runner.cleanup()


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """SQL alone."""
    opened = await open_ledger(database_url, clock=lambda: NOW)
    await opened.stores.initialise(4, for_tests=True)
    yield opened
    await opened.close()


Options = Callable[..., DeliveryOptions]


@pytest.fixture
def options(receiver: Receiver) -> Options:
    def make(**changes: Any) -> DeliveryOptions:
        server = MailServer("127.0.0.1", receiver.port, "Earmark <alerts@earmark.example>")
        return replace(FAST, **{"mail_server": server, "webhook_secret": "the server's", **changes})

    return make


async def alerted(ledger: Ledger, **contacts: Any) -> None:
    """One alert of one account."""
    writer = await create(ledger, contacts=Contacts(**contacts))
    alert = Alert(AlertKind.CRITICAL_BALANCE.value, 5_000_000, "", 0, 4_500_000)
    await writer.write(granted(await grant(ledger), 1, 1000), charged("acme", 2, 10, alerts=(alert,)))


async def only(ledger: Ledger) -> NotificationRecord:
    [record] = await ledger.notifications.list(None, 10)
    return record


async def states(ledger: Ledger) -> list[tuple[str, DeliveryState, int]]:
    return [(way.channel, way.state, way.attempts) for way in (await only(ledger)).deliveries]


@contextlib.asynccontextmanager
async def delivering(ledger: Ledger, metrics: JobMetrics, options: DeliveryOptions) -> AsyncIterator[Deliverer]:
    """A delivery that is told when to try."""
    deliverer = Deliverer(ledger.notifications, lambda: True, metrics, options)
    try:
        yield deliverer
    finally:
        await deliverer.close()


async def test_a_webhook_is_signed_with_the_accounts_own_secret(
    ledger: Ledger, metrics: JobMetrics, registry: CollectorRegistry, receiver: Receiver, options: Options
) -> None:
    await alerted(ledger, webhook_url=f"{receiver.url}/hook?a=b", webhook_secret="its own")
    async with delivering(ledger, metrics, options()) as deliverer:
        assert await deliverer.deliver_due() == 1
        assert await deliverer.deliver_due() == 0
    [(headers, body)] = receiver.requests
    record = await only(ledger)
    assert headers["Earmark-Notification-Id"] == record.notification_id
    assert headers["Content-Type"] == "application/json"
    seconds, signed = (part.split("=", 1)[1] for part in headers["Earmark-Signature"].split(","))
    expected = hmac.new(b"its own", seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(signed, expected)
    assert abs(int(seconds) - time.time()) < 60
    assert json.loads(body) == {
        "notification_id": record.notification_id,
        "account_id": "acme",
        "kind": "KIND_CRITICAL_BALANCE",
        "message": "The balance of acme is critical: 4.5 credits are left, the threshold is 5.",
        "threshold_micros": 5_000_000,
        "balance_micros": 4_500_000,
        "entry_number": 2,
        "create_time": "2026-11-18T11:06:40.000002Z",
    }
    assert await states(ledger) == [("webhook", DeliveryState.DELIVERED, 1)]
    labels = {"channel": "webhook", "outcome": "delivered"}
    assert registry.get_sample_value("earmark_alert_deliveries_total", labels) == 1


@pytest.mark.parametrize(("secret", "signed"), [("the server's", True), ("", False)])
async def test_without_a_secret_of_its_own_the_servers_signs(
    ledger: Ledger, metrics: JobMetrics, receiver: Receiver, options: Options, secret: str, signed: bool
) -> None:
    await alerted(ledger, webhook_url=receiver.url)
    async with delivering(ledger, metrics, options(webhook_secret=secret)) as deliverer:
        await deliverer.deliver_due()
    [(headers, body)] = receiver.requests
    assert ("Earmark-Signature" in headers) is signed
    if signed:
        seconds, found = (part.split("=", 1)[1] for part in headers["Earmark-Signature"].split(","))
        assert found == hmac.new(secret.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()


async def test_a_failed_webhook_is_repeated_and_a_redirect_is_a_failure(
    ledger: Ledger, metrics: JobMetrics, receiver: Receiver, options: Options
) -> None:
    await alerted(ledger, webhook_url=receiver.url)
    receiver.answers = [500, 302, 200]
    async with delivering(ledger, metrics, options()) as deliverer:
        for status in (500, 302):
            await wait_until(deliverer.deliver_due)
            [way] = (await only(ledger)).deliveries
            assert (way.state, way.error) == (DeliveryState.PENDING, f"the receiver answered {status}")
        await wait_until(deliverer.deliver_due)
    assert await states(ledger) == [("webhook", DeliveryState.DELIVERED, 3)]
    assert len({headers["Earmark-Notification-Id"] for headers, _ in receiver.requests}) == 1
    assert len(receiver.requests) == 3


async def test_a_delivery_is_given_up_in_the_end_and_at_once_where_repeating_is_useless(
    ledger: Ledger, metrics: JobMetrics, receiver: Receiver, options: Options
) -> None:
    await alerted(ledger, webhook_url=receiver.url, emails=("a@example.org",))
    receiver.answers = [500] * 3
    receiver.refuse = "550 no such user"
    async with delivering(ledger, metrics, options(attempts=3)) as deliverer:
        await wait_until(lambda: _all_failed(ledger, deliverer))
    [mail, hook] = (await only(ledger)).deliveries
    assert (mail.attempts, "550" in mail.error) == (1, True)
    assert (hook.attempts, hook.error) == (3, "the receiver answered 500")


async def _all_failed(ledger: Ledger, deliverer: Deliverer) -> bool:
    await deliverer.deliver_due()
    return all(way.state is DeliveryState.FAILED for way in (await only(ledger)).deliveries)


async def test_mail_arrives_with_what_tells_it_from_others(
    ledger: Ledger, metrics: JobMetrics, receiver: Receiver, options: Options
) -> None:
    await alerted(ledger, emails=("ann@example.org", "bob@example.org"))
    async with delivering(ledger, metrics, options()) as deliverer:
        assert await deliverer.deliver_due() == 2
    notification_id = (await only(ledger)).notification_id
    assert sorted(mail["To"] for mail in receiver.mails) == ["ann@example.org", "bob@example.org"]
    for mail in receiver.mails:
        assert mail["From"] == "Earmark <alerts@earmark.example>"
        assert mail["Subject"] == "Critical balance: acme"
        assert mail["Message-ID"] == f"<{notification_id}@earmark.example>"
        assert mail["Earmark-Notification-Id"] == notification_id
        assert "4.5 credits are left, the threshold is 5." in mail.get_content()
    assert {envelope.mail_from for envelope in receiver.envelopes} == {"alerts@earmark.example"}
    assert {state for _, state, _ in await states(ledger)} == {DeliveryState.DELIVERED}


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_mail_is_handed_in_with_user_and_password(
    ledger: Ledger, metrics: JobMetrics, receiver: Receiver
) -> None:
    await alerted(ledger, emails=("ann@example.org",))
    seen: list[LoginPassword] = []

    def check(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, what: LoginPassword) -> AuthResult:
        seen.append(what)
        return AuthResult(success=what == LoginPassword(b"ann", b"p@ss"))

    async with mail_server(receiver, authenticator=check, auth_require_tls=False, auth_required=True):
        for password, state in [("wrong", DeliveryState.PENDING), ("p%40ss", DeliveryState.DELIVERED)]:
            server = MailServer.from_url(f"smtp://ann:{password}@127.0.0.1:{receiver.port}", "a@earmark.example")
            async with delivering(ledger, metrics, replace(FAST, mail_server=server)) as deliverer:
                await wait_until(deliverer.deliver_due)
            [way] = (await only(ledger)).deliveries
            assert way.state is state
            assert "p@ss" not in way.error
    assert seen[-1].password == b"p@ss"


async def test_mail_waits_for_a_server_to_be_configured(ledger: Ledger, metrics: JobMetrics, options: Options) -> None:
    await alerted(ledger, emails=("ann@example.org",))
    async with delivering(ledger, metrics, FAST) as deliverer:
        await deliverer.deliver_due()
    [way] = (await only(ledger)).deliveries
    assert (way.state, way.error[:28]) == (DeliveryState.PENDING, "no mail server is configured")
    async with delivering(ledger, metrics, options()) as deliverer:
        await wait_until(deliverer.deliver_due)
    assert await states(ledger) == [("email", DeliveryState.DELIVERED, 2)]


async def test_receivers_that_are_not_there_or_never_answer_hold_up_nobody(
    ledger: Ledger, metrics: JobMetrics, options: Options
) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # connections wait in its queue for ever
    await alerted(ledger, webhook_url=f"http://127.0.0.1:{silent.getsockname()[1]}/", emails=("ann@example.org",))
    gone = MailServer("127.0.0.1", 1, "a@earmark.example")
    with silent:
        async with delivering(ledger, metrics, options(timeout_seconds=0.1, mail_server=gone)) as deliverer:
            await deliverer.deliver_due()
    [mail, hook] = (await only(ledger)).deliveries
    assert (mail.state, hook.state) == (DeliveryState.PENDING, DeliveryState.PENDING)
    assert hook.error == "no answer within 0.1 s"
    assert mail.error


async def test_what_expires_soon_is_warned_of_by_the_catalogs_horizon(
    ledger: Ledger, metrics: JobMetrics, registry: CollectorRegistry
) -> None:
    writer = await create(ledger)
    for number in range(1, 6):
        ticket = await grant(ledger, amount=number, expire_time=NOW + number * DAY)
        await writer.write(granted(ticket, number, number, expire_time=NOW + number * DAY))
    expiring = ExpiringSoon(
        ledger.notifications, lambda: True, metrics, ExpiringSoonOptions(horizon=lambda: 4 * DAY, step=2)
    )
    assert [await expiring.warn(), await expiring.warn()] == [4, 0]
    assert registry.get_sample_value("earmark_alerts_expiring_soon_total") == 4


async def test_the_jobs_of_a_sidecar_warn_and_deliver_by_themselves(
    stack: Stack, metrics: JobMetrics, receiver: Receiver, options: Options
) -> None:
    jobs = Jobs(stack.store, stack.engine, stack.ledger, JobsOptions(delivery=options()), metrics)
    jobs.start()
    try:
        now = stack.store.now()
        await stack.account("acme", 1)
        writes = 'UPDATE accounts SET contacts = \'{"webhook_url":"' + receiver.url + "\"}'"
        await stack.ledger._database.write(lambda connection: connection.exec_driver_sql(writes).close())
        await stack.grant("acme", 7, request_id="soon", expire_time=now + DAY)
        await wait_until(lambda: len(receiver.requests) == 1, seconds=20)
    finally:
        await jobs.stop()
    body = json.loads(receiver.requests[0][1])
    assert (body["kind"], body["grant_id"], body["remaining_micros"]) == ("KIND_EXPIRING_SOON", "g2", 7 * CREDIT)


def test_a_delivery_is_repeated_for_about_a_day() -> None:
    options = DeliveryOptions()
    for jitter in (0.0, 1.0):
        pauses = [retry_after(options, attempt, lambda jitter=jitter: jitter) for attempt in range(1, 13)]  # type: ignore[misc]
        assert all(pause is not None for pause in pauses)
        assert pauses == sorted(pauses, key=lambda pause: pause or 0)
        assert 20 * 3600 < sum(pause or 0 for pause in pauses) / 1e6 < 26 * 3600
    assert retry_after(options, 13) is None


@pytest.mark.parametrize(
    ("url", "sender", "expected"),
    [
        ("smtp://host", "a@b.example", MailServer("host", 587, "a@b.example")),
        ("smtps://u:p@host", "a@b.example", MailServer("host", 465, "a@b.example", "u", "p", tls=True)),
        (
            "smtp://u%40x:p%3A@host:25?starttls=required",
            "A <a@b.example>",
            MailServer("host", 25, "A <a@b.example>", "u@x", "p:", start_tls=True),
        ),
    ],
)
def test_a_mail_server_is_named_by_a_url(url: str, sender: str, expected: MailServer) -> None:
    assert MailServer.from_url(url, sender) == expected
    assert "p:" not in repr(expected)


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("http://u:secret@host", "a@b.example"),
        ("smtp://", "a@b.example"),
        ("smtp://u:secret@host?x=y", "a@b.example"),
        ("smtp://u:secret@host", "nobody"),
        ("smtp://u:secret@host:99999", "a@b.example"),
    ],
)
def test_a_malformed_mail_server_is_refused_without_telling_secrets(url: str, sender: str) -> None:
    with pytest.raises(ValueError) as refusal:
        MailServer.from_url(url, sender)
    assert "secret" not in str(refusal.value)
