"""Requests with one field gone wrong: every field of every message, each with every value that fits its type badly."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

__all__ = ["mutations"]

_TEXTS = (
    "x" * 10_000,
    "\x00",
    "a\x00b",
    "{}",
    "{0}}{",
    "\U0001f4a5" * 40,
    "\u202e\u0301\ufeff",
    "%",
    "_' OR 1=1 --",
    "$.x\"[0]'",
    "../../etc/passwd",
    "Europe",
    "Mars/Olympus",
    "\n",
    " ",
    "a" * 257,
    "9" * 40,
)
_NUMBERS = (-1, 0, 1, 2**31 - 1, 2**53 - 1, 2**53, 2**63 - 1, -(2**63))
_SECONDS = (-62_135_596_800, -1, 0, 253_402_300_799, 9_007_199_254, 9_007_199_255, 2**63 - 1, -(2**63))
_MANY = 5_000


def mutations(message: Message, depth: int = 0) -> Iterator[tuple[str, Message]]:
    """Yield what was changed, and the request with that change."""
    fields: Any = message.DESCRIPTOR.fields
    for field in fields:
        for said, value in _values(message, field, depth):
            changed = copy.deepcopy(message)
            _set(changed, field, value)
            yield f"{field.name}: {said}", changed


def _values(message: Message, field: FieldDescriptor, depth: int) -> Iterator[tuple[str, Any]]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        good = "v" if value.type == FieldDescriptor.TYPE_STRING else 1
        yield "many", {f"k{number}": good for number in range(_MANY)}
        for text in _TEXTS:
            if key.type == FieldDescriptor.TYPE_STRING:
                yield f"key {text[:20]!r}", {text: good}
        for bad in _scalars(value):
            yield f"value {str(bad)[:20]!r}", {"key": bad}
    elif field.is_repeated:
        if field.message_type is None:
            good = "v" if field.type == FieldDescriptor.TYPE_STRING else 1
            yield "many", [good] * _MANY
            for bad in _scalars(field):
                yield f"one {str(bad)[:20]!r}", [bad]
        else:
            present = list(getattr(message, field.name))
            base = present[0] if present else GetMessageClass(field.message_type)()
            yield "many", [base] * _MANY
            yield "empty", [GetMessageClass(field.message_type)()]
            for said, bad in mutations(base, depth + 1):
                yield said, [bad]
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        if field.message_type.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
            for seconds in _SECONDS:
                yield f"{seconds} s", type(inner)(seconds=seconds)
            for nanos in (-1, 2**31 - 1):
                yield f"{nanos} ns", type(inner)(seconds=1, nanos=nanos)
        elif depth < 3:
            yield "empty", type(inner)()
            yield from mutations(inner, depth + 1)
    else:
        for bad in _scalars(field):
            yield str(bad)[:20], bad


def _scalars(field: FieldDescriptor) -> Iterator[Any]:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            yield from _TEXTS
            yield ""
        case FieldDescriptor.TYPE_BOOL:
            yield from (True, False)
        case FieldDescriptor.TYPE_ENUM:
            yield from (0, 1, 2, 99, -1, 2**31 - 1)
        case FieldDescriptor.TYPE_INT32:
            yield from (number for number in (*_NUMBERS, -(2**31)) if -(2**31) <= number < 2**31)
        case FieldDescriptor.TYPE_UINT64:
            yield from (0, 2**64 - 1)
        case FieldDescriptor.TYPE_INT64:
            yield from _NUMBERS
        case other:
            raise AssertionError(f"no hostile values of type {other}")


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    if isinstance(value, dict):
        getattr(message, field.name).clear()
        getattr(message, field.name).update(value)
    elif isinstance(value, list):
        message.ClearField(field.name)
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)
