"""Building the messages of the hot path from what callers write. Everything is checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping

from earmark.client.amounts import (
    Amount,
    OveragePolicy,
    overage_number,
    quantity_number,
    to_duration,
    to_micros_fast,
    usage_counts,
)
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["charge_call", "fill", "only_one", "reserve_call"]


def reserve_call(ttl: float | None, wait: float) -> pb.SessionCall:
    """Build a Reserve of which only the durations are known, in seconds; `fill` does the rest."""
    message = pb.SessionCall()
    request = message.reserve
    if ttl is not None:
        request.ttl.CopyFrom(to_duration(ttl))
    if wait:
        request.wait.CopyFrom(to_duration(wait))
    return message


def charge_call(wait: float, overage_policy: OveragePolicy | str | None, comment: str | None) -> pb.SessionCall:
    """Build a Charge of which all but its subject is known, `wait` in seconds; `fill` does the rest.

    Raises:
        ValueError: for a policy that does not exist.
    """
    message = pb.SessionCall()
    request = message.charge
    request.overage_policy = overage_number(overage_policy)
    if comment:
        request.comment = comment
    if wait:
        request.wait.CopyFrom(to_duration(wait))
    return message


def fill(
    request: pb.ReserveRequest | pb.ChargeRequest,
    account_id: str,
    request_id: str,
    amount: Amount | None,
    operation: str | None,
    quantity: int | None,
    usage: Mapping[str, int] | None,
    attributes: Mapping[str, str] | None,
    min_amount: Amount | None,
    min_quantity: int | None,
    user_id: str | None,
    project_id: str | None,
    labels: Mapping[str, str] | None,
) -> None:
    """Write what Reserve and Charge have in common: what is generated, for whom, and for how much.

    Raises:
        TypeError, ValueError: what cannot be sent.
    """
    request.account_id = account_id
    request.request_id = request_id
    if amount is not None:
        request.amount_micros = to_micros_fast(amount)
    if operation is not None:
        request.operation = operation
    if quantity is not None:
        request.quantity = quantity_number(quantity)
    if usage is not None:
        request.usage.counts.update(usage_counts(usage))
        request.usage.SetInParent()
    if attributes:
        request.attributes.update(attributes)
    if min_amount is not None:
        request.min_amount_micros = to_micros_fast(min_amount)
    if min_quantity is not None:
        request.min_quantity = quantity_number(min_quantity)
    if user_id is not None:
        request.user_id = user_id
    if project_id is not None:
        request.project_id = project_id
    if labels:
        request.labels.update(labels)


def only_one(**given: object) -> None:
    """Check that at most one of these arguments is given.

    Raises:
        TypeError: more than one is.
    """
    present = [name for name, value in given.items() if value is not None]
    if len(present) > 1:
        raise TypeError(f"give only one of {', '.join(present)}")
