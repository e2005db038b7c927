"""`AsyncClient`: the client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import grpc

from earmark.client.amounts import Amount, OveragePolicy, Seconds, seconds_of, to_micros_fast, to_timestamp
from earmark.client.backoff import backoff_seconds
from earmark.client.core import Core, RequestIds
from earmark.client.failures import ClientClosed
from earmark.client.opening import DEFAULT_TTL_SECONDS, ReservedHold, ResumedHold
from earmark.client.requests import Subject, charge_call, reserve_call
from earmark.client.values import Account, AccountBalance, Balance, Grant, Receipt, Reservation
from earmark.errors import Unavailable
from earmark.v1 import account_pb2, account_service_pb2, grant_pb2, reservation_pb2
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["AsyncClient"]

_STATES: Final[dict[str, reservation_pb2.Reservation.State]] = {
    "active": reservation_pb2.Reservation.STATE_ACTIVE,
    "committed": reservation_pb2.Reservation.STATE_COMMITTED,
    "released": reservation_pb2.Reservation.STATE_RELEASED,
    "expired": reservation_pb2.Reservation.STATE_EXPIRED,
}

_KINDS: Final[dict[str, grant_pb2.Grant.Kind]] = {
    "free": grant_pb2.Grant.KIND_FREE,
    "subscription": grant_pb2.Grant.KIND_SUBSCRIPTION,
    "purchase": grant_pb2.Grant.KIND_PURCHASE,
    "promotion": grant_pb2.Grant.KIND_PROMOTION,
    "adjustment": grant_pb2.Grant.KIND_ADJUSTMENT,
}


class AsyncClient:
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
        subject = Subject(
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
            reserve_call(subject, ttl=ttl_seconds, wait=wait_seconds),
            ttl=ttl_seconds,
            wait=wait_seconds,
            timeout=self._seconds(timeout),
            keep_alive=self._keep_alive if keep_alive is None else keep_alive,
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
            ttl=seconds_of(ttl),
            timeout=self._seconds(timeout),
            keep_alive=self._keep_alive if keep_alive is None else keep_alive,
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
        subject = Subject(
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
        message = charge_call(subject, wait=wait_seconds, overage_policy=overage_policy, comment=comment)
        session = self._start().session
        call = session.submit(message, timeout=self._seconds(timeout) + wait_seconds, wait=wait_seconds)
        try:
            return Receipt.of(await call)
        except Unavailable as failure:
            failure.metadata.setdefault("request_id", subject.request_id)
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

    # Reading

    async def get_balance(self, account_id: str, *, timeout: Seconds | None = None) -> AccountBalance:
        """Return what an account has, and what is left of each grant.

        Raises:
            NotFound: ACCOUNT_NOT_FOUND.
        """
        response = await self._start().connection.unary(
            "MeteringService/GetBalance",
            pb.GetBalanceRequest(account_id=account_id),
            pb.GetBalanceResponse,
            timeout=self._seconds(timeout),
        )
        return AccountBalance.of_response(response)

    async def watch_balance(self, account_id: str) -> AsyncIterator[Balance]:
        """Yield the balance at once and then the latest after every change, through lost connections.

        Raises:
            NotFound: ACCOUNT_NOT_FOUND.

        Example:
            >>> async for balance in client.watch_balance("acme"):
            ...     print(balance.available)
        """
        request = pb.WatchBalanceRequest(account_id=account_id)
        version: int | None = None
        failures = 0
        while True:
            connection = self._start().connection
            responses = connection.stream("MeteringService/WatchBalance", request, pb.WatchBalanceResponse)
            try:
                async for response in responses:
                    failures = 0
                    if response.balance.version != version:
                        version = response.balance.version
                        yield Balance.of(response.balance)
            except Unavailable:
                pass
            if self._closed:
                return
            failures += 1
            await asyncio.sleep(backoff_seconds(failures))

    async def get_reservation(self, reservation_id: str, *, timeout: Seconds | None = None) -> Reservation:
        """Return one reservation, open or ended.

        Raises:
            NotFound: RESERVATION_NOT_FOUND.
        """
        response = await self._start().connection.unary(
            "MeteringService/GetReservation",
            pb.GetReservationRequest(reservation_id=reservation_id),
            pb.GetReservationResponse,
            timeout=self._seconds(timeout),
        )
        return Reservation.of(response.reservation)

    async def list_reservations(
        self, account_id: str, *, state: str | None = None, page_size: int = 100, timeout: Seconds | None = None
    ) -> AsyncIterator[Reservation]:
        """Yield an account's reservations: active ones by expiry, then ended ones, newest first, as far as flushed.

        Args:
            account_id: the account.
            state: only "active", "committed", "released" or "expired" ones.
            page_size: how many are fetched at once.
            timeout: seconds for each page.

        Example:
            >>> async for reservation in client.list_reservations("acme", state="active"):
            ...     print(reservation.reservation_id, reservation.reserved)
        """
        wanted: reservation_pb2.Reservation.State = reservation_pb2.Reservation.STATE_UNSPECIFIED
        if state is not None:
            if state not in _STATES:
                raise ValueError(f"{state!r} is no state; there are {', '.join(_STATES)}")
            wanted = _STATES[state]
        request = pb.ListReservationsRequest(account_id=account_id, state=wanted, page_size=page_size)
        while True:
            response = await self._start().connection.unary(
                "MeteringService/ListReservations",
                request,
                pb.ListReservationsResponse,
                timeout=self._seconds(timeout),
            )
            for reservation in response.reservations:
                yield Reservation.of(reservation)
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    # Administration

    async def create_account(
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
        """Create an account, and give it credits if `grant` says so.

        Args:
            account_id: 1 to 128 printable ASCII characters.
            grant: credits to begin with, free and without expiry.
            display_name: for people.
            time_zone: IANA name; UTC if absent.
            overdraft_limit: how much debt a commit or charge with overdraft may leave, in credits.
            observe: count everything and refuse nothing for lack of credits.
            labels: at most 16.
            request_id: to repeat the call; made up if absent. The grant has "REQUEST_ID/grant".
            timeout: seconds until `CallTimedOut`; the client's default if absent.

        Raises:
            AlreadyExists: ACCOUNT_EXISTS.
        """
        request_id = request_id if request_id is not None else self._request_ids.next()
        enforcement = account_pb2.Account.ENFORCEMENT_OBSERVE if observe else account_pb2.Account.ENFORCEMENT_BLOCK
        granted = to_micros_fast(grant) if grant is not None else 0
        response = await self._start().connection.unary(
            "AccountService/CreateAccount",
            account_service_pb2.CreateAccountRequest(
                account_id=account_id,
                request_id=request_id,
                display_name=display_name,
                time_zone=time_zone,
                overdraft_limit_micros=to_micros_fast(overdraft_limit),
                enforcement=enforcement,
                labels=labels,
            ),
            account_service_pb2.CreateAccountResponse,
            timeout=self._seconds(timeout),
        )
        if granted:
            assert grant is not None
            await self.create_grant(account_id, grant, request_id=f"{request_id}/grant", timeout=timeout)
        return Account.of(response.account)

    async def create_grant(
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
        request_id: str | None = None,
        timeout: Seconds | None = None,
    ) -> Grant:
        """Give credits to an account; they can be spent when this returns.

        Args:
            account_id: the account.
            amount: credits.
            kind: "free", "subscription", "purchase", "promotion" or "adjustment".
            priority: the lowest is used first; 100 if absent.
            expire_time: when what is left expires; never if absent. Needs a time zone.
            acquire_time: when the credits were acquired; now if absent.
            comment: kept in the ledger.
            reservation_id: for an adjustment, the reservation whose charge it makes good.
            request_id: to repeat the call; made up if absent.
            timeout: seconds until `CallTimedOut`; the client's default if absent.

        Raises:
            NotFound: ACCOUNT_NOT_FOUND.
            EarmarkError: any other refusal.
        """
        if kind not in _KINDS:
            raise ValueError(f"{kind!r} is no kind; there are {', '.join(_KINDS)}")
        response = await self._start().connection.unary(
            "AccountService/CreateGrant",
            account_service_pb2.CreateGrantRequest(
                account_id=account_id,
                request_id=request_id if request_id is not None else self._request_ids.next(),
                amount_micros=to_micros_fast(amount),
                kind=_KINDS[kind],
                priority=priority,
                expire_time=to_timestamp(expire_time) if expire_time is not None else None,
                acquire_time=to_timestamp(acquire_time) if acquire_time is not None else None,
                comment=comment,
                reservation_id=reservation_id,
            ),
            account_service_pb2.CreateGrantResponse,
            timeout=self._seconds(timeout),
        )
        return Grant.of(response.grant)

    def _seconds(self, timeout: Seconds | None) -> float:
        return self._timeout if timeout is None else seconds_of(timeout)
