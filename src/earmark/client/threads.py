"""`Client`: the client for threads. An event loop in a background thread runs an `AsyncClient`; no logic is here."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Self, TypeVar

import grpc

from earmark.client.aio import AsyncClient
from earmark.client.amounts import Amount, OveragePolicy, Seconds
from earmark.client.background import LoopThread
from earmark.client.failures import ClientClosed, UnsettledCommits
from earmark.client.holds import Hold
from earmark.client.offers import Estimate, Item, Price, Quote
from earmark.client.opening import DEFAULT_TTL_SECONDS
from earmark.client.values import Account, AccountBalance, Balance, Grant, Notice, Receipt, Reservation

__all__ = ["Client", "ThreadHold"]

_log = logging.getLogger("earmark")

_T = TypeVar("_T")


class ThreadHold:
    """Credits held for one generation; `Hold` for threads. Used as `with`, by one thread at a time."""

    __slots__ = ("_hold", "_thread")

    def __init__(self, thread: Callable[[], LoopThread], hold: Hold) -> None:
        self._thread = thread
        self._hold = hold

    @property
    def reservation_id(self) -> str:
        """The reservation's id: with `client.resume(id)` another process settles it. Empty before the block."""
        return self._hold.reservation_id

    @property
    def account_id(self) -> str:
        """The account that pays."""
        return self._hold.account_id

    @property
    def reserved(self) -> Decimal:
        """What is reserved, in credits, additions included; less than asked for if a minimum was accepted."""
        return self._hold.reserved

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Warnings that came with the reservation."""
        return self._hold.notices

    @property
    def receipt(self) -> Receipt:
        """How the hold ended; see `Hold.receipt`."""
        return self._hold.receipt

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
        """Charge what was really used. Sent at once; the end of the block waits for it. See `Hold.commit`."""
        self._thread().call(
            self._hold.commit,
            amount,
            quantity=quantity,
            usage=usage,
            attributes=attributes,
            overage_policy=overage_policy,
            comment=comment,
        )

    def release(self, reason: str = "") -> None:
        """Give everything back: the generation failed and is not charged. See `Hold.release`."""
        self._thread().call(self._hold.release, reason)

    def detach(self) -> None:
        """Leave the hold open for another process. See `Hold.detach`."""
        self._thread().call(self._hold.detach)

    def extend(
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
        """Hold longer, hold more, or both. See `Hold.extend`."""
        self._thread().run(
            self._hold.extend(
                ttl,
                additional=additional,
                additional_quantity=additional_quantity,
                additional_usage=additional_usage,
                wait=wait,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def settled(self) -> Receipt:
        """Wait for the receipt of a commit or a release inside the block. See `Hold.settled`."""
        return self._thread().run(self._hold.settled())

    def __enter__(self) -> Self:
        self._thread().run(self._hold.__aenter__())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread().run(self._hold.__aexit__(exc_type, exc, traceback))


class Client:
    """A client of the sidecar for threads; many may use one client. `AsyncClient` tells what everything means.

    Close it, or use it as `with`: closing waits for commits on their way. The end of the program closes it too.

    Example:
        >>> with Client("127.0.0.1:7070") as client:
        ...     with client.reserve("acme", amount="0.5", operation="image.generate") as hold:
        ...         image = model.generate(prompt)
        ...         hold.commit(amount="0.38")
        ...     print(hold.receipt)
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
        self._client = AsyncClient(
            address,
            api_key=api_key,
            credentials=credentials,
            timeout=timeout,
            close_timeout=close_timeout,
            keep_alive=keep_alive,
            max_in_flight=max_in_flight,
        )
        self._lock = threading.Lock()
        self._running: LoopThread | None = None
        self._closed = False

    def _thread(self) -> LoopThread:
        """Return the background loop; it starts with the first call."""
        running = self._running
        if running is not None:
            return running
        with self._lock:
            if self._closed:
                raise ClientClosed
            if self._running is None:
                self._running = LoopThread()
                atexit.register(self._close_at_exit)
            return self._running

    def _close_at_exit(self) -> None:
        try:
            self.close()
        except UnsettledCommits as unsettled:
            _log.critical("the program ended: %s", unsettled)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self, timeout: Seconds | None = None) -> None:
        """Wait for commits and releases on their way, then disconnect. Closing twice does nothing.

        Raises:
            UnsettledCommits: lists the commits that are not known to be settled.
        """
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is None:
            return
        atexit.unregister(self._close_at_exit)
        try:
            running.run(self._client.close(timeout))
        finally:
            running.stop()

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
    ) -> ThreadHold:
        """Describe a hold; `with` reserves it. See `AsyncClient.reserve`."""
        hold = self._client.reserve(
            account_id,
            amount,
            operation,
            quantity=quantity,
            usage=usage,
            attributes=attributes,
            min_amount=min_amount,
            min_quantity=min_quantity,
            ttl=ttl,
            user_id=user_id,
            project_id=project_id,
            labels=labels,
            wait=wait,
            request_id=request_id,
            timeout=timeout,
            keep_alive=keep_alive,
        )
        return ThreadHold(self._thread, hold)

    def resume(
        self,
        reservation_id: str,
        *,
        ttl: Seconds = DEFAULT_TTL_SECONDS,
        timeout: Seconds | None = None,
        keep_alive: bool | None = None,
    ) -> ThreadHold:
        """Adopt a hold of another process. See `AsyncClient.resume`."""
        hold = self._client.resume(reservation_id, ttl=ttl, timeout=timeout, keep_alive=keep_alive)
        return ThreadHold(self._thread, hold)

    def charge(
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
        """Reserve and commit in one step. See `AsyncClient.charge`."""
        return self._thread().run(
            self._client.charge(
                account_id,
                amount,
                operation,
                quantity=quantity,
                usage=usage,
                attributes=attributes,
                min_amount=min_amount,
                min_quantity=min_quantity,
                user_id=user_id,
                project_id=project_id,
                labels=labels,
                overage_policy=overage_policy,
                comment=comment,
                wait=wait,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def release_request(
        self, account_id: str, request_id: str, reason: str = "", *, timeout: Seconds | None = None
    ) -> Receipt:
        """Release the hold of a Reserve whose answer was lost. See `AsyncClient.release_request`."""
        return self._thread().run(self._client.release_request(account_id, request_id, reason, timeout=timeout))

    def get_balance(self, account_id: str, *, timeout: Seconds | None = None) -> AccountBalance:
        """Return what an account has, and what is left of each grant. See `AsyncClient.get_balance`."""
        return self._thread().run(self._client.get_balance(account_id, timeout=timeout))

    def balance(self, account_id: str, *, timeout: Seconds | None = None) -> AccountBalance:
        """Return what an account has: the same as `get_balance`."""
        return self._thread().run(self._client.balance(account_id, timeout=timeout))

    def prices(self, operation_prefix: str = "", *, timeout: Seconds | None = None) -> tuple[Price, ...]:
        """Return every operation of the catalog with its price. See `AsyncClient.prices`."""
        return self._thread().run(self._client.prices(operation_prefix, timeout=timeout))

    def estimate(
        self,
        account_id: str | None,
        items: Sequence[Item | str],
        *,
        buffer_percent: int = 0,
        method: str = "",
        timeout: Seconds | None = None,
    ) -> Estimate:
        """Price what is planned, and compare it with what an account has. See `AsyncClient.estimate`."""
        return self._thread().run(
            self._client.estimate(account_id, items, buffer_percent=buffer_percent, method=method, timeout=timeout)
        )

    def quote(
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
        timeout: Seconds | None = None,
    ) -> Quote:
        """Say what a `reserve` with these arguments would hold now. See `AsyncClient.quote`."""
        return self._thread().run(
            self._client.quote(
                account_id,
                amount,
                operation,
                quantity=quantity,
                usage=usage,
                attributes=attributes,
                min_amount=min_amount,
                min_quantity=min_quantity,
                user_id=user_id,
                project_id=project_id,
                timeout=timeout,
            )
        )

    def watch_balance(self, account_id: str) -> Iterator[Balance]:
        """Yield the balance at once and then the latest after every change. See `AsyncClient.watch_balance`."""
        return self._iterate(self._client.watch_balance(account_id))

    def get_reservation(self, reservation_id: str, *, timeout: Seconds | None = None) -> Reservation:
        """Return one reservation, open or ended. See `AsyncClient.get_reservation`."""
        return self._thread().run(self._client.get_reservation(reservation_id, timeout=timeout))

    def list_reservations(
        self, account_id: str, *, state: str | None = None, page_size: int = 100, timeout: Seconds | None = None
    ) -> Iterator[Reservation]:
        """Yield an account's reservations. See `AsyncClient.list_reservations`."""
        return self._iterate(
            self._client.list_reservations(account_id, state=state, page_size=page_size, timeout=timeout)
        )

    def create_account(
        self,
        account_id: str,
        *,
        grant: Amount | None = None,
        display_name: str = "",
        time_zone: str = "",
        overdraft_limit: Amount = 0,
        observe: bool = False,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: Seconds | None = None,
    ) -> Account:
        """Create an account, and give it credits if `grant` says so. See `AsyncClient.create_account`."""
        return self._thread().run(
            self._client.create_account(
                account_id,
                grant=grant,
                display_name=display_name,
                time_zone=time_zone,
                overdraft_limit=overdraft_limit,
                observe=observe,
                labels=labels,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def create_grant(
        self,
        account_id: str,
        amount: Amount,
        *,
        kind: str = "free",
        priority: int | None = None,
        expire_time: datetime | None = None,
        acquire_time: datetime | None = None,
        comment: str = "",
        reservation_id: str = "",
        never_expires: bool = False,
        request_id: str | None = None,
        timeout: Seconds | None = None,
    ) -> Grant:
        """Give credits to an account. See `AsyncClient.create_grant`."""
        return self._thread().run(
            self._client.create_grant(
                account_id,
                amount,
                kind=kind,
                priority=priority,
                expire_time=expire_time,
                acquire_time=acquire_time,
                comment=comment,
                reservation_id=reservation_id,
                never_expires=never_expires,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def _iterate(self, values: AsyncIterator[_T]) -> Iterator[_T]:
        async def step() -> tuple[bool, _T | None]:
            try:
                return True, await anext(values)
            except StopAsyncIteration:
                return False, None

        try:
            while True:
                more, value = self._thread().run(step())
                if not more:
                    return
                assert value is not None
                yield value
        finally:
            aclose = getattr(values, "aclose", None)
            if aclose is not None and self._running is not None:
                self._running.run(aclose())
