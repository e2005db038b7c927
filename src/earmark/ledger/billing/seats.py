"""Seats: how many members a plan allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, select

from earmark.domain.catalog import Plan
from earmark.errors import Reason, error
from earmark.ledger.billing.rows import current_subscription
from earmark.ledger.tables import members

__all__ = ["seat_check"]


def seat_check(plans: Mapping[str, Plan]) -> Callable[[Connection, Row[Any]], None]:
    """Return what `Accounts.add_member` asks, behind the account's lock, before it adds somebody.

    Args:
        plans: Of the catalog in force. An account without a subscription has any number of seats.

    Raises:
        PermissionDenied: SEATS_EXHAUSTED, from what is returned.
    """

    def check(connection: Connection, account: Row[Any]) -> None:
        subscription = current_subscription(connection, account.account_key)
        if subscription is None:
            return
        plan = subscription.effective(plans)
        if plan.seats is None:
            return
        query = select(func.count()).where(
            members.c.account_key == account.account_key, members.c.removed_seq.is_(None)
        )
        taken = connection.execute(query).scalar_one()
        if taken >= plan.seats:
            raise error(
                Reason.SEATS_EXHAUSTED,
                f"the plan {plan.plan_id!r} of account {account.account_id!r} allows {plan.seats} members, and it has "
                f"{taken}: remove one, or change to a plan with more seats",
                {"seats": plan.seats, "members": taken, "plan_id": plan.plan_id},
            )

    return check
