"""Requests of `AccountService` to what the ledger stores, and accounts to protos."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
from msgspec import UNSET

from earmark.domain.catalog import LimitMode, LimitRule, LimitScope, LimitWindow
from earmark.domain.ids import ContentDigest, content_digest
from earmark.domain.states import Enforcement, GrantKind
from earmark.errors import Reason, error
from earmark.ledger.models import (
    AccountChanges,
    AccountRecord,
    Contacts,
    MemberRole,
    NewAccount,
    Thresholds,
)
from earmark.server import checks
from earmark.server.catalog_forms import fill_limit
from earmark.server.replies import fill_time
from earmark.v1 import account_pb2 as accounts
from earmark.v1 import account_service_pb2 as pb
from earmark.v1 import catalog_pb2 as catalog
from earmark.v1 import grant_pb2 as grants

__all__ = [
    "DEFAULT_PRIORITY",
    "AskedGrant",
    "account_changes",
    "asked_grant",
    "content_of",
    "creation_content",
    "fill_account",
    "grant_kind",
    "grant_priority",
    "member_role",
    "new_account",
    "sets_alerts",
    "user_id",
]

_DISPLAY_NAME = 256
_MAX_EMAILS = 16
_MAX_EMAIL = 254
_MAX_URL = 2_048
_MAX_TIME_ZONE = 64
_MAX_SECRET = 256
_MAX_LIMITS = 16
_MAX_LIMIT_NAME = 64
_DEFAULT_NEAR = 80
DEFAULT_PRIORITY = 100
_MAX_PRIORITY = 1_000_000

_ENFORCEMENTS: dict[int, str] = {number: text for text, number in accounts.Account.Enforcement.items()}
_ROLES: dict[int, str] = {number: text for text, number in accounts.Member.Role.items()}
_KINDS: dict[int, str] = {number: text for text, number in grants.Grant.Kind.items()}
_SCOPES: dict[int, str] = {number: text for text, number in catalog.Limit.Scope.items()}
_SCOPES_OF: dict[int, LimitScope] = {
    catalog.Limit.SCOPE_ACCOUNT: LimitScope.ACCOUNT,
    catalog.Limit.SCOPE_USER: LimitScope.USER,
    catalog.Limit.SCOPE_PROJECT: LimitScope.PROJECT,
    catalog.Limit.SCOPE_OPERATION: LimitScope.OPERATION,
}
_WINDOWS: dict[int, str] = {number: text for text, number in catalog.Limit.Window.items()}
_WINDOWS_OF: dict[int, LimitWindow] = {
    catalog.Limit.WINDOW_DAY: LimitWindow.DAY,
    catalog.Limit.WINDOW_MONTH: LimitWindow.MONTH,
    catalog.Limit.WINDOW_CYCLE: LimitWindow.CYCLE,
    catalog.Limit.WINDOW_LIFETIME: LimitWindow.LIFETIME,
}
_MODES: dict[int, str] = {number: text for text, number in catalog.Limit.Mode.items()}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_URL = re.compile(r"https?://[!-~]+")


def content_of(rpc: str, content: object) -> ContentDigest:
    """Return the digest of what a request asks for: any value that msgspec encodes, maps sorted."""
    return content_digest(msgspec.msgpack.encode((rpc, content)))


def creation_content(account: NewAccount) -> object:
    """Return what makes a repeated CreateAccount the same request. Fields that a release added count once given."""
    content = cast("dict[str, object]", msgspec.to_builtins(msgspec.structs.replace(account, labels={})))
    return content if account.limits else {name: value for name, value in content.items() if name != "limits"}


def sets_alerts(changes: AccountChanges) -> bool:
    """Return whether a change gives an account thresholds or contacts of its own."""
    return changes.thresholds not in (UNSET, Thresholds()) or changes.contacts not in (UNSET, Contacts())


def new_account(request: pb.CreateAccountRequest) -> NewAccount:
    """Check a CreateAccount."""
    return NewAccount(
        account_id=checks.account_id(request.account_id),
        display_name=checks.name(request.display_name, "display_name", _DISPLAY_NAME),
        time_zone=_time_zone(request.time_zone, "time_zone"),
        overdraft_limit=checks.amount(request.overdraft_limit_micros, "overdraft_limit_micros"),
        enforcement=_enforcement(request.enforcement, "enforcement"),
        thresholds=_thresholds(request.thresholds, "thresholds"),
        contacts=_contacts(request.contacts, "contacts"),
        labels=checks.labels(request.labels),
        limits=_limits(request.limits, "limits"),
    )


def account_changes(request: pb.UpdateAccountRequest) -> AccountChanges:
    """Check the fields that an UpdateAccount names; the others stay UNSET."""
    account = request.account
    if not request.update_mask.paths:
        raise checks.invalid("update_mask", "is missing: name the fields to change")
    changes: dict[str, object] = {}
    for path in request.update_mask.paths:
        match path:
            case "display_name":
                changes[path] = checks.name(account.display_name, "account.display_name", _DISPLAY_NAME)
            case "time_zone":
                changes[path] = _time_zone(account.time_zone, "account.time_zone")
            case "overdraft_limit_micros":
                field = "account.overdraft_limit_micros"
                changes["overdraft_limit"] = checks.amount(account.overdraft_limit_micros, field)
            case "enforcement":
                changes[path] = _enforcement(account.enforcement, "account.enforcement")
            case "thresholds":
                changes[path] = _thresholds(account.thresholds, "account.thresholds")
            case "contacts":
                changes[path] = _contacts(account.contacts, "account.contacts")
            case "labels":
                changes[path] = checks.labels(account.labels, "account.labels")
            case "limits":
                changes[path] = _limits(account.limits, "account.limits")
            case _:
                raise checks.invalid(
                    "update_mask",
                    f"{path[:64]!r} is none of display_name, time_zone, overdraft_limit_micros, enforcement, "
                    "thresholds, contacts, labels, limits",
                )
    return AccountChanges(**changes)  # type: ignore[arg-type]  # Each was checked for its own field above.


@dataclass(frozen=True, slots=True)
class AskedGrant:
    """A CreateGrant as it was sent; None for what it leaves to the catalog and the clock."""

    kind: GrantKind
    amount: int
    priority: int | None
    expire_time: int | None
    """0 for never."""
    acquire_time: int | None
    comment: str
    reservation_id: str

    @property
    def content(self) -> tuple[object, ...]:
        """What makes a repeat the same request: never what was made of it, which follows the clock and the catalog."""
        priority = DEFAULT_PRIORITY if self.priority is None else self.priority
        sent = (self.amount, self.kind, priority, self.expire_time or 0, self.acquire_time, self.reservation_id)
        return (*sent, True) if self.expire_time == 0 else sent


def asked_grant(request: pb.CreateGrantRequest) -> AskedGrant:
    """Check a CreateGrant."""
    amount = checks.amount(request.amount_micros, "amount_micros")
    if amount == 0:
        raise error(
            Reason.INVALID_AMOUNT,
            "amount_micros: a grant has at least 1 microcredit",
            {"amount_micros": 0},
            field="amount_micros",
        )
    kind = grant_kind(request.kind, "kind")
    priority = grant_priority(request, "priority")
    expire_time = checks.time(request.expire_time, "expire_time") if request.HasField("expire_time") else None
    if expire_time == 0:
        raise checks.invalid("expire_time", "must lie in the future")
    if request.never_expires:
        if expire_time is not None:
            raise checks.invalid("never_expires", "give either expire_time or never_expires, not both")
        expire_time = 0
    if request.reservation_id and kind is not GrantKind.ADJUSTMENT:
        raise checks.invalid("reservation_id", "only a grant of KIND_ADJUSTMENT makes good a reservation's charge")
    return AskedGrant(
        kind,
        amount,
        priority,
        expire_time,
        checks.time(request.acquire_time, "acquire_time") if request.HasField("acquire_time") else None,
        checks.prose(request.comment, "comment"),
        request.reservation_id,
    )


def grant_kind(value: int, field: str) -> GrantKind:
    """Check where credits come from; free ones by default."""
    return GrantKind(checks.member_of(value, _KINDS, field) or GrantKind.FREE)


def grant_priority(given: pb.CreateGrantRequest | pb.ImportedGrant, field: str) -> int | None:
    """Check a priority: 0 to 1,000,000; None where it is left to the catalog."""
    if not given.HasField("priority"):
        return None
    if not 0 <= given.priority <= _MAX_PRIORITY:
        raise checks.invalid(field, f"{given.priority} is not between 0 and {_MAX_PRIORITY}")
    return given.priority


def user_id(text: str, field: str = "user_id") -> str:
    """Check the id of a member: 1 to 128 characters."""
    if not text:
        raise checks.invalid(field, "is missing; give 1 to 128 characters")
    return checks.name(text, field)


def member_role(value: int, field: str = "role") -> MemberRole:
    """Check a member's role."""
    return MemberRole(checks.member_of(value, _ROLES, field) or MemberRole.MEMBER)


def fill_account(into: accounts.Account, record: AccountRecord) -> None:
    """Write an account."""
    into.account_id = record.account_id
    into.display_name = record.display_name
    into.state = accounts.Account.STATE_SUSPENDED if record.suspended else accounts.Account.STATE_ACTIVE
    into.enforcement = int(record.enforcement)  # type: ignore[assignment]  # The numbers are the proto's.
    into.time_zone = record.time_zone
    into.overdraft_limit_micros = record.overdraft_limit
    thresholds = record.thresholds
    if thresholds.low_balance is not None:
        into.thresholds.low_balance_micros = thresholds.low_balance
    if thresholds.critical_balance is not None:
        into.thresholds.critical_balance_micros = thresholds.critical_balance
    if thresholds.expiring_soon is not None:
        into.thresholds.expiring_soon.FromMicroseconds(thresholds.expiring_soon)
    into.thresholds.balance_alerts_off = thresholds.balance_alerts_off
    into.contacts.emails.extend(record.contacts.emails)
    if record.contacts.webhook_url:
        into.contacts.webhook_url = record.contacts.webhook_url
    into.labels.update(record.labels)
    for limit in record.limits:
        fill_limit(into.limits.add(), limit)
    for member in record.members:
        row = into.members.add(user_id=member.user_id, role=int(member.role))
        fill_time(row.create_time, member.create_time)
    fill_time(into.create_time, record.create_time)
    fill_time(into.update_time, record.update_time)


def _time_zone(name: str, field: str) -> str:
    if not name:
        return "UTC"
    try:
        if len(name) > _MAX_TIME_ZONE or not name.isascii() or not name.isprintable():
            raise zoneinfo.ZoneInfoNotFoundError
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise checks.invalid(field, f"{name[:64]!r} is no IANA time zone, such as Europe/Paris") from None
    return name


def _enforcement(value: int, field: str) -> Enforcement:
    return Enforcement(checks.member_of(value, _ENFORCEMENTS, field) or Enforcement.BLOCK)


def _thresholds(given: accounts.Thresholds, field: str) -> Thresholds:
    low = given.low_balance_micros if given.HasField("low_balance_micros") else None
    critical = given.critical_balance_micros if given.HasField("critical_balance_micros") else None
    soon = checks.duration(given.expiring_soon, f"{field}.expiring_soon") if given.HasField("expiring_soon") else None
    if soon is not None and not 0 <= soon <= checks.MAX_TIME:
        raise checks.invalid(f"{field}.expiring_soon", "is negative or longer than 285 years")
    return Thresholds(
        low_balance=None if low is None else checks.amount(low, f"{field}.low_balance_micros"),
        critical_balance=None if critical is None else checks.amount(critical, f"{field}.critical_balance_micros"),
        expiring_soon=soon,
        balance_alerts_off=given.balance_alerts_off,
    )


def _contacts(given: accounts.Contacts, field: str) -> Contacts:
    if len(given.emails) > _MAX_EMAILS:
        raise checks.invalid(f"{field}.emails", f"has {len(given.emails)} addresses, {_MAX_EMAILS} are allowed")
    for email in given.emails:
        if len(email) > _MAX_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
            raise checks.invalid(f"{field}.emails", f"{email[:64]!r} is no e-mail address")
    url = given.webhook_url
    if url and (len(url) > _MAX_URL or not _URL.fullmatch(url)):
        raise checks.invalid(f"{field}.webhook_url", f"{url[:64]!r} is no http or https address")
    secret = given.webhook_secret
    if secret and not url:
        raise checks.invalid(f"{field}.webhook_secret", "signs what a webhook receives: give webhook_url too")
    if len(secret) > _MAX_SECRET or not secret.isprintable():
        raise checks.invalid(f"{field}.webhook_secret", f"is not at most {_MAX_SECRET} printable characters")
    return Contacts(emails=tuple(given.emails), webhook_url=url, webhook_secret=secret)


def _limits(given: Sequence[catalog.Limit], field: str) -> tuple[LimitRule, ...]:
    if len(given) > _MAX_LIMITS:
        raise checks.invalid(field, f"has {len(given)} limits, {_MAX_LIMITS} are allowed")
    rules = [_limit(limit, f"{field}[{at}]") for at, limit in enumerate(given)]
    names: set[str] = set()
    for at, rule in enumerate(rules):
        if rule.name in names:
            raise checks.invalid(f"{field}[{at}].name", f"{rule.name!r} is the name of two limits")
        names.add(rule.name)
    return tuple(rules)


def _limit(given: catalog.Limit, field: str) -> LimitRule:
    """Check a limit. When it was created is the server's to say: what a caller read may come back with it."""
    name = checks.name(given.name, f"{field}.name", _MAX_LIMIT_NAME)
    if not name or ":" in name:
        raise checks.invalid(f"{field}.name", f"{name!r} is not 1 to {_MAX_LIMIT_NAME} characters without a colon")
    scope = _SCOPES_OF.get(checks.member_of(given.scope, _SCOPES, f"{field}.scope"))
    if scope is None:
        raise checks.invalid(f"{field}.scope", "is missing: say what it counts")
    window = _WINDOWS_OF.get(checks.member_of(given.window, _WINDOWS, f"{field}.window"))
    if window is None:
        raise checks.invalid(f"{field}.window", "is missing: say for how long it counts")
    subject = checks.name(given.subject, f"{field}.subject")
    if subject and scope is LimitScope.ACCOUNT:
        raise checks.invalid(f"{field}.subject", "a limit of the whole account has none")
    notify = checks.member_of(given.mode, _MODES, f"{field}.mode") == catalog.Limit.MODE_NOTIFY
    near = given.near_percent or _DEFAULT_NEAR
    if not 1 <= near <= 100:
        raise checks.invalid(f"{field}.near_percent", f"{near} is not between 1 and 100")
    return LimitRule(
        name,
        scope,
        window,
        checks.amount(given.amount_micros, f"{field}.amount_micros"),
        LimitMode.NOTIFY if notify else LimitMode.BLOCK,
        subject,
        near,
    )
