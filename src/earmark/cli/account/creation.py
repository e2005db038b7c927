"""The call that gives an account credits, for the commands that do."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from earmark.cli.connection import Connection
from earmark.cli.values import Expiry

__all__ = ["create_grant"]


def create_grant(
    connection: Connection,
    account_id: str,
    amount_micros: int,
    kind: str,
    request_id: str,
    *,
    priority: int | None,
    expires: Expiry | None,
    zone: ZoneInfo,
    comment: str,
    reservation_id: str = "",
) -> Any:
    """Call CreateGrant; `zone` is the one in which a day without a zone ends. Returns the response.

    Raises:
        EarmarkError: the server's refusal.
    """
    from earmark.v1.account_service_pb2 import CreateGrantRequest

    request = CreateGrantRequest(
        account_id=account_id,
        request_id=request_id,
        amount_micros=amount_micros,
        kind=f"KIND_{kind.upper()}",
        priority=priority,
        comment=comment,
        reservation_id=reservation_id,
    )
    if expires is not None:
        if expires.moment is None:
            request.never_expires = True
        else:
            request.expire_time.FromMicroseconds(expires.moment.expiry(zone))
    return connection.call(connection.accounts.CreateGrant, request)
