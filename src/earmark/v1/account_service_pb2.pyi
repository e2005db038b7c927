import datetime

from earmark.v1 import account_pb2 as _account_pb2
from earmark.v1 import catalog_pb2 as _catalog_pb2
from earmark.v1 import grant_pb2 as _grant_pb2
from earmark.v1 import reservation_pb2 as _reservation_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateAccountRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "display_name", "time_zone", "overdraft_limit_micros", "enforcement", "thresholds", "contacts", "labels", "limits")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    OVERDRAFT_LIMIT_MICROS_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    display_name: str
    time_zone: str
    overdraft_limit_micros: int
    enforcement: _account_pb2.Account.Enforcement
    thresholds: _account_pb2.Thresholds
    contacts: _account_pb2.Contacts
    labels: _containers.ScalarMap[str, str]
    limits: _containers.RepeatedCompositeFieldContainer[_catalog_pb2.Limit]
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., display_name: _Optional[str] = ..., time_zone: _Optional[str] = ..., overdraft_limit_micros: _Optional[int] = ..., enforcement: _Optional[_Union[_account_pb2.Account.Enforcement, str]] = ..., thresholds: _Optional[_Union[_account_pb2.Thresholds, _Mapping]] = ..., contacts: _Optional[_Union[_account_pb2.Contacts, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., limits: _Optional[_Iterable[_Union[_catalog_pb2.Limit, _Mapping]]] = ...) -> None: ...

class CreateAccountResponse(_message.Message):
    __slots__ = ("account", "replayed")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.Account
    replayed: bool
    def __init__(self, account: _Optional[_Union[_account_pb2.Account, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("account_id",)
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    def __init__(self, account_id: _Optional[str] = ...) -> None: ...

class GetAccountResponse(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.Account
    def __init__(self, account: _Optional[_Union[_account_pb2.Account, _Mapping]] = ...) -> None: ...

class UpdateAccountRequest(_message.Message):
    __slots__ = ("account", "update_mask", "request_id")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.Account
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    def __init__(self, account: _Optional[_Union[_account_pb2.Account, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateAccountResponse(_message.Message):
    __slots__ = ("account", "replayed")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.Account
    replayed: bool
    def __init__(self, account: _Optional[_Union[_account_pb2.Account, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class SuspendAccountRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "reason")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    reason: str
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SuspendAccountResponse(_message.Message):
    __slots__ = ("account", "replayed")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.Account
    replayed: bool
    def __init__(self, account: _Optional[_Union[_account_pb2.Account, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ResumeAccountRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "reason")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    reason: str
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResumeAccountResponse(_message.Message):
    __slots__ = ("account", "replayed")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.Account
    replayed: bool
    def __init__(self, account: _Optional[_Union[_account_pb2.Account, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ListAccountsRequest(_message.Message):
    __slots__ = ("account_id_prefix", "page_size", "page_token")
    ACCOUNT_ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id_prefix: str
    page_size: int
    page_token: str
    def __init__(self, account_id_prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAccountsResponse(_message.Message):
    __slots__ = ("accounts", "next_page_token")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[_account_pb2.Account]
    next_page_token: str
    def __init__(self, accounts: _Optional[_Iterable[_Union[_account_pb2.Account, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AddMemberRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "user_id", "role")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    user_id: str
    role: _account_pb2.Member.Role
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., role: _Optional[_Union[_account_pb2.Member.Role, str]] = ...) -> None: ...

class AddMemberResponse(_message.Message):
    __slots__ = ("account", "replayed")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.Account
    replayed: bool
    def __init__(self, account: _Optional[_Union[_account_pb2.Account, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class RemoveMemberRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "user_id")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    user_id: str
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class RemoveMemberResponse(_message.Message):
    __slots__ = ("account", "replayed")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.Account
    replayed: bool
    def __init__(self, account: _Optional[_Union[_account_pb2.Account, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class CreateGrantRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "amount_micros", "kind", "priority", "expire_time", "acquire_time", "comment", "reservation_id", "never_expires")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACQUIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    NEVER_EXPIRES_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    amount_micros: int
    kind: _grant_pb2.Grant.Kind
    priority: int
    expire_time: _timestamp_pb2.Timestamp
    acquire_time: _timestamp_pb2.Timestamp
    comment: str
    reservation_id: str
    never_expires: bool
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., amount_micros: _Optional[int] = ..., kind: _Optional[_Union[_grant_pb2.Grant.Kind, str]] = ..., priority: _Optional[int] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acquire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., comment: _Optional[str] = ..., reservation_id: _Optional[str] = ..., never_expires: _Optional[bool] = ...) -> None: ...

class CreateGrantResponse(_message.Message):
    __slots__ = ("grant", "balance", "replayed")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    grant: _grant_pb2.Grant
    balance: _reservation_pb2.Balance
    replayed: bool
    def __init__(self, grant: _Optional[_Union[_grant_pb2.Grant, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class VoidGrantRequest(_message.Message):
    __slots__ = ("account_id", "request_id", "grant_id", "reason")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    request_id: str
    grant_id: str
    reason: str
    def __init__(self, account_id: _Optional[str] = ..., request_id: _Optional[str] = ..., grant_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class VoidGrantResponse(_message.Message):
    __slots__ = ("grant", "balance", "replayed")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    grant: _grant_pb2.Grant
    balance: _reservation_pb2.Balance
    replayed: bool
    def __init__(self, grant: _Optional[_Union[_grant_pb2.Grant, _Mapping]] = ..., balance: _Optional[_Union[_reservation_pb2.Balance, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ListGrantsRequest(_message.Message):
    __slots__ = ("account_id", "page_size", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    page_size: int
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListGrantsResponse(_message.Message):
    __slots__ = ("grants", "next_page_token")
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    grants: _containers.RepeatedCompositeFieldContainer[_grant_pb2.Grant]
    next_page_token: str
    def __init__(self, grants: _Optional[_Iterable[_Union[_grant_pb2.Grant, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ImportedGrant(_message.Message):
    __slots__ = ("external_id", "kind", "amount_micros", "charged_micros", "expired_micros", "priority", "acquire_time", "expire_time", "comment")
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICROS_FIELD_NUMBER: _ClassVar[int]
    CHARGED_MICROS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_MICROS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ACQUIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    external_id: str
    kind: _grant_pb2.Grant.Kind
    amount_micros: int
    charged_micros: int
    expired_micros: int
    priority: int
    acquire_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    comment: str
    def __init__(self, external_id: _Optional[str] = ..., kind: _Optional[_Union[_grant_pb2.Grant.Kind, str]] = ..., amount_micros: _Optional[int] = ..., charged_micros: _Optional[int] = ..., expired_micros: _Optional[int] = ..., priority: _Optional[int] = ..., acquire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., comment: _Optional[str] = ...) -> None: ...

class ImportedSubscription(_message.Message):
    __slots__ = ("plan_id", "term", "anchor_time", "credits_micros")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_TIME_FIELD_NUMBER: _ClassVar[int]
    CREDITS_MICROS_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    term: str
    anchor_time: _timestamp_pb2.Timestamp
    credits_micros: int
    def __init__(self, plan_id: _Optional[str] = ..., term: _Optional[str] = ..., anchor_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., credits_micros: _Optional[int] = ...) -> None: ...

class ImportedAccount(_message.Message):
    __slots__ = ("account_id", "display_name", "time_zone", "balance_micros", "grants", "lifetime_charged_micros", "claimed_identities", "subscription", "labels", "members")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    BALANCE_MICROS_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_CHARGED_MICROS_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_IDENTITIES_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    display_name: str
    time_zone: str
    balance_micros: int
    grants: _containers.RepeatedCompositeFieldContainer[ImportedGrant]
    lifetime_charged_micros: int
    claimed_identities: _containers.RepeatedScalarFieldContainer[str]
    subscription: ImportedSubscription
    labels: _containers.ScalarMap[str, str]
    members: _containers.RepeatedCompositeFieldContainer[_account_pb2.Member]
    def __init__(self, account_id: _Optional[str] = ..., display_name: _Optional[str] = ..., time_zone: _Optional[str] = ..., balance_micros: _Optional[int] = ..., grants: _Optional[_Iterable[_Union[ImportedGrant, _Mapping]]] = ..., lifetime_charged_micros: _Optional[int] = ..., claimed_identities: _Optional[_Iterable[str]] = ..., subscription: _Optional[_Union[ImportedSubscription, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., members: _Optional[_Iterable[_Union[_account_pb2.Member, _Mapping]]] = ...) -> None: ...

class ImportAccountsRequest(_message.Message):
    __slots__ = ("account", "validate_only")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    account: ImportedAccount
    validate_only: bool
    def __init__(self, account: _Optional[_Union[ImportedAccount, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ImportAccountsResponse(_message.Message):
    __slots__ = ("account_id", "outcome", "message", "reason")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[ImportAccountsResponse.Outcome]
        OUTCOME_IMPORTED: _ClassVar[ImportAccountsResponse.Outcome]
        OUTCOME_UNCHANGED: _ClassVar[ImportAccountsResponse.Outcome]
        OUTCOME_VALID: _ClassVar[ImportAccountsResponse.Outcome]
        OUTCOME_REFUSED: _ClassVar[ImportAccountsResponse.Outcome]
    OUTCOME_UNSPECIFIED: ImportAccountsResponse.Outcome
    OUTCOME_IMPORTED: ImportAccountsResponse.Outcome
    OUTCOME_UNCHANGED: ImportAccountsResponse.Outcome
    OUTCOME_VALID: ImportAccountsResponse.Outcome
    OUTCOME_REFUSED: ImportAccountsResponse.Outcome
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    outcome: ImportAccountsResponse.Outcome
    message: str
    reason: str
    def __init__(self, account_id: _Optional[str] = ..., outcome: _Optional[_Union[ImportAccountsResponse.Outcome, str]] = ..., message: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
