"""Accounts of another system: the bounds of what is brought, and bringing it. `ImportAccounts` and `earmark import`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import Catalog, CurrentCatalog
from earmark.domain.plans import Overrides
from earmark.domain.states import GrantKind
from earmark.errors import EarmarkError, Internal, Reason, Unavailable, error
from earmark.ledger.billing import Term
from earmark.ledger.billing.imports import imported_identities, imported_subscription
from earmark.ledger.imports import Extra, ImportOutcome, Imports, NewImport, PastGrant
from earmark.ledger.models import MemberRecord
from earmark.server import checks
from earmark.server.account_forms import (
    DEFAULT_PRIORITY,
    content_of,
    grant_kind,
    grant_priority,
    member_role,
    new_account,
    user_id,
)
from earmark.server.billing_forms import identity, required_name
from earmark.v1 import account_pb2 as accounts
from earmark.v1 import account_service_pb2 as pb

__all__ = ["Importer"]

MAX_GRANTS = 5_000
"""Of one account, ended ones too."""
MAX_MEMBERS = 10_000
MAX_IDENTITIES = 100
MAX_EXTERNAL_ID = 128

_BALANCE = "import-balance"
_LIFETIME = "import-lifetime"
"""Request ids of the grants that stand for amounts without a history; those of the others begin with `import/`."""

_TERMS = {"": Term.MONTH, "month": Term.MONTH, "year": Term.YEAR}
_OUTCOMES = {
    ImportOutcome.IMPORTED: pb.ImportAccountsResponse.OUTCOME_IMPORTED,
    ImportOutcome.UNCHANGED: pb.ImportAccountsResponse.OUTCOME_UNCHANGED,
    ImportOutcome.VALID: pb.ImportAccountsResponse.OUTCOME_VALID,
}


class Importer:
    """Brings accounts in, each by itself."""

    def __init__(self, imports: Imports, catalogs: CurrentCatalog, now: Callable[[], int]) -> None:
        """`now` tells the time in microseconds since 1970: nothing of a past may lie after it."""
        self._imports = imports
        self._catalogs = catalogs
        self._now = now

    async def bring(
        self, account: pb.ImportedAccount, *, validate_only: bool = False, actor: str = ""
    ) -> pb.ImportAccountsResponse:
        """Bring an account, and say what became of it. Safe to repeat.

        Raises:
            Unavailable: SQL is away; what became of the account is unknown.
        """
        response = pb.ImportAccountsResponse(account_id=account.account_id)
        try:
            catalog, now = self._catalogs.current, self._now()
            wanted, extras = checked_import(account, catalog, now)
            outcome = await self._imports.bring(wanted, actor=actor, dry_run=validate_only, extras=extras)
        except (Unavailable, Internal):
            raise
        except EarmarkError as refusal:
            response.outcome = pb.ImportAccountsResponse.OUTCOME_REFUSED
            response.message, response.reason = refusal.message, refusal.reason
        else:
            response.outcome = _OUTCOMES[outcome]
        return response


def checked_import(given: pb.ImportedAccount, catalog: Catalog, now: int) -> tuple[NewImport, list[Extra]]:
    """Check an account; return it, and what belongs to it besides.

    What lies before `now` will always do so, so that a repeated import is never refused for its form.

    Raises:
        EarmarkError: INVALID_ARGUMENT or INVALID_AMOUNT, naming the field.
    """
    account = new_account(
        pb.CreateAccountRequest(
            account_id=given.account_id,
            display_name=given.display_name,
            time_zone=given.time_zone,
            labels=given.labels,
        )
    )
    grants = _grants(given, catalog, now)
    members = _members(given.members, now)
    identities = _identities(given.claimed_identities)
    extras: list[Extra] = []
    subscription: tuple[object, ...] = ()
    if given.HasField("subscription"):
        plan_id, term, anchor, overrides = _subscription(given.subscription, now)
        extras.append(imported_subscription(catalog, plan_id, term, anchor, overrides))
        subscription = (plan_id, term.value, anchor, overrides.credits)
    if identities:
        extras.append(imported_identities(identities))
    content = (
        account,
        sorted((_sent(grant) for grant in given.grants), key=lambda sent: sent[0]),
        given.balance_micros,
        given.lifetime_charged_micros,
        sorted((member.user_id, member.role) for member in members),
        sorted(identities),
        subscription,
    )
    return NewImport(account, grants, members, content_of("ImportAccounts", content)), extras


def _sent(grant: pb.ImportedGrant) -> tuple[str, ...]:
    """Return what makes a grant the same: as it was sent, whatever the clock and the catalog make of it."""
    acquired = grant.acquire_time.ToJsonString() if grant.HasField("acquire_time") else ""
    expires = grant.expire_time.ToJsonString() if grant.HasField("expire_time") else ""
    priority = str(grant.priority) if grant.HasField("priority") else ""
    amounts = f"{grant.amount_micros}/{grant.charged_micros}/{grant.expired_micros}"
    return grant.external_id, str(grant.kind), amounts, priority, acquired, expires, grant.comment


def _grants(given: pb.ImportedAccount, catalog: Catalog, now: int) -> tuple[PastGrant, ...]:
    if len(given.grants) > MAX_GRANTS:
        raise checks.invalid("grants", f"has {len(given.grants)} grants, {MAX_GRANTS} are allowed")
    found = [_grant(grant, f"grants[{at}]", catalog, now) for at, grant in enumerate(given.grants)]
    _require_unique((grant.external_id for grant in given.grants), "grants", "external_id")
    balance = checks.amount(given.balance_micros, "balance_micros")
    if balance:
        comment = "balance before the import"
        found.append(_without_history(_BALANCE, balance, 0, None, comment))
    charged = checks.amount(given.lifetime_charged_micros, "lifetime_charged_micros")
    if charged:
        # When, nobody knows any more: at the beginning of time it is in every lifetime total and in no month's use.
        found.append(_without_history(_LIFETIME, charged, charged, 0, "charged before the import"))
    total = sum(grant.amount for grant in found)
    if total > MAX_MICROS:
        raise error(
            Reason.INVALID_AMOUNT,
            f"grants: what account {given.account_id!r} was given altogether, {total} microcredits, is more than the "
            f"largest amount, {MAX_MICROS}",
            {"granted_micros": total},
            field="grants",
        )
    return tuple(found)


def _without_history(request_id: str, amount: int, charged: int, acquired: int | None, comment: str) -> PastGrant:
    return PastGrant(request_id, GrantKind.ADJUSTMENT, amount, charged, 0, DEFAULT_PRIORITY, acquired, 0, comment)


def _grant(given: pb.ImportedGrant, field: str, catalog: Catalog, now: int) -> PastGrant:
    external_id = given.external_id
    if not (0 < len(external_id) <= MAX_EXTERNAL_ID and external_id.isascii() and external_id.isprintable()):
        raise checks.invalid(f"{field}.external_id", f"is not 1 to {MAX_EXTERNAL_ID} printable ASCII characters")
    amount = checks.amount(given.amount_micros, f"{field}.amount_micros")
    charged = checks.amount(given.charged_micros, f"{field}.charged_micros")
    expired = checks.amount(given.expired_micros, f"{field}.expired_micros")
    if amount == 0:
        raise error(
            Reason.INVALID_AMOUNT,
            f"{field}.amount_micros: a grant has at least 1 microcredit",
            {"amount_micros": 0},
            field=f"{field}.amount_micros",
        )
    if charged + expired > amount:
        raise error(
            Reason.INVALID_AMOUNT,
            f"{field}.amount_micros: of {amount} microcredits {charged} were charged and {expired} expired, together "
            "more than were granted",
            {"amount_micros": amount, "charged_micros": charged, "expired_micros": expired},
            field=f"{field}.amount_micros",
        )
    acquired = _past(given, "acquire_time", field, now)
    expires = checks.time(given.expire_time, f"{field}.expire_time") if given.HasField("expire_time") else 0
    if given.HasField("expire_time") and expires <= (acquired or 0):
        raise checks.invalid(f"{field}.expire_time", "does not lie after the acquire_time")
    kind = grant_kind(given.kind, f"{field}.kind")
    priority = grant_priority(given, f"{field}.priority")
    return PastGrant(
        request_id=f"import/{external_id}",
        kind=kind,
        amount=amount,
        charged=charged,
        expired=expired,
        priority=catalog.priority.get(kind, DEFAULT_PRIORITY) if priority is None else priority,
        acquire_time=acquired,
        expire_time=expires,
        comment=checks.prose(given.comment, f"{field}.comment"),
    )


def _members(given: Sequence[accounts.Member], now: int) -> tuple[MemberRecord, ...]:
    if len(given) > MAX_MEMBERS:
        raise checks.invalid("members", f"has {len(given)} members, {MAX_MEMBERS} are allowed")
    found = []
    for at, member in enumerate(given):
        field = f"members[{at}]"
        added = _past(member, "create_time", field, now)
        name, role = user_id(member.user_id, f"{field}.user_id"), member_role(member.role, f"{field}.role")
        found.append(MemberRecord(name, role, now if added is None else added))
    _require_unique((member.user_id for member in found), "members", "user_id")
    return tuple(found)


def _identities(given: Sequence[str]) -> list[str]:
    if len(given) > MAX_IDENTITIES:
        raise checks.invalid("claimed_identities", f"has {len(given)} identities, {MAX_IDENTITIES} are allowed")
    found = [identity(text, f"claimed_identities[{at}]") for at, text in enumerate(given)]
    return list(dict.fromkeys(found))  # Two spellings of one are one.


def _subscription(given: pb.ImportedSubscription, now: int) -> tuple[str, Term, int, Overrides]:
    plan_id = required_name(given.plan_id, "subscription.plan_id")
    term = _TERMS.get(given.term)
    if term is None:
        raise checks.invalid("subscription.term", f"{given.term[:40]!r} is neither month nor year")
    anchor = _past(given, "anchor_time", "subscription", now)
    if anchor is None:
        raise checks.invalid("subscription.anchor_time", "is missing: say when its first cycle began")
    credits = checks.amount(given.credits_micros, "subscription.credits_micros")
    return plan_id, term, anchor, Overrides(credits=credits if given.HasField("credits_micros") else None)


def _past(
    given: pb.ImportedGrant | pb.ImportedSubscription | accounts.Member, name: str, field: str, now: int
) -> int | None:
    """Check a time that may be absent, and may not lie in the future."""
    if not given.HasField(name):
        return None
    time = checks.time(getattr(given, name), f"{field}.{name}")
    if time > now:
        raise checks.invalid(f"{field}.{name}", "lies in the future")
    return time


def _require_unique(names: Iterable[str], field: str, key: str) -> None:
    seen: set[str] = set()
    for at, name in enumerate(names):
        if name in seen:
            raise checks.invalid(f"{field}[{at}].{key}", f"{name!r} is there twice")
        seen.add(name)
