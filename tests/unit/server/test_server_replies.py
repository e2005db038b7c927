"""Results as protos."""

from __future__ import annotations

import msgspec

from earmark.domain.ids import format_reservation_id, reservation_digest
from earmark.domain.states import AlertKind, GrantKind
from earmark.engine.results import BalanceView, Done, ReservationView, Warned
from earmark.ledger.models import GrantRecord
from earmark.server.grants import fill_grant, live_grants
from earmark.server.replies import fill_commit, fill_reserve
from earmark.v1 import grant_pb2 as grants
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import reservation_pb2 as reservations

DIGEST = reservation_digest("acme", "r")
BIG = 2**53 - 1


def view(**fields: object) -> ReservationView:
    values = {
        "digest": DIGEST,
        "state": 1,
        "reserved": BIG,
        "charged": 0,
        "uncollected": 0,
        "late": 0,
        "create_time": 1_700_000_000_123_456,
        "expire_time": 1_700_000_060_000_001,
        "settle_time": 0,
        "price_version": 0,
        "allocations": (1, 1, 7, 12, 3, 8),
        "details": '{"r":"r","o":"image","u":"ada","p":"site","q":0,"c":{"t":5},"a":{"size":"L"},"l":{"k":"v"}}',
        "account_id": "acme",
        **fields,
    }
    return ReservationView(**values)  # type: ignore[arg-type]


BALANCE = BalanceView(1, 2, 3, 4, 5, 1_700_000_000_000_001, 6, 7)


def done(reservation: ReservationView, *, replayed: bool = False, would_refuse: bool = False) -> Done:
    return Done(replayed, reservation, BALANCE, would_refuse)


def test_an_active_reservation_says_everything() -> None:
    response = pb.ReserveResponse()
    fill_reserve(response, done(view()))
    reservation = response.reservation
    assert reservation.reservation_id == format_reservation_id("acme", DIGEST)
    assert (reservation.state, reservation.reserved_micros) == (reservations.Reservation.STATE_ACTIVE, BIG)
    assert (reservation.request_id, reservation.operation) == ("r", "image")
    assert (reservation.user_id, reservation.project_id) == ("ada", "site")
    assert reservation.HasField("quantity")
    assert reservation.quantity == 0
    assert dict(reservation.usage.counts) == {"t": 5}
    assert dict(reservation.attributes) == {"size": "L"}
    assert dict(reservation.labels) == {"k": "v"}
    assert reservation.create_time.ToMicroseconds() == 1_700_000_000_123_456
    assert reservation.expire_time.ToMicroseconds() == 1_700_000_060_000_001
    assert not reservation.HasField("settle_time")
    assert [(each.grant_id, each.kind, each.amount_micros) for each in reservation.allocations] == [
        ("g1", grants.Grant.KIND_FREE, 7),
        ("g12", grants.Grant.KIND_PURCHASE, 8),
    ]
    balance = response.balance
    assert (balance.account_id, balance.available_micros, balance.reserved_micros) == ("acme", 1, 2)
    assert (balance.debt_micros, balance.lifetime_charged_micros, balance.expiring_soon_micros) == (3, 4, 5)
    assert balance.next_expire_time.ToMicroseconds() == 1_700_000_000_000_001
    assert balance.version == 6
    assert [notice.kind for notice in response.notices] == [reservations.Notice.KIND_EXPIRING_SOON]
    assert not response.replayed


def test_a_commit_says_what_was_charged_and_what_was_not() -> None:
    response = pb.CommitResponse()
    fill_commit(
        response,
        done(
            view(state=2, charged=9, uncollected=4, late=1, settle_time=5, details=""),
            replayed=True,
            would_refuse=True,
        ),
    )
    assert (response.charged_micros, response.uncollected_micros, response.replayed) == (9, 4, True)
    assert response.reservation.late
    assert response.reservation.request_id == ""
    assert response.notices[0].kind == reservations.Notice.KIND_WOULD_REFUSE


def test_notices_say_in_words_what_they_are_about() -> None:
    warned = (
        Warned(AlertKind.CRITICAL_BALANCE, 10_000_000),
        Warned(AlertKind.LIMIT_NEAR, 20_000_000, "daily:3:day:user:a:b"),
        Warned(AlertKind.LIMIT_NEAR, 5_000_000, "ever:0:lifetime:account:"),
    )
    response = pb.CommitResponse()
    fill_commit(response, msgspec.structs.replace(done(view(state=2, settle_time=5)), notices=warned))
    told = [(notice.kind, notice.threshold_micros, notice.limit_name) for notice in response.notices]
    assert told[:3] == [
        (reservations.Notice.KIND_CRITICAL_BALANCE, 10_000_000, ""),
        (reservations.Notice.KIND_LIMIT_NEAR, 20_000_000, "daily"),
        (reservations.Notice.KIND_LIMIT_NEAR, 5_000_000, "ever"),
    ]
    assert response.notices[0].message.endswith("credits are left, at or below the critical 10")
    assert response.notices[1].message == "the limit 'daily' of user 'a:b' is almost used up: it allows 20 credits"
    assert response.notices[2].message == "the limit 'ever' is almost used up: it allows 5 credits"


def test_what_was_only_validated_has_no_id() -> None:
    response = pb.ReserveResponse()
    fill_reserve(response, done(view(digest="")))
    assert response.reservation.reservation_id == ""
    assert response.reservation.reserved_micros == BIG


def record(**fields: object) -> GrantRecord:
    values = {
        "account_id": "acme",
        "number": 3,
        "kind": GrantKind.FREE,
        "amount": 100,
        "priority": 100,
        "acquire_time": 1,
        "expire_time": 0,
        "create_time": 1,
        "comment": "",
        "actor": "",
        "reservation_id": "",
        "request_id": "g",
        "pending": False,
        "void": False,
        "charged": 0,
        "expired": 0,
        "voided": 0,
        "repaid": 0,
        **fields,
    }
    return GrantRecord(**values)  # type: ignore[arg-type]


def test_the_parts_of_a_grant_always_add_up() -> None:
    live = live_grants((3, 1, 100, 0, 1, 50, 20, 0))
    grant = grants.Grant()
    fill_grant(grant, record(charged=10), live, 5)  # 20 more are charged and not flushed yet
    assert (grant.available_micros, grant.reserved_micros, grant.charged_micros) == (50, 20, 30)
    assert grant.state == grants.Grant.STATE_ACTIVE


def test_the_state_of_a_grant() -> None:
    def state(record: GrantRecord, *, redis: bool = True) -> int:
        grant = grants.Grant()
        fill_grant(grant, record, {} if redis else None, 50)
        return grant.state

    assert state(record(pending=True), redis=False) == grants.Grant.STATE_PENDING
    assert state(record(charged=100)) == grants.Grant.STATE_EXHAUSTED
    assert state(record(expired=100)) == grants.Grant.STATE_EXPIRED
    assert state(record(expire_time=50)) == grants.Grant.STATE_EXPIRED
    assert state(record(void=True, voided=100)) == grants.Grant.STATE_VOIDED
    assert state(record(charged=1), redis=False) == grants.Grant.STATE_ACTIVE
    assert state(record(charged=1)) == grants.Grant.STATE_EXHAUSTED
