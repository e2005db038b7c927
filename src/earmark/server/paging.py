"""Page tokens: opaque to callers, versioned, and bound to the query that they continue."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import TypeVar

import msgspec

from earmark.errors import EarmarkError
from earmark.server import checks

__all__ = ["MAX_PAGE_BYTES", "decode_token", "encode_token"]

MAX_PAGE_BYTES = 3 * 2**20
"""Of one message: clients accept 4 MiB unless told otherwise, so a page of very wide rows comes shorter."""

_VERSION = 1
_MAX_TOKEN = 1_024

T = TypeVar("T", bound=msgspec.Struct)


def _fingerprint(query: object) -> bytes:
    return blake2b(msgspec.msgpack.encode(query), digest_size=6).digest()


def encode_token(position: msgspec.Struct, query: object) -> str:
    """Return the token of the page that starts after `position` of this query (any value that msgspec encodes)."""
    raw = bytes([_VERSION]) + _fingerprint(query) + msgspec.msgpack.encode(position)
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_token(token: str, kind: type[T], query: object) -> T:
    """Return the position in a token.

    Raises:
        InvalidRequest: this server gave out no such token, or gave it out for another query.
    """
    if len(token) > _MAX_TOKEN:
        raise _refused()
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raise _refused() from None
    if raw[:1] != bytes([_VERSION]) or raw[1:7] != _fingerprint(query):
        raise _refused()
    try:
        position = msgspec.msgpack.decode(raw[7:], type=kind)
    except msgspec.MsgspecError:
        raise _refused() from None
    if not all(_storable(value) for value in msgspec.structs.astuple(position)):
        raise _refused()
    return position


def _storable(value: object) -> bool:
    """Whether a database can be asked for a value: who knows the form of a token can make one up."""
    match value:
        case int():
            return -(2**63) <= value < 2**63
        case str():
            return "\x00" not in value
        case _:
            return True


def _refused() -> EarmarkError:
    return checks.invalid("page_token", "is not the next_page_token of a page of this very query; start without it")
