import datetime

from earmark.v1 import catalog_pb2 as _catalog_pb2
from earmark.v1 import grant_pb2 as _grant_pb2
from earmark.v1 import reservation_pb2 as _reservation_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Subscription(_message.Message):
    __slots__ = ("subscription_id", "account_id", "plan_id", "state", "term", "credits_micros", "anchor_time", "cycle", "cycle_start_time", "cycle_end_time", "term_end_time", "next_plan_id", "entitlements", "seats", "rollover_cap_micros", "create_time", "end_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Subscription.State]
        STATE_ACTIVE: _ClassVar[Subscription.State]
        STATE_CANCELLING: _ClassVar[Subscription.State]
        STATE_AWAITING_RENEWAL: _ClassVar[Subscription.State]
        STATE_ENDED: _ClassVar[Subscription.State]
    STATE_UNSPECIFIED: Subscription.State
    STATE_ACTIVE: Subscription.State
    STATE_CANCELLING: Subscription.State
    STATE_AWAITING_RENEWAL: Subscription.State
    STATE_ENDED: Subscription.State
    class Term(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TERM_UNSPECIFIED: _ClassVar[Subscription.Term]
        TERM_MONTH: _ClassVar[Subscription.Term]
        TERM_YEAR: _ClassVar[Subscription.Term]
    TERM_UNSPECIFIED: Subscription.Term
    TERM_MONTH: Subscription.Term
    TERM_YEAR: Subscription.Term
    class EntitlementsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    CREDITS_MICROS_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_TIME_FIELD_NUMBER: _ClassVar[int]
    CYCLE_FIELD_NUMBER: _ClassVar[int]
    CYCLE_START_TIME_FIELD_NUMBER: _ClassVar[int]
    CYCLE_END_TIME_FIELD_NUMBER: _ClassVar[int]
    TERM_END_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    ENTITLEMENTS_FIELD_NUMBER: _ClassVar[int]
    SEATS_FIELD_NUMBER: _ClassVar[int]
    ROLLOVER_CAP_MICROS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    subscription_id: str
    account_id: str
    plan_id: str
    state: Subscription.State
    term: Subscription.Term
    credits_micros: int
    anchor_time: _timestamp_pb2.Timestamp
    cycle: int
    cycle_start_time: _timestamp_pb2.Timestamp
    cycle_end_time: _timestamp_pb2.Timestamp
    term_end_time: _timestamp_pb2.Timestamp
    next_plan_id: str
    entitlements: _containers.ScalarMap[str, str]
    seats: int
    rollover_cap_micros: int
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, subscription_id: _Optional[str] = ..., account_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., state: _Optional[_Union[Subscription.State, str]] = ..., term: _Optional[_Union[Subscription.Term, str]] = ..., credits_micros: _Optional[int] = ..., anchor_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cycle: _Optional[int] = ..., cycle_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cycle_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., term_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_plan_id: _Optional[str] = ..., entitlements: _Optional[_Mapping[str, str]] = ..., seats: _Optional[int] = ..., rollover_cap_micros: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SubscriptionOverrides(_message.Message):
    __slots__ = ("credits_micros", "rollover_cap_micros", "seats", "entitlements")
    class EntitlementsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CREDITS_MICROS_FIELD_NUMBER: _ClassVar[int]
    ROLLOVER_CAP_MICROS_FIELD_NUMBER: _ClassVar[int]
    SEATS_FIELD_NUMBER: _ClassVar[int]
    ENTITLEMENTS_FIELD_NUMBER: _ClassVar[int]
    credits_micros: int
    rollover_cap_micros: int
    seats: int
    entitlements: _containers.ScalarMap[str, str]
    def __init__(self, credits_micros: _Optional[int] = ..., rollover_cap_micros: _Optional[int] = ..., seats: _Optional[int] = ..., entitlements: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CreateSubscriptionRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "plan_id", "term", "overrides")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    plan_id: str
    term: Subscription.Term
    overrides: SubscriptionOverrides
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., term: _Optional[_Union[Subscription.Term, str]] = ..., overrides: _Optional[_Union[SubscriptionOverrides, _Mapping]] = ...) -> None: ...

class CreateSubscriptionResponse(_message.Message):
    __slots__ = ("subscription", "balance", "replayed")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    balance: _reservation_pb2.Balance
    replayed: bool
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class GetSubscriptionRequest(_message.Message):
    __slots__ = ("account_id",)
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    def __init__(self, account_id: _Optional[str] = ...) -> None: ...

class GetSubscriptionResponse(_message.Message):
    __slots__ = ("subscription",)
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ...) -> None: ...

class ChangePlanRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "plan_id", "term", "overrides")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    plan_id: str
    term: Subscription.Term
    overrides: SubscriptionOverrides
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., term: _Optional[_Union[Subscription.Term, str]] = ..., overrides: _Optional[_Union[SubscriptionOverrides, _Mapping]] = ...) -> None: ...

class ChangePlanResponse(_message.Message):
    __slots__ = ("subscription", "balance", "immediate", "replayed")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    IMMEDIATE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    balance: _reservation_pb2.Balance
    immediate: bool
    replayed: bool
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., immediate: _Optional[bool] = ..., replayed: _Optional[bool] = ...) -> None: ...

class CancelSubscriptionRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "reason")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    reason: str
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelSubscriptionResponse(_message.Message):
    __slots__ = ("subscription", "replayed")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    replayed: bool
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ConfirmRenewalRequest(_message.Message):
    __slots__ = ("account_id", "request_id")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ConfirmRenewalResponse(_message.Message):
    __slots__ = ("subscription", "balance", "replayed")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    balance: _reservation_pb2.Balance
    replayed: bool
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ClaimFreePlanRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "identity", "plan_id")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    identity: str
    plan_id: str
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., identity: _Optional[str] = ..., plan_id: _Optional[str] = ...) -> None: ...

class ClaimFreePlanResponse(_message.Message):
    __slots__ = ("subscription", "balance", "replayed")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    balance: _reservation_pb2.Balance
    replayed: bool
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class Purchase(_message.Message):
    __slots__ = ("purchase_id", "account_id", "pack_id", "state", "credits_micros", "bonus_micros", "price", "unit_price", "promotion_id", "payment_reference", "price_version", "create_time", "settle_time", "reason", "request_id")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Purchase.State]
        STATE_PENDING: _ClassVar[Purchase.State]
        STATE_CONFIRMED: _ClassVar[Purchase.State]
        STATE_FAILED: _ClassVar[Purchase.State]
    STATE_UNSPECIFIED: Purchase.State
    STATE_PENDING: Purchase.State
    STATE_CONFIRMED: Purchase.State
    STATE_FAILED: Purchase.State
    PURCHASE_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PACK_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREDITS_MICROS_FIELD_NUMBER: _ClassVar[int]
    BONUS_MICROS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SETTLE_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    purchase_id: str
    account_id: str
    pack_id: str
    state: Purchase.State
    credits_micros: int
    bonus_micros: int
    price: _catalog_pb2.Money
    unit_price: str
    promotion_id: str
    payment_reference: str
    price_version: int
    create_time: _timestamp_pb2.Timestamp
    settle_time: _timestamp_pb2.Timestamp
    reason: str
    request_id: str
    def __init__(self, purchase_id: _Optional[str] = ..., account_id: _Optional[str] = ..., pack_id: _Optional[str] = ..., state: _Optional[_Union[Purchase.State, str]] = ..., credits_micros: _Optional[int] = ..., bonus_micros: _Optional[int] = ..., price: _Optional[_Union[_catalog_pb2.Money, _Mapping]] = ..., unit_price: _Optional[str] = ..., promotion_id: _Optional[str] = ..., payment_reference: _Optional[str] = ..., price_version: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., settle_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreatePurchaseRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "pack_id", "amount_micros", "method", "payment_reference")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PACK_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    pack_id: str
    amount_micros: int
    method: str
    payment_reference: str
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., pack_id: _Optional[str] = ..., amount_micros: _Optional[int] = ..., method: _Optional[str] = ..., payment_reference: _Optional[str] = ...) -> None: ...

class CreatePurchaseResponse(_message.Message):
    __slots__ = ("purchase", "replayed")
    PURCHASE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    purchase: Purchase
    replayed: bool
    def __init__(self, purchase: _Optional[_Union[Purchase, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ConfirmPurchaseRequest(_message.Message):
    __slots__ = ("purchase_id", "payment_reference")
    PURCHASE_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    purchase_id: str
    payment_reference: str
    def __init__(self, purchase_id: _Optional[str] = ..., payment_reference: _Optional[str] = ...) -> None: ...

class ConfirmPurchaseResponse(_message.Message):
    __slots__ = ("purchase", "grants", "balance", "replayed")
    PURCHASE_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    purchase: Purchase
    grants: _containers.RepeatedCompositeFieldContainer[_grant_pb2.Grant]
    balance: _reservation_pb2.Balance
    replayed: bool
    def __init__(self, purchase: _Optional[_Union[Purchase, _Mapping]] = ..., grants: _Optional[_Iterable[_Union[_grant_pb2.Grant, _Mapping]]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class FailPurchaseRequest(_message.Message):
    __slots__ = ("purchase_id", "payment_reference", "reason")
    PURCHASE_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    purchase_id: str
    payment_reference: str
    reason: str
    def __init__(self, purchase_id: _Optional[str] = ..., payment_reference: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class FailPurchaseResponse(_message.Message):
    __slots__ = ("purchase", "replayed")
    PURCHASE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    purchase: Purchase
    replayed: bool
    def __init__(self, purchase: _Optional[_Union[Purchase, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ListPurchasesRequest(_message.Message):
    __slots__ = ("account_id", "state", "page_size", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    state: Purchase.State
    page_size: int
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., state: _Optional[_Union[Purchase.State, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPurchasesResponse(_message.Message):
    __slots__ = ("purchases", "next_page_token")
    PURCHASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    purchases: _containers.RepeatedCompositeFieldContainer[Purchase]
    next_page_token: str
    def __init__(self, purchases: _Optional[_Iterable[_Union[Purchase, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
