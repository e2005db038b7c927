import datetime

from earmark.v1 import catalog_pb2 as _catalog_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Account(_message.Message):
    __slots__ = ("account_id", "display_name", "state", "enforcement", "time_zone", "overdraft_limit_micros", "thresholds", "contacts", "members", "labels", "create_time", "update_time", "limits")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Account.State]
        STATE_ACTIVE: _ClassVar[Account.State]
        STATE_SUSPENDED: _ClassVar[Account.State]
    STATE_UNSPECIFIED: Account.State
    STATE_ACTIVE: Account.State
    STATE_SUSPENDED: Account.State
    class Enforcement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ENFORCEMENT_UNSPECIFIED: _ClassVar[Account.Enforcement]
        ENFORCEMENT_BLOCK: _ClassVar[Account.Enforcement]
        ENFORCEMENT_OBSERVE: _ClassVar[Account.Enforcement]
    ENFORCEMENT_UNSPECIFIED: Account.Enforcement
    ENFORCEMENT_BLOCK: Account.Enforcement
    ENFORCEMENT_OBSERVE: Account.Enforcement
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    OVERDRAFT_LIMIT_MICROS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    display_name: str
    state: Account.State
    enforcement: Account.Enforcement
    time_zone: str
    overdraft_limit_micros: int
    thresholds: Thresholds
    contacts: Contacts
    members: _containers.RepeatedCompositeFieldContainer[Member]
    labels: _containers.ScalarMap[str, str]
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    limits: _containers.RepeatedCompositeFieldContainer[_catalog_pb2.Limit]
    def __init__(self, account_id: _Optional[str] = ..., display_name: _Optional[str] = ..., state: _Optional[_Union[Account.State, str]] = ..., enforcement: _Optional[_Union[Account.Enforcement, str]] = ..., time_zone: _Optional[str] = ..., overdraft_limit_micros: _Optional[int] = ..., thresholds: _Optional[_Union[Thresholds, _Mapping]] = ..., contacts: _Optional[_Union[Contacts, _Mapping]] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., limits: _Optional[_Iterable[_Union[_catalog_pb2.Limit, _Mapping]]] = ...) -> None: ...

class Thresholds(_message.Message):
    __slots__ = ("low_balance_micros", "critical_balance_micros", "expiring_soon", "balance_alerts_off")
    LOW_BALANCE_MICROS_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_BALANCE_MICROS_FIELD_NUMBER: _ClassVar[int]
    EXPIRING_SOON_FIELD_NUMBER: _ClassVar[int]
    BALANCE_ALERTS_OFF_FIELD_NUMBER: _ClassVar[int]
    low_balance_micros: int
    critical_balance_micros: int
    expiring_soon: _duration_pb2.Duration
    balance_alerts_off: bool
    def __init__(self, low_balance_micros: _Optional[int] = ..., critical_balance_micros: _Optional[int] = ..., expiring_soon: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., balance_alerts_off: _Optional[bool] = ...) -> None: ...

class Contacts(_message.Message):
    __slots__ = ("emails", "webhook_url", "webhook_secret")
    EMAILS_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_URL_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_SECRET_FIELD_NUMBER: _ClassVar[int]
    emails: _containers.RepeatedScalarFieldContainer[str]
    webhook_url: str
    webhook_secret: str
    def __init__(self, emails: _Optional[_Iterable[str]] = ..., webhook_url: _Optional[str] = ..., webhook_secret: _Optional[str] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("user_id", "role", "create_time")
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ROLE_UNSPECIFIED: _ClassVar[Member.Role]
        ROLE_MEMBER: _ClassVar[Member.Role]
        ROLE_ADMIN: _ClassVar[Member.Role]
    ROLE_UNSPECIFIED: Member.Role
    ROLE_MEMBER: Member.Role
    ROLE_ADMIN: Member.Role
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    role: Member.Role
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, user_id: _Optional[str] = ..., role: _Optional[_Union[Member.Role, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
