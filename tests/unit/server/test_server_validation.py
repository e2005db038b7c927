"""Every bound of the contract: what lies inside passes, what lies outside names its field and its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import (
    AttributePrice,
    Catalog,
    FixedPrice,
    FreePrice,
    Operation,
    PriceRow,
    RangePrice,
    TokenPrice,
)
from earmark.domain.ids import format_reservation_id, reservation_digest
from earmark.domain.states import OveragePolicy
from earmark.engine.operations import ABSENT, TOMBSTONE_WANTED, Details, Settlement
from earmark.errors import EarmarkError, InvalidRequest, Reason
from earmark.server.claims import UNKNOWN, AccountClaims
from earmark.server.deferred import CatalogWanted, ReservationWanted, Unpriced
from earmark.server.pricing import Pricing
from earmark.server.validation import Requests
from earmark.v1 import common_pb2 as common
from earmark.v1 import metering_service_pb2 as pb
from tests.unit.server.catalogs import Installed, Recorded, requests_with

SECOND = 1_000_000
RESERVATION_ID = format_reservation_id("acme", reservation_digest("acme", "r"))


@pytest.fixture(scope="module")
def requests() -> Requests:
    return requests_with()


def reserve(**fields: Any) -> pb.ReserveRequest:
    return pb.ReserveRequest(**{"account_id": "acme", "request_id": "r", "amount_micros": 5, **fields})


def charge(**fields: Any) -> pb.ChargeRequest:
    return pb.ChargeRequest(**{"account_id": "acme", "request_id": "r", "amount_micros": 5, **fields})


def commit(**fields: Any) -> pb.CommitRequest:
    return pb.CommitRequest(**{"reservation_id": RESERVATION_ID, **fields})


def refused(requests: Requests, request: Any) -> EarmarkError:
    method = type(request).__name__.removesuffix("Request").lower()
    with pytest.raises(EarmarkError) as caught:
        getattr(requests, method)(request)
    return caught.value


@pytest.mark.parametrize(
    ("request_", "field", "reason"),
    [
        (reserve(account_id=""), "account_id", Reason.INVALID_ARGUMENT),
        (reserve(account_id="a" * 129), "account_id", Reason.INVALID_ARGUMENT),
        (reserve(account_id="a" * 10_240), "account_id", Reason.INVALID_ARGUMENT),
        (reserve(account_id="a\x00b"), "account_id", Reason.INVALID_ARGUMENT),
        (reserve(account_id="a\nb"), "account_id", Reason.INVALID_ARGUMENT),
        (reserve(account_id="é"), "account_id", Reason.INVALID_ARGUMENT),
        (reserve(account_id="\x7f"), "account_id", Reason.INVALID_ARGUMENT),
        (reserve(request_id=""), "request_id", Reason.INVALID_REQUEST_ID),
        (reserve(request_id="r" * 257), "request_id", Reason.INVALID_REQUEST_ID),
        (reserve(request_id="日"), "request_id", Reason.INVALID_REQUEST_ID),
        (reserve(request_id="a\tb"), "request_id", Reason.INVALID_REQUEST_ID),
        (reserve(amount_micros=-1), "amount_micros", Reason.INVALID_AMOUNT),
        (reserve(amount_micros=MAX_MICROS + 1), "amount_micros", Reason.INVALID_AMOUNT),
        (reserve(min_amount_micros=-1), "min_amount_micros", Reason.INVALID_AMOUNT),
        (reserve(min_amount_micros=6), "min_amount_micros", Reason.INVALID_AMOUNT),
        (reserve(quantity=1), "quantity", Reason.INVALID_ARGUMENT),
        (reserve(usage=common.Usage(counts={"a": 1})), "usage", Reason.INVALID_ARGUMENT),
        (reserve(min_quantity=1), "min_quantity", Reason.INVALID_ARGUMENT),
        (reserve(quantity=-1), "quantity", Reason.INVALID_AMOUNT),
        (reserve(usage=common.Usage(counts={"a": MAX_MICROS + 1})), "usage.counts['a']", Reason.INVALID_AMOUNT),
        (reserve(usage=common.Usage(counts={str(n): n for n in range(17)})), "usage.counts", Reason.INVALID_ARGUMENT),
        (reserve(operation="o" * 129), "operation", Reason.INVALID_ARGUMENT),
        (reserve(operation="a\x85b"), "operation", Reason.INVALID_ARGUMENT),
        (reserve(user_id="u" * 129), "user_id", Reason.INVALID_ARGUMENT),
        (reserve(project_id="p\r"), "project_id", Reason.INVALID_ARGUMENT),
        (reserve(labels={str(n): "" for n in range(17)}), "labels", Reason.INVALID_ARGUMENT),
        (reserve(labels={"": "v"}), "labels", Reason.INVALID_ARGUMENT),
        (reserve(labels={"k" * 65: "v"}), "labels", Reason.INVALID_ARGUMENT),
        (reserve(labels={"k\n": "v"}), "labels", Reason.INVALID_ARGUMENT),
        (reserve(labels={"k": "v" * 257}), "labels['k']", Reason.INVALID_ARGUMENT),
        (reserve(attributes={"k": "\x1b[31m"}), "attributes['k']", Reason.INVALID_ARGUMENT),
        (reserve(ttl=Duration()), "ttl", Reason.INVALID_TTL),
        (reserve(ttl=Duration(nanos=999_999_000)), "ttl", Reason.INVALID_TTL),
        (reserve(ttl=Duration(seconds=-5)), "ttl", Reason.INVALID_TTL),
        (reserve(ttl=Duration(seconds=86_400, nanos=1)), "ttl", Reason.INVALID_TTL),
        (reserve(ttl=Duration(seconds=5, nanos=-1)), "ttl", Reason.INVALID_TTL),
        (reserve(ttl=Duration(seconds=2**62)), "ttl", Reason.INVALID_TTL),
        (reserve(wait=Duration(seconds=61)), "wait", Reason.INVALID_ARGUMENT),
        (reserve(wait=Duration(seconds=-1)), "wait", Reason.INVALID_ARGUMENT),
        (charge(overage_policy=99), "overage_policy", Reason.INVALID_ARGUMENT),
        (charge(comment="c" * 1_025), "comment", Reason.INVALID_ARGUMENT),
        (charge(comment="\x00"), "comment", Reason.INVALID_ARGUMENT),
        (pb.CommitRequest(), "reservation_id", Reason.INVALID_ARGUMENT),
        (pb.CommitRequest(reservation_id="x" * 257), "reservation_id", Reason.INVALID_ARGUMENT),
        (pb.CommitRequest(reservation_id=RESERVATION_ID, amount_micros=-1), "amount_micros", Reason.INVALID_AMOUNT),
        (commit(overage_policy=-1), "overage_policy", Reason.INVALID_ARGUMENT),
        (pb.ReleaseRequest(), "reservation_id", Reason.INVALID_ARGUMENT),
        (pb.ReleaseRequest(account_id="acme"), "request_id", Reason.INVALID_REQUEST_ID),
        (pb.ReleaseRequest(request_id="r"), "account_id", Reason.INVALID_ARGUMENT),
        (pb.ReleaseRequest(reservation_id=RESERVATION_ID, request_id="r"), "reservation_id", Reason.INVALID_ARGUMENT),
        (pb.ReleaseRequest(reservation_id=RESERVATION_ID, reason="r" * 1_025), "reason", Reason.INVALID_ARGUMENT),
        (pb.ExtendRequest(reservation_id=RESERVATION_ID, request_id="e"), "ttl", Reason.INVALID_ARGUMENT),
        (
            pb.ExtendRequest(reservation_id=RESERVATION_ID, request_id="e", ttl=Duration()),
            "ttl",
            Reason.INVALID_TTL,
        ),
        (
            pb.ExtendRequest(reservation_id=RESERVATION_ID, request_id="e", additional_micros=-1),
            "additional_micros",
            Reason.INVALID_AMOUNT,
        ),
        (
            pb.ExtendRequest(reservation_id=RESERVATION_ID, additional_micros=1),
            "request_id",
            Reason.INVALID_REQUEST_ID,
        ),
    ],
)
def test_what_lies_outside_the_bounds_names_its_field(
    requests: Requests, request_: Any, field: str, reason: Reason
) -> None:
    failure = refused(requests, request_)
    assert (failure.code, failure.field, failure.reason) == ("INVALID_ARGUMENT", field, reason)
    assert failure.message.isprintable()
    assert len(failure.message) < 300


def test_without_a_catalog_an_operation_has_no_price(requests: Requests) -> None:
    request = reserve(operation="image.generate", quantity=2)
    request.ClearField("amount_micros")
    failure = unpriced(requests, request)
    assert (failure.reason, failure.field) == (Reason.UNKNOWN_OPERATION, "operation")
    request.ClearField("operation")
    failure = refused(requests, request)
    assert (failure.reason, failure.field) == (Reason.INVALID_ARGUMENT, "amount_micros")


@pytest.mark.parametrize(
    "reservation_id",
    [
        "nonsense",
        "é",
        "\x00",
        RESERVATION_ID + "A",
        format_reservation_id("a\x00b", reservation_digest("a", "r")),
        format_reservation_id("a" * 129, reservation_digest("a", "r")),
    ],
)
def test_an_id_that_no_server_gave_out_is_not_found(requests: Requests, reservation_id: str) -> None:
    failure = refused(requests, pb.CommitRequest(reservation_id=reservation_id))
    assert failure.reason == Reason.RESERVATION_NOT_FOUND


def test_the_widest_request_passes(requests: Requests) -> None:
    operation = requests.reserve(
        reserve(
            account_id="{" + "~" * 126 + "}",
            request_id=" " * 256,
            amount_micros=MAX_MICROS,
            min_amount_micros=0,
            operation="é" * 128,
            user_id="日" * 128,
            project_id="p" * 128,
            labels={f"{n:064}": "v" * 256 for n in range(16)},
            attributes={f"{n:064}": "" for n in range(16)},
            ttl=Duration(seconds=86_400),
            wait=Duration(seconds=60),
        )
    )
    assert (operation.amount, operation.min_amount) == (MAX_MICROS, 0)
    assert (operation.ttl, operation.wait) == (86_400 * SECOND, 60 * SECOND)
    details = msgspec.json.decode(operation.details, type=Details)
    assert len(details.labels) == len(details.attributes) == 16


def test_defaults_are_a_minute_and_no_wait(requests: Requests) -> None:
    operation = requests.reserve(reserve())
    assert (operation.ttl, operation.wait, operation.owner, operation.min_amount) == (60 * SECOND, 0, "", 5)
    assert operation.digest == reservation_digest("acme", "r")


def test_an_explicit_zero_is_not_an_absence(requests: Requests) -> None:
    assert requests.commit(pb.CommitRequest(reservation_id=RESERVATION_ID)).actual == ABSENT
    assert requests.commit(pb.CommitRequest(reservation_id=RESERVATION_ID, amount_micros=0)).actual == 0
    assert requests.reserve(reserve(amount_micros=0)).amount == 0
    absent = reserve()
    absent.ClearField("amount_micros")
    assert refused(requests, absent).field == "amount_micros"


def test_every_attempt_to_wait_has_an_owner_of_its_own(requests: Requests) -> None:
    request = reserve(wait=Duration(seconds=1))
    assert requests.reserve(request).owner != requests.reserve(request).owner
    request.validate_only = True
    assert requests.reserve(request).wait == 0


def test_a_release_by_request_id_wants_a_tombstone(requests: Requests) -> None:
    by_request = requests.release(pb.ReleaseRequest(account_id="acme", request_id="r"))
    by_id = requests.release(pb.ReleaseRequest(reservation_id=RESERVATION_ID))
    assert by_request.digest == by_id.digest
    assert (by_request.tombstone, by_id.tombstone) == (TOMBSTONE_WANTED, ABSENT)


def test_comments_keep_their_lines(requests: Requests) -> None:
    text = "first\r\n\tsecond"
    operation = requests.commit(pb.CommitRequest(reservation_id=RESERVATION_ID, comment=text))
    assert msgspec.json.decode(operation.settlement, type=Settlement).comment == text


def test_a_part_of_a_microsecond_counts_as_one(requests: Requests) -> None:
    assert requests.reserve(reserve(ttl=Duration(seconds=1, nanos=1))).ttl == SECOND + 1


def test_the_policy_that_was_not_chosen_takes_what_is_available(requests: Requests) -> None:
    assert requests.commit(pb.CommitRequest(reservation_id=RESERVATION_ID)).policy is OveragePolicy.ALLOW_IF_AVAILABLE


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"ttl": Duration(seconds=5)}, True),
        ({"wait": Duration(seconds=5)}, True),
        ({"labels": {"a": "b"}}, True),
        ({"validate_only": True}, True),
        ({"amount_micros": 6}, False),
        ({"min_amount_micros": 5}, False),
        ({"operation": "image"}, False),
        ({"attributes": {"a": "b"}}, False),
        ({"user_id": "u"}, False),
        ({"project_id": "u"}, False),
    ],
)
def test_content_is_every_field_but_these(requests: Requests, other: dict[str, Any], same: bool) -> None:
    assert (requests.reserve(reserve()).content == requests.reserve(reserve(**other)).content) is same


def test_content_includes_the_rpc(requests: Requests) -> None:
    assert requests.reserve(reserve()).content != requests.charge(charge()).content


@given(keys=st.permutations(["a", "b", "c", "d"]))
def test_content_does_not_depend_on_the_order_of_maps(keys: list[str]) -> None:
    requests = requests_with()
    reference = requests.reserve(reserve(attributes={key: key for key in "abcd"}))
    assert requests.reserve(reserve(attributes={key: key for key in keys})) == reference


@given(text=st.text(max_size=300), account=st.text(max_size=140), amount=st.integers(-(2**63), 2**63 - 1))
def test_no_request_crashes_validation(text: str, account: str, amount: int) -> None:
    requests = requests_with()
    request = pb.ReserveRequest(
        account_id=account, request_id=text, amount_micros=amount, operation=text, labels={text: text}
    )
    try:
        operation = requests.reserve(request)
    except InvalidRequest:
        return
    assert 0 <= operation.amount <= MAX_MICROS
    assert operation.account_id.isascii()


@given(seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1))
def test_durations_of_any_kind_are_bounded(seconds: int, nanos: int) -> None:
    requests = requests_with()
    try:
        operation = requests.reserve(reserve(ttl=Duration(seconds=seconds, nanos=nanos)))
    except InvalidRequest:
        return
    assert SECOND <= operation.ttl <= 86_400 * SECOND


IMAGE = Operation("image", FixedPrice(7), requires="images")
TABLE = Operation("table", AttributePrice((PriceRow({"size": ("small",)}, FixedPrice(2)),), default=RangePrice(3, 5)))
VIEW = Operation("view", FreePrice(), record=False)
SEEN = Operation("seen", FreePrice())
TOKENS = Operation("tokens", TokenPrice(1_000_000, 2_000_000, 500_000))
CATALOG = Catalog(3, operations={each.name: each for each in (IMAGE, TABLE, VIEW, SEEN, TOKENS)})


def priced(operation: str, **fields: Any) -> pb.ReserveRequest:
    return pb.ReserveRequest(account_id="acme", request_id="r", operation=operation, **fields)


def unpriced(requests: Requests, request: Any) -> EarmarkError:
    method = type(request).__name__.removesuffix("Request").lower()
    with pytest.raises(Unpriced) as caught:
        getattr(requests, method)(request)
    assert caught.value.probe.validate_only, "it stores nothing"
    assert caught.value.probe.wait == 0
    return caught.value.failure


def test_a_catalog_prices_what_has_no_amount() -> None:
    operation = requests_with(CATALOG).reserve(priced("image", quantity=3, min_quantity=1))
    assert (operation.amount, operation.min_amount, operation.price_version) == (21, 7, 3)
    assert msgspec.json.decode(operation.details, type=Details).quantity == 3
    assert operation.config_seq == UNKNOWN, "whether the plan includes it is derived later"


def test_nothing_given_is_one_unit() -> None:
    operation = requests_with(CATALOG).reserve(priced("image"))
    assert operation.amount == 7
    assert msgspec.json.decode(operation.details, type=Details).quantity == 1


def test_a_range_reserves_its_upper_bound_and_a_charge_of_it_says_its_amount() -> None:
    requests = requests_with(CATALOG)
    assert requests.reserve(priced("table", quantity=2)).amount == 10
    failure = unpriced(requests, pb.ChargeRequest(account_id="acme", request_id="r", operation="table"))
    assert failure.reason == Reason.ACTUAL_REQUIRED
    charged = requests.charge(charge(operation="table"))
    assert (charged.amount, charged.price_version) == (5, 0)


def test_usage_is_priced_by_its_counts() -> None:
    usage = common.Usage(counts={"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3})
    operation = requests_with(CATALOG).reserve(priced("tokens", usage=usage))
    assert operation.amount == 6 + 2 + 6
    assert msgspec.json.decode(operation.details, type=Details).quantity is None


def test_what_the_catalog_does_not_record_is_silent_only_when_it_is_free() -> None:
    requests = requests_with(CATALOG)
    assert requests.reserve(priced("view")).silent
    assert not requests.reserve(priced("seen")).silent
    assert requests.reserve(priced("view", amount_micros=0)).silent
    assert not requests.reserve(priced("view", amount_micros=1)).silent


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (priced("unheard"), Reason.UNKNOWN_OPERATION, "operation"),
        (priced("tokens"), Reason.UNPRICEABLE, "usage"),
        (priced("image", usage=common.Usage(counts={"a": 1})), Reason.UNPRICEABLE, "usage"),
        (priced("image", quantity=MAX_MICROS), Reason.INVALID_AMOUNT, "quantity"),
        (priced("image", quantity=1, min_quantity=2), Reason.INVALID_AMOUNT, "min_quantity"),
        (priced("image", min_amount_micros=8), Reason.INVALID_AMOUNT, "min_amount_micros"),
    ],
)
def test_what_has_no_price_may_still_be_a_repeat(request_: Any, reason: Reason, field: str) -> None:
    failure = unpriced(requests_with(CATALOG), request_)
    assert (failure.reason, failure.field) == (reason, field)


def test_the_higher_of_two_minima_holds() -> None:
    requests = requests_with(CATALOG)
    assert requests.reserve(priced("image", quantity=3, min_quantity=2, min_amount_micros=8)).min_amount == 14
    assert requests.reserve(priced("image", quantity=3, min_quantity=1, min_amount_micros=8)).min_amount == 8


def test_an_amount_needs_no_price_unless_the_catalog_is_strict() -> None:
    request = reserve(operation="unheard")
    assert requests_with(CATALOG).reserve(request).amount == 5
    assert unpriced(requests_with(replace(CATALOG, strict=True)), request).reason == Reason.UNKNOWN_OPERATION
    assert requests_with(replace(CATALOG, strict=True)).reserve(reserve()).amount == 5


def test_what_a_plan_must_include_holds_for_amounts_too() -> None:
    assert requests_with(CATALOG).reserve(reserve(operation="image")).config_seq == UNKNOWN
    assert requests_with(CATALOG).reserve(reserve(operation="seen")).config_seq == 0


def remembered(requests: Requests, request: pb.ReserveRequest) -> Requests:
    """Note a reservation as the answer to its Reserve does."""
    operation = requests.reserve(request)
    requests.remember(RESERVATION_ID, "acme", operation.digest, operation.price_version, operation.details)
    return requests


def test_a_commit_is_priced_as_its_reservation_was() -> None:
    requests = remembered(requests_with(CATALOG), priced("image", quantity=3))
    settled = requests.commit(commit(quantity=2))
    assert settled.actual == 14
    assert msgspec.json.decode(settled.settlement, type=Settlement).quantity == 2
    assert requests.commit(commit(quantity=0)).actual == 0
    assert requests.commit(commit()).actual == ABSENT


def test_attributes_of_the_commit_override_the_reserved_ones() -> None:
    requests = remembered(requests_with(CATALOG), priced("table", attributes={"size": "large"}))
    assert requests.commit(commit(quantity=3, attributes={"size": "small"})).actual == 6


def test_a_range_wants_an_amount() -> None:
    requests = remembered(requests_with(CATALOG), priced("table", quantity=3))
    for request in (commit(), commit(quantity=2)):
        assert refused(requests, request).reason == Reason.ACTUAL_REQUIRED
    assert requests.commit(commit(amount_micros=4)).actual == 4
    assert requests.commit(commit(quantity=0)).actual == 0


def test_an_amount_is_settled_and_extended_by_amounts() -> None:
    requests = remembered(requests_with(CATALOG), reserve(operation="image"))
    extension = pb.ExtendRequest(reservation_id=RESERVATION_ID, request_id="e", additional_quantity=1)
    for request in (commit(quantity=1), extension):
        assert refused(requests, request).reason == Reason.UNPRICEABLE
    assert requests.commit(commit()).actual == ABSENT


def test_an_addition_to_a_range_is_its_upper_bound() -> None:
    def extend(**fields: Any) -> pb.ExtendRequest:
        return pb.ExtendRequest(reservation_id=RESERVATION_ID, request_id="e", **fields)

    requests = remembered(requests_with(CATALOG), priced("table"))
    assert requests.extend(extend(additional_quantity=2)).additional == 10
    too_much = refused(requests, extend(additional_quantity=MAX_MICROS))
    assert (too_much.reason, too_much.field) == (Reason.INVALID_AMOUNT, "additional_quantity")
    by_usage = refused(requests, extend(additional_usage=common.Usage(counts={"a": 1})))
    assert (by_usage.reason, by_usage.field) == (Reason.UNPRICEABLE, "additional_usage")


def test_what_another_sidecar_gave_out_is_looked_at_first() -> None:
    requests = requests_with(CATALOG)
    for request in (commit(quantity=1), commit()):
        with pytest.raises(ReservationWanted):
            requests.commit(request)
    assert requests.commit(commit(amount_micros=1)).actual == 1
    without_ranges = requests_with(replace(CATALOG, version=1, operations={"image": IMAGE}))
    assert without_ranges.commit(commit()).actual == ABSENT, "no second round trip"
    # The versions before it are not known here: one of them may have had a range, whose reservations are still open.
    later = requests_with(replace(CATALOG, version=2, operations={"image": IMAGE}))
    with pytest.raises(ReservationWanted):
        later.commit(commit())


def test_a_released_reservation_needs_no_price() -> None:
    requests = requests_with(CATALOG)
    requests.remember_released(RESERVATION_ID, "acme", reservation_digest("acme", "r"))
    assert requests.commit(commit(quantity=3)).actual == ABSENT
    assert requests.commit(commit()).actual == ABSENT


def test_the_catalog_that_priced_it_is_the_one_that_counts() -> None:
    installed = Installed(CATALOG)
    requests = Requests(Pricing(installed), AccountClaims(Recorded(), installed))
    remembered(requests, priced("image", quantity=3))
    installed.current = Catalog(4, operations={"image": Operation("image", FixedPrice(100))})
    with pytest.raises(CatalogWanted):
        requests.commit(commit(quantity=2))
    installed.earlier[3] = CATALOG
    assert requests.commit(commit(quantity=2)).actual == 14


def test_ids_that_were_given_out_are_remembered_within_bounds() -> None:
    requests = requests_with()
    for number in range(70_000):
        requests.remember(str(number), "acme", "d")
    assert requests.reservation("69999") == ("acme", "d")
    assert len(requests._known) <= 65_536
