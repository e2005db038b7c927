"""Where alerts arrive: a real SMTP server and a real web server on loopback, each in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP

__all__ = ["Delivery", "Inbox", "WebReceiver", "mail_server", "web_receiver"]


@dataclass(slots=True)
class Inbox:
    """The mails that arrived."""

    url: str = ""
    mails: list[tuple[str, Message]] = field(default_factory=list)
    """Receiver and message."""

    def to(self, address: str) -> list[Message]:
        """Return what arrived for an address."""
        return [mail for receiver, mail in self.mails if receiver == address]

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd names it
        """Take a mail."""
        message = message_from_bytes(envelope.content)
        self.mails += [(receiver, message) for receiver in envelope.rcpt_tos]
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[Inbox]:
    """Run an SMTP server on a free port."""
    inbox = Inbox()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = loop.create_server(lambda: SMTP(inbox, loop=loop), "127.0.0.1", 0)
    server = asyncio.run_coroutine_threadsafe(serving, loop).result(10)
    inbox.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield inbox
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a webhook received."""

    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


@dataclass(slots=True)
class WebReceiver:
    """A webhook that keeps what it receives."""

    url: str
    deliveries: list[Delivery] = field(default_factory=list)


@contextmanager
def web_receiver() -> Iterator[WebReceiver]:
    """Run a web server on a free port."""
    receiver = WebReceiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.deliveries.append(Delivery(headers, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/alerts"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
