"""`earmark account member-add|member-remove`: who may spend an account's credits."""

from __future__ import annotations

from typing import Annotated

import typer

from earmark.cli.account.group import commands
from earmark.cli.account.options import Role, UserId, new_request_id
from earmark.cli.cards import print_changed_account
from earmark.cli.connection import Connection, connected
from earmark.cli.options import AccountId, Json, RequestId

__all__: list[str] = []


@commands.add(
    "earmark account member-add acme alice",
    "earmark account member-add acme bob --role admin",
    name="member-add",
)
@connected
def member_add(
    connection: Connection,
    account_id: AccountId,
    user_id: UserId,
    role: Annotated[Role, typer.Option("--role", help="What the member may do.")] = Role.MEMBER,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Add a member, or change a member's role. From the first member on, only members may spend."""
    from earmark.v1.account_service_pb2 import AddMemberRequest

    request = AddMemberRequest(
        account_id=account_id,
        request_id=new_request_id(request_id),
        user_id=user_id,
        role=f"ROLE_{role.upper()}",
    )
    print_changed_account(connection.call(connection.accounts.AddMember, request), as_json)


@commands.add("earmark account member-remove acme alice", name="member-remove")
@connected
def member_remove(
    connection: Connection,
    account_id: AccountId,
    user_id: UserId,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Remove a member."""
    from earmark.v1.account_service_pb2 import RemoveMemberRequest

    request = RemoveMemberRequest(account_id=account_id, request_id=new_request_id(request_id), user_id=user_id)
    print_changed_account(connection.call(connection.accounts.RemoveMember, request), as_json)
