"""`BillingService`: plans, free plans and purchases become grants. SQL records, Redis applies, then we answer."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec

from earmark.domain.catalog import CurrentCatalog
from earmark.domain.packs import quote_pack
from earmark.errors import Unavailable
from earmark.ledger.accounts import Accounts
from earmark.ledger.billing import Billing, PurchaseOutcome, SubscriptionEvent, Term
from earmark.server import billing_forms as forms
from earmark.server import checks
from earmark.server.account_forms import content_of
from earmark.server.administration import Relay
from earmark.server.admission import Admission
from earmark.server.grants import fill_grant
from earmark.server.paging import decode_token, encode_token
from earmark.server.replies import fill_balance
from earmark.server.unary import Context, unary
from earmark.v1 import billing_service_pb2 as pb
from earmark.v1 import billing_service_pb2_grpc as rpc

__all__ = ["BillingServicer"]


class _BeforePurchase(msgspec.Struct, frozen=True, array_like=True):
    key: int


class BillingServicer(rpc.BillingServiceServicer):
    """The servicer."""

    needs_store = False
    """SQL comes first here; what Redis must do says so itself."""

    def __init__(
        self,
        billing: Billing,
        accounts: Accounts,
        relay: Relay,
        catalogs: CurrentCatalog,
        admission: Admission,
        now: Callable[[], int],
    ) -> None:
        """`now` tells the store's time, in microseconds since 1970."""
        self.admission = admission
        self._billing = billing
        self._accounts = accounts
        self._relay = relay
        self._catalogs = catalogs
        self._now = now

    @unary
    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, _context: Context
    ) -> pb.CreateSubscriptionResponse:
        """Subscribe an account."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        plan_id, term = forms.plan_id(request.plan_id), forms.term(request.term) or Term.MONTH
        overrides = forms.overrides(request.overrides)
        content = content_of("CreateSubscription", (plan_id, term, overrides))
        catalog = self._catalogs.current
        outcome = await self._billing.create_subscription(
            account_id, request_id, content, catalog, plan_id, term=term, overrides=overrides
        )
        now = await self._relay.complete_all(outcome.tickets, account_id)
        response = pb.CreateSubscriptionResponse(replayed=outcome.replayed)
        forms.fill_subscription(response.subscription, outcome.subscription, catalog.plans)
        fill_balance(response.balance, account_id, now.balance)
        return response

    @unary
    async def GetSubscription(
        self, request: pb.GetSubscriptionRequest, _context: Context
    ) -> pb.GetSubscriptionResponse:
        """Return the latest subscription."""
        subscription = await self._billing.subscription(checks.account_id(request.account_id))
        response = pb.GetSubscriptionResponse()
        forms.fill_subscription(response.subscription, subscription, self._catalogs.current.plans)
        return response

    @unary
    async def ChangePlan(self, request: pb.ChangePlanRequest, _context: Context) -> pb.ChangePlanResponse:
        """Upgrade at once, downgrade when what was paid is over."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        plan_id, term = forms.plan_id(request.plan_id), forms.term(request.term)
        overrides = forms.overrides(request.overrides) if request.HasField("overrides") else None
        content = content_of("ChangePlan", (plan_id, term, overrides))
        catalog = self._catalogs.current
        outcome = await self._billing.change_plan(
            account_id, request_id, content, catalog, plan_id, term=term, overrides=overrides
        )
        now = await self._relay.complete_all(outcome.tickets, account_id)
        response = pb.ChangePlanResponse(replayed=outcome.replayed)
        response.immediate = outcome.event is not SubscriptionEvent.CHANGE_PLANNED
        forms.fill_subscription(response.subscription, outcome.subscription, catalog.plans)
        fill_balance(response.balance, account_id, now.balance)
        return response

    @unary
    async def CancelSubscription(
        self, request: pb.CancelSubscriptionRequest, _context: Context
    ) -> pb.CancelSubscriptionResponse:
        """End a subscription when what was paid is over."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        reason = checks.prose(request.reason, "reason")
        content = content_of("CancelSubscription", None)
        catalog = self._catalogs.current
        outcome = await self._billing.cancel_subscription(account_id, request_id, content, catalog, reason=reason)
        await self._relay.complete_all(outcome.tickets, account_id)
        response = pb.CancelSubscriptionResponse(replayed=outcome.replayed)
        forms.fill_subscription(response.subscription, outcome.subscription, catalog.plans)
        return response

    @unary
    async def ConfirmRenewal(self, request: pb.ConfirmRenewalRequest, _context: Context) -> pb.ConfirmRenewalResponse:
        """Note that the next term is paid; begin it if it was waited for."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        catalog = self._catalogs.current
        content = content_of("ConfirmRenewal", None)
        outcome = await self._billing.confirm_renewal(account_id, request_id, content, catalog)
        now = await self._relay.complete_all(outcome.tickets, account_id)
        response = pb.ConfirmRenewalResponse(replayed=outcome.replayed)
        forms.fill_subscription(response.subscription, outcome.subscription, catalog.plans)
        fill_balance(response.balance, account_id, now.balance)
        return response

    @unary
    async def ClaimFreePlan(self, request: pb.ClaimFreePlanRequest, _context: Context) -> pb.ClaimFreePlanResponse:
        """Give a free plan, once for each identity."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        identity, plan_id = forms.identity(request.identity), checks.name(request.plan_id, "plan_id")
        content = content_of("ClaimFreePlan", (identity, plan_id))
        catalog = self._catalogs.current
        outcome = await self._billing.claim_free_plan(account_id, request_id, content, catalog, identity, plan_id)
        now = await self._relay.complete_all(outcome.tickets, account_id)
        response = pb.ClaimFreePlanResponse(replayed=outcome.replayed)
        forms.fill_subscription(response.subscription, outcome.subscription, catalog.plans)
        fill_balance(response.balance, account_id, now.balance)
        return response

    @unary
    async def CreatePurchase(self, request: pb.CreatePurchaseRequest, _context: Context) -> pb.CreatePurchaseResponse:
        """Begin a purchase, at today's price."""
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        pack_id = forms.required_name(request.pack_id, "pack_id")
        amount = checks.amount(request.amount_micros, "amount_micros") if request.HasField("amount_micros") else None
        method = checks.name(request.method, "method")
        reference = forms.payment_reference(request.payment_reference)
        content = content_of("CreatePurchase", (pack_id, amount, method, reference))
        # A repeat keeps the first one's quote, also when the catalog has no such pack any more.
        begun = await self._billing.purchase_of_request(account_id, request_id)
        if begun is None:
            quote = forms.quote_of(quote_pack(self._catalogs.current, pack_id, self._now(), method, amount))
        else:
            quote = begun.quote
        outcome = await self._billing.create_purchase(account_id, request_id, content, quote, reference)
        with contextlib.suppress(Unavailable):  # Nothing of the account changes: Redis may hear of it later.
            await self._relay.complete_all(outcome.tickets, account_id)
        response = pb.CreatePurchaseResponse(replayed=outcome.replayed)
        forms.fill_purchase(response.purchase, outcome.purchase)
        return response

    @unary
    async def ConfirmPurchase(
        self, request: pb.ConfirmPurchaseRequest, _context: Context
    ) -> pb.ConfirmPurchaseResponse:
        """Give what was paid, once."""
        outcome = await self._billing.confirm_purchase(*forms.which_purchase(request))
        response = pb.ConfirmPurchaseResponse(replayed=outcome.replayed)
        await self._fill_given(response, outcome)
        forms.fill_purchase(response.purchase, outcome.purchase)
        return response

    @unary
    async def FailPurchase(self, request: pb.FailPurchaseRequest, _context: Context) -> pb.FailPurchaseResponse:
        """Note that a payment failed."""
        purchase_id, reference = forms.which_purchase(request)
        reason = checks.prose(request.reason, "reason")
        outcome = await self._billing.fail_purchase(purchase_id, reference, reason=reason)
        response = pb.FailPurchaseResponse(replayed=outcome.replayed)
        forms.fill_purchase(response.purchase, outcome.purchase)
        return response

    @unary
    async def ListPurchases(self, request: pb.ListPurchasesRequest, _context: Context) -> pb.ListPurchasesResponse:
        """List a page of purchases, newest first."""
        account_id = checks.account_id(request.account_id)
        state = forms.purchase_state(request.state)
        size = checks.page_size(request.page_size)
        query = ("ListPurchases", account_id, request.state)
        before = decode_token(request.page_token, _BeforePurchase, query).key if request.page_token else None
        # One more than asked for tells whether there is a next page.
        records = await self._billing.list_purchases(account_id, size + 1, state=state, before=before)
        response = pb.ListPurchasesResponse()
        for record in records[:size]:
            forms.fill_purchase(response.purchases.add(), record)
        if len(records) > size:
            response.next_page_token = encode_token(_BeforePurchase(records[size - 1].key), query)
        return response

    async def _fill_given(self, response: pb.ConfirmPurchaseResponse, outcome: PurchaseOutcome) -> None:
        account_id = outcome.purchase.account_id
        after = await self._relay.complete_all(outcome.tickets, account_id)
        for ticket in outcome.tickets:
            record = await self._accounts.get_grant(account_id, ticket.admin_seq)
            fill_grant(response.grants.add(), record, after.grants, self._now())
        fill_balance(response.balance, account_id, after.balance)
