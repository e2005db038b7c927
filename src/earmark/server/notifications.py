"""The answers of `ListNotifications`: what was set off, newest first, with the log of its deliveries."""

from __future__ import annotations

from earmark.domain.ids import format_grant_id
from earmark.domain.states import AlertKind
from earmark.ledger.notifications import NotificationPosition, NotificationRecord, Notifications
from earmark.server import checks
from earmark.server.paging import MAX_PAGE_BYTES, decode_token, encode_token
from earmark.server.replies import fill_time
from earmark.v1 import ledger_service_pb2 as pb

__all__ = ["NotificationAnswers", "fill_notification"]

_KINDS: dict[int, str] = {number: text for text, number in pb.Notification.Kind.items()}


class NotificationAnswers:
    """Answers from the ledger."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    async def page(self, request: pb.ListNotificationsRequest) -> pb.ListNotificationsResponse:
        """Return a page.

        Raises:
            InvalidRequest: a malformed field or page token.
        """
        account_id = checks.account_id(request.account_id) if request.account_id else None
        number = checks.member_of(request.kind, _KINDS, "kind")
        kind = AlertKind(number) if number else None
        size = checks.page_size(request.page_size)
        query = ("ListNotifications", account_id, number)
        before = decode_token(request.page_token, NotificationPosition, query) if request.page_token else None
        # One more than asked for tells whether there is a next page.
        records = await self._notifications.list(account_id, size + 1, before, kind)
        response = pb.ListNotificationsResponse()
        shown, room = 0, MAX_PAGE_BYTES
        while shown < min(size, len(records)) and room > 0:
            row = response.notifications.add()
            fill_notification(row, records[shown])
            shown += 1
            room -= row.ByteSize()
        if len(records) > shown:
            response.next_page_token = encode_token(records[shown - 1].position, query)
        return response


def fill_notification(into: pb.Notification, record: NotificationRecord) -> None:
    """Write a notification."""
    into.notification_id = record.notification_id
    into.account_id = record.account_id
    into.kind = int(record.kind)  # type: ignore[assignment]  # The numbers are the proto's.
    into.message = record.message
    into.threshold_micros = record.amount if record.kind is AlertKind.LIMIT_NEAR else record.threshold
    into.limit_name = record.limit_name
    into.entry_number = record.entry_number
    if record.grant:
        into.grant_id = format_grant_id(record.grant)
    fill_time(into.create_time, record.create_time)
    into.balance_micros = record.balance
    for way in record.deliveries:
        row = into.deliveries.add(channel=way.channel, target=way.target, attempts=way.attempts, error=way.error)
        row.state = int(way.state)  # type: ignore[assignment]
        if way.attempt_time:
            fill_time(row.attempt_time, way.attempt_time)
