"""Refusals of the hot path in full: what the engine says of them, with what the catalog knows besides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from earmark.credits import format_credits
from earmark.domain.catalog import Catalog, LimitScope, LimitWindow, Pack
from earmark.domain.limits import FOREVER
from earmark.engine.operations import AccountOperation, Charge, Details, Reserve
from earmark.engine.results import REFUSAL_NUMBERS, RefusalCode, Refused
from earmark.errors import EarmarkError, Reason, error
from earmark.server.claims import AccountClaims, CurrentCatalog
from earmark.server.status import refusal_error

__all__ = ["Refusals", "covering_pack", "rfc3339"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOWS = {
    LimitWindow.DAY: " a day",
    LimitWindow.MONTH: " a month",
    LimitWindow.CYCLE: " a billing cycle",
    LimitWindow.LIFETIME: "",
}

_decode_details = msgspec.json.Decoder(Details).decode


def rfc3339(micros: int) -> str:
    """Return a time as text: `2026-07-01T00:00:00Z`."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def covering_pack(catalog: Catalog, shortfall: int) -> tuple[Pack, int] | None:
    """Return the smallest pack that covers a shortfall, with the microcredits to buy of it; None if none does."""
    best: tuple[Pack, int] | None = None
    for pack in catalog.packs.values():
        amount = pack.credits
        if pack.custom is not None:
            least = max(shortfall, pack.custom.min_amount)
            amount = -(-least // pack.custom.step) * pack.custom.step
            if amount > pack.custom.max_amount:
                continue
        if amount >= shortfall and (best is None or amount < best[1]):
            best = pack, amount
    return best


class Refusals:
    """Builds the errors of refusals. One for a server."""

    def __init__(self, claims: AccountClaims, catalogs: CurrentCatalog) -> None:
        self._claims = claims
        self._catalogs = catalogs

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
        name, _, scope, subject = refused.key.split(":", 3)
        limit, used, required = (numbers[key] for key in ("limit_micros", "used_micros", "required_micros"))
        metadata: dict[str, str | int] = {
            "limit_name": name,
            "limit_scope": scope,
            "limit_micros": limit,
            "used_micros": used,
            "required_micros": required,
        }
        if subject:
            metadata["limit_subject"] = subject
        rule = self._claims.rule(operation.account_id, refused.key)
        if rule is not None:
            metadata["limit_window"] = rule.window.value
        until = ""
        if numbers["reset_time"] < FOREVER:
            metadata["reset_time"] = rfc3339(numbers["reset_time"])
            until = f"; it resets at {metadata['reset_time']}"
        whose = f"account {operation.account_id!r}"
        if scope != LimitScope.ACCOUNT:
            whose = f"{scope} {subject!r} of {whose}"
        per = _WINDOWS[rule.window] if rule is not None else ""
        message = (
            f"the limit {name!r} of {whose} allows {format_credits(limit)} credits{per}: {format_credits(used)} are "
            f"used, {format_credits(required)} are required{until}"
        )
        return error(Reason.LIMIT_EXCEEDED, message, metadata)

    def _not_entitled(self, operation: AccountOperation) -> EarmarkError:
        metadata: dict[str, str | int] = {}
        name = ""
        if isinstance(operation, (Reserve, Charge)):
            name = _decode_details(operation.details).operation
            metadata["operation"] = name
            sold = self._catalogs.current.operations.get(name)
            if sold is not None and sold.requires:
                metadata["entitlement"] = sold.requires
        requires = f", which takes the entitlement {metadata['entitlement']!r}" if "entitlement" in metadata else ""
        return error(
            Reason.NOT_ENTITLED,
            f"the plan of account {operation.account_id!r} does not include {name or 'this operation'}{requires}",
            metadata,
        )

    def _name_pack(self, failure: EarmarkError) -> None:
        catalog = self._catalogs.current
        shortfall = failure.metadata.get("shortfall_micros")
        if not catalog.packs or shortfall is None:
            return
        covering = covering_pack(catalog, int(shortfall))
        if covering is not None:
            pack, amount = covering
            failure.metadata["pack_id"] = pack.pack_id
            failure.metadata["pack_micros"] = str(amount)
