"""`earmark account create|show|list|update|suspend|resume`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from earmark.cli.account.configuration import Configuration
from earmark.cli.account.creation import create_grant
from earmark.cli.account.group import commands
from earmark.cli.account.options import (
    AccountZone,
    BalanceAlertsOff,
    Clearable,
    CriticalBalance,
    Emails,
    Enforce,
    Expires,
    ExpiringSoon,
    GrantKind,
    Kind,
    Labels,
    Limits,
    LowBalance,
    Name,
    Overdraft,
    Priority,
    Reason,
    Webhook,
    WebhookSecret,
    new_request_id,
    read_secret,
)
from earmark.cli.cards import (
    account_rows,
    balance_rows,
    print_changed_account,
    print_grants,
    print_limits,
    subscription_rows,
)
from earmark.cli.connection import Connection, connected
from earmark.cli.exits import CommandError, status_of
from earmark.cli.options import AccountId, Comment, Json, Limit, RequestId, TimeZone
from earmark.cli.output import (
    Column,
    credits_or_dash,
    enum_word,
    format_time,
    message_fields,
    note,
    note_replay,
    print_card,
    print_json,
    print_line,
    print_table,
    timestamp_micros,
)
from earmark.cli.paging import pages
from earmark.cli.values import UTC_ZONE, parse_credits
from earmark.credits import format_credits
from earmark.errors import EarmarkError, NotFound
from earmark.errors import Reason as Refusal

if TYPE_CHECKING:
    from earmark.v1.billing_service_pb2 import Subscription

__all__: list[str] = []

_GRANT_SUFFIX = "/grant"
_LONGEST_ID_BEFORE_A_GRANT = 256 - len(_GRANT_SUFFIX)


@commands.add(
    "earmark account create acme --grant 100",
    "earmark account create acme --grant 100 --kind purchase --expires 2027-07-27 --time-zone Europe/Paris",
    "earmark account create lab --overdraft 20 --low-balance 5 --email ops@example.com --label tier=gold",
    "earmark account create team --limit name=daily,window=day,amount=50 --limit "
    "name=videos,scope=operation,subject=video.generate,window=month,amount=320,mode=notify",
)
@connected
def create(
    connection: Connection,
    account_id: AccountId,
    grant: Annotated[
        int | None,
        typer.Option(
            "--grant", parser=parse_credits, metavar="CREDITS", help="Give it credits at once.", show_default=False
        ),
    ] = None,
    kind: Kind = GrantKind.FREE,
    priority: Priority = None,
    expires: Expires = None,
    comment: Comment = "",
    time_zone: AccountZone = None,
    overdraft: Overdraft = None,
    name: Name = None,
    enforcement: Enforce = None,
    low_balance: LowBalance = None,
    critical_balance: CriticalBalance = None,
    expiring_soon: ExpiringSoon = None,
    balance_alerts_off: BalanceAlertsOff = False,
    limit: Limits = None,
    email: Emails = None,
    webhook: Webhook = None,
    webhook_secret: WebhookSecret = None,
    label: Labels = None,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Create an account, and give it credits if --grant says so.

    If the command breaks off between the two, repeat it with the request id that its error names.
    """
    from earmark.v1.account_service_pb2 import CreateAccountRequest

    if grant is None and (expires is not None or priority is not None or comment):
        raise typer.BadParameter("--expires, --priority and --comment say something about --grant, which is missing")
    request_id = new_request_id(request_id)
    if grant is not None and len(request_id) > _LONGEST_ID_BEFORE_A_GRANT:
        raise typer.BadParameter(
            f"with --grant at most {_LONGEST_ID_BEFORE_A_GRANT} characters", param_hint="'--request-id'"
        )
    account = Configuration(
        name=name,
        time_zone=time_zone,
        overdraft=overdraft,
        enforcement=enforcement,
        low_balance=low_balance,
        critical_balance=critical_balance,
        expiring_soon=expiring_soon,
        balance_alerts_off=balance_alerts_off,
        limits=limit,
        emails=email,
        webhook=webhook,
        webhook_secret=read_secret(webhook_secret),
        labels=label,
    ).account(account_id)
    request = CreateAccountRequest(
        account_id=account_id,
        request_id=request_id,
        display_name=account.display_name,
        time_zone=account.time_zone,
        overdraft_limit_micros=account.overdraft_limit_micros,
        enforcement=account.enforcement,
        thresholds=account.thresholds,
        contacts=account.contacts,
        labels=account.labels,
        limits=account.limits,
    )
    response = connection.call(connection.accounts.CreateAccount, request)
    if grant is not None:
        try:
            create_grant(
                connection,
                account_id,
                grant,
                kind,
                f"{request_id}{_GRANT_SUFFIX}",
                priority=priority,
                expires=expires,
                zone=time_zone or UTC_ZONE,
                comment=comment,
            )
        except EarmarkError as error:
            raise CommandError(
                f"account {account_id} exists, but not yet its credits: {error} ({error.reason}); "
                f"repeat the command with --request-id {request_id}",
                status_of(error),
            ) from None
    _show(connection, account_id, UTC_ZONE, as_json, replayed=response.replayed)


@commands.add("earmark account show acme", "earmark account show acme --all --time-zone Europe/Paris")
@connected
def show(
    connection: Connection,
    account_id: AccountId,
    all_grants: Annotated[bool, typer.Option("--all", help="Grants of which nothing is left, too.")] = False,
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """Show an account: its configuration, its balance, what is left of each grant in the order of use, its plan, its
    limits.
    """
    _show(connection, account_id, time_zone, as_json, all_grants=all_grants)


def _show(
    connection: Connection,
    account_id: str,
    zone: ZoneInfo,
    as_json: bool,
    *,
    all_grants: bool = False,
    replayed: bool = False,
) -> None:
    from earmark.v1.account_service_pb2 import GetAccountRequest, ListGrantsRequest
    from earmark.v1.metering_service_pb2 import GetBalanceRequest

    account = connection.call(connection.accounts.GetAccount, GetAccountRequest(account_id=account_id)).account
    answer = connection.call(connection.metering.GetBalance, GetBalanceRequest(account_id=account_id))
    grants = list(answer.grants)
    if all_grants:
        request = ListGrantsRequest(account_id=account_id, page_size=1_000)
        grants = list(pages(connection, connection.accounts.ListGrants, request, "grants"))
    subscription = _subscription(connection, account_id)
    if as_json:
        fields: dict[str, Any] = {"account": message_fields(account), "balance": message_fields(answer.balance)}
        fields["subscription"] = message_fields(subscription) if subscription is not None else None
        print_json({**fields, "grants": [message_fields(grant) for grant in grants], "replayed": replayed})
        return
    note_replay(replayed)
    print_card([*account_rows(account, zone), *balance_rows(answer.balance, zone)])
    print_line("")
    print_grants(grants, zone, title="grants, newest first" if all_grants else "grants, in the order of use")
    if subscription is not None:
        print_line("")
        print_card(row for row in subscription_rows(subscription, zone) if row[0] != "account")
    if account.limits:
        print_line("")
        print_limits(account.limits, zone, title="limits of its own")


def _subscription(connection: Connection, account_id: str) -> Subscription | None:
    from earmark.v1.billing_service_pb2 import GetSubscriptionRequest

    request = GetSubscriptionRequest(account_id=account_id)
    try:
        found: Subscription = connection.call(connection.billing.GetSubscription, request).subscription
    except NotFound as error:
        if error.reason != Refusal.SUBSCRIPTION_NOT_FOUND:
            raise
        return None
    return found


@commands.add(
    "earmark account list --balances",
    "earmark account list --prefix team- --json | jq -r '.[].account_id'",
    name="list",
)
@connected
def list_accounts(
    connection: Connection,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TEXT", help="Only ids that start so.", show_default=False)
    ] = "",
    balances: Annotated[bool, typer.Option("--balances", help="Read each account's balance, one call each.")] = False,
    limit: Limit = 100,
    time_zone: TimeZone = UTC_ZONE,
    as_json: Json = False,
) -> None:
    """List accounts by id."""
    from earmark.v1.account_service_pb2 import ListAccountsRequest
    from earmark.v1.metering_service_pb2 import GetBalanceRequest

    request = ListAccountsRequest(account_id_prefix=prefix, page_size=min(limit + 1, 1_000))
    accounts = list(islice(pages(connection, connection.accounts.ListAccounts, request, "accounts"), limit + 1))
    rows: list[list[str]] = []
    fields: list[dict[str, Any]] = []
    for account in accounts[:limit]:
        rows.append(
            [
                account.account_id,
                enum_word(account, "state"),
                account.display_name,
                account.time_zone,
                enum_word(account, "enforcement"),
                credits_or_dash(account.overdraft_limit_micros),
                format_time(timestamp_micros(account.create_time), time_zone),
            ]
        )
        fields.append(message_fields(account))
        if balances:
            balance_request = GetBalanceRequest(account_id=account.account_id)
            balance = connection.call(connection.metering.GetBalance, balance_request).balance
            charged, debt = balance.lifetime_charged_micros, balance.debt_micros
            rows[-1] += [format_credits(balance.available_micros), credits_or_dash(balance.reserved_micros)]
            rows[-1] += [credits_or_dash(charged), credits_or_dash(debt)]
            fields[-1]["balance"] = message_fields(balance)
    if as_json:
        print_json(fields)
    else:
        columns = [Column("account"), Column("state"), Column("name", optional=True), Column("time zone")]
        columns += [Column("enforcement"), Column("overdraft", number=True, optional=True), Column("created")]
        if balances:
            columns += [Column(title, number=True) for title in ("available", "reserved", "charged", "debt")]
        print_table(columns, rows, empty="No account.")
    if len(accounts) > limit:
        note(f"There are more: these are the first {limit}; --limit shows more.")


@commands.add(
    "earmark account update acme --overdraft 50 --low-balance 10",
    "earmark account update acme --time-zone America/New_York --enforcement observe",
    "earmark account update acme --limit name=daily,window=day,amount=50,mode=notify,near=90",
    "earmark account update acme --webhook https://example.com/alerts --webhook-secret -    asks stdin for it",
    "earmark account update acme --clear thresholds --clear labels",
)
@connected
def update(
    connection: Connection,
    account_id: AccountId,
    time_zone: AccountZone = None,
    overdraft: Overdraft = None,
    name: Name = None,
    enforcement: Enforce = None,
    low_balance: LowBalance = None,
    critical_balance: CriticalBalance = None,
    expiring_soon: ExpiringSoon = None,
    balance_alerts_off: BalanceAlertsOff = False,
    limit: Limits = None,
    email: Emails = None,
    webhook: Webhook = None,
    webhook_secret: WebhookSecret = None,
    label: Labels = None,
    clear: Annotated[
        list[Clearable] | None, typer.Option("--clear", help="Empty this; repeat it for more.", show_default=False)
    ] = None,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Change an account's configuration: what is not named stays as it is.

    Thresholds, contacts, labels and limits change as a whole: name all that shall be there afterwards.
    """
    from google.protobuf.field_mask_pb2 import FieldMask

    from earmark.v1.account_service_pb2 import UpdateAccountRequest

    configuration = Configuration(
        name=name,
        time_zone=time_zone,
        overdraft=overdraft,
        enforcement=enforcement,
        low_balance=low_balance,
        critical_balance=critical_balance,
        expiring_soon=expiring_soon,
        balance_alerts_off=balance_alerts_off,
        limits=limit,
        emails=email,
        webhook=webhook,
        webhook_secret=read_secret(webhook_secret),
        labels=label,
    )
    paths = configuration.paths()
    for field in clear or ():
        if field.path in paths:
            raise typer.BadParameter(f"{field} is set by another option", param_hint="'--clear'")
        paths.append(field.path)
    if not paths:
        raise typer.BadParameter("nothing to change: name at least one option")
    request = UpdateAccountRequest(
        account=configuration.account(account_id),
        update_mask=FieldMask(paths=paths),
        request_id=new_request_id(request_id),
    )
    print_changed_account(connection.call(connection.accounts.UpdateAccount, request), as_json)


@commands.add("earmark account suspend acme --reason 'payment failed'")
@connected
def suspend(
    connection: Connection,
    account_id: AccountId,
    reason: Reason = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Refuse new reservations and charges; what is open can still be committed or released."""
    from earmark.v1.account_service_pb2 import SuspendAccountRequest

    request = SuspendAccountRequest(account_id=account_id, request_id=new_request_id(request_id), reason=reason)
    print_changed_account(connection.call(connection.accounts.SuspendAccount, request), as_json)


@commands.add("earmark account resume acme --reason 'paid'")
@connected
def resume(
    connection: Connection,
    account_id: AccountId,
    reason: Reason = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """End a suspension."""
    from earmark.v1.account_service_pb2 import ResumeAccountRequest

    request = ResumeAccountRequest(account_id=account_id, request_id=new_request_id(request_id), reason=reason)
    print_changed_account(connection.call(connection.accounts.ResumeAccount, request), as_json)
