import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Grant(_message.Message):
    __slots__ = ("grant_id", "account_id", "kind", "state", "amount_micros", "available_micros", "reserved_micros", "charged_micros", "expired_micros", "voided_micros", "repaid_micros", "priority", "acquire_time", "expire_time", "create_time", "comment", "reservation_id", "request_id")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Grant.Kind]
        KIND_FREE: _ClassVar[Grant.Kind]
        KIND_SUBSCRIPTION: _ClassVar[Grant.Kind]
        KIND_PURCHASE: _ClassVar[Grant.Kind]
        KIND_PROMOTION: _ClassVar[Grant.Kind]
        KIND_ADJUSTMENT: _ClassVar[Grant.Kind]
    KIND_UNSPECIFIED: Grant.Kind
    KIND_FREE: Grant.Kind
    KIND_SUBSCRIPTION: Grant.Kind
    KIND_PURCHASE: Grant.Kind
    KIND_PROMOTION: Grant.Kind
    KIND_ADJUSTMENT: Grant.Kind
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Grant.State]
        STATE_PENDING: _ClassVar[Grant.State]
        STATE_ACTIVE: _ClassVar[Grant.State]
        STATE_EXHAUSTED: _ClassVar[Grant.State]
        STATE_EXPIRED: _ClassVar[Grant.State]
        STATE_VOIDED: _ClassVar[Grant.State]
    STATE_UNSPECIFIED: Grant.State
    STATE_PENDING: Grant.State
    STATE_ACTIVE: Grant.State
    STATE_EXHAUSTED: Grant.State
    STATE_EXPIRED: Grant.State
    STATE_VOIDED: Grant.State
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_MICROS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    CHARGED_MICROS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_MICROS_FIELD_NUMBER: _ClassVar[int]
    VOIDED_MICROS_FIELD_NUMBER: _ClassVar[int]
    REPAID_MICROS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ACQUIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    grant_id: str
    account_id: str
    kind: Grant.Kind
    state: Grant.State
    amount_micros: int
    available_micros: int
    reserved_micros: int
    charged_micros: int
    expired_micros: int
    voided_micros: int
    repaid_micros: int
    priority: int
    acquire_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    comment: str
    reservation_id: str
    request_id: str
    def __init__(self, grant_id: _Optional[str] = ..., account_id: _Optional[str] = ..., kind: _Optional[_Union[Grant.Kind, str]] = ..., state: _Optional[_Union[Grant.State, str]] = ..., amount_micros: _Optional[int] = ..., available_micros: _Optional[int] = ..., reserved_micros: _Optional[int] = ..., charged_micros: _Optional[int] = ..., expired_micros: _Optional[int] = ..., voided_micros: _Optional[int] = ..., repaid_micros: _Optional[int] = ..., priority: _Optional[int] = ..., acquire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., comment: _Optional[str] = ..., reservation_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class Allocation(_message.Message):
    __slots__ = ("grant_id", "kind", "amount_micros")
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    grant_id: str
    kind: Grant.Kind
    amount_micros: int
    def __init__(self, grant_id: _Optional[str] = ..., kind: _Optional[_Union[Grant.Kind, str]] = ..., amount_micros: _Optional[int] = ...) -> None: ...
