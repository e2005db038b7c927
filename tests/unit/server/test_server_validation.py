"""Every bound of the contract: what lies inside passes, what lies outside names its field and its reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from earmark.credits import MAX_MICROS
from earmark.domain.ids import ReservationDigest, format_reservation_id, reservation_digest
from earmark.domain.states import OveragePolicy
from earmark.engine.operations import ABSENT, TOMBSTONE_WANTED, Details, Settlement
from earmark.errors import EarmarkError, InvalidRequest, Reason
from earmark.server.pricing import Measure, NoCatalog, Price
from earmark.server.validation import Requests
from earmark.v1 import common_pb2 as common
from earmark.v1 import metering_service_pb2 as pb

SECOND = 1_000_000
RESERVATION_ID = format_reservation_id("acme", reservation_digest("acme", "r"))


@pytest.fixture(scope="module")
def requests() -> Requests:
    return Requests(NoCatalog())


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
        (pb.CommitRequest(reservation_id=RESERVATION_ID, quantity=3), "quantity", Reason.UNPRICEABLE),
        (pb.CommitRequest(reservation_id=RESERVATION_ID, usage=common.Usage()), "usage", Reason.UNPRICEABLE),
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
            pb.ExtendRequest(reservation_id=RESERVATION_ID, request_id="e", additional_quantity=1),
            "additional_quantity",
            Reason.UNPRICEABLE,
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
    failure = refused(requests, request)
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
    requests = Requests(NoCatalog())
    reference = requests.reserve(reserve(attributes={key: key for key in "abcd"}))
    assert requests.reserve(reserve(attributes={key: key for key in keys})) == reference


@given(text=st.text(max_size=300), account=st.text(max_size=140), amount=st.integers(-(2**63), 2**63 - 1))
def test_no_request_crashes_validation(text: str, account: str, amount: int) -> None:
    requests = Requests(NoCatalog())
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
    requests = Requests(NoCatalog())
    try:
        operation = requests.reserve(reserve(ttl=Duration(seconds=seconds, nanos=nanos)))
    except InvalidRequest:
        return
    assert SECOND <= operation.ttl <= 86_400 * SECOND


class Catalog:
    """A catalog of one price: 7 microcredits a unit."""

    def price(self, account_id: str, measure: Measure) -> Price:
        assert account_id == "acme"
        units = 1 if measure.quantity is None else measure.quantity
        least = units if measure.min_quantity is None else measure.min_quantity
        return Price(7 * units, 7 * least, 3)

    def price_actual(self, account_id: str, digest: ReservationDigest, measure: Measure, field: str) -> int:
        assert (account_id, digest, field) == ("acme", reservation_digest("acme", "r"), "quantity")
        assert measure.quantity is not None
        return 7 * measure.quantity


def test_a_catalog_prices_what_has_no_amount() -> None:
    requests = Requests(Catalog())
    request = pb.ReserveRequest(account_id="acme", request_id="r", operation="image", quantity=3, min_quantity=1)
    operation = requests.reserve(request)
    assert (operation.amount, operation.min_amount, operation.price_version) == (21, 7, 3)
    assert msgspec.json.decode(operation.details, type=Details).quantity == 3
    settled = requests.commit(pb.CommitRequest(reservation_id=RESERVATION_ID, quantity=0))
    assert settled.actual == 0
    assert msgspec.json.decode(settled.settlement, type=Settlement).quantity == 0


def test_ids_that_were_given_out_are_remembered_within_bounds() -> None:
    requests = Requests(NoCatalog())
    for number in range(70_000):
        requests.remember(str(number), "acme", "d")
    assert requests.reservation("69999") == ("acme", "d")
    assert len(requests._ids) <= 65_536
