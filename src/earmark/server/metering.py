"""`MeteringService`: the hot path. Translates, submits, and answers; what anything means is decided in the engine."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial

from msgspec.structs import replace

from earmark.domain.states import ReservationState
from earmark.engine.operations import AccountOperation, Extend, ReadBalance, ReadReservation
from earmark.engine.results import BalanceRead, Done, Refused, ReservationRead, Result
from earmark.errors import EarmarkError, Internal, Reason, Unavailable
from earmark.ledger.accounts import Accounts
from earmark.ledger.entries import Entries
from earmark.server import checks
from earmark.server.admission import Admission
from earmark.server.completion import complete
from earmark.server.deferral import Deferral
from earmark.server.deferred import Deferred
from earmark.server.estimates import check_estimate, fill_estimate
from earmark.server.grants import burn_down_grants
from earmark.server.ledger import catalogs_of, fill_entry
from earmark.server.listing import ReservationPages
from earmark.server.ports import ServingEngine
from earmark.server.pricing import CatalogVersions
from earmark.server.refusals import Refusals
from earmark.server.replies import (
    fill_balance,
    fill_charge,
    fill_commit,
    fill_extend,
    fill_release,
    fill_reservation,
    fill_reserve,
)
from earmark.server.session import SessionStream
from earmark.server.unary import Context, execute, fail, stream, unary, unexpected
from earmark.server.validation import Requests
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import metering_service_pb2_grpc as rpc
from earmark.v1 import reservation_pb2 as reservations

__all__ = ["MeteringServicer"]

_FLUSH_PATIENCE_SECONDS = 2.0
"""For the details of a reservation that ended a moment ago: they are in its entry, on its way to SQL."""
_STATES: dict[int, str] = {number: text for text, number in reservations.Reservation.State.items()}


class MeteringServicer(rpc.MeteringServiceServicer):
    """The servicer."""

    needs_store = True

    def __init__(
        self,
        engine: ServingEngine,
        accounts: Accounts,
        entries: Entries,
        requests: Requests,
        catalogs: CatalogVersions,
        deferral: Deferral,
        refusals: Refusals,
        admission: Admission,
        now: Callable[[], int],
        *,
        max_calls_in_flight: int,
    ) -> None:
        self.admission = admission
        self._engine = engine
        self._catalogs = catalogs
        self._now = now
        self._deferral = deferral
        self._refusals = refusals
        self._accounts = accounts
        self._entries = entries
        self._requests = requests
        self._pages = ReservationPages(engine, entries)
        self._max_calls_in_flight = max_calls_in_flight

    async def _done(self, check: Callable[[], AccountOperation]) -> Done:
        """Check and execute a call of the hot path; raise its refusal."""
        operation: AccountOperation | None = None
        try:
            operation = check()
        except Deferred as deferred:
            resolved = await self._deferral.resolve(deferred, check)
            if isinstance(resolved, Done):
                return await self._completed(resolved)
            operation = resolved
        result = await self._engine.execute(operation)
        if isinstance(result, Refused):
            raise self._refusals.error(result, operation)
        if not isinstance(result, Done):
            raise _wrong_kind(result)
        view = result.reservation
        if view.state == ReservationState.ACTIVE:
            if view.digest and not isinstance(operation, Extend):
                self.admission.note_hold(view.digest, view.expire_time)
            return result
        self.admission.forget_hold(view.digest)
        return await self._completed(result)

    async def _completed(self, done: Done) -> Done:
        if done.reservation.details or done.reservation.state == ReservationState.ACTIVE:
            return done
        return replace(done, reservation=await complete(self._entries, done.reservation))

    @unary
    async def Reserve(self, request: pb.ReserveRequest, _context: Context) -> pb.ReserveResponse:
        """Reserve credits."""
        if self.admission.draining:
            raise self.admission.refusal()
        done = await self._done(partial(self._requests.reserve, request))
        response = pb.ReserveResponse()
        reservation_id = fill_reserve(response, done)
        view = done.reservation
        if reservation_id and view.state == ReservationState.ACTIVE:
            self._requests.remember(reservation_id, view.account_id, view.digest, view.price_version, view.details)
        return response

    @unary
    async def Commit(self, request: pb.CommitRequest, _context: Context) -> pb.CommitResponse:
        """Charge a reservation."""
        response = pb.CommitResponse()
        fill_commit(response, await self._done(partial(self._requests.commit, request)))
        return response

    @unary
    async def Release(self, request: pb.ReleaseRequest, _context: Context) -> pb.ReleaseResponse:
        """Give a reservation back."""
        response = pb.ReleaseResponse()
        fill_release(response, await self._done(partial(self._requests.release, request)))
        return response

    @unary
    async def Extend(self, request: pb.ExtendRequest, _context: Context) -> pb.ExtendResponse:
        """Give a reservation more time or more credits."""
        response = pb.ExtendResponse()
        fill_extend(response, await self._done(partial(self._requests.extend, request)))
        return response

    @unary
    async def Charge(self, request: pb.ChargeRequest, _context: Context) -> pb.ChargeResponse:
        """Reserve and commit in one step."""
        if self.admission.draining:
            raise self.admission.refusal()
        response = pb.ChargeResponse()
        fill_charge(response, await self._done(partial(self._requests.charge, request)))
        return response

    @unary
    async def GetReservation(self, request: pb.GetReservationRequest, _context: Context) -> pb.GetReservationResponse:
        """Return one reservation."""
        account_id, digest = self._requests.reservation(request.reservation_id)
        result = await execute(self._engine, ReadReservation(account_id, digest))
        if not isinstance(result, ReservationRead):
            raise _wrong_kind(result)
        response = pb.GetReservationResponse()
        fill_reservation(
            response.reservation, await complete(self._entries, result.reservation, _FLUSH_PATIENCE_SECONDS)
        )
        return response

    @unary
    async def ListReservations(
        self, request: pb.ListReservationsRequest, _context: Context
    ) -> pb.ListReservationsResponse:
        """List a page of an account's reservations."""
        account_id = checks.account_id(request.account_id)
        state = checks.member_of(request.state, _STATES, "state")
        size = checks.page_size(request.page_size)
        views, token = await self._pages.page(account_id, state, size, request.page_token)
        response = pb.ListReservationsResponse(next_page_token=token)
        for view in views:
            fill_reservation(response.reservations.add(), view)
        return response

    @unary
    async def GetBalance(self, request: pb.GetBalanceRequest, _context: Context) -> pb.GetBalanceResponse:
        """Return an account's totals, its grants in burn-down order, and its last entry."""
        account_id = checks.account_id(request.account_id)
        result = await execute(self._engine, ReadBalance(account_id, True))  # noqa: FBT003 - positional in msgspec's arrays
        if not isinstance(result, BalanceRead):
            raise _wrong_kind(result)
        response = pb.GetBalanceResponse()
        fill_balance(response.balance, account_id, result.balance)
        await burn_down_grants(self._accounts, account_id, result.grants, response.grants)
        with contextlib.suppress(Unavailable):  # SQL is away; the balance is Redis's to tell.
            entry = await self._entries.last_entry(account_id)
            if entry is not None:
                fill_entry(response.last_entry, entry, await catalogs_of(self._catalogs, (entry,)))
        return response

    @unary
    async def Estimate(self, request: pb.EstimateRequest, _context: Context) -> pb.EstimateResponse:
        """Price a list of operations, and compare it with what an account has."""
        catalog = self._catalogs.current
        plan = check_estimate(request, catalog)
        available: int | None = None
        if request.account_id:
            result = await execute(self._engine, ReadBalance(request.account_id))
            if not isinstance(result, BalanceRead):
                raise _wrong_kind(result)
            available = result.balance.available
        response = pb.EstimateResponse()
        fill_estimate(response, plan, catalog, available, self._now())
        return response

    @stream
    async def WatchBalance(
        self, request: pb.WatchBalanceRequest, _context: Context
    ) -> AsyncIterator[pb.WatchBalanceResponse]:
        """Send the balance at once, then the latest after every change."""
        account_id = checks.account_id(request.account_id)
        async for view in self._engine.watch(account_id):
            response = pb.WatchBalanceResponse()
            fill_balance(response.balance, account_id, view)
            yield response

    async def Session(self, _requests: object, context: Context) -> None:
        """Carry many calls on one stream."""
        admission = self.admission
        admission.sessions += 1
        try:
            session = SessionStream(
                self._engine,
                self._entries,
                self._requests,
                self._deferral,
                self._refusals,
                admission,
                context,
                self._max_calls_in_flight,
            )
            await session.run()
        except EarmarkError as failure:
            await fail(context, failure)
        except Exception as failure:  # noqa: BLE001 - the boundary: a bug ends one stream, not the server
            await fail(context, unexpected(failure, "Session"))
        finally:
            admission.sessions -= 1


def _wrong_kind(result: Result) -> EarmarkError:
    return Internal(Reason.INTERNAL, f"the store answered with {type(result).__name__}, which does not fit the call")
