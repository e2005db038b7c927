"""The packed records of a partition as Python reads them: for recovery and reconciliation, never on the hot path.

The positions are those of `lua/lib/layout.lua`; a test compares the two. Amounts in microcredits, times in
microseconds, 0 where absent.
"""

from __future__ import annotations

import msgspec

__all__ = ["GRANT_STRIDE", "PackedAccount", "PackedReservation", "decode_account", "decode_reservation", "decode_tail"]

GRANT_STRIDE = 8
"""Numbers a grant: number, kind, priority, expire_time, acquire_time, remaining, held, voided."""


class PackedAccount(msgspec.Struct, frozen=True, array_like=True):
    """An account document. `grants` holds the first in burn-down order; the others are in the tail field."""

    format: int
    version: int
    entry_number: int
    available: int
    reserved: int
    debt: int
    charged: int
    granted: int
    expired: int
    voided: int
    overdraft_limit: int
    suspended: int
    enforcement: int
    admin_seq: int
    members: int
    waiters: int
    watched_until: int
    last_seq: int
    open: int
    touched: int
    grants: tuple[int, ...]
    tail_count: int
    tail_next_expire: int
    tail_soon: int
    tail_soon_until: int
    next_ticket: int
    members_generation: int


class PackedReservation(msgspec.Struct, frozen=True, array_like=True):
    """A reservation record."""

    format: int
    state: int
    account_id: str
    content: str
    reserved: int
    charged: int
    uncollected: int
    late: int
    create_time: int
    expire_time: int
    settle_time: int
    price_version: int
    allocations: tuple[int, ...]
    details: str
    entry_number: int
    seq: int
    extensions: tuple[str, ...]
    unfunded: int


_account = msgspec.msgpack.Decoder(PackedAccount)
_reservation = msgspec.msgpack.Decoder(PackedReservation)
_tail = msgspec.msgpack.Decoder(tuple[int, ...])


def decode_account(packed: bytes) -> PackedAccount:
    """Decode an account document."""
    return _account.decode(packed)


def decode_reservation(packed: bytes) -> PackedReservation:
    """Decode a reservation record."""
    return _reservation.decode(packed)


def decode_tail(packed: bytes) -> tuple[int, ...]:
    """Decode an account's tail of grants, GRANT_STRIDE numbers each."""
    return _tail.decode(packed)
