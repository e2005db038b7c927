"""`AccountService`: accounts, members and grants. SQL records every change first, Redis applies it, then we answer."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from zoneinfo import ZoneInfo

import msgspec

from earmark.domain.catalog import Catalog, CurrentCatalog, ValidityKind
from earmark.domain.ids import parse_grant_id
from earmark.domain.states import ReservationState
from earmark.domain.validity import expire_time
from earmark.engine.operations import ReadReservation
from earmark.engine.ports import Metering
from earmark.engine.results import ReservationRead
from earmark.errors import NotFound, Reason, Unavailable, error
from earmark.ledger.accounts import Accounts
from earmark.ledger.billing import Billing, seat_check
from earmark.ledger.models import AccountRecord, AdminTicket, Contacts, NewGrant, Thresholds
from earmark.server import checks
from earmark.server.account_forms import (
    DEFAULT_PRIORITY,
    AskedGrant,
    account_changes,
    asked_grant,
    content_of,
    creation_content,
    fill_account,
    member_role,
    new_account,
    sets_alerts,
    user_id,
)
from earmark.server.administration import AccountNow, Relay
from earmark.server.admission import Admission
from earmark.server.claims import AccountClaims, includes
from earmark.server.grants import fill_grant, read_live_grants
from earmark.server.imports import Importer
from earmark.server.paging import decode_token, encode_token
from earmark.server.replies import fill_balance
from earmark.server.unary import Context, execute, stream, unary
from earmark.server.validation import Requests
from earmark.v1 import account_service_pb2 as pb
from earmark.v1 import account_service_pb2_grpc as rpc
from earmark.v1 import grant_pb2 as grants

__all__ = ["AccountServicer"]

_FLUSH_POLL_SECONDS = 0.05
_FLUSH_POLLS = 60
_RECENT_GRANTS = 1_000


class _AfterAccount(msgspec.Struct, frozen=True, array_like=True):
    account_id: str


class _BeforeGrant(msgspec.Struct, frozen=True, array_like=True):
    number: int


class AccountServicer(rpc.AccountServiceServicer):
    """The servicer."""

    needs_store = False
    """SQL comes first here; what Redis must do says so itself."""

    def __init__(
        self,
        engine: Metering,
        accounts: Accounts,
        billing: Billing,
        relay: Relay,
        requests: Requests,
        catalogs: CurrentCatalog,
        claims: AccountClaims,
        importer: Importer,
        admission: Admission,
        now: Callable[[], int],
    ) -> None:
        """`now` tells the store's time, in microseconds since 1970."""
        self.admission = admission
        self._engine = engine
        self._accounts = accounts
        self._billing = billing
        self._relay = relay
        self._requests = requests
        self._catalogs = catalogs
        self._claims = claims
        self._importer = importer
        self._now = now

    @unary
    async def CreateAccount(self, request: pb.CreateAccountRequest, _context: Context) -> pb.CreateAccountResponse:
        """Create an account, with the plan that every new account gets."""
        account = new_account(request)
        request_id = checks.request_id(request.request_id)
        catalog = self._catalogs.current
        if account.thresholds != Thresholds() or account.contacts != Contacts():
            plan = catalog.plans.get(catalog.default_plan)
            entitlements = plan.entitlements if plan is not None else {}
            self._require_alerts(account.account_id, includes(entitlements, catalog.alerts_entitlement))
        content = content_of("CreateAccount", creation_content(account))
        record, replayed = await self._accounts.create(account, request_id, content)
        if catalog.default_plan:
            await self._subscribe(account.account_id, catalog)
        response = pb.CreateAccountResponse(replayed=replayed)
        fill_account(response.account, record)
        return response

    @unary
    async def GetAccount(self, request: pb.GetAccountRequest, _context: Context) -> pb.GetAccountResponse:
        """Return one account."""
        response = pb.GetAccountResponse()
        fill_account(response.account, await self._accounts.get(checks.account_id(request.account_id)))
        return response

    @unary
    async def UpdateAccount(self, request: pb.UpdateAccountRequest, _context: Context) -> pb.UpdateAccountResponse:
        """Change the fields that the mask names."""
        account_id = checks.account_id(request.account.account_id, "account.account_id")
        changes = account_changes(request)
        request_id = checks.request_id(request.request_id)
        entitlement = self._catalogs.current.alerts_entitlement
        if entitlement and sets_alerts(changes):
            self._require_alerts(account_id, await self._claims.entitled(account_id, entitlement))
        content = content_of("UpdateAccount", changes)
        ticket = await self._accounts.update(account_id, request_id, content, changes)
        response = pb.UpdateAccountResponse(replayed=ticket.replayed)
        fill_account(response.account, await self._configured(ticket))
        return response

    @unary
    async def SuspendAccount(self, request: pb.SuspendAccountRequest, _context: Context) -> pb.SuspendAccountResponse:
        """Block Reserve, Charge and additions."""
        ticket = await self._set_suspended("SuspendAccount", request, suspended=True)
        response = pb.SuspendAccountResponse(replayed=ticket.replayed)
        fill_account(response.account, await self._configured(ticket))
        return response

    @unary
    async def ResumeAccount(self, request: pb.ResumeAccountRequest, _context: Context) -> pb.ResumeAccountResponse:
        """End a suspension."""
        ticket = await self._set_suspended("ResumeAccount", request, suspended=False)
        response = pb.ResumeAccountResponse(replayed=ticket.replayed)
        fill_account(response.account, await self._configured(ticket))
        return response

    @unary
    async def ListAccounts(self, request: pb.ListAccountsRequest, _context: Context) -> pb.ListAccountsResponse:
        """List a page of accounts by id."""
        prefix = request.account_id_prefix
        if prefix:
            checks.account_id(prefix, "account_id_prefix")
        size = checks.page_size(request.page_size)
        query = ("ListAccounts", prefix)
        after = decode_token(request.page_token, _AfterAccount, query).account_id if request.page_token else ""
        # One more than asked for tells whether there is a next page.
        records = await self._accounts.list(prefix, size + 1, after)
        response = pb.ListAccountsResponse()
        for record in records[:size]:
            fill_account(response.accounts.add(), record)
        if len(records) > size:
            response.next_page_token = encode_token(_AfterAccount(records[size - 1].account_id), query)
        return response

    @unary
    async def AddMember(self, request: pb.AddMemberRequest, _context: Context) -> pb.AddMemberResponse:
        """Add a member, or change a member's role."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        member, role = user_id(request.user_id), member_role(request.role)
        content = content_of("AddMember", (member, role))
        admit = seat_check(self._catalogs.current.plans)
        ticket = await self._accounts.add_member(account_id, request_id, content, member, role, admit=admit)
        response = pb.AddMemberResponse(replayed=ticket.replayed)
        fill_account(response.account, await self._configured(ticket))
        return response

    @unary
    async def RemoveMember(self, request: pb.RemoveMemberRequest, _context: Context) -> pb.RemoveMemberResponse:
        """Remove a member."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        member = user_id(request.user_id)
        content = content_of("RemoveMember", member)
        ticket = await self._accounts.remove_member(account_id, request_id, content, member)
        response = pb.RemoveMemberResponse(replayed=ticket.replayed)
        fill_account(response.account, await self._configured(ticket))
        return response

    @unary
    async def CreateGrant(self, request: pb.CreateGrantRequest, _context: Context) -> pb.CreateGrantResponse:
        """Give credits; answer when they can be spent."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        asked = asked_grant(request)
        content = content_of("CreateGrant", asked.content)
        now = self._now()
        grant = await self._grant(account_id, asked, now)

        async def record() -> AdminTicket:
            return await self._accounts.record_grant(account_id, request_id, content, grant)

        if 0 < grant.expire_time <= now and not await self._is_granted(account_id, request_id):
            field = "acquire_time" if asked.expire_time is None else "expire_time"
            said = (
                "lies so far back that the credits have expired"
                if field == "acquire_time"
                else "must lie in the future"
            )
            raise checks.invalid(field, said)
        ticket = await (self._record_adjustment(account_id, grant, record) if grant.reservation_id else record())
        after = await self._relay.complete(ticket)
        response = pb.CreateGrantResponse(replayed=ticket.replayed)
        await self._fill_grant(response.grant, account_id, ticket.admin_seq, after)
        fill_balance(response.balance, account_id, after.balance)
        return response

    @unary
    async def VoidGrant(self, request: pb.VoidGrantRequest, _context: Context) -> pb.VoidGrantResponse:
        """Take back what is left of a grant."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        reason = checks.prose(request.reason, "reason")
        if not request.grant_id:
            raise checks.invalid("grant_id", "is missing")
        number = parse_grant_id(request.grant_id)
        content = content_of("VoidGrant", number)
        ticket = await self._accounts.record_void(account_id, request_id, content, number, reason=reason)
        after = await self._relay.complete(ticket)
        await self._relay.wait_flushed(ticket)  # Only the flushed entry tells how much was voided.
        response = pb.VoidGrantResponse(replayed=ticket.replayed)
        await self._fill_grant(response.grant, account_id, number, after)
        response.grant.state = grants.Grant.STATE_VOIDED
        fill_balance(response.balance, account_id, after.balance)
        return response

    @unary
    async def ListGrants(self, request: pb.ListGrantsRequest, _context: Context) -> pb.ListGrantsResponse:
        """List a page of grants, newest first."""
        account_id = checks.account_id(request.account_id)
        size = checks.page_size(request.page_size)
        query = ("ListGrants", account_id)
        before = decode_token(request.page_token, _BeforeGrant, query).number if request.page_token else None
        await self._accounts.get(account_id)  # Says so if there is no such account.
        records = await self._accounts.list_grants(account_id, size + 1, before)
        live = await read_live_grants(self._engine, account_id)
        response = pb.ListGrantsResponse()
        now = self._now()
        for record in records[:size]:
            fill_grant(response.grants.add(), record, live, now)
        if len(records) > size:
            response.next_page_token = encode_token(_BeforeGrant(records[size - 1].number), query)
        return response

    @stream
    async def ImportAccounts(
        self, requests: AsyncIterator[pb.ImportAccountsRequest], _context: Context
    ) -> AsyncIterator[pb.ImportAccountsResponse]:
        """Bring accounts from another system, each by itself, and answer in their order."""
        async for request in requests:
            yield await self._importer.bring(request.account, validate_only=request.validate_only)

    async def _subscribe(self, account_id: str, catalog: Catalog) -> None:
        """Give a new account the catalog's default plan. If that fails half-way, the cycle job completes it."""
        outcome = await self._billing.subscribe_default(account_id, catalog)
        if outcome is not None:
            with contextlib.suppress(Unavailable):  # Redis is away: the relay brings them when it is back.
                for ticket in outcome.tickets:
                    await self._relay.complete(ticket)

    def _require_alerts(self, account_id: str, entitled: bool) -> None:
        entitlement = self._catalogs.current.alerts_entitlement
        if entitlement and not entitled:
            raise error(
                Reason.NOT_ENTITLED,
                f"the plan of account {account_id!r} does not include thresholds and contacts of its own, which take "
                f"the entitlement {entitlement!r}",
                {"entitlement": entitlement},
            )

    async def _grant(self, account_id: str, asked: AskedGrant, now: int) -> NewGrant:
        """Return a grant with what the catalog says of its kind where the caller says nothing."""
        catalog = self._catalogs.current
        acquired = now if asked.acquire_time is None else asked.acquire_time
        priority = catalog.priority.get(asked.kind, DEFAULT_PRIORITY) if asked.priority is None else asked.priority
        expires = asked.expire_time
        if expires is None:
            expires = 0
            rule = catalog.validity.get(asked.kind)
            if rule is not None and rule.kind is not ValidityKind.NEVER:
                account, subscription = await self._billing.configuration(account_id)
                cycle_end = None if subscription is None else subscription.cycle_end
                expires = expire_time(rule, acquired, ZoneInfo(account.time_zone), cycle_end)
        return NewGrant(
            kind=asked.kind,
            amount=asked.amount,
            acquire_time=acquired,
            expire_time=expires,
            priority=priority,
            comment=asked.comment,
            reservation_id=asked.reservation_id,
        )

    async def _configured(self, ticket: AdminTicket) -> AccountRecord:
        await self._relay.complete(ticket)
        return await self._accounts.get(ticket.account_id)

    async def _set_suspended(
        self, rpc_name: str, request: pb.SuspendAccountRequest | pb.ResumeAccountRequest, *, suspended: bool
    ) -> AdminTicket:
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        reason = checks.prose(request.reason, "reason")
        content = content_of(rpc_name, None)
        return await self._accounts.set_suspended(account_id, request_id, content, suspended, reason=reason)

    async def _is_granted(self, account_id: str, request_id: str) -> bool:
        """Return whether one of the account's last 1,000 grants came from this request: a repeat may come late."""
        recent = await self._accounts.list_grants(account_id, _RECENT_GRANTS)
        return any(grant.request_id == request_id for grant in recent)

    async def _record_adjustment(
        self, account_id: str, grant: NewGrant, record: Callable[[], Awaitable[AdminTicket]]
    ) -> AdminTicket:
        """Record an adjustment; wait for the charge that it makes good if that is not flushed yet."""
        owner, digest = self._requests.reservation(grant.reservation_id)
        if owner != account_id:
            raise checks.invalid("reservation_id", f"belongs to another account than {account_id!r}")
        for _ in range(_FLUSH_POLLS):
            try:
                return await record()
            except NotFound as failure:
                if failure.reason != Reason.RESERVATION_NOT_FOUND:
                    raise
            known = await execute(self._engine, ReadReservation(account_id, digest))
            if isinstance(known, ReservationRead) and known.reservation.state != ReservationState.COMMITTED:
                break
            await asyncio.sleep(_FLUSH_POLL_SECONDS)
        return await record()

    async def _fill_grant(self, into: grants.Grant, account_id: str, number: int, after: AccountNow) -> None:
        record = await self._accounts.get_grant(account_id, number)
        fill_grant(into, record, after.grants, self._now())
