"""Administration: accounts and grants. A part of `AsyncClient`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from earmark.client.amounts import Amount, Seconds, to_micros_fast, to_timestamp
from earmark.client.calling import Calling
from earmark.client.values import Account, Grant
from earmark.v1 import account_pb2, account_service_pb2, grant_pb2

__all__ = ["Administration"]

_KINDS: Final[dict[str, grant_pb2.Grant.Kind]] = {
    "free": grant_pb2.Grant.KIND_FREE,
    "subscription": grant_pb2.Grant.KIND_SUBSCRIPTION,
    "purchase": grant_pb2.Grant.KIND_PURCHASE,
    "promotion": grant_pb2.Grant.KIND_PROMOTION,
    "adjustment": grant_pb2.Grant.KIND_ADJUSTMENT,
}


class Administration(Calling):
    """What makes accounts and gives credits."""

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
            grant: credits to begin with, free; they expire as the catalog says of free ones, never without a rule.
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
        never_expires: bool = False,
        request_id: str | None = None,
        timeout: Seconds | None = None,
    ) -> Grant:
        """Give credits to an account; they can be spent when this returns.

        Args:
            account_id: the account.
            amount: credits.
            kind: "free", "subscription", "purchase", "promotion" or "adjustment".
            priority: the lowest is used first; the catalog's for the kind if absent, else 100.
            expire_time: when what is left expires, with its time zone; the catalog's rule of the kind if absent, never
                without one.
            acquire_time: when the credits were acquired; now if absent.
            comment: kept in the ledger.
            reservation_id: for an adjustment, the reservation whose charge it makes good.
            never_expires: whatever the catalog's rule of the kind says.
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
                never_expires=never_expires,
            ),
            account_service_pb2.CreateGrantResponse,
            timeout=self._seconds(timeout),
        )
        return Grant.of(response.grant)
