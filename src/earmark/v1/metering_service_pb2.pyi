import datetime

from earmark.v1 import catalog_pb2 as _catalog_pb2
from earmark.v1 import common_pb2 as _common_pb2
from earmark.v1 import grant_pb2 as _grant_pb2
from earmark.v1 import ledger_pb2 as _ledger_pb2
from earmark.v1 import reservation_pb2 as _reservation_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReserveRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "amount_micros", "operation", "quantity", "usage", "attributes", "min_amount_micros", "min_quantity", "ttl", "user_id", "project_id", "labels", "wait", "validate_only")
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
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    MIN_AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    MIN_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    amount_micros: int
    operation: str
    quantity: int
    usage: _common_pb2.Usage
    attributes: _containers.ScalarMap[str, str]
    min_amount_micros: int
    min_quantity: int
    ttl: _duration_pb2.Duration
    user_id: str
    project_id: str
    labels: _containers.ScalarMap[str, str]
    wait: _duration_pb2.Duration
    validate_only: bool
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., amount_micros: _Optional[int] = ..., operation: _Optional[str] = ..., quantity: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., min_amount_micros: _Optional[int] = ..., min_quantity: _Optional[int] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., user_id: _Optional[str] = ..., project_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ReserveResponse(_message.Message):
    __slots__ = ("reservation", "balance", "notices", "replayed")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    balance: _reservation_pb2.Balance
    notices: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Notice]
    replayed: bool
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_reservation_pb2.Notice, _Mapping]]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class CommitRequest(_message.Message):
    __slots__ = ("reservation_id", "amount_micros", "quantity", "usage", "attributes", "overage_policy", "comment")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    OVERAGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    reservation_id: str
    amount_micros: int
    quantity: int
    usage: _common_pb2.Usage
    attributes: _containers.ScalarMap[str, str]
    overage_policy: _common_pb2.OveragePolicy
    comment: str
    def __init__(self, reservation_id: _Optional[str] = ..., amount_micros: _Optional[int] = ..., quantity: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., overage_policy: _Optional[_Union[_common_pb2.OveragePolicy, str]] = ..., comment: _Optional[str] = ...) -> None: ...

class CommitResponse(_message.Message):
    __slots__ = ("reservation", "balance", "notices", "charged_micros", "uncollected_micros", "replayed")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    CHARGED_MICROS_FIELD_NUMBER: _ClassVar[int]
    UNCOLLECTED_MICROS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    balance: _reservation_pb2.Balance
    notices: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Notice]
    charged_micros: int
    uncollected_micros: int
    replayed: bool
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_reservation_pb2.Notice, _Mapping]]] = ..., charged_micros: _Optional[int] = ..., uncollected_micros: _Optional[int] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("reservation_id", "account_id", "request_id", "reason")
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    reservation_id: str
    account_id: str
    request_id: str
    reason: str
    def __init__(self, reservation_id: _Optional[str] = ..., account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("reservation", "balance", "replayed")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    balance: _reservation_pb2.Balance
    replayed: bool
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ExtendRequest(_message.Message):
    __slots__ = ("reservation_id", "request_id", "ttl", "additional_micros", "additional_quantity", "additional_usage", "wait")
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_MICROS_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_USAGE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    reservation_id: str
    request_id: str
    ttl: _duration_pb2.Duration
    additional_micros: int
    additional_quantity: int
    additional_usage: _common_pb2.Usage
    wait: _duration_pb2.Duration
    def __init__(self, reservation_id: _Optional[str] = ..., request_id: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., additional_micros: _Optional[int] = ..., additional_quantity: _Optional[int] = ..., additional_usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExtendResponse(_message.Message):
    __slots__ = ("reservation", "balance", "notices", "replayed")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    balance: _reservation_pb2.Balance
    notices: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Notice]
    replayed: bool
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_reservation_pb2.Notice, _Mapping]]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ChargeRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "amount_micros", "operation", "quantity", "usage", "attributes", "min_amount_micros", "min_quantity", "user_id", "project_id", "labels", "overage_policy", "comment", "wait", "validate_only")
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
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    MIN_AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    MIN_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OVERAGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    amount_micros: int
    operation: str
    quantity: int
    usage: _common_pb2.Usage
    attributes: _containers.ScalarMap[str, str]
    min_amount_micros: int
    min_quantity: int
    user_id: str
    project_id: str
    labels: _containers.ScalarMap[str, str]
    overage_policy: _common_pb2.OveragePolicy
    comment: str
    wait: _duration_pb2.Duration
    validate_only: bool
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., amount_micros: _Optional[int] = ..., operation: _Optional[str] = ..., quantity: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., min_amount_micros: _Optional[int] = ..., min_quantity: _Optional[int] = ..., user_id: _Optional[str] = ..., project_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., overage_policy: _Optional[_Union[_common_pb2.OveragePolicy, str]] = ..., comment: _Optional[str] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ChargeResponse(_message.Message):
    __slots__ = ("reservation", "balance", "notices", "charged_micros", "uncollected_micros", "replayed")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    CHARGED_MICROS_FIELD_NUMBER: _ClassVar[int]
    UNCOLLECTED_MICROS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    balance: _reservation_pb2.Balance
    notices: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Notice]
    charged_micros: int
    uncollected_micros: int
    replayed: bool
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_reservation_pb2.Notice, _Mapping]]] = ..., charged_micros: _Optional[int] = ..., uncollected_micros: _Optional[int] = ..., replayed: _Optional[bool] = ...) -> None: ...

class GetReservationRequest(_message.Message):
    __slots__ = ("reservation_id",)
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    reservation_id: str
    def __init__(self, reservation_id: _Optional[str] = ...) -> None: ...

class GetReservationResponse(_message.Message):
    __slots__ = ("reservation",)
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ...) -> None: ...

class ListReservationsRequest(_message.Message):
    __slots__ = ("account_id", "state", "page_size", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    state: _reservation_pb2.Reservation.State
    page_size: int
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., state: _Optional[_Union[_reservation_pb2.Reservation.State, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReservationsResponse(_message.Message):
    __slots__ = ("reservations", "next_page_token")
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reservations: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Reservation]
    next_page_token: str
    def __init__(self, reservations: _Optional[_Iterable[_Union[_reservation_pb2.Reservation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetBalanceRequest(_message.Message):
    __slots__ = ("account_id",)
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    def __init__(self, account_id: _Optional[str] = ...) -> None: ...

class GetBalanceResponse(_message.Message):
    __slots__ = ("balance", "grants", "last_entry")
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    LAST_ENTRY_FIELD_NUMBER: _ClassVar[int]
    balance: _reservation_pb2.Balance
    grants: _containers.RepeatedCompositeFieldContainer[_grant_pb2.Grant]
    last_entry: _ledger_pb2.LedgerEntry
    def __init__(self, balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., grants: _Optional[_Iterable[_Union[_grant_pb2.Grant, _Mapping]]] = ..., last_entry: _Optional[_Union[_ledger_pb2.LedgerEntry, _Mapping]] = ...) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[SessionCall]
    def __init__(self, calls: _Optional[_Iterable[_Union[SessionCall, _Mapping]]] = ...) -> None: ...

class SessionCall(_message.Message):
    __slots__ = ("sequence", "reserve", "commit", "release", "extend", "charge")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESERVE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    CHARGE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    reserve: ReserveRequest
    commit: CommitRequest
    release: ReleaseRequest
    extend: ExtendRequest
    charge: ChargeRequest
    def __init__(self, sequence: _Optional[int] = ..., reserve: _Optional[_Union[ReserveRequest, _Mapping]] = ..., commit: _Optional[_Union[CommitRequest, _Mapping]] = ..., release: _Optional[_Union[ReleaseRequest, _Mapping]] = ..., extend: _Optional[_Union[ExtendRequest, _Mapping]] = ..., charge: _Optional[_Union[ChargeRequest, _Mapping]] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SessionResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SessionResult, _Mapping]]] = ...) -> None: ...

class SessionResult(_message.Message):
    __slots__ = ("sequence", "status", "reserve", "commit", "release", "extend", "charge")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RESERVE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    CHARGE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    status: _status_pb2.Status
    reserve: ReserveResponse
    commit: CommitResponse
    release: ReleaseResponse
    extend: ExtendResponse
    charge: ChargeResponse
    def __init__(self, sequence: _Optional[int] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., reserve: _Optional[_Union[ReserveResponse, _Mapping]] = ..., commit: _Optional[_Union[CommitResponse, _Mapping]] = ..., release: _Optional[_Union[ReleaseResponse, _Mapping]] = ..., extend: _Optional[_Union[ExtendResponse, _Mapping]] = ..., charge: _Optional[_Union[ChargeResponse, _Mapping]] = ...) -> None: ...

class WatchBalanceRequest(_message.Message):
    __slots__ = ("account_id",)
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    def __init__(self, account_id: _Optional[str] = ...) -> None: ...

class WatchBalanceResponse(_message.Message):
    __slots__ = ("balance",)
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    balance: _reservation_pb2.Balance
    def __init__(self, balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ...) -> None: ...

class EstimateItem(_message.Message):
    __slots__ = ("operation", "quantity", "usage", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    operation: str
    quantity: int
    usage: _common_pb2.Usage
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, operation: _Optional[str] = ..., quantity: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class EstimateRequest(_message.Message):
    __slots__ = ("account_id", "items", "buffer_percent", "method")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    BUFFER_PERCENT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    items: _containers.RepeatedCompositeFieldContainer[EstimateItem]
    buffer_percent: int
    method: str
    def __init__(self, account_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[EstimateItem, _Mapping]]] = ..., buffer_percent: _Optional[int] = ..., method: _Optional[str] = ...) -> None: ...

class EstimatedItem(_message.Message):
    __slots__ = ("min_micros", "max_micros", "text", "affordable_quantity")
    MIN_MICROS_FIELD_NUMBER: _ClassVar[int]
    MAX_MICROS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AFFORDABLE_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    min_micros: int
    max_micros: int
    text: str
    affordable_quantity: int
    def __init__(self, min_micros: _Optional[int] = ..., max_micros: _Optional[int] = ..., text: _Optional[str] = ..., affordable_quantity: _Optional[int] = ...) -> None: ...

class CoveringPack(_message.Message):
    __slots__ = ("pack", "count", "credits_micros", "prices")
    PACK_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CREDITS_MICROS_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    pack: _catalog_pb2.Pack
    count: int
    credits_micros: int
    prices: _containers.RepeatedCompositeFieldContainer[_catalog_pb2.Money]
    def __init__(self, pack: _Optional[_Union[_catalog_pb2.Pack, _Mapping]] = ..., count: _Optional[int] = ..., credits_micros: _Optional[int] = ..., prices: _Optional[_Iterable[_Union[_catalog_pb2.Money, _Mapping]]] = ...) -> None: ...

class EstimateResponse(_message.Message):
    __slots__ = ("items", "min_micros", "max_micros", "sufficient", "shortfall_micros", "available_micros", "packs", "price_version")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MIN_MICROS_FIELD_NUMBER: _ClassVar[int]
    MAX_MICROS_FIELD_NUMBER: _ClassVar[int]
    SUFFICIENT_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_MICROS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_MICROS_FIELD_NUMBER: _ClassVar[int]
    PACKS_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[EstimatedItem]
    min_micros: int
    max_micros: int
    sufficient: bool
    shortfall_micros: int
    available_micros: int
    packs: _containers.RepeatedCompositeFieldContainer[CoveringPack]
    price_version: int
    def __init__(self, items: _Optional[_Iterable[_Union[EstimatedItem, _Mapping]]] = ..., min_micros: _Optional[int] = ..., max_micros: _Optional[int] = ..., sufficient: _Optional[bool] = ..., shortfall_micros: _Optional[int] = ..., available_micros: _Optional[int] = ..., packs: _Optional[_Iterable[_Union[CoveringPack, _Mapping]]] = ..., price_version: _Optional[int] = ...) -> None: ...
