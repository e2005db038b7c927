import datetime

from earmark.v1 import grant_pb2 as _grant_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Money(_message.Message):
    __slots__ = ("method", "amount")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    method: str
    amount: str
    def __init__(self, method: _Optional[str] = ..., amount: _Optional[str] = ...) -> None: ...

class OperationPrice(_message.Message):
    __slots__ = ("operation", "display_name", "rule", "text", "min_micros", "max_micros", "lines", "requires", "recorded", "unit", "category")
    class Rule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RULE_UNSPECIFIED: _ClassVar[OperationPrice.Rule]
        RULE_FIXED: _ClassVar[OperationPrice.Rule]
        RULE_PER_UNIT: _ClassVar[OperationPrice.Rule]
        RULE_BY_ATTRIBUTES: _ClassVar[OperationPrice.Rule]
        RULE_RANGE: _ClassVar[OperationPrice.Rule]
        RULE_FREE: _ClassVar[OperationPrice.Rule]
        RULE_TOKENS: _ClassVar[OperationPrice.Rule]
    RULE_UNSPECIFIED: OperationPrice.Rule
    RULE_FIXED: OperationPrice.Rule
    RULE_PER_UNIT: OperationPrice.Rule
    RULE_BY_ATTRIBUTES: OperationPrice.Rule
    RULE_RANGE: OperationPrice.Rule
    RULE_FREE: OperationPrice.Rule
    RULE_TOKENS: OperationPrice.Rule
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MIN_MICROS_FIELD_NUMBER: _ClassVar[int]
    MAX_MICROS_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    operation: str
    display_name: str
    rule: OperationPrice.Rule
    text: str
    min_micros: int
    max_micros: int
    lines: _containers.RepeatedCompositeFieldContainer[PriceLine]
    requires: str
    recorded: bool
    unit: str
    category: str
    def __init__(self, operation: _Optional[str] = ..., display_name: _Optional[str] = ..., rule: _Optional[_Union[OperationPrice.Rule, str]] = ..., text: _Optional[str] = ..., min_micros: _Optional[int] = ..., max_micros: _Optional[int] = ..., lines: _Optional[_Iterable[_Union[PriceLine, _Mapping]]] = ..., requires: _Optional[str] = ..., recorded: _Optional[bool] = ..., unit: _Optional[str] = ..., category: _Optional[str] = ...) -> None: ...

class PriceLine(_message.Message):
    __slots__ = ("attributes", "min_micros", "max_micros", "text", "requires")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    MIN_MICROS_FIELD_NUMBER: _ClassVar[int]
    MAX_MICROS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.ScalarMap[str, str]
    min_micros: int
    max_micros: int
    text: str
    requires: str
    def __init__(self, attributes: _Optional[_Mapping[str, str]] = ..., min_micros: _Optional[int] = ..., max_micros: _Optional[int] = ..., text: _Optional[str] = ..., requires: _Optional[str] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("plan_id", "display_name", "credits_micros", "grant_kind", "monthly_prices", "yearly_prices", "rollover_cap_micros", "entitlements", "seats", "once", "claimed", "confirmed_renewal", "custom", "text", "validity_text")
    class EntitlementsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CREDITS_MICROS_FIELD_NUMBER: _ClassVar[int]
    GRANT_KIND_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_PRICES_FIELD_NUMBER: _ClassVar[int]
    YEARLY_PRICES_FIELD_NUMBER: _ClassVar[int]
    ROLLOVER_CAP_MICROS_FIELD_NUMBER: _ClassVar[int]
    ENTITLEMENTS_FIELD_NUMBER: _ClassVar[int]
    SEATS_FIELD_NUMBER: _ClassVar[int]
    ONCE_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_RENEWAL_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_TEXT_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    display_name: str
    credits_micros: int
    grant_kind: _grant_pb2.Grant.Kind
    monthly_prices: _containers.RepeatedCompositeFieldContainer[Money]
    yearly_prices: _containers.RepeatedCompositeFieldContainer[Money]
    rollover_cap_micros: int
    entitlements: _containers.ScalarMap[str, str]
    seats: int
    once: bool
    claimed: bool
    confirmed_renewal: bool
    custom: bool
    text: str
    validity_text: str
    def __init__(self, plan_id: _Optional[str] = ..., display_name: _Optional[str] = ..., credits_micros: _Optional[int] = ..., grant_kind: _Optional[_Union[_grant_pb2.Grant.Kind, str]] = ..., monthly_prices: _Optional[_Iterable[_Union[Money, _Mapping]]] = ..., yearly_prices: _Optional[_Iterable[_Union[Money, _Mapping]]] = ..., rollover_cap_micros: _Optional[int] = ..., entitlements: _Optional[_Mapping[str, str]] = ..., seats: _Optional[int] = ..., once: _Optional[bool] = ..., claimed: _Optional[bool] = ..., confirmed_renewal: _Optional[bool] = ..., custom: _Optional[bool] = ..., text: _Optional[str] = ..., validity_text: _Optional[str] = ...) -> None: ...

class Pack(_message.Message):
    __slots__ = ("pack_id", "display_name", "credits_micros", "prices", "regular_prices", "unit_prices", "bonus_micros", "promotion_id", "min_micros", "max_micros", "rates", "validity_text", "custom")
    PACK_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CREDITS_MICROS_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    REGULAR_PRICES_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICES_FIELD_NUMBER: _ClassVar[int]
    BONUS_MICROS_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    MIN_MICROS_FIELD_NUMBER: _ClassVar[int]
    MAX_MICROS_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_TEXT_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    pack_id: str
    display_name: str
    credits_micros: int
    prices: _containers.RepeatedCompositeFieldContainer[Money]
    regular_prices: _containers.RepeatedCompositeFieldContainer[Money]
    unit_prices: _containers.RepeatedCompositeFieldContainer[Money]
    bonus_micros: int
    promotion_id: str
    min_micros: int
    max_micros: int
    rates: _containers.RepeatedCompositeFieldContainer[VolumeRate]
    validity_text: str
    custom: bool
    def __init__(self, pack_id: _Optional[str] = ..., display_name: _Optional[str] = ..., credits_micros: _Optional[int] = ..., prices: _Optional[_Iterable[_Union[Money, _Mapping]]] = ..., regular_prices: _Optional[_Iterable[_Union[Money, _Mapping]]] = ..., unit_prices: _Optional[_Iterable[_Union[Money, _Mapping]]] = ..., bonus_micros: _Optional[int] = ..., promotion_id: _Optional[str] = ..., min_micros: _Optional[int] = ..., max_micros: _Optional[int] = ..., rates: _Optional[_Iterable[_Union[VolumeRate, _Mapping]]] = ..., validity_text: _Optional[str] = ..., custom: _Optional[bool] = ...) -> None: ...

class VolumeRate(_message.Message):
    __slots__ = ("from_micros", "prices")
    FROM_MICROS_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    from_micros: int
    prices: _containers.RepeatedCompositeFieldContainer[Money]
    def __init__(self, from_micros: _Optional[int] = ..., prices: _Optional[_Iterable[_Union[Money, _Mapping]]] = ...) -> None: ...

class Limit(_message.Message):
    __slots__ = ("name", "scope", "subject", "window", "amount_micros", "mode", "near_percent", "create_time")
    class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SCOPE_UNSPECIFIED: _ClassVar[Limit.Scope]
        SCOPE_ACCOUNT: _ClassVar[Limit.Scope]
        SCOPE_USER: _ClassVar[Limit.Scope]
        SCOPE_PROJECT: _ClassVar[Limit.Scope]
        SCOPE_OPERATION: _ClassVar[Limit.Scope]
    SCOPE_UNSPECIFIED: Limit.Scope
    SCOPE_ACCOUNT: Limit.Scope
    SCOPE_USER: Limit.Scope
    SCOPE_PROJECT: Limit.Scope
    SCOPE_OPERATION: Limit.Scope
    class Window(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        WINDOW_UNSPECIFIED: _ClassVar[Limit.Window]
        WINDOW_DAY: _ClassVar[Limit.Window]
        WINDOW_MONTH: _ClassVar[Limit.Window]
        WINDOW_CYCLE: _ClassVar[Limit.Window]
        WINDOW_LIFETIME: _ClassVar[Limit.Window]
    WINDOW_UNSPECIFIED: Limit.Window
    WINDOW_DAY: Limit.Window
    WINDOW_MONTH: Limit.Window
    WINDOW_CYCLE: Limit.Window
    WINDOW_LIFETIME: Limit.Window
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[Limit.Mode]
        MODE_BLOCK: _ClassVar[Limit.Mode]
        MODE_NOTIFY: _ClassVar[Limit.Mode]
    MODE_UNSPECIFIED: Limit.Mode
    MODE_BLOCK: Limit.Mode
    MODE_NOTIFY: Limit.Mode
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    NEAR_PERCENT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    scope: Limit.Scope
    subject: str
    window: Limit.Window
    amount_micros: int
    mode: Limit.Mode
    near_percent: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., scope: _Optional[_Union[Limit.Scope, str]] = ..., subject: _Optional[str] = ..., window: _Optional[_Union[Limit.Window, str]] = ..., amount_micros: _Optional[int] = ..., mode: _Optional[_Union[Limit.Mode, str]] = ..., near_percent: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Catalog(_message.Message):
    __slots__ = ("version", "document", "name", "create_time", "actor", "horizon", "limits")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    version: int
    document: str
    name: str
    create_time: _timestamp_pb2.Timestamp
    actor: str
    horizon: _duration_pb2.Duration
    limits: _containers.RepeatedCompositeFieldContainer[Limit]
    def __init__(self, version: _Optional[int] = ..., document: _Optional[str] = ..., name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ..., horizon: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., limits: _Optional[_Iterable[_Union[Limit, _Mapping]]] = ...) -> None: ...
