import datetime

from earmark.v1 import catalog_pb2 as _catalog_pb2
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

class LedgerEntry(_message.Message):
    __slots__ = ("account_id", "entry_number", "kind", "amount_micros", "available_after_micros", "reservation_id", "request_id", "operation", "reserved_quantity", "quantity", "usage", "attributes", "price_version", "price_text", "allocations", "user_id", "project_id", "labels", "outcome", "late", "actor", "comment", "create_time", "reserved_micros", "uncollected_micros", "debt_micros", "limits")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[LedgerEntry.Kind]
        KIND_GRANT: _ClassVar[LedgerEntry.Kind]
        KIND_CHARGE: _ClassVar[LedgerEntry.Kind]
        KIND_RELEASE: _ClassVar[LedgerEntry.Kind]
        KIND_EXPIRED_HOLD: _ClassVar[LedgerEntry.Kind]
        KIND_GRANT_EXPIRED: _ClassVar[LedgerEntry.Kind]
        KIND_GRANT_VOIDED: _ClassVar[LedgerEntry.Kind]
        KIND_DEBT_REPAID: _ClassVar[LedgerEntry.Kind]
        KIND_REPAIR: _ClassVar[LedgerEntry.Kind]
    KIND_UNSPECIFIED: LedgerEntry.Kind
    KIND_GRANT: LedgerEntry.Kind
    KIND_CHARGE: LedgerEntry.Kind
    KIND_RELEASE: LedgerEntry.Kind
    KIND_EXPIRED_HOLD: LedgerEntry.Kind
    KIND_GRANT_EXPIRED: LedgerEntry.Kind
    KIND_GRANT_VOIDED: LedgerEntry.Kind
    KIND_DEBT_REPAID: LedgerEntry.Kind
    KIND_REPAIR: LedgerEntry.Kind
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[LedgerEntry.Outcome]
        OUTCOME_SUCCEEDED: _ClassVar[LedgerEntry.Outcome]
        OUTCOME_FAILED: _ClassVar[LedgerEntry.Outcome]
        OUTCOME_EXPIRED: _ClassVar[LedgerEntry.Outcome]
    OUTCOME_UNSPECIFIED: LedgerEntry.Outcome
    OUTCOME_SUCCEEDED: LedgerEntry.Outcome
    OUTCOME_FAILED: LedgerEntry.Outcome
    OUTCOME_EXPIRED: LedgerEntry.Outcome
    class LimitUse(_message.Message):
        __slots__ = ("limit_name", "scope", "subject", "window", "start_time", "end_time", "amount_micros")
        LIMIT_NAME_FIELD_NUMBER: _ClassVar[int]
        SCOPE_FIELD_NUMBER: _ClassVar[int]
        SUBJECT_FIELD_NUMBER: _ClassVar[int]
        WINDOW_FIELD_NUMBER: _ClassVar[int]
        START_TIME_FIELD_NUMBER: _ClassVar[int]
        END_TIME_FIELD_NUMBER: _ClassVar[int]
        AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
        limit_name: str
        scope: _catalog_pb2.Limit.Scope
        subject: str
        window: _catalog_pb2.Limit.Window
        start_time: _timestamp_pb2.Timestamp
        end_time: _timestamp_pb2.Timestamp
        amount_micros: int
        def __init__(self, limit_name: _Optional[str] = ..., scope: _Optional[_Union[_catalog_pb2.Limit.Scope, str]] = ..., subject: _Optional[str] = ..., window: _Optional[_Union[_catalog_pb2.Limit.Window, str]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., amount_micros: _Optional[int] = ...) -> None: ...
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
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NUMBER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_AFTER_MICROS_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    RESERVED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRICE_TEXT_FIELD_NUMBER: _ClassVar[int]
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RESERVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    UNCOLLECTED_MICROS_FIELD_NUMBER: _ClassVar[int]
    DEBT_MICROS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    entry_number: int
    kind: LedgerEntry.Kind
    amount_micros: int
    available_after_micros: int
    reservation_id: str
    request_id: str
    operation: str
    reserved_quantity: int
    quantity: int
    usage: _common_pb2.Usage
    attributes: _containers.ScalarMap[str, str]
    price_version: int
    price_text: str
    allocations: _containers.RepeatedCompositeFieldContainer[_grant_pb2.Allocation]
    user_id: str
    project_id: str
    labels: _containers.ScalarMap[str, str]
    outcome: LedgerEntry.Outcome
    late: bool
    actor: str
    comment: str
    create_time: _timestamp_pb2.Timestamp
    reserved_micros: int
    uncollected_micros: int
    debt_micros: int
    limits: _containers.RepeatedCompositeFieldContainer[LedgerEntry.LimitUse]
    def __init__(self, account_id: _Optional[str] = ..., entry_number: _Optional[int] = ..., kind: _Optional[_Union[LedgerEntry.Kind, str]] = ..., amount_micros: _Optional[int] = ..., available_after_micros: _Optional[int] = ..., reservation_id: _Optional[str] = ..., request_id: _Optional[str] = ..., operation: _Optional[str] = ..., reserved_quantity: _Optional[int] = ..., quantity: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., price_version: _Optional[int] = ..., price_text: _Optional[str] = ..., allocations: _Optional[_Iterable[_Union[_grant_pb2.Allocation, _Mapping]]] = ..., user_id: _Optional[str] = ..., project_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., outcome: _Optional[_Union[LedgerEntry.Outcome, str]] = ..., late: _Optional[bool] = ..., actor: _Optional[str] = ..., comment: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reserved_micros: _Optional[int] = ..., uncollected_micros: _Optional[int] = ..., debt_micros: _Optional[int] = ..., limits: _Optional[_Iterable[_Union[LedgerEntry.LimitUse, _Mapping]]] = ...) -> None: ...
