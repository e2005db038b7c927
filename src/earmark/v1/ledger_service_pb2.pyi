import datetime

from earmark.v1 import grant_pb2 as _grant_pb2
from earmark.v1 import ledger_pb2 as _ledger_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LedgerFilter(_message.Message):
    __slots__ = ("start_time", "end_time", "kinds", "operation", "user_id", "project_id", "labels", "min_amount_micros", "max_amount_micros", "outcome", "reservation_id", "request_id", "entry_number")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MIN_AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    MAX_AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NUMBER_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    kinds: _containers.RepeatedScalarFieldContainer[_ledger_pb2.LedgerEntry.Kind]
    operation: str
    user_id: str
    project_id: str
    labels: _containers.ScalarMap[str, str]
    min_amount_micros: int
    max_amount_micros: int
    outcome: _ledger_pb2.LedgerEntry.Outcome
    reservation_id: str
    request_id: str
    entry_number: int
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kinds: _Optional[_Iterable[_Union[_ledger_pb2.LedgerEntry.Kind, str]]] = ..., operation: _Optional[str] = ..., user_id: _Optional[str] = ..., project_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., min_amount_micros: _Optional[int] = ..., max_amount_micros: _Optional[int] = ..., outcome: _Optional[_Union[_ledger_pb2.LedgerEntry.Outcome, str]] = ..., reservation_id: _Optional[str] = ..., request_id: _Optional[str] = ..., entry_number: _Optional[int] = ...) -> None: ...

class ListLedgerEntriesRequest(_message.Message):
    __slots__ = ("account_id", "filter", "page_size", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    filter: LedgerFilter
    page_size: int
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., filter: _Optional[_Union[LedgerFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListLedgerEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.LedgerEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_ledger_pb2.LedgerEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExportLedgerRequest(_message.Message):
    __slots__ = ("account_id", "filter")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    filter: LedgerFilter
    def __init__(self, account_id: _Optional[str] = ..., filter: _Optional[_Union[LedgerFilter, _Mapping]] = ...) -> None: ...

class ExportLedgerResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.LedgerEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[_ledger_pb2.LedgerEntry, _Mapping]]] = ...) -> None: ...

class GetUsageReportRequest(_message.Message):
    __slots__ = ("account_id", "start_time", "end_time", "group_by", "operation", "user_id", "project_id", "order_by", "limit", "requesting_user_id")
    class GroupBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        GROUP_BY_UNSPECIFIED: _ClassVar[GetUsageReportRequest.GroupBy]
        GROUP_BY_OPERATION: _ClassVar[GetUsageReportRequest.GroupBy]
        GROUP_BY_USER: _ClassVar[GetUsageReportRequest.GroupBy]
        GROUP_BY_PROJECT: _ClassVar[GetUsageReportRequest.GroupBy]
        GROUP_BY_DAY: _ClassVar[GetUsageReportRequest.GroupBy]
        GROUP_BY_MONTH: _ClassVar[GetUsageReportRequest.GroupBy]
    GROUP_BY_UNSPECIFIED: GetUsageReportRequest.GroupBy
    GROUP_BY_OPERATION: GetUsageReportRequest.GroupBy
    GROUP_BY_USER: GetUsageReportRequest.GroupBy
    GROUP_BY_PROJECT: GetUsageReportRequest.GroupBy
    GROUP_BY_DAY: GetUsageReportRequest.GroupBy
    GROUP_BY_MONTH: GetUsageReportRequest.GroupBy
    class OrderBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ORDER_BY_UNSPECIFIED: _ClassVar[GetUsageReportRequest.OrderBy]
        ORDER_BY_KEY: _ClassVar[GetUsageReportRequest.OrderBy]
        ORDER_BY_CHARGED: _ClassVar[GetUsageReportRequest.OrderBy]
        ORDER_BY_COUNT: _ClassVar[GetUsageReportRequest.OrderBy]
    ORDER_BY_UNSPECIFIED: GetUsageReportRequest.OrderBy
    ORDER_BY_KEY: GetUsageReportRequest.OrderBy
    ORDER_BY_CHARGED: GetUsageReportRequest.OrderBy
    ORDER_BY_COUNT: GetUsageReportRequest.OrderBy
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REQUESTING_USER_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    group_by: _containers.RepeatedScalarFieldContainer[GetUsageReportRequest.GroupBy]
    operation: str
    user_id: str
    project_id: str
    order_by: GetUsageReportRequest.OrderBy
    limit: int
    requesting_user_id: str
    def __init__(self, account_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., group_by: _Optional[_Iterable[_Union[GetUsageReportRequest.GroupBy, str]]] = ..., operation: _Optional[str] = ..., user_id: _Optional[str] = ..., project_id: _Optional[str] = ..., order_by: _Optional[_Union[GetUsageReportRequest.OrderBy, str]] = ..., limit: _Optional[int] = ..., requesting_user_id: _Optional[str] = ...) -> None: ...

class UsageRow(_message.Message):
    __slots__ = ("operation", "user_id", "project_id", "start_time", "charged_micros", "uncollected_micros", "succeeded_count", "failed_count", "expired_count", "quantity", "previous_charged_micros")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    CHARGED_MICROS_FIELD_NUMBER: _ClassVar[int]
    UNCOLLECTED_MICROS_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_COUNT_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CHARGED_MICROS_FIELD_NUMBER: _ClassVar[int]
    operation: str
    user_id: str
    project_id: str
    start_time: _timestamp_pb2.Timestamp
    charged_micros: int
    uncollected_micros: int
    succeeded_count: int
    failed_count: int
    expired_count: int
    quantity: int
    previous_charged_micros: int
    def __init__(self, operation: _Optional[str] = ..., user_id: _Optional[str] = ..., project_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., charged_micros: _Optional[int] = ..., uncollected_micros: _Optional[int] = ..., succeeded_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., expired_count: _Optional[int] = ..., quantity: _Optional[int] = ..., previous_charged_micros: _Optional[int] = ...) -> None: ...

class GetUsageReportResponse(_message.Message):
    __slots__ = ("rows", "total", "start_time", "end_time", "row_count")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    total: UsageRow
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    row_count: int
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ..., total: _Optional[_Union[UsageRow, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., row_count: _Optional[int] = ...) -> None: ...

class GetMonthlySummaryRequest(_message.Message):
    __slots__ = ("account_id", "start_time", "end_time")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, account_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SummaryLine(_message.Message):
    __slots__ = ("kind", "carried_in_micros", "allocated_micros", "consumed_micros", "expired_micros", "voided_micros", "repaid_micros", "remaining_micros")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CARRIED_IN_MICROS_FIELD_NUMBER: _ClassVar[int]
    ALLOCATED_MICROS_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_MICROS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_MICROS_FIELD_NUMBER: _ClassVar[int]
    VOIDED_MICROS_FIELD_NUMBER: _ClassVar[int]
    REPAID_MICROS_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MICROS_FIELD_NUMBER: _ClassVar[int]
    kind: _grant_pb2.Grant.Kind
    carried_in_micros: int
    allocated_micros: int
    consumed_micros: int
    expired_micros: int
    voided_micros: int
    repaid_micros: int
    remaining_micros: int
    def __init__(self, kind: _Optional[_Union[_grant_pb2.Grant.Kind, str]] = ..., carried_in_micros: _Optional[int] = ..., allocated_micros: _Optional[int] = ..., consumed_micros: _Optional[int] = ..., expired_micros: _Optional[int] = ..., voided_micros: _Optional[int] = ..., repaid_micros: _Optional[int] = ..., remaining_micros: _Optional[int] = ...) -> None: ...

class GetMonthlySummaryResponse(_message.Message):
    __slots__ = ("total", "free", "purchased", "subscription", "kinds", "start_time", "end_time", "borrowed_micros", "uncollected_micros")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    PURCHASED_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    BORROWED_MICROS_FIELD_NUMBER: _ClassVar[int]
    UNCOLLECTED_MICROS_FIELD_NUMBER: _ClassVar[int]
    total: SummaryLine
    free: SummaryLine
    purchased: SummaryLine
    subscription: SummaryLine
    kinds: _containers.RepeatedCompositeFieldContainer[SummaryLine]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    borrowed_micros: int
    uncollected_micros: int
    def __init__(self, total: _Optional[_Union[SummaryLine, _Mapping]] = ..., free: _Optional[_Union[SummaryLine, _Mapping]] = ..., purchased: _Optional[_Union[SummaryLine, _Mapping]] = ..., subscription: _Optional[_Union[SummaryLine, _Mapping]] = ..., kinds: _Optional[_Iterable[_Union[SummaryLine, _Mapping]]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., borrowed_micros: _Optional[int] = ..., uncollected_micros: _Optional[int] = ...) -> None: ...

class Notification(_message.Message):
    __slots__ = ("notification_id", "account_id", "kind", "message", "threshold_micros", "limit_name", "entry_number", "grant_id", "create_time", "deliveries", "balance_micros")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Notification.Kind]
        KIND_LOW_BALANCE: _ClassVar[Notification.Kind]
        KIND_CRITICAL_BALANCE: _ClassVar[Notification.Kind]
        KIND_EXPIRING_SOON: _ClassVar[Notification.Kind]
        KIND_LIMIT_NEAR: _ClassVar[Notification.Kind]
    KIND_UNSPECIFIED: Notification.Kind
    KIND_LOW_BALANCE: Notification.Kind
    KIND_CRITICAL_BALANCE: Notification.Kind
    KIND_EXPIRING_SOON: Notification.Kind
    KIND_LIMIT_NEAR: Notification.Kind
    class DeliveryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DELIVERY_STATE_UNSPECIFIED: _ClassVar[Notification.DeliveryState]
        DELIVERY_STATE_PENDING: _ClassVar[Notification.DeliveryState]
        DELIVERY_STATE_DELIVERED: _ClassVar[Notification.DeliveryState]
        DELIVERY_STATE_FAILED: _ClassVar[Notification.DeliveryState]
    DELIVERY_STATE_UNSPECIFIED: Notification.DeliveryState
    DELIVERY_STATE_PENDING: Notification.DeliveryState
    DELIVERY_STATE_DELIVERED: Notification.DeliveryState
    DELIVERY_STATE_FAILED: Notification.DeliveryState
    class Delivery(_message.Message):
        __slots__ = ("channel", "target", "state", "attempts", "error", "attempt_time")
        CHANNEL_FIELD_NUMBER: _ClassVar[int]
        TARGET_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
        channel: str
        target: str
        state: Notification.DeliveryState
        attempts: int
        error: str
        attempt_time: _timestamp_pb2.Timestamp
        def __init__(self, channel: _Optional[str] = ..., target: _Optional[str] = ..., state: _Optional[_Union[Notification.DeliveryState, str]] = ..., attempts: _Optional[int] = ..., error: _Optional[str] = ..., attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    NOTIFICATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_MICROS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_NAME_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NUMBER_FIELD_NUMBER: _ClassVar[int]
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    BALANCE_MICROS_FIELD_NUMBER: _ClassVar[int]
    notification_id: str
    account_id: str
    kind: Notification.Kind
    message: str
    threshold_micros: int
    limit_name: str
    entry_number: int
    grant_id: str
    create_time: _timestamp_pb2.Timestamp
    deliveries: _containers.RepeatedCompositeFieldContainer[Notification.Delivery]
    balance_micros: int
    def __init__(self, notification_id: _Optional[str] = ..., account_id: _Optional[str] = ..., kind: _Optional[_Union[Notification.Kind, str]] = ..., message: _Optional[str] = ..., threshold_micros: _Optional[int] = ..., limit_name: _Optional[str] = ..., entry_number: _Optional[int] = ..., grant_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deliveries: _Optional[_Iterable[_Union[Notification.Delivery, _Mapping]]] = ..., balance_micros: _Optional[int] = ...) -> None: ...

class ListNotificationsRequest(_message.Message):
    __slots__ = ("account_id", "kind", "page_size", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    kind: Notification.Kind
    page_size: int
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., kind: _Optional[_Union[Notification.Kind, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNotificationsResponse(_message.Message):
    __slots__ = ("notifications", "next_page_token")
    NOTIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    notifications: _containers.RepeatedCompositeFieldContainer[Notification]
    next_page_token: str
    def __init__(self, notifications: _Optional[_Iterable[_Union[Notification, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
