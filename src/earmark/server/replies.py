"""Results to protos. `fill_*` write into a message in place: built once, inside the frame that carries it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from earmark.credits import format_credits
from earmark.domain.ids import ReservationDigest, format_grant_id, format_reservation_id
from earmark.domain.limits import parse_limit_key
from earmark.domain.states import AlertKind
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
    "rfc3339",
]

_decode_details = msgspec.json.Decoder(Details).decode
_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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


def rfc3339(micros: int) -> str:
    """Return a time as text: `2026-07-01T00:00:00Z`."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def _fill_notices(
    into: pb.ReserveResponse | pb.CommitResponse | pb.ExtendResponse | pb.ChargeResponse, done: Done
) -> None:
    balance = done.balance
    if done.would_refuse:
        into.notices.add(
            kind=reservations.Notice.KIND_WOULD_REFUSE,
            message="this account only observes; enforcement would have refused the call",
        )
    for warned in done.notices:
        notice = into.notices.add(threshold_micros=warned.threshold)
        match AlertKind(warned.kind):
            case AlertKind.LIMIT_NEAR:
                name, _, _, scope, subject = parse_limit_key(warned.key)
                whose = f" of {scope.value} {subject!r}" if subject else ""
                notice.kind = reservations.Notice.KIND_LIMIT_NEAR
                notice.limit_name = name
                notice.message = (
                    f"the limit {name!r}{whose} is almost used up: it allows {format_credits(warned.threshold)} credits"
                )
            case AlertKind.CRITICAL_BALANCE:
                notice.kind = reservations.Notice.KIND_CRITICAL_BALANCE
                notice.message = f"{_left(balance)}, at or below the critical {format_credits(warned.threshold)}"
            case AlertKind.LOW_BALANCE:
                notice.kind = reservations.Notice.KIND_LOW_BALANCE
                notice.message = f"{_left(balance)}, at or below {format_credits(warned.threshold)}"
            case AlertKind.EXPIRING_SOON:
                notice.kind = reservations.Notice.KIND_EXPIRING_SOON
    if balance.expiring_soon:
        first = f", the first of them at {rfc3339(balance.next_expire_time)}" if balance.next_expire_time else ""
        into.notices.add(
            kind=reservations.Notice.KIND_EXPIRING_SOON,
            message=f"{format_credits(balance.expiring_soon)} credits expire soon{first}",
        )


def _left(balance: BalanceView) -> str:
    return f"{format_credits(balance.available + balance.reserved)} credits are left"


def fill_reserve(into: pb.ReserveResponse, done: Done) -> str:
    """Write the answer to a Reserve; return the reservation's id."""
    view = done.reservation
    reservation_id = fill_reservation(into.reservation, view)
    fill_balance(into.balance, view.account_id, done.balance)
    if done.notices or done.would_refuse or done.balance.expiring_soon:
        _fill_notices(into, done)
    if done.replayed:
        into.replayed = True
    return reservation_id


def fill_extend(into: pb.ExtendResponse, done: Done) -> str:
    """Write the answer to an Extend; return the reservation's id."""
    view = done.reservation
    reservation_id = fill_reservation(into.reservation, view)
    fill_balance(into.balance, view.account_id, done.balance)
    if done.notices or done.would_refuse or done.balance.expiring_soon:
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
    if done.notices or done.would_refuse or done.balance.expiring_soon:
        _fill_notices(into, done)
    into.charged_micros = view.charged
    if view.uncollected:
        into.uncollected_micros = view.uncollected
    if done.replayed:
        into.replayed = True
    return reservation_id


fill_charge = fill_commit
