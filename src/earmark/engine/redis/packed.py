"""The packed records of a partition as Python reads them: for recovery and reconciliation, never on the hot path.

The positions are those of `lua/lib/layout.lua`; a test compares the two. Amounts in microcredits, times in
microseconds, 0 where absent.
"""

from __future__ import annotations

import msgspec

from earmark.engine.operations import ABSENT

__all__ = [
    "GRANT_STRIDE",
    "PackedAccount",
    "PackedCounter",
    "PackedReservation",
    "counter_field",
    "decode_account",
    "decode_counter",
    "decode_reservation",
    "decode_tail",
]

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
    generation: int
    """Members and counters with another one were left behind by an eviction or a rebuild: they mean nothing."""
    config_seq: int = 0
    low_balance: int = ABSENT
    critical_balance: int = ABSENT
    cycle_seq: int = 0
    carry_room: int = 0
    carry_kinds: int = 0


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
    windows: tuple[str | int, ...] = ()
    """Key, start and end of each limit window that it counts in."""
    silent: int = 0
    cycle: int = 0
    """The account's `cycle_seq` when it last took, if a renewal with a cap came before."""
    kept: int = 0
    """What it took in that cycle of credits that were carried into it."""


class PackedCounter(msgspec.Struct, frozen=True, array_like=True):
    """What was used of a limit in one window; its field in the hash is `counter_field`."""

    format: int
    generation: int
    used: int
    """Reserved and charged."""
    charged: int
    refs: int
    """Open reservations that count in it."""
    end: int
    amount: int
    """The limit, as the last claim that was counted said it; with `near` and `blocks` 0 when it came from SQL."""
    near: int
    blocks: int


_account = msgspec.msgpack.Decoder(PackedAccount)
_reservation = msgspec.msgpack.Decoder(PackedReservation)
_counter = msgspec.msgpack.Decoder(PackedCounter)
_tail = msgspec.msgpack.Decoder(tuple[int, ...])


def decode_account(packed: bytes) -> PackedAccount:
    """Decode an account document."""
    return _account.decode(packed)


def decode_reservation(packed: bytes) -> PackedReservation:
    """Decode a reservation record."""
    return _reservation.decode(packed)


def counter_field(account_id: str, key: str, start: int) -> str:
    """Return the field of a counter in the partition's `counters`; the start in 16 digits."""
    return f"{account_id}\0{key}\0{start:016d}"


def decode_counter(packed: bytes) -> PackedCounter:
    """Decode a limit's counter."""
    return _counter.decode(packed)


def decode_tail(packed: bytes) -> tuple[int, ...]:
    """Decode an account's tail of grants, GRANT_STRIDE numbers each."""
    return _tail.decode(packed)
