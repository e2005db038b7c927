"""Billing in SQL: subscriptions, free plans and purchases, and the operations that give their credits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import IntegrityError

from earmark.domain.catalog import Catalog
from earmark.domain.ids import ContentDigest
from earmark.domain.plans import Overrides
from earmark.ledger.administration import AdminCall, account_key_of
from earmark.ledger.billing import purchases as buying
from earmark.ledger.billing import subscriptions as subscribing
from earmark.ledger.billing.credits import owed_credits, settle_owed
from earmark.ledger.billing.models import (
    PurchaseOutcome,
    PurchaseRecord,
    PurchaseState,
    Quote,
    SubscriptionOutcome,
    SubscriptionRecord,
    Term,
)
from earmark.ledger.billing.rows import (
    current_subscription,
    latest_subscription,
    subscription_not_found,
)
from earmark.ledger.billing.terms import advance
from earmark.ledger.configuration import read_configuration
from earmark.ledger.connections import Database
from earmark.ledger.models import AccountConfiguration, AdminTicket
from earmark.ledger.tables import accounts
from earmark.ledger.tables.billing import subscriptions

__all__ = ["Billing", "Renewed"]

_Purchases = list[PurchaseRecord]


class Renewed(Struct, frozen=True):
    """What the cycle job recorded of one account. Relay its tickets in their order."""

    account_id: str
    cycles: int
    """How many cycles began."""
    tickets: tuple[AdminTicket, ...]
    failure: Exception | None = None
    """What kept this account, and nobody else, from being renewed: a bug."""


class Billing:
    """Subscriptions and purchases as SQL has recorded them. Tickets still have to be relayed to Redis.

    Every call that takes a request id takes the digest of its content too: the same request again returns what the
    first one did, `replayed`; another content raises `AlreadyExists` with REQUEST_ID_REUSED. An unknown account raises
    `NotFound` with ACCOUNT_NOT_FOUND. Forms are checked already. Each call is one transaction, with the operations
    that it records: whoever dies after it leaves them to the relay.
    """

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    # Reading

    async def subscription(self, account_id: str) -> SubscriptionRecord:
        """Return the account's latest subscription, one that has ended too.

        Raises:
            NotFound: SUBSCRIPTION_NOT_FOUND.
        """

        def read(connection: Connection) -> SubscriptionRecord:
            found = latest_subscription(connection, account_key_of(connection, account_id))
            if found is None:
                raise subscription_not_found(account_id)
            return found

        return await self._database.read(read)

    async def configuration(self, account_id: str) -> tuple[AccountConfiguration, SubscriptionRecord | None]:
        """Return what calls are derived from: the account's configuration and its subscription, of one moment.

        The subscription is None if it has none, or if that has ended.
        """

        def read(connection: Connection) -> tuple[AccountConfiguration, SubscriptionRecord | None]:
            configuration = read_configuration(connection, account_id)
            return configuration, current_subscription(connection, account_key_of(connection, account_id))

        return await self._database.read(read)

    # Subscriptions

    async def create_subscription(
        self,
        account_id: str,
        request_id: str,
        content: ContentDigest,
        catalog: Catalog,
        plan_id: str,
        *,
        term: Term = Term.MONTH,
        overrides: Overrides = Overrides(),  # noqa: B008  frozen
        actor: str = "",
    ) -> SubscriptionOutcome:
        """Subscribe an account and record the credits of the first cycle, which begins now.

        Raises:
            NotFound: PLAN_NOT_FOUND.
            InvalidRequest: the plan is claimed, or custom and its credits are not given.
            AlreadyExists: ALREADY_SUBSCRIBED; FREE_PLAN_CLAIMED, for a plan for new accounts only.
        """
        call = self._call(account_id, request_id, content, actor)
        return await self._database.write(
            lambda connection: subscribing.create(connection, call, catalog, plan_id, term, overrides)
        )

    async def subscribe_default(self, account_id: str, catalog: Catalog) -> SubscriptionOutcome | None:
        """Subscribe an account that never had a plan to the catalog's default one; None if there is nothing to do."""
        if not catalog.default_plan:
            return None
        now = self._clock()
        return await self._database.write(
            lambda connection: subscribing.subscribe_default(connection, account_id, catalog, now)
        )

    async def change_plan(
        self,
        account_id: str,
        request_id: str,
        content: ContentDigest,
        catalog: Catalog,
        plan_id: str,
        *,
        term: Term | None = None,
        overrides: Overrides | None = None,
        actor: str = "",
    ) -> SubscriptionOutcome:
        """Change plan or term: an upgrade at once, everything else when what was paid is over.

        The present plan takes back what was planned, a cancellation too. `None` keeps term and overrides.

        Raises:
            NotFound: PLAN_NOT_FOUND, SUBSCRIPTION_NOT_FOUND.
            FailedPrecondition: SUBSCRIPTION_ENDED.
            InvalidRequest: as for `create_subscription`.
        """
        call = self._call(account_id, request_id, content, actor)
        return await self._database.write(
            lambda connection: subscribing.change(connection, call, catalog, plan_id, term, overrides)
        )

    async def cancel_subscription(
        self,
        account_id: str,
        request_id: str,
        content: ContentDigest,
        catalog: Catalog,
        *,
        reason: str = "",
        actor: str = "",
    ) -> SubscriptionOutcome:
        """End a subscription when what was paid is over; at once if nothing is left of that. Credits stay.

        Raises:
            NotFound: SUBSCRIPTION_NOT_FOUND.
            FailedPrecondition: SUBSCRIPTION_ENDED.
        """
        call = self._call(account_id, request_id, content, actor, reason)
        return await self._database.write(lambda connection: subscribing.cancel(connection, call, catalog))

    async def confirm_renewal(
        self, account_id: str, request_id: str, content: ContentDigest, catalog: Catalog, *, actor: str = ""
    ) -> SubscriptionOutcome:
        """Begin the term that is waited for, or note that the next one is paid.

        Raises:
            NotFound: SUBSCRIPTION_NOT_FOUND.
            FailedPrecondition: RENEWAL_NOT_DUE, SUBSCRIPTION_ENDED.
        """
        call = self._call(account_id, request_id, content, actor)
        return await self._database.write(lambda connection: subscribing.confirm_renewal(connection, call, catalog))

    async def claim_free_plan(
        self,
        account_id: str,
        request_id: str,
        content: ContentDigest,
        catalog: Catalog,
        identity: str,
        plan_id: str = "",
        *,
        actor: str = "",
    ) -> SubscriptionOutcome:
        """Subscribe an account to a claimed plan, once for each identity, which is normalised already.

        Raises:
            AlreadyExists: FREE_PLAN_CLAIMED, ALREADY_SUBSCRIBED.
            NotFound: PLAN_NOT_FOUND.
            InvalidRequest: the plan is not claimed, or several are and none is named.
        """
        call = self._call(account_id, request_id, content, actor)
        return await self._database.write(
            lambda connection: subscribing.claim(connection, call, catalog, identity, plan_id)
        )

    # Purchases

    async def create_purchase(
        self,
        account_id: str,
        request_id: str,
        content: ContentDigest,
        quote: Quote,
        payment_reference: str = "",
        *,
        actor: str = "",
    ) -> PurchaseOutcome:
        """Begin a purchase, which keeps its quote; a repeat keeps the first one's.

        Raises:
            AlreadyExists: PAYMENT_REFERENCE_USED.
        """
        call = self._call(account_id, request_id, content, actor)

        def create(connection: Connection) -> PurchaseOutcome:
            return buying.create(connection, call, quote, payment_reference)

        try:
            return await self._database.write(create)
        except IntegrityError:
            # PostgreSQL let another purchase take the reference between our look and our insert: now we see it.
            return await self._database.write(create)

    async def purchase_of_request(self, account_id: str, request_id: str) -> PurchaseRecord | None:
        """Return the purchase that a request began, or None."""
        return await self._database.read(lambda connection: buying.of_request(connection, account_id, request_id))

    async def confirm_purchase(
        self, purchase_id: str, payment_reference: str = "", *, actor: str = ""
    ) -> PurchaseOutcome:
        """Record the credits of a purchase, once; `purchase_id` may be "" with a reference that it was begun with.

        Raises:
            NotFound: PURCHASE_NOT_FOUND.
            FailedPrecondition: PURCHASE_FAILED.
            AlreadyExists: PAYMENT_REFERENCE_USED.
            InvalidRequest: the purchase has another reference.
        """
        now = self._clock()

        def confirm(connection: Connection) -> PurchaseOutcome:
            return buying.confirm(connection, purchase_id, payment_reference, now, actor)

        try:
            return await self._database.write(confirm)
        except IntegrityError:
            return await self._database.write(confirm)

    async def fail_purchase(
        self, purchase_id: str, payment_reference: str = "", *, reason: str = ""
    ) -> PurchaseOutcome:
        """Note that the payment failed.

        Raises:
            NotFound: PURCHASE_NOT_FOUND.
            FailedPrecondition: PURCHASE_CONFIRMED.
            AlreadyExists: PAYMENT_REFERENCE_USED.
            InvalidRequest: the purchase has another reference.
        """
        now = self._clock()

        def fail(connection: Connection) -> PurchaseOutcome:
            return buying.fail(connection, purchase_id, payment_reference, reason, now)

        try:
            return await self._database.write(fail)
        except IntegrityError:
            return await self._database.write(fail)

    async def list_purchases(
        self, account_id: str, limit: int, *, state: PurchaseState | None = None, before: int | None = None
    ) -> _Purchases:
        """Return a page of purchases, newest first, those whose key is below `before`."""
        return await self._database.read(
            lambda connection: buying.list_purchases(connection, account_id, state, limit, before)
        )

    # The cycle job

    async def next_due(self, after: int) -> int | None:
        """Return the first moment after `after` at which a cycle ends; None if there is none."""
        query = (
            select(subscriptions.c.due_time)
            # To the letter as the partial index says it, so that it is used.
            .where(text("due_time > 0"), subscriptions.c.due_time > after)
            .order_by(subscriptions.c.due_time)
            .limit(1)
        )
        found = await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())
        return None if found is None else int(found)

    async def renew_due(self, catalog: Catalog, limit: int, partitions: Sequence[int] | None = None) -> list[Renewed]:
        """Begin the cycles that are due, of at most `limit` accounts, in one transaction.

        Of several who do this at once each takes other accounts, or finds nothing due any more. Accounts that another
        administrative change holds are left to the next call.
        """
        now = self._clock()
        first = await self.next_due(0)
        if first is None or first > now:
            return []  # Nearly always: the one writer of SQLite is not asked for nothing.
        return await self._database.write(lambda connection: _renew_due(connection, catalog, now, limit, partitions))

    async def accounts_without_plan(
        self, after_key: int, window: int, partitions: Sequence[int] | None = None
    ) -> tuple[int, list[str]]:
        """Return accounts that never had a plan, of the `window` account keys above `after_key`.

        Returns:
            Where to go on, which is `after_key` again at the end; and the ids.
        """

        def read(connection: Connection) -> tuple[int, list[str]]:
            newest = connection.execute(select(func.max(accounts.c.account_key))).scalar_one_or_none() or 0
            last = max(after_key, min(after_key + window, newest))
            query = (
                select(accounts.c.account_id)
                .where(
                    accounts.c.account_key > after_key,
                    accounts.c.account_key <= last,
                    ~select(subscriptions.c.subscription_key)
                    .where(subscriptions.c.account_key == accounts.c.account_key)
                    .exists(),
                )
                .order_by(accounts.c.account_key)
            )
            if partitions is not None:
                query = query.where(accounts.c.partition.in_(partitions))
            return last, list(connection.execute(query).scalars())

        return await self._database.read(read)

    async def settle_owed(self, refused_before: int, limit: int) -> list[AdminTicket]:
        """Record credits anew that Redis refused to accounts with too many grants, before a moment."""
        now = self._clock()
        if not await self._database.read(lambda connection: owed_credits(connection, refused_before, 1)):
            return []

        def settle(connection: Connection) -> list[AdminTicket]:
            tickets = []
            # By key: everybody who locks several accounts does so in one order.
            for account_key, account_id, request_id in sorted(owed_credits(connection, refused_before, limit)):
                ticket = settle_owed(connection, account_key, account_id, request_id, now)
                tickets += [] if ticket is None else [ticket]
            return tickets

        return await self._database.write(settle)

    def _call(
        self, account_id: str, request_id: str, content: ContentDigest, actor: str, comment: str = ""
    ) -> AdminCall:
        return AdminCall(account_id, request_id, content, self._clock(), actor, comment)


def _renew_due(
    connection: Connection, catalog: Catalog, now: int, limit: int, partitions: Sequence[int] | None
) -> list[Renewed]:
    due = (
        select(subscriptions.c.account_key)
        # To the letter as the partial index says it, so that it is used.
        .where(text("due_time > 0"), subscriptions.c.due_time <= now)
        .order_by(subscriptions.c.due_time)
        .limit(limit)
    )
    if partitions is not None:
        due = due.where(subscriptions.c.partition.in_(partitions))
    keys = sorted(connection.execute(due).scalars())
    if not keys:
        return []
    # By key: everybody who locks several accounts does so in one order. What somebody else works on is skipped.
    locked = connection.execute(
        select(accounts)
        .where(accounts.c.account_key.in_(keys))
        .order_by(accounts.c.account_key)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
    renewed = []
    for account in locked:
        subscription = current_subscription(connection, account.account_key)
        if subscription is None:
            continue
        try:
            with connection.begin_nested():
                after, tickets = advance(connection, account, subscription, catalog, now)
        except (LookupError, TypeError, ValueError, RuntimeError) as failure:
            renewed.append(Renewed(account.account_id, 0, (), failure))
            continue
        if after is not subscription:
            renewed.append(Renewed(account.account_id, after.cycle - subscription.cycle, tuple(tickets)))
    return renewed
