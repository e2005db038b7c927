"""The delivery: brings every notification to each of its receivers, at least once, for about a day.

A claim in SQL makes a delivery one process's for a while, so that two who believe to hold the lease send nothing twice;
whoever dies between sending and noting it leaves it to be sent again, under the same id.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from earmark.errors import EarmarkError
from earmark.jobs.alerts.channels import Channel, DeliveryError
from earmark.jobs.alerts.mail import Mail, MailServer
from earmark.jobs.alerts.webhook import Webhooks
from earmark.jobs.metrics import JobMetrics
from earmark.ledger.notifications import DueDelivery, Notifications

__all__ = ["Deliverer", "DeliveryOptions", "retry_after"]

_log = structlog.get_logger("earmark.alerts")


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Where deliveries go out, and how they are repeated."""

    mail_server: MailServer | None = None
    webhook_secret: str = ""
    """Signs for accounts without one of their own."""
    interval_seconds: float = 1.0
    at_once: int = 32
    """Deliveries under way in this process."""
    timeout_seconds: float = 10.0
    """For one attempt, from the look-up of the name to the answer."""
    attempts: int = 13
    """With the pauses below, about 23 hours."""
    first_pause_micros: int = 10_000_000
    pause_factor: int = 3
    longest_pause_micros: int = 4 * 3_600_000_000


def retry_after(options: DeliveryOptions, attempt: int, jitter: Callable[[], float] = random.random) -> int | None:
    """Return the pause after a failed attempt in microseconds, or None if it was the last one.

    A fifth of it is chance, so that what failed together does not come back together.
    """
    if attempt >= options.attempts:
        return None
    pause = min(options.first_pause_micros * options.pause_factor ** (attempt - 1), options.longest_pause_micros)
    return int(pause * (0.9 + 0.2 * jitter()))


class Deliverer:
    """Delivers while `leading`, and stands by otherwise."""

    def __init__(
        self,
        notifications: Notifications,
        leading: Callable[[], bool],
        metrics: JobMetrics,
        options: DeliveryOptions | None = None,
    ) -> None:
        self._notifications = notifications
        self._leading = leading
        self._metrics = metrics
        self._options = options or DeliveryOptions()
        # One attempt may take its time-out for connecting and once more for each of the steps of SMTP.
        self._busy = int(self._options.timeout_seconds * 2e6) + 10_000_000
        self._channels: Mapping[str, Channel] = {
            "email": Mail(self._options.mail_server, self._options.timeout_seconds),
            "webhook": Webhooks(self._options.webhook_secret, self._options.timeout_seconds),
        }

    async def run(self) -> None:
        """Deliver until cancelled."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                room = self._options.at_once - len(under_way)
                if room and self._leading():
                    for delivery in await self._claim(room):
                        task = asyncio.create_task(self._deliver(delivery))
                        under_way.add(task)
                        task.add_done_callback(under_way.discard)
                await asyncio.sleep(self._options.interval_seconds)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            await self.close()

    async def close(self) -> None:
        """Give the channels' connections back; the next delivery opens them again."""
        for channel in self._channels.values():
            await channel.close()

    async def deliver_due(self) -> int:
        """Try what is due now, and wait for it; returns how many deliveries were tried.

        Raises:
            Unavailable: SQL is away.
        """
        claimed = await self._notifications.claim(self._options.at_once, self._busy)
        await asyncio.gather(*map(self._deliver, claimed))
        return len(claimed)

    async def _claim(self, room: int) -> list[DueDelivery]:
        try:
            return list(await self._notifications.claim(room, self._busy))
        except EarmarkError as failure:
            _log.debug("deliveries wait", cause=failure.message)
            return []

    async def _deliver(self, delivery: DueDelivery) -> None:
        about: dict[str, object] = {
            "notification_id": delivery.notification.notification_id,
            "account_id": delivery.notification.account_id,
            "channel": delivery.channel,
            "attempt": delivery.attempt,
        }
        try:
            channel = self._channels.get(delivery.channel)
            if channel is None:
                raise DeliveryError(f"this release knows no channel {delivery.channel!r}")
            async with asyncio.timeout(self._options.timeout_seconds * 2):
                await channel.send(delivery)
        except Exception as failure:  # noqa: BLE001  whatever it is: it is noted, and tried again
            if not isinstance(failure, (DeliveryError, TimeoutError)):
                _log.exception("a delivery failed in a way that nobody foresaw", **about)
            final = isinstance(failure, DeliveryError) and failure.final
            pause = None if final else retry_after(self._options, delivery.attempt)
            why = str(failure) or type(failure).__name__
            self._metrics.deliveries.labels(delivery.channel, "failed" if pause is None else "repeated").inc()
            (_log.error if pause is None else _log.info)(
                "an alert could not be delivered" if pause is None else "an alert is delivered later",
                cause=why,
                **about,
            )
            await self._note(self._notifications.failed(delivery, why, pause), about)
        else:
            self._metrics.deliveries.labels(delivery.channel, "delivered").inc()
            _log.debug("an alert was delivered", **about)
            await self._note(self._notifications.delivered(delivery), about)

    async def _note(self, noting: Awaitable[None], about: Mapping[str, object]) -> None:
        try:
            await noting
        except EarmarkError as failure:
            # The claim lapses, and the delivery is tried again.
            _log.info("how a delivery ended could not be noted", cause=failure.message, **about)
