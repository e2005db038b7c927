"""What the client answers with: immutable values, amounts in credits as Decimal, times as aware datetimes in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from earmark.client.amounts import read_time
from earmark.client.calls import Reply
from earmark.credits import format_credits, to_credits
from earmark.v1 import account_pb2, grant_pb2, reservation_pb2
from earmark.v1 import metering_service_pb2 as pb

__all__ = [
    "Account",
    "AccountBalance",
    "Allocation",
    "Balance",
    "Grant",
    "Notice",
    "Receipt",
    "Reservation",
]


def _enum_text(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _credits(amount: Decimal) -> str:
    return format_credits(int(amount.scaleb(6)))


def _grant_kind(kind: grant_pb2.Grant.Kind) -> str:
    return _enum_text(grant_pb2.Grant.Kind.Name(kind), "KIND_")


@dataclass(frozen=True, slots=True)
class Allocation:
    """The part of one grant that a reservation holds or charged."""

    grant_id: str
    kind: str
    """"free", "subscription", "purchase", "promotion" or "adjustment"."""
    amount: Decimal

    @classmethod
    def of(cls, message: grant_pb2.Allocation) -> Allocation:
        """Read it from the wire."""
        return cls(message.grant_id, _grant_kind(message.kind), to_credits(message.amount_micros))


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning that came with a successful answer."""

    kind: str
    """"low_balance", "critical_balance", "expiring_soon", "limit_near" or "would_refuse"."""
    message: str
    threshold: Decimal
    """What was crossed, or what the limit allows."""
    limit_name: str = ""
    """The limit, of "limit_near"."""

    @classmethod
    def of(cls, message: reservation_pb2.Notice) -> Notice:
        """Read it from the wire."""
        kind = _enum_text(reservation_pb2.Notice.Kind.Name(message.kind), "KIND_")
        return cls(kind, message.message, to_credits(message.threshold_micros), message.limit_name)


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has at one moment."""

    account_id: str
    available: Decimal
    """What a reserve could take now."""
    reserved: Decimal
    """What open reservations hold."""
    debt: Decimal
    lifetime_charged: Decimal
    expiring_soon: Decimal
    next_expire_time: datetime | None
    version: int
    """Grows with every change of the account."""

    @classmethod
    def of(cls, message: reservation_pb2.Balance) -> Balance:
        """Read it from the wire."""
        return cls(
            account_id=message.account_id,
            available=to_credits(message.available_micros),
            reserved=to_credits(message.reserved_micros),
            debt=to_credits(message.debt_micros),
            lifetime_charged=to_credits(message.lifetime_charged_micros),
            expiring_soon=to_credits(message.expiring_soon_micros),
            next_expire_time=read_time(message.next_expire_time) if message.HasField("next_expire_time") else None,
            version=message.version,
        )

    def __str__(self) -> str:
        parts = [f"{self.account_id}: {_credits(self.available)} available", f"{_credits(self.reserved)} reserved"]
        if self.debt:
            parts.append(f"{_credits(self.debt)} debt")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits that an account was given, and what became of them."""

    grant_id: str
    account_id: str
    kind: str
    """"free", "subscription", "purchase", "promotion" or "adjustment"."""
    state: str
    """"pending", "active", "exhausted", "expired" or "voided"."""
    amount: Decimal
    available: Decimal
    reserved: Decimal
    charged: Decimal
    expired: Decimal
    voided: Decimal
    repaid: Decimal
    priority: int
    expire_time: datetime | None
    comment: str

    @classmethod
    def of(cls, message: grant_pb2.Grant) -> Grant:
        """Read it from the wire."""
        return cls(
            grant_id=message.grant_id,
            account_id=message.account_id,
            kind=_grant_kind(message.kind),
            state=_enum_text(grant_pb2.Grant.State.Name(message.state), "STATE_"),
            amount=to_credits(message.amount_micros),
            available=to_credits(message.available_micros),
            reserved=to_credits(message.reserved_micros),
            charged=to_credits(message.charged_micros),
            expired=to_credits(message.expired_micros),
            voided=to_credits(message.voided_micros),
            repaid=to_credits(message.repaid_micros),
            priority=message.priority,
            expire_time=read_time(message.expire_time) if message.HasField("expire_time") else None,
            comment=message.comment,
        )


@dataclass(frozen=True, slots=True)
class AccountBalance(Balance):
    """A balance with the grants that still have credits, in burn-down order."""

    grants: tuple[Grant, ...] = ()

    @classmethod
    def of_response(cls, response: pb.GetBalanceResponse) -> AccountBalance:
        """Read it from the wire."""
        plain = Balance.of(response.balance)
        fields = {name: getattr(plain, name) for name in Balance.__dataclass_fields__}
        return cls(**fields, grants=tuple(Grant.of(grant) for grant in response.grants))


@dataclass(frozen=True, slots=True)
class Reservation:
    """Credits held for one generation, open or ended."""

    reservation_id: str
    account_id: str
    request_id: str
    state: str
    """"active", "committed", "released" or "expired"."""
    reserved: Decimal
    charged: Decimal
    uncollected: Decimal
    late: bool
    operation: str
    quantity: int | None
    usage: Mapping[str, int]
    attributes: Mapping[str, str]
    user_id: str
    project_id: str
    labels: Mapping[str, str]
    create_time: datetime
    expire_time: datetime
    settle_time: datetime | None
    allocations: tuple[Allocation, ...]
    price_version: int
    """The version of the catalog that priced it; 0 for an amount."""

    @classmethod
    def of(cls, message: reservation_pb2.Reservation) -> Reservation:
        """Read it from the wire."""
        return cls(
            reservation_id=message.reservation_id,
            account_id=message.account_id,
            request_id=message.request_id,
            state=state_text(message.state),
            reserved=to_credits(message.reserved_micros),
            charged=to_credits(message.charged_micros),
            uncollected=to_credits(message.uncollected_micros),
            late=message.late,
            operation=message.operation,
            quantity=message.quantity if message.HasField("quantity") else None,
            usage=MappingProxyType(dict(message.usage.counts)),
            attributes=MappingProxyType(dict(message.attributes)),
            user_id=message.user_id,
            project_id=message.project_id,
            labels=MappingProxyType(dict(message.labels)),
            create_time=read_time(message.create_time),
            expire_time=read_time(message.expire_time),
            settle_time=read_time(message.settle_time) if message.HasField("settle_time") else None,
            allocations=tuple(Allocation.of(allocation) for allocation in message.allocations),
            price_version=message.price_version,
        )


def state_text(state: reservation_pb2.Reservation.State) -> str:
    """Return "active", "committed", "released" or "expired"."""
    return _enum_text(reservation_pb2.Reservation.State.Name(state), "STATE_")


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a hold ended. `print(receipt)` says it in one line."""

    reservation_id: str
    account_id: str
    state: str
    """"committed", "released" or "expired"."""
    reserved: Decimal
    charged: Decimal
    uncollected: Decimal
    """What the actual amount was beyond what could be charged."""
    allocations: tuple[Allocation, ...]
    """What was charged of which grant."""
    available: Decimal
    """What the account can spend now."""
    balance: Balance
    notices: tuple[Notice, ...]
    late: bool
    """Whether it was committed after it had expired."""
    replayed: bool
    """Whether an earlier, identical call had already settled it."""
    price_version: int
    """The version of the catalog that priced it; 0 for an amount."""

    @classmethod
    def of(cls, reply: Reply) -> Receipt:
        """Read it from the wire."""
        reservation = reply.reservation
        committed = reservation.state == reservation_pb2.Reservation.STATE_COMMITTED
        balance = Balance.of(reply.balance)
        notices = () if isinstance(reply, pb.ReleaseResponse) else getattr(reply, "notices", ())
        return cls(
            reservation_id=reservation.reservation_id,
            account_id=reservation.account_id,
            state=state_text(reservation.state),
            reserved=to_credits(reservation.reserved_micros),
            charged=to_credits(reservation.charged_micros),
            uncollected=to_credits(reservation.uncollected_micros),
            allocations=tuple(Allocation.of(part) for part in reservation.allocations) if committed else (),
            available=balance.available,
            balance=balance,
            notices=tuple(Notice.of(notice) for notice in notices),
            late=reservation.late,
            replayed=reply.replayed,
            price_version=reservation.price_version,
        )

    def __str__(self) -> str:
        left = f"{_credits(self.available)} left"
        if self.state != "committed":
            return f"{self.account_id}: {self.state}, nothing charged; {left}"
        grants = ", ".join(f"{_credits(part.amount)} from {part.grant_id} ({part.kind})" for part in self.allocations)
        text = f"{self.account_id}: charged {_credits(self.charged)} of {_credits(self.reserved)} reserved"
        text += f": {grants}" if grants else ""
        text += f"; {_credits(self.uncollected)} uncollected" if self.uncollected else ""
        text += "; late" if self.late else ""
        return f"{text}; {left}"


@dataclass(frozen=True, slots=True)
class Account:
    """An account and its configuration."""

    account_id: str
    display_name: str
    state: str
    """"active" or "suspended"."""
    time_zone: str
    overdraft_limit: Decimal
    labels: Mapping[str, str]
    create_time: datetime

    @classmethod
    def of(cls, message: account_pb2.Account) -> Account:
        """Read it from the wire."""
        return cls(
            account_id=message.account_id,
            display_name=message.display_name,
            state=_enum_text(account_pb2.Account.State.Name(message.state), "STATE_"),
            time_zone=message.time_zone,
            overdraft_limit=to_credits(message.overdraft_limit_micros),
            labels=MappingProxyType(dict(message.labels)),
            create_time=read_time(message.create_time),
        )
