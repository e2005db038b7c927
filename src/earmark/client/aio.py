"""`AsyncClient`: the client for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import grpc

from earmark.client.administration import Administration
from earmark.client.amounts import Amount, OveragePolicy, Seconds, seconds_of
from earmark.client.core import Core, RequestIds
from earmark.client.failures import ClientClosed
from earmark.client.opening import DEFAULT_TTL_SECONDS, ReservedHold, ResumedHold
from earmark.client.reading import Reading
from earmark.client.requests import charge_call, fill, reserve_call
from earmark.client.values import Receipt
from earmark.errors import Unavailable
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["AsyncClient"]


class AsyncClient(Reading, Administration):
    """A client of the sidecar. All its holds share one stream; use one client for a whole program.

    Args:
        address: "host:port", or "unix:PATH".
        api_key: access key, where the sidecar asks for one.
        credentials: for TLS, from `grpc.ssl_channel_credentials()`; without them the connection is plain.
        timeout: seconds until a call without a definitive answer raises `CallTimedOut`; commits and releases are
            repeated until they are settled, bounded only by `close()`.
        close_timeout: seconds that leaving the client waits for commits on their way.
        keep_alive: whether open holds are extended by themselves, at a third of their time to live.
        max_in_flight: calls that may be sent and not yet answered; more wait here. Commits and releases always pass.

    Example:
        >>> async with AsyncClient("127.0.0.1:7070") as client:
        ...     async with client.reserve("acme", amount="0.5", operation="image.generate") as hold:
        ...         image = await model.generate(prompt)  # an exception releases the hold
        ...         hold.commit(amount="0.38")  # optional: leaving the block commits the whole amount
        ...     print(hold.receipt)
        acme: charged 0.38 of 0.5 reserved: 0.38 from g1 (free); 99.62 left
    """

    def __init__(
        self,
        address: str = "127.0.0.1:7070",
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: Seconds = 10,
        close_timeout: Seconds = 30,
        keep_alive: bool = True,
        max_in_flight: int = 1024,
    ) -> None:
        if max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")
        self._address = address
        self._api_key = api_key
        self._credentials = credentials
        self._timeout = seconds_of(timeout)
        self._close_timeout = seconds_of(close_timeout)
        self._keep_alive = keep_alive
        self._max_in_flight = max_in_flight
        self._request_ids = RequestIds()
        self._core: Core | None = None
        self._closed = False

    def _start(self) -> Core:
        """Return the running part; it is made with the first call, when the event loop is known."""
        if self._core is None:
            if self._closed:
                raise ClientClosed
            self._core = Core(
                self._address,
                api_key=self._api_key,
                credentials=self._credentials,
                max_in_flight=self._max_in_flight,
                request_ids=self._request_ids,
            )
        return self._core

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, timeout: Seconds | None = None) -> None:
        """Wait for commits and releases on their way, then disconnect. Closing twice does nothing.

        Args:
            timeout: seconds to wait; the client's `close_timeout` if absent.

        Raises:
            UnsettledCommits: lists the commits that are not known to be settled.
        """
        self._closed = True
        core, self._core = self._core, None
        if core is not None:
            await core.close(seconds_of(timeout) if timeout is not None else self._close_timeout)

    # Holds and charges

    def reserve(
        self,
        account_id: str,
        amount: Amount | None = None,
        operation: str | None = None,
        *,
        quantity: int | None = None,
        usage: Mapping[str, int] | None = None,
        attributes: Mapping[str, str] | None = None,
        min_amount: Amount | None = None,
        min_quantity: int | None = None,
        ttl: Seconds | None = None,
        user_id: str | None = None,
        project_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        wait: Seconds = 0,
        request_id: str | None = None,
        timeout: Seconds | None = None,
        keep_alive: bool | None = None,
    ) -> ReservedHold:
        """Describe a hold; `async with` reserves it.

        An exception or a cancellation in the block releases it, leaving the block normally commits it, unless
        `hold.commit()` or `hold.release()` was called before.

        Args:
            account_id: the account that pays.
            amount: credits; or `operation` with `quantity` or `usage` and `attributes`, priced by the catalog.
            operation: what is generated; beside an amount only a name, for limits and reports.
            quantity: how many units; 1 if neither this nor `usage` is given.
            usage: named counts, for example `{"input_tokens": 900}`.
            attributes: what the price depends on.
            min_amount: accept less, down to this (`hold.reserved` says how much it is).
            min_quantity: accept fewer units, down to this.
            ttl: seconds after which the hold expires if this process dies; 60 if absent. Kept alive meanwhile.
            user_id: who causes it.
            project_id: what it belongs to.
            labels: for reports; at most 16.
            wait: seconds to wait for credits, at most 60.
            request_id: to repeat a reserve of an earlier run; made up if absent.
            timeout: seconds until `CallTimedOut`, `wait` not counted; the client's default if absent.
            keep_alive: the client's default if absent.

        Raises:
            TypeError, ValueError: arguments that cannot be sent.

        Entering the block raises:
            InsufficientCredits: the balance does not cover it.
            FailedPrecondition: a repeated `request_id` whose reservation has ended: generate nothing.
            EarmarkError: any other refusal.
        """
        wait_seconds = seconds_of(wait) if wait else 0.0
        ttl_seconds = seconds_of(ttl) if ttl is not None else None
        message = reserve_call(ttl_seconds, wait_seconds)
        fill(
            message.reserve,
            account_id,
            request_id if request_id is not None else self._request_ids.next(),
            amount,
            operation,
            quantity,
            usage,
            attributes,
            min_amount,
            min_quantity,
            user_id,
            project_id,
            labels,
        )
        return ReservedHold(
            self._start,
            account_id,
            message,
            ttl_seconds,
            wait_seconds,
            self._timeout if timeout is None else seconds_of(timeout),
            self._keep_alive if keep_alive is None else keep_alive,
        )

    def resume(
        self,
        reservation_id: str,
        *,
        ttl: Seconds = DEFAULT_TTL_SECONDS,
        timeout: Seconds | None = None,
        keep_alive: bool | None = None,
    ) -> ResumedHold:
        """Adopt a hold of another process; `async with` looks it up.

        It is released only by `hold.release()`: an exception in the block leaves it open, to be resumed again.
        Leaving the block normally commits it, as ever; `hold.detach()` leaves it open.

        Args:
            reservation_id: `hold.reservation_id` of the other process.
            ttl: seconds by which keep-alive extends it.
            timeout: seconds for looking it up; the client's default if absent.
            keep_alive: the client's default if absent.

        Entering the block raises:
            NotFound: RESERVATION_NOT_FOUND.
            FailedPrecondition: ALREADY_COMMITTED or ALREADY_RELEASED. An expired hold can still be committed, late.
        """
        return ResumedHold(
            self._start,
            reservation_id,
            seconds_of(ttl),
            self._seconds(timeout),
            self._keep_alive if keep_alive is None else keep_alive,
        )

    async def charge(
        self,
        account_id: str,
        amount: Amount | None = None,
        operation: str | None = None,
        *,
        quantity: int | None = None,
        usage: Mapping[str, int] | None = None,
        attributes: Mapping[str, str] | None = None,
        min_amount: Amount | None = None,
        min_quantity: int | None = None,
        user_id: str | None = None,
        project_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        overage_policy: OveragePolicy | str | None = None,
        comment: str | None = None,
        wait: Seconds = 0,
        request_id: str | None = None,
        timeout: Seconds | None = None,
    ) -> Receipt:
        """Reserve and commit in one step, for work whose cost is known. All or nothing.

        After `CallTimedOut` the charge may have taken effect: repeat it with the same `request_id`, which is in the
        error's metadata.

        Raises:
            InsufficientCredits: the balance does not cover it.
            EarmarkError: any other refusal.

        Example:
            >>> receipt = await client.charge("acme", "0.02", "embedding", user_id="ada")
        """
        wait_seconds = seconds_of(wait) if wait else 0.0
        if request_id is None:
            request_id = self._request_ids.next()
        message = charge_call(wait_seconds, overage_policy, comment)
        fill(
            message.charge,
            account_id,
            request_id,
            amount,
            operation,
            quantity,
            usage,
            attributes,
            min_amount,
            min_quantity,
            user_id,
            project_id,
            labels,
        )
        session = self._start().session
        call = session.submit(message, timeout=self._seconds(timeout) + wait_seconds, wait=wait_seconds)
        try:
            return Receipt.of(await call)
        except Unavailable as failure:
            failure.metadata.setdefault("request_id", request_id)
            raise
        finally:
            session.withdraw(call)

    async def release_request(
        self, account_id: str, request_id: str, reason: str = "", *, timeout: Seconds | None = None
    ) -> Receipt:
        """Release the hold of a Reserve whose answer was lost, for example by a process that died before it came.

        A Reserve that arrives later has no effect.

        Raises:
            FailedPrecondition: ALREADY_COMMITTED.
            EarmarkError: any other refusal.
        """
        message = pb.SessionCall()
        message.release.account_id = account_id
        message.release.request_id = request_id
        message.release.reason = reason
        session = self._start().session
        call = session.submit(message, timeout=self._seconds(timeout), urgent=True)
        try:
            return Receipt.of(await call)
        finally:
            session.withdraw(call)

    def _seconds(self, timeout: Seconds | None) -> float:
        return self._timeout if timeout is None else seconds_of(timeout)
