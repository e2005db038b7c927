import datetime

from earmark.v1 import common_pb2 as _common_pb2
from earmark.v1 import grant_pb2 as _grant_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Reservation(_message.Message):
    __slots__ = ("reservation_id", "account_id", "request_id", "state", "reserved_micros", "charged_micros", "uncollected_micros", "late", "operation", "quantity", "usage", "attributes", "user_id", "project_id", "labels", "create_time", "expire_time", "settle_time", "allocations", "price_version")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Reservation.State]
        STATE_ACTIVE: _ClassVar[Reservation.State]
        STATE_COMMITTED: _ClassVar[Reservation.State]
        STATE_RELEASED: _ClassVar[Reservation.State]
        STATE_EXPIRED: _ClassVar[Reservation.State]
    STATE_UNSPECIFIED: Reservation.State
    STATE_ACTIVE: Reservation.State
    STATE_COMMITTED: Reservation.State
    STATE_RELEASED: Reservation.State
    STATE_EXPIRED: Reservation.State
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESERVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    CHARGED_MICROS_FIELD_NUMBER: _ClassVar[int]
    UNCOLLECTED_MICROS_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SETTLE_TIME_FIELD_NUMBER: _ClassVar[int]
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    reservation_id: str
    account_id: str
    request_id: str
    state: Reservation.State
    reserved_micros: int
    charged_micros: int
    uncollected_micros: int
    late: bool
    operation: str
    quantity: int
    usage: _common_pb2.Usage
    attributes: _containers.ScalarMap[str, str]
    user_id: str
    project_id: str
    labels: _containers.ScalarMap[str, str]
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    settle_time: _timestamp_pb2.Timestamp
    allocations: _containers.RepeatedCompositeFieldContainer[_grant_pb2.Allocation]
    price_version: int
    def __init__(self, reservation_id: _Optional[str] = ..., account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., state: _Optional[_Union[Reservation.State, str]] = ..., reserved_micros: _Optional[int] = ..., charged_micros: _Optional[int] = ..., uncollected_micros: _Optional[int] = ..., late: _Optional[bool] = ..., operation: _Optional[str] = ..., quantity: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., user_id: _Optional[str] = ..., project_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., settle_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., allocations: _Optional[_Iterable[_Union[_grant_pb2.Allocation, _Mapping]]] = ..., price_version: _Optional[int] = ...) -> None: ...

class Balance(_message.Message):
    __slots__ = ("account_id", "available_micros", "reserved_micros", "debt_micros", "lifetime_charged_micros", "expiring_soon_micros", "next_expire_time", "version")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_MICROS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    DEBT_MICROS_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_CHARGED_MICROS_FIELD_NUMBER: _ClassVar[int]
    EXPIRING_SOON_MICROS_FIELD_NUMBER: _ClassVar[int]
    NEXT_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    available_micros: int
    reserved_micros: int
    debt_micros: int
    lifetime_charged_micros: int
    expiring_soon_micros: int
    next_expire_time: _timestamp_pb2.Timestamp
    version: int
    def __init__(self, account_id: _Optional[str] = ..., available_micros: _Optional[int] = ..., reserved_micros: _Optional[int] = ..., debt_micros: _Optional[int] = ..., lifetime_charged_micros: _Optional[int] = ..., expiring_soon_micros: _Optional[int] = ..., next_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("kind", "message", "threshold_micros", "limit_name")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Notice.Kind]
        KIND_LOW_BALANCE: _ClassVar[Notice.Kind]
        KIND_CRITICAL_BALANCE: _ClassVar[Notice.Kind]
        KIND_EXPIRING_SOON: _ClassVar[Notice.Kind]
        KIND_LIMIT_NEAR: _ClassVar[Notice.Kind]
        KIND_WOULD_REFUSE: _ClassVar[Notice.Kind]
    KIND_UNSPECIFIED: Notice.Kind
    KIND_LOW_BALANCE: Notice.Kind
    KIND_CRITICAL_BALANCE: Notice.Kind
    KIND_EXPIRING_SOON: Notice.Kind
    KIND_LIMIT_NEAR: Notice.Kind
    KIND_WOULD_REFUSE: Notice.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_MICROS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_NAME_FIELD_NUMBER: _ClassVar[int]
    kind: Notice.Kind
    message: str
    threshold_micros: int
    limit_name: str
    def __init__(self, kind: _Optional[_Union[Notice.Kind, str]] = ..., message: _Optional[str] = ..., threshold_micros: _Optional[int] = ..., limit_name: _Optional[str] = ...) -> None: ...
