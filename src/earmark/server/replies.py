"""Results to protos. `fill_*` write into a message in place: built once, inside the frame that carries it."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from earmark.credits import format_credits
from earmark.domain.ids import ReservationDigest, format_grant_id, format_reservation_id
from earmark.engine.operations import Details
from earmark.engine.results import BalanceView, Done, ReservationView
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import reservation_pb2 as reservations

__all__ = [
    "fill_balance",
    "fill_charge",
    "fill_commit",
    "fill_extend",
    "fill_release",
    "fill_reservation",
    "fill_reserve",
    "fill_time",
]

_decode_details = msgspec.json.Decoder(Details).decode
_SECOND = 1_000_000

_reservation_id = lru_cache(maxsize=16_384)(format_reservation_id)


def fill_time(into: Timestamp, micros: int) -> None:
    """Write a time."""
    into.seconds = micros // _SECOND
    into.nanos = micros % _SECOND * 1_000


def fill_reservation(into: reservations.Reservation, view: ReservationView) -> str:
    """Write a reservation; return its public id ("" for one that was only validated and has none)."""
    account_id = view.account_id
    reservation_id = _reservation_id(account_id, ReservationDigest(view.digest)) if view.digest else ""
    into.reservation_id = reservation_id
    into.account_id = account_id
    into.state = view.state  # type: ignore[assignment]  # The numbers are the proto's.
    into.reserved_micros = view.reserved
    if view.settle_time:
        into.charged_micros = view.charged
        into.uncollected_micros = view.uncollected
        into.late = bool(view.late)
        fill_time(into.settle_time, view.settle_time)
    elif view.uncollected:
        into.uncollected_micros = view.uncollected
    fill_time(into.create_time, view.create_time)
    fill_time(into.expire_time, view.expire_time)
    if view.price_version:
        into.price_version = view.price_version
    numbers = view.allocations
    for at in range(0, len(numbers), 3):
        allocation = into.allocations.add()
        allocation.grant_id = format_grant_id(numbers[at])
        allocation.kind = numbers[at + 1]  # type: ignore[assignment]
        allocation.amount_micros = numbers[at + 2]
    if view.details:
        _fill_details(into, _decode_details(view.details))
    return reservation_id


def _fill_details(into: reservations.Reservation, details: Details) -> None:
    into.request_id = details.request_id
    if details.operation:
        into.operation = details.operation
    if details.user_id:
        into.user_id = details.user_id
    if details.project_id:
        into.project_id = details.project_id
    if details.quantity is not None:
        into.quantity = details.quantity
    if details.usage:
        into.usage.counts.update(details.usage)
    if details.attributes:
        into.attributes.update(details.attributes)
    if details.labels:
        into.labels.update(details.labels)


def fill_balance(into: reservations.Balance, account_id: str, view: BalanceView) -> None:
    """Write an account's totals."""
    into.account_id = account_id
    into.available_micros = view.available
    into.reserved_micros = view.reserved
    into.lifetime_charged_micros = view.charged
    into.version = view.version
    if view.debt:
        into.debt_micros = view.debt
    if view.expiring_soon:
        into.expiring_soon_micros = view.expiring_soon
    if view.next_expire_time:
        fill_time(into.next_expire_time, view.next_expire_time)


def _fill_notices(
    into: pb.ReserveResponse | pb.CommitResponse | pb.ExtendResponse | pb.ChargeResponse, done: Done
) -> None:
    if done.would_refuse:
        into.notices.add(
            kind=reservations.Notice.KIND_WOULD_REFUSE,
            message="this account only observes; enforcement would have refused the call",
        )
    expiring = done.balance.expiring_soon
    if expiring:
        into.notices.add(
            kind=reservations.Notice.KIND_EXPIRING_SOON, message=f"{format_credits(expiring)} credits expire soon"
        )


def fill_reserve(into: pb.ReserveResponse, done: Done) -> str:
    """Write the answer to a Reserve; return the reservation's id."""
    view = done.reservation
    reservation_id = fill_reservation(into.reservation, view)
    fill_balance(into.balance, view.account_id, done.balance)
    if done.would_refuse or done.balance.expiring_soon:
        _fill_notices(into, done)
    if done.replayed:
        into.replayed = True
    return reservation_id


def fill_extend(into: pb.ExtendResponse, done: Done) -> str:
    """Write the answer to an Extend; return the reservation's id."""
    view = done.reservation
    reservation_id = fill_reservation(into.reservation, view)
    fill_balance(into.balance, view.account_id, done.balance)
    if done.would_refuse or done.balance.expiring_soon:
        _fill_notices(into, done)
    if done.replayed:
        into.replayed = True
    return reservation_id


def fill_release(into: pb.ReleaseResponse, done: Done) -> str:
    """Write the answer to a Release; return the reservation's id."""
    view = done.reservation
    reservation_id = fill_reservation(into.reservation, view)
    fill_balance(into.balance, view.account_id, done.balance)
    if done.replayed:
        into.replayed = True
    return reservation_id


def fill_commit(into: pb.CommitResponse | pb.ChargeResponse, done: Done) -> str:
    """Write the answer to a Commit or Charge; return the reservation's id."""
    view = done.reservation
    reservation_id = fill_reservation(into.reservation, view)
    fill_balance(into.balance, view.account_id, done.balance)
    if done.would_refuse or done.balance.expiring_soon:
        _fill_notices(into, done)
    into.charged_micros = view.charged
    if view.uncollected:
        into.uncollected_micros = view.uncollected
    if done.replayed:
        into.replayed = True
    return reservation_id


fill_charge = fill_commit
