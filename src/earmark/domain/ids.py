"""Identifiers: how a reservation's id, its digest and an account's partition follow from what the caller chose."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import b2a_base64
from functools import lru_cache
from hashlib import blake2b
from typing import NewType

from earmark.errors import Reason, error

__all__ = [
    "ContentDigest",
    "ReservationDigest",
    "content_digest",
    "extension_digest",
    "format_grant_id",
    "format_reservation_id",
    "parse_grant_id",
    "parse_reservation_id",
    "partition_of",
    "reservation_digest",
]

ReservationDigest = NewType("ReservationDigest", str)
"""22 characters of base64url: 16 bytes of blake2b over the account and the request id. The key of a reservation."""

ContentDigest = NewType("ContentDigest", str)
"""11 characters of base64url: 8 bytes of blake2b over what a request asks for. Tells a replay from a reused id."""

_ID_VERSION = b"\x01"
_DIGEST_BYTES = 16
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _text(raw: bytes) -> str:
    # As `base64.urlsafe_b64encode`, without its two calls in between: it runs three times for each reservation.
    return b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


def reservation_digest(account_id: str, request_id: str) -> ReservationDigest:
    """Return the key of the reservation that a Reserve or Charge with this request id makes."""
    account = account_id.encode()
    # The length comes first, so that no account and request id can be cut elsewhere and give the same bytes.
    raw = len(account).to_bytes(2, "big") + account + request_id.encode()
    return ReservationDigest(_text(blake2b(raw, digest_size=_DIGEST_BYTES).digest()))


def extension_digest(digest: ReservationDigest, request_id: str) -> ReservationDigest:
    """Return the key of an Extend: its request id belongs to its reservation."""
    raw = digest.encode() + request_id.encode()
    return ReservationDigest(_text(blake2b(raw, digest_size=_DIGEST_BYTES, person=b"extend").digest()))


def content_digest(content: bytes) -> ContentDigest:
    """Return the digest of a request's canonical content (its RPC and every field that counts)."""
    return ContentDigest(_text(blake2b(content, digest_size=8).digest()))


def format_reservation_id(account_id: str, digest: ReservationDigest) -> str:
    """Return the public id: opaque, at most 256 characters. It carries account and digest: routing needs no look-up."""
    raw_digest = urlsafe_b64decode(digest + "==")
    return _text(_ID_VERSION + raw_digest + account_id.encode())


@lru_cache(maxsize=16_384)  # A commit follows its reserve: the same id is parsed and formatted within seconds.
def parse_reservation_id(reservation_id: str) -> tuple[str, ReservationDigest]:
    """Return account and digest of a public id.

    Raises:
        NotFound: RESERVATION_NOT_FOUND, for text that no server ever gave out.
    """
    try:
        raw = urlsafe_b64decode(reservation_id + "=" * (-len(reservation_id) % 4))
        account_id = raw[1 + _DIGEST_BYTES :].decode("ascii")
    except ValueError:
        raw, account_id = b"", ""
    digest = ReservationDigest(_text(raw[1 : 1 + _DIGEST_BYTES]))
    if raw[:1] != _ID_VERSION or not account_id or format_reservation_id(account_id, digest) != reservation_id:
        raise error(
            Reason.RESERVATION_NOT_FOUND,
            f"no reservation has the id {reservation_id[:64]!r}",
            {"reservation_id": reservation_id[:256]},
        )
    return account_id, digest


def format_grant_id(number: int) -> str:
    """Return the public id of an account's grant; `number` is the admin_seq that created it."""
    return f"g{number}"


def parse_grant_id(grant_id: str) -> int:
    """Return the number of a grant.

    Raises:
        NotFound: GRANT_NOT_FOUND, for text that no server ever gave out.
    """
    digits = grant_id[1:]
    if grant_id[:1] != "g" or not digits.isascii() or not digits.isdigit() or len(digits) > 15 or digits[0] == "0":
        raise error(Reason.GRANT_NOT_FOUND, f"no grant has the id {grant_id[:64]!r}", {"grant_id": grant_id[:256]})
    return int(digits)


@lru_cache(maxsize=65_536)
def partition_of(account_id: str, partitions: int) -> int:
    """Return the partition of an account: 0 to partitions - 1, fixed for the life of the store."""
    raw = blake2b(account_id.encode(), digest_size=8, person=b"partition").digest()
    return int.from_bytes(raw, "big") % partitions
