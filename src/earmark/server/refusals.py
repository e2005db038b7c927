"""Refusals of the hot path in full: what the engine says of them, with what the catalog knows besides."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from earmark.credits import format_credits
from earmark.domain.catalog import CurrentCatalog, LimitScope, LimitWindow
from earmark.domain.estimates import covering_packs
from earmark.domain.limits import FOREVER, parse_limit_key
from earmark.domain.pricing import requirement
from earmark.engine.operations import AccountOperation, Charge, Details, Reserve
from earmark.engine.results import REFUSAL_NUMBERS, RefusalCode, Refused
from earmark.errors import EarmarkError, Reason, error
from earmark.server.replies import rfc3339
from earmark.server.status import refusal_error

__all__ = ["Refusals"]

_WINDOWS = {
    LimitWindow.DAY: " a day",
    LimitWindow.MONTH: " a month",
    LimitWindow.CYCLE: " a billing cycle",
    LimitWindow.LIFETIME: "",
}

_decode_details = msgspec.json.Decoder(Details).decode


class Refusals:
    """Builds the errors of refusals. One for a server."""

    def __init__(self, catalogs: CurrentCatalog, now: Callable[[], int]) -> None:
        """`now` is the store's time: promotions count."""
        self._catalogs = catalogs
        self._now = now

    def error(self, refused: Refused, operation: AccountOperation) -> EarmarkError:
        """Return the error of a refusal, in words about the operation that was refused."""
        match RefusalCode(refused.code):
            case RefusalCode.LIMIT_EXCEEDED:
                return self._limit_exceeded(refused, operation)
            case RefusalCode.NOT_ENTITLED:
                return self._not_entitled(operation)
            case RefusalCode.INSUFFICIENT_CREDITS:
                failure = refusal_error(refused, operation)
                self._name_pack(failure)
                return failure
            case _:
                return refusal_error(refused, operation)

    def _limit_exceeded(self, refused: Refused, operation: AccountOperation) -> EarmarkError:
        numbers = dict(zip(REFUSAL_NUMBERS[RefusalCode.LIMIT_EXCEEDED], refused.numbers, strict=False))
        name, _, window, scope, subject = parse_limit_key(refused.key)
        limit, used, required = (numbers[key] for key in ("limit_micros", "used_micros", "required_micros"))
        metadata: dict[str, str | int] = {
            "limit_name": name,
            "limit_scope": scope.value,
            "limit_window": window.value,
            "limit_micros": limit,
            "used_micros": used,
            "required_micros": required,
        }
        if subject:
            metadata["limit_subject"] = subject
        until = ""
        if numbers["reset_time"] < FOREVER:
            metadata["reset_time"] = rfc3339(numbers["reset_time"])
            until = f"; it resets at {metadata['reset_time']}"
        whose = f"account {operation.account_id!r}"
        if scope is not LimitScope.ACCOUNT:
            whose = f"{scope.value} {subject!r} of {whose}"
        message = (
            f"the limit {name!r} of {whose} allows {format_credits(limit)} credits{_WINDOWS[window]}: "
            f"{format_credits(used)} are used, {format_credits(required)} are required{until}"
        )
        return error(Reason.LIMIT_EXCEEDED, message, metadata)

    def _not_entitled(self, operation: AccountOperation) -> EarmarkError:
        metadata: dict[str, str | int] = {}
        name = ""
        if isinstance(operation, (Reserve, Charge)):
            details = _decode_details(operation.details)
            name = details.operation
            metadata["operation"] = name
            sold = self._catalogs.current.operations.get(name)
            if sold is not None and (entitlement := requirement(sold, details.attributes)):
                metadata["entitlement"] = entitlement
        requires = f", which takes the entitlement {metadata['entitlement']!r}" if "entitlement" in metadata else ""
        return error(
            Reason.NOT_ENTITLED,
            f"the plan of account {operation.account_id!r} does not include {name or 'this operation'}{requires}",
            metadata,
        )

    def _name_pack(self, failure: EarmarkError) -> None:
        """Name the smallest purchase that covers the shortfall: one of one pack, if any is large enough."""
        shortfall = failure.metadata.get("shortfall_micros")
        if shortfall is None:
            return
        covering = covering_packs(self._catalogs.current, int(shortfall), self._now())
        if covering:
            smallest = min(covering, key=lambda each: (each.count, each.credits))
            failure.metadata["pack_id"] = smallest.offer.pack.pack_id
            failure.metadata["pack_count"] = str(smallest.count)
            failure.metadata["pack_micros"] = str(smallest.credits)
