"""Why something was charged, in words."""

from __future__ import annotations

from collections.abc import Iterable

from earmark.cli.ledger.narrative import ORDER_OF_USE, Story, tell_entry, tell_reservation
from earmark.v1.catalog_pb2 import Limit
from earmark.v1.grant_pb2 import Grant
from earmark.v1.ledger_pb2 import LedgerEntry
from earmark.v1.reservation_pb2 import Reservation

T0 = 1_785_110_400_000_000
SECOND = 1_000_000


def grant(grant_id: str, kind: Grant.Kind = Grant.KIND_FREE, *, priority: int = 100, expires: int = 0) -> Grant:
    made = Grant(grant_id=grant_id, kind=kind, priority=priority)
    made.acquire_time.FromMicroseconds(T0 + int(grant_id[1:]))
    if expires:
        made.expire_time.FromMicroseconds(expires)
    return made


def reservation(state: Reservation.State, reserved: int, charged: int = 0, **fields: object) -> Reservation:
    made = Reservation(
        reservation_id="r1",
        account_id="acme",
        request_id="job-1",
        state=state,
        reserved_micros=reserved,
        charged_micros=charged,
        operation="image.generate",
        user_id="alice",
        **fields,  # type: ignore[arg-type]
    )
    made.create_time.FromMicroseconds(T0)
    made.expire_time.FromMicroseconds(T0 + 60 * SECOND)
    if state != Reservation.STATE_ACTIVE:
        made.settle_time.FromMicroseconds(T0 + SECOND)
    return made


def entry(
    kind: LedgerEntry.Kind, amount: int = 0, *parts: tuple[str, int], number: int = 17, **fields: object
) -> LedgerEntry:
    made = LedgerEntry(
        account_id="acme",
        entry_number=number,
        kind=kind,
        amount_micros=amount,
        available_after_micros=99_620_000,
        **fields,  # type: ignore[arg-type]
    )
    made.create_time.FromMicroseconds(T0 + SECOND)
    for grant_id, part in parts:
        made.allocations.add(grant_id=grant_id, kind=Grant.KIND_FREE, amount_micros=part)
    return made


def told(story: Story) -> str:
    return "\n".join(tell_reservation(story))


def by_id(grants: Iterable[Grant]) -> dict[str, Grant]:
    return {one.grant_id: one for one in grants}


def test_a_charge_names_its_grants_their_order_and_what_returned() -> None:
    grants = by_id([grant("g1", Grant.KIND_PURCHASE), grant("g2", Grant.KIND_FREE)])
    charge = entry(LedgerEntry.KIND_CHARGE, 380_000, ("g2", 300_000), ("g1", 80_000), outcome=1)
    held = reservation(Reservation.STATE_COMMITTED, 500_000, 380_000)
    held.allocations.extend(charge.allocations)
    text = told(Story(reservation=held, entries=[charge], grants=grants))
    assert "charged 0.38 credits." in text
    assert "alice reserved 0.5 credits for image.generate (request job-1)" in text
    assert "used 0.38 credits, 0.12 less than was reserved (entry 17)" in text
    assert "  0.3 from g2 (free, priority 100, never expires): the first in the order of use" in text
    assert "  0.08 from g1 (purchase, priority 100, never expires): after g2, because free credits go before" in text
    assert "Returned: 0.12 credits" in text
    assert "After entry 17, 99.62 credits were available." in text
    assert text.endswith(ORDER_OF_USE)


def test_every_rule_of_the_order_has_its_words() -> None:
    grants = by_id(
        [
            grant("g1", priority=10),
            grant("g2", expires=T0 + 60 * SECOND),
            grant("g3", expires=T0 + 90 * SECOND),
            grant("g4"),
            grant("g5"),
            grant("g6", Grant.KIND_PROMOTION),
            grant("g7", priority=1),
        ]
    )
    charge = entry(LedgerEntry.KIND_CHARGE, 7, *((f"g{number}", 1) for number in range(1, 8)), outcome=1)
    held = reservation(Reservation.STATE_COMMITTED, 6, 7)
    text = told(Story(reservation=held, entries=[charge], grants=grants))
    assert "after g1, whose priority is lower" in text
    assert "after g2, which expires earlier" in text
    assert "after g3, which expires while this one does not" in text
    assert "after g4, which was acquired earlier" in text
    assert "after g5, because free credits go before promotion" in text
    assert "after g6, taken when more was needed" in text
    assert "Returned" not in text


def test_overage_debt_and_what_was_not_collected() -> None:
    charge = entry(
        LedgerEntry.KIND_CHARGE, 700_000, ("g1", 600_000), outcome=1, debt_micros=100_000, uncollected_micros=50_000
    )
    held = reservation(Reservation.STATE_COMMITTED, 500_000, 700_000, uncollected_micros=50_000)
    text = told(Story(reservation=held, entries=[charge], grants=by_id([grant("g1")])))
    assert "used 0.75 credits, 0.25 more than was reserved" in text
    assert "0.1 became debt" in text
    assert "Not charged: 0.05 credits" in text


def test_a_failed_generation_cost_nothing() -> None:
    release = entry(LedgerEntry.KIND_RELEASE, outcome=2, comment="CUDA out of memory")
    text = told(Story(reservation=reservation(Reservation.STATE_RELEASED, 500_000), entries=[release]))
    assert "released, nothing was charged." in text
    assert "Reason: CUDA out of memory" in text
    assert "Returned: 0.5 credits" in text


def test_a_late_commit_tells_both_ends() -> None:
    expired = entry(LedgerEntry.KIND_EXPIRED_HOLD, number=16, outcome=3)
    charge = entry(LedgerEntry.KIND_CHARGE, 500_000, ("g1", 500_000), outcome=1, late=True)
    held = reservation(Reservation.STATE_COMMITTED, 500_000, 500_000, late=True)
    text = told(Story(reservation=held, entries=[expired, charge], grants=by_id([grant("g1")])))
    assert "charged 0.5 credits, late." in text
    assert "it expired (entry 16)" in text
    assert "succeeded after the reservation had expired" in text
    assert "Returned: 0.5 credits" in text


def test_what_expired_repaid_or_was_voided_on_its_way_back() -> None:
    followers = [
        entry(LedgerEntry.KIND_GRANT_EXPIRED, 100_000, ("g1", 100_000), number=18),
        entry(LedgerEntry.KIND_GRANT_VOIDED, 200_000, ("g2", 200_000), number=19),
        entry(LedgerEntry.KIND_DEBT_REPAID, 200_000, ("g3", 200_000), number=20),
    ]
    release = entry(LedgerEntry.KIND_RELEASE, outcome=2)
    held = reservation(Reservation.STATE_RELEASED, 500_000)
    text = told(Story(reservation=held, entries=[release], followers=followers))
    assert "0.1 credits of g1 expired at once" in text
    assert "0.2 credits of g2 were voided at once" in text
    assert "0.2 credits of g3 repaid debt at once" in text


def test_an_open_reservation_says_what_will_become_of_it() -> None:
    held = reservation(Reservation.STATE_ACTIVE, 500_000)
    held.allocations.add(grant_id="g1", kind=Grant.KIND_FREE, amount_micros=500_000)
    text = told(Story(reservation=held))
    assert "open, nothing is charged so far." in text
    assert "0.5 from g1 (free)" in text
    assert "If nobody commits it until 2026-07-27T00:01:00.000Z, it expires" in text


def test_an_entry_on_its_way_to_sql_is_told_from_the_reservation() -> None:
    text = told(Story(reservation=reservation(Reservation.STATE_COMMITTED, 500_000, 500_000)))
    assert "was charged 0.5 credits" in text
    assert "not in SQL yet" in text


def test_an_adjustment_is_told_with_the_charge_that_it_makes_good() -> None:
    charge = entry(LedgerEntry.KIND_CHARGE, 500_000, ("g1", 500_000), outcome=1)
    good = entry(
        LedgerEntry.KIND_GRANT, 1_000_000, ("g2", 1_000_000), number=18, reservation_id="r1", comment="black image"
    )
    held = reservation(Reservation.STATE_COMMITTED, 500_000, 500_000)
    text = told(Story(reservation=held, entries=[charge, good], grants=by_id([grant("g1"), grant("g2")])))
    assert "1 credit were granted" not in text
    assert "1 credit was granted as g2 (free, priority 100, never expires), to make good the charge" in text
    assert "Comment: black image" in text


def test_entries_about_no_reservation() -> None:
    kinds = {
        LedgerEntry.KIND_GRANT: "were granted",
        LedgerEntry.KIND_GRANT_EXPIRED: "expired",
        LedgerEntry.KIND_GRANT_VOIDED: "were taken back by root",
        LedgerEntry.KIND_DEBT_REPAID: "repaid debt",
        LedgerEntry.KIND_REPAIR: "made Redis and SQL agree",
    }
    for kind, words in kinds.items():
        text = "\n".join(tell_entry(Story(entries=[entry(kind, 500_000, ("g1", 500_000), actor="root")])))
        assert words in text
        assert "Entry 17 of account acme" in text
        assert "After it, 99.62 credits were available." in text


def test_a_charge_by_the_catalog_tells_its_price_its_units_and_its_limits() -> None:
    charge = entry(
        LedgerEntry.KIND_CHARGE,
        12_000_000,
        ("g1", 12_000_000),
        outcome=1,
        reserved_quantity=4,
        quantity=3,
        price_version=7,
        price_text="4 credits per image",
    )
    day = charge.limits.add(
        limit_name="images",
        scope=Limit.SCOPE_USER,
        subject="alice",
        window=Limit.WINDOW_DAY,
        amount_micros=12_000_000,
    )
    day.start_time.FromMicroseconds(T0)
    day.end_time.FromMicroseconds(T0 + 86_400 * SECOND)
    charge.limits.add(limit_name="all", scope=Limit.SCOPE_ACCOUNT, window=Limit.WINDOW_LIFETIME)
    held = reservation(Reservation.STATE_COMMITTED, 16_000_000, 12_000_000, quantity=4, price_version=7)
    held.attributes["resolution"] = "8K"
    text = told(Story(reservation=held, entries=[charge], grants=by_id([grant("g1")])))
    assert (
        "alice reserved 16 credits for image.generate, 4 units, resolution=8K, priced by version 7 of the catalog "
        "(request job-1)"
    ) in text
    assert "used 12 credits, 3 units of 4 reserved, 4 less than was reserved (entry 17)" in text
    assert "The price: 4 credits per image (version 7)." in text
    assert (
        "It counts 12 credits in the limit images of user alice, day from 2026-07-27T00:00:00.000Z to "
        "2026-07-28T00:00:00.000Z."
    ) in text
    assert "It counts 0 credits in the limit all, for ever." in text
