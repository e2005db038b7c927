"""Reading lists page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from earmark.cli.connection import Connection

__all__ = ["pages"]


def pages(connection: Connection, method: Any, request: Any, field: str) -> Iterator[Any]:
    """Yield the items of a list, asking for the next page only when it is needed. Changes `request.page_token`."""
    while True:
        response = connection.call(method, request)
        yield from getattr(response, field)
        if not response.next_page_token:
            return
        request.page_token = response.next_page_token
