"""Holds: credits reserved for the length of a block, settled at its end whatever happens in it."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Final, Self

from earmark.client.amounts import (
    Amount,
    OveragePolicy,
    Seconds,
    overage_number,
    quantity_number,
    seconds_of,
    to_duration,
    to_micros_fast,
    usage_counts,
)
from earmark.client.calls import Owner, SessionCall
from earmark.client.core import Core
from earmark.client.failures import UnsettledCommit
from earmark.client.keepalive import KeptHold
from earmark.client.requests import only_one
from earmark.client.settlement import HoldState, HoldStateError, settle
from earmark.client.values import Notice, Receipt
from earmark.credits import format_credits, to_credits
from earmark.errors import EarmarkError, Reason
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import reservation_pb2

__all__ = ["Hold"]

_log = logging.getLogger("earmark")

_CANCELLED_LINGER_SECONDS: Final = 1.0

# Looking up the member of an enum costs as much as a call.
_NEW: Final = HoldState.NEW
_OPEN: Final = HoldState.OPEN
_COMMITTING: Final = HoldState.COMMITTING


class Hold(Owner, ABC):
    """Credits held for one generation. Made by `client.reserve()` and `client.resume()`; used as `async with`.

    `commit` and `release` need no await: they are sent at once, count once, and stand even if the block is then
    cancelled. The end of the block waits for the receipt.
    """

    def __init__(self, start: Callable[[], Core], account_id: str, timeout: float, keep_alive: bool) -> None:
        self._start = start
        self._account_id = account_id
        self._timeout = timeout
        self._keep_alive = keep_alive
        self._core: Core | None = None
        self._state = _NEW
        self._reservation_id = ""
        self._reserved_micros = 0
        self._kept: KeptHold | None = None
        self._call: SessionCall | None = None
        self._actual: pb.CommitRequest | None = None
        self._lost = False
        self._orphaned = False
        self._receipt: Receipt | None = None
        self._notices: tuple[Notice, ...] = ()

    # What it is

    @property
    def reservation_id(self) -> str:
        """The reservation's id: with `client.resume(id)` another process settles it. Empty before the block."""
        return self._reservation_id

    @property
    def account_id(self) -> str:
        """The account that pays."""
        return self._account_id

    @property
    def reserved(self) -> Decimal:
        """What is reserved, in credits, additions included; less than asked for if a minimum was accepted."""
        return to_credits(self._reserved_micros)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Warnings that came with the reservation."""
        return self._notices

    @property
    def receipt(self) -> Receipt:
        """How the hold ended: what was charged, from which grants, what is left.

        Raises:
            HoldStateError: it has not ended yet; the receipt is there when the block was left.
            EarmarkError: why the commit or the release was refused.
        """
        if self._receipt is None:
            call = self._call
            if call is None or (call.reply is None and call.error is None):
                raise HoldStateError("the hold has no receipt yet: it comes when the block is left")
            if call.reply is None:
                assert call.error is not None
                raise call.error
            self._receipt = Receipt.of(call.reply)
        return self._receipt

    # Settling

    def commit(
        self,
        amount: Amount | None = None,
        *,
        quantity: int | None = None,
        usage: Mapping[str, int] | None = None,
        attributes: Mapping[str, str] | None = None,
        overage_policy: OveragePolicy | str | None = None,
        comment: str | None = None,
    ) -> None:
        """Charge what was really used, and give the rest back. Sent at once; the end of the block waits for it.

        Args:
            amount: credits; nothing at all for what is reserved. Zero is zero.
            quantity: units, priced as the reservation was.
            usage: named counts, priced as the reservation was.
            attributes: override those of the reservation.
            overage_policy: what to do when the actual amount exceeds the reserved one.
            comment: kept in the ledger entry.

        Raises:
            HoldStateError: the hold is not open, or was settled before. The first call stands.
            TypeError, ValueError: an amount that cannot be one. Nothing was sent.
            ClientClosed: the client is closed. Nothing was sent.

        Example:
            >>> hold.commit(usage={"input_tokens": 900, "output_tokens": 212})
        """
        state = settle(self._state, _COMMITTING)
        message = pb.SessionCall()
        request = message.commit
        request.reservation_id = self._reservation_id
        if amount is not None:
            request.amount_micros = to_micros_fast(amount)
        if quantity is not None or usage is not None:
            only_one(amount=amount, quantity=quantity, usage=usage)
            if quantity is not None:
                request.quantity = quantity_number(quantity)
            if usage is not None:
                request.usage.counts.update(usage_counts(usage))
                request.usage.SetInParent()
        if attributes:
            request.attributes.update(attributes)
        if overage_policy is not None:
            request.overage_policy = overage_number(overage_policy)
        if comment:
            request.comment = comment
        self._actual = request
        self._send(message, state)

    def release(self, reason: str = "") -> None:
        """Give everything back: the generation failed and is not charged. Sent at once.

        Args:
            reason: kept in the ledger entry; at most 1,024 characters.

        Raises:
            HoldStateError: the hold is not open, or was settled before. The first call stands.
            ClientClosed: the client is closed. Nothing was sent; the hold expires by itself.
        """
        state = settle(self._state, HoldState.RELEASING)
        message = pb.SessionCall()
        message.release.reservation_id = self._reservation_id
        message.release.reason = reason
        self._send(message, state)

    def detach(self) -> None:
        """Leave the hold open for another process, which settles it with `client.resume(hold.reservation_id)`.

        Leaving the block then neither commits nor releases, and it is no longer kept alive from here.

        Raises:
            HoldStateError: the hold is not open, or was settled before.
        """
        self._state = settle(self._state, HoldState.DETACHED)
        self._stop_keeping()

    async def extend(
        self,
        ttl: Seconds | None = None,
        *,
        additional: Amount | None = None,
        additional_quantity: int | None = None,
        additional_usage: Mapping[str, int] | None = None,
        wait: Seconds = 0,
        request_id: str | None = None,
        timeout: Seconds | None = None,
    ) -> None:
        """Hold longer, hold more, or both.

        Args:
            ttl: seconds from now; never shortens; at most 24 h after the reservation. Keep-alive goes on with it.
            additional: credits to add.
            additional_quantity: units to add, priced as the reservation was.
            additional_usage: named counts to add, priced as the reservation was.
            wait: seconds to wait for credits that are missing, at most 60.
            request_id: to repeat an extension that may have taken effect; made up if absent.
            timeout: seconds until `CallTimedOut`; the client's default, and `wait`, if absent.

        Raises:
            InsufficientCredits: the hold stays as it was.
            EarmarkError: any other refusal.
        """
        core = self._opened_core()
        if self._state is not HoldState.OPEN:
            settle(self._state, HoldState.DETACHED)
        message = pb.SessionCall()
        request = message.extend
        request.reservation_id = self._reservation_id
        request.request_id = request_id if request_id is not None else core.request_ids.next()
        if ttl is not None:
            request.ttl.CopyFrom(to_duration(seconds_of(ttl)))
        only_one(additional=additional, additional_quantity=additional_quantity, additional_usage=additional_usage)
        if additional is not None:
            request.additional_micros = to_micros_fast(additional)
        if additional_quantity is not None:
            request.additional_quantity = quantity_number(additional_quantity)
        if additional_usage is not None:
            request.additional_usage.counts.update(usage_counts(additional_usage))
        wait_seconds = seconds_of(wait)
        if wait_seconds:
            request.wait.CopyFrom(to_duration(wait_seconds))
        limit = (seconds_of(timeout) if timeout is not None else self._timeout) + wait_seconds
        call = core.session.submit(message, timeout=limit, wait=wait_seconds)
        try:
            reply = await call
        finally:
            core.session.withdraw(call)
        self._reserved_micros = reply.reservation.reserved_micros
        if ttl is not None and self._kept is not None and self._state is HoldState.OPEN:
            core.keep_alive.change_ttl(self._kept, seconds_of(ttl))

    async def settled(self) -> Receipt:
        """Wait for the receipt of a commit or a release inside the block.

        Raises:
            HoldStateError: neither was called.
            EarmarkError: why it was refused.
        """
        if self._call is None:
            raise HoldStateError("nothing to wait for: call commit() or release() first")
        await self._call
        return self.receipt

    # The block

    @abstractmethod
    def _lost_charge(self) -> pb.ChargeRequest:
        """Describe the generation anew, for a server that does not know the reservation any more."""

    @abstractmethod
    def _leave_failed(self, failure: BaseException) -> None:
        """Do what an exception in the block asks for."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Get the reservation, and fill in what is known of it."""

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._state is _OPEN:
            if exc is None:
                self.commit()
            else:
                self._leave_failed(exc)
        call = self._call
        if call is None:
            return
        if exc is not None:
            await self._linger(call, exc)
            return
        try:
            await call.answer()
        except asyncio.CancelledError:
            self._orphaned = True
            raise

    async def _linger(self, call: SessionCall, exc: BaseException) -> None:
        """Wait a moment for the settlement of a block that failed; it goes on behind if that is too short."""
        limit = self._timeout if isinstance(exc, Exception) else _CANCELLED_LINGER_SECONDS
        self._orphaned = True
        if call.error is not None:
            self._report_unseen(call.error)
        try:
            async with asyncio.timeout(limit):
                await call
        except TimeoutError:
            _log.warning("reservation %s is not settled yet; the client goes on trying", self._reservation_id)
        except EarmarkError as refusal:
            exc.add_note(f"earmark: reservation {self._reservation_id} could not be settled: {refusal}")

    # Behind it

    def unsettled(self, failure: EarmarkError | None) -> UnsettledCommit | None:
        """Describe the commit on its way; None if it is a release."""
        if self._state is not HoldState.COMMITTING:
            return None
        return UnsettledCommit(self._account_id, self._reservation_id, self._commit_text(), failure)

    def _commit_text(self) -> str:
        request = self._actual
        assert request is not None
        match request.WhichOneof("actual"):
            case "amount_micros":
                return f"commit of {format_credits(request.amount_micros)} credits"
            case "quantity":
                return f"commit of {request.quantity} units"
            case "usage":
                return f"commit of {dict(request.usage.counts)}"
            case _:
                return f"commit of {format_credits(self._reserved_micros)} credits"

    def _opened_core(self) -> Core:
        if self._core is None or self._state in (HoldState.NEW, HoldState.OPENING):
            settle(self._state, HoldState.DETACHED)
        assert self._core is not None
        return self._core

    def _send(self, message: pb.SessionCall, state: HoldState) -> None:
        assert self._core is not None
        self._call = self._core.session.submit(message, urgent=True, owner=self)
        self._state = state
        self._stop_keeping()

    def refused(self, refusal: EarmarkError) -> bool:
        """Take up a refused commit or release; True if it goes on in another form."""
        assert self._core is not None
        assert self._call is not None
        committing = self._state is HoldState.COMMITTING
        if refusal.reason == Reason.RESERVATION_NOT_FOUND and not self._lost:
            self._lost = True
            if committing:
                # The work was done: the store lost the reservation, and with it what it would have charged.
                _log.warning("reservation %s is unknown; charging it anew", self._reservation_id)
                message = pb.SessionCall(charge=self._charge_anew())
                self._core.session.replace(self._call, message)
            else:
                self._call.resolve(self._nothing_to_release())
            return True
        if self._orphaned:
            self._report_unseen(refusal)
        return False

    def _report_unseen(self, refusal: EarmarkError) -> None:
        """Tell of a refusal that no block raises."""
        assert self._core is not None
        unsettled = self.unsettled(refusal)
        if unsettled is not None:
            self._core.report_unsettled(unsettled)
        else:
            _log.warning("release of reservation %s was refused: %s", self._reservation_id, refusal)

    def _charge_anew(self) -> pb.ChargeRequest:
        request = self._lost_charge()
        actual = self._actual
        assert actual is not None
        request.request_id = f"lost/{self._reservation_id}"
        for field in ("amount_micros", "quantity", "usage"):
            request.ClearField(field)
        match actual.WhichOneof("actual"):
            case "amount_micros":
                request.amount_micros = actual.amount_micros
            case "quantity":
                request.quantity = actual.quantity
            case "usage":
                request.usage.CopyFrom(actual.usage)
            case _:
                request.amount_micros = self._reserved_micros
        request.attributes.update(actual.attributes)
        request.overage_policy = actual.overage_policy
        request.comment = actual.comment
        return request

    def _nothing_to_release(self) -> pb.ReleaseResponse:
        reply = pb.ReleaseResponse(replayed=True)
        reply.reservation.reservation_id = self._reservation_id
        reply.reservation.account_id = self._account_id
        reply.reservation.state = reservation_pb2.Reservation.STATE_RELEASED
        reply.reservation.reserved_micros = self._reserved_micros
        return reply

    def _stop_keeping(self) -> None:
        if self._kept is not None and self._core is not None:
            self._core.keep_alive.discard(self._kept)
            self._kept = None
