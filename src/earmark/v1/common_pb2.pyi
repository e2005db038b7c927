from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class OveragePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OVERAGE_POLICY_UNSPECIFIED: _ClassVar[OveragePolicy]
    OVERAGE_POLICY_REJECT: _ClassVar[OveragePolicy]
    OVERAGE_POLICY_ALLOW_IF_AVAILABLE: _ClassVar[OveragePolicy]
    OVERAGE_POLICY_ALLOW_WITH_OVERDRAFT: _ClassVar[OveragePolicy]
OVERAGE_POLICY_UNSPECIFIED: OveragePolicy
OVERAGE_POLICY_REJECT: OveragePolicy
OVERAGE_POLICY_ALLOW_IF_AVAILABLE: OveragePolicy
OVERAGE_POLICY_ALLOW_WITH_OVERDRAFT: OveragePolicy

class Usage(_message.Message):
    __slots__ = ("counts",)
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.ScalarMap[str, int]
    def __init__(self, counts: _Optional[_Mapping[str, int]] = ...) -> None: ...
