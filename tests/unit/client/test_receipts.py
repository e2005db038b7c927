"""A receipt says in one line what was charged, from which grants, and what is left."""

from decimal import Decimal

from earmark import Receipt
from earmark.v1 import metering_service_pb2 as pb
from earmark.v1 import reservation_pb2


def committed() -> pb.CommitResponse:
    reply = pb.CommitResponse(charged_micros=380_000)
    reservation = reply.reservation
    reservation.account_id = "acme"
    reservation.reservation_id = "r1"
    reservation.state = reservation_pb2.Reservation.STATE_COMMITTED
    reservation.reserved_micros = 500_000
    reservation.charged_micros = 380_000
    reservation.allocations.add(grant_id="g1", kind=1, amount_micros=300_000)
    reservation.allocations.add(grant_id="g2", kind=3, amount_micros=80_000)
    reply.balance.available_micros = 1_099_620_000
    return reply


def test_a_charge_in_words_and_numbers():
    receipt = Receipt.of(committed())
    assert receipt.charged == Decimal("0.38")
    assert [(part.grant_id, part.kind, part.amount) for part in receipt.allocations] == [
        ("g1", "free", Decimal("0.3")),
        ("g2", "purchase", Decimal("0.08")),
    ]
    assert str(receipt) == (
        "acme: charged 0.38 of 0.5 reserved: 0.3 from g1 (free), 0.08 from g2 (purchase); 1,099.62 left"
    )


def test_what_could_not_be_collected_and_what_came_late_is_said():
    reply = committed()
    reply.reservation.uncollected_micros = 20_000
    reply.reservation.late = True
    assert "; 0.02 uncollected; late; " in str(Receipt.of(reply))


def test_a_release_charges_nothing():
    reply = pb.ReleaseResponse()
    reply.reservation.account_id = "acme"
    reply.reservation.state = reservation_pb2.Reservation.STATE_RELEASED
    reply.reservation.allocations.add(grant_id="g1", kind=1, amount_micros=500_000)
    reply.balance.available_micros = 100_000_000
    receipt = Receipt.of(reply)
    assert receipt.allocations == ()
    assert str(receipt) == "acme: released, nothing charged; 100 left"
