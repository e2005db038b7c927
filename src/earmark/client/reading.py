"""Reading: balances, reservations, prices, estimates. A part of `AsyncClient`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from earmark.client.amounts import Amount, Seconds
from earmark.client.backoff import backoff_seconds
from earmark.client.calling import Calling
from earmark.client.offers import Estimate, Item, Price, Quote, estimate_request
from earmark.client.requests import fill
from earmark.client.values import AccountBalance, Balance, Reservation
from earmark.errors import Unavailable
from earmark.v1 import catalog_service_pb2, reservation_pb2
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["Reading"]

_STATES: Final[dict[str, reservation_pb2.Reservation.State]] = {
    "active": reservation_pb2.Reservation.STATE_ACTIVE,
    "committed": reservation_pb2.Reservation.STATE_COMMITTED,
    "released": reservation_pb2.Reservation.STATE_RELEASED,
    "expired": reservation_pb2.Reservation.STATE_EXPIRED,
}


class Reading(Calling):
    """What reads, and changes nothing."""

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

    async def balance(self, account_id: str, *, timeout: Seconds | None = None) -> AccountBalance:
        """Return what an account has: the same as `get_balance`."""
        return await self.get_balance(account_id, timeout=timeout)

    async def prices(self, operation_prefix: str = "", *, timeout: Seconds | None = None) -> tuple[Price, ...]:
        """Return the action matrix: every operation of the catalog with its price, in the catalog's order.

        Args:
            operation_prefix: only operations whose name starts with this.
            timeout: seconds until `CallTimedOut`; the client's default if absent.

        Example:
            >>> for price in await client.prices("image."):
            ...     print(price.operation, price.text)
            image.generate 1 to 4 credits per image, by resolution
        """
        response = await self._start().connection.unary(
            "CatalogService/ListPrices",
            catalog_service_pb2.ListPricesRequest(operation_prefix=operation_prefix),
            catalog_service_pb2.ListPricesResponse,
            timeout=self._seconds(timeout),
        )
        return tuple(Price.of(row) for row in response.prices)

    async def estimate(
        self,
        account_id: str | None,
        items: Sequence[Item | str],
        *,
        buffer_percent: int = 0,
        method: str = "",
        timeout: Seconds | None = None,
    ) -> Estimate:
        """Price what is planned, and compare it with what an account has. Nothing is stored.

        Args:
            account_id: whose balance to compare with; None to price only.
            items: 1 to 1,000; an operation's name alone stands for one unit of it.
            buffer_percent: added to the sums, rounded up.
            method: of payment, of the packs that would cover a shortfall; all if empty.
            timeout: seconds until `CallTimedOut`; the client's default if absent.

        Raises:
            InvalidRequest: UNKNOWN_OPERATION, UNPRICEABLE; `field` names the item.
            NotFound: ACCOUNT_NOT_FOUND.

        Example:
            >>> plan = [Item("image.generate", quantity=20, attributes={"resolution": "4K"}), "chat.message"]
            >>> estimate = await client.estimate("acme", plan, buffer_percent=20)
            >>> print(estimate)
            73.2 credits; 54 available: 19.2 are missing
        """
        response = await self._start().connection.unary(
            "MeteringService/Estimate",
            estimate_request(account_id, items, buffer_percent, method),
            pb.EstimateResponse,
            timeout=self._seconds(timeout),
        )
        return Estimate.of(response)

    async def quote(
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
        """Say what a `reserve` with these arguments would hold now, and refuse what it would refuse.

        Nothing is stored: the next call may find another balance. The arguments are those of `reserve`.

        Raises:
            InsufficientCredits: the balance does not cover it.
            EarmarkError: any other refusal, LIMIT_EXCEEDED and NOT_ENTITLED among them.
        """
        request = pb.ReserveRequest(validate_only=True)
        fill(
            request,
            account_id,
            self._request_ids.next(),
            amount,
            operation,
            quantity,
            usage,
            attributes,
            min_amount,
            min_quantity,
            user_id,
            project_id,
            None,
        )
        response = await self._start().connection.unary(
            "MeteringService/Reserve", request, pb.ReserveResponse, timeout=self._seconds(timeout)
        )
        return Quote.of(response)

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
