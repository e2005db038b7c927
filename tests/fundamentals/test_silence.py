"""Free operations that the catalog does not record: they leave a record for their replays, and no entry."""

from __future__ import annotations

from earmark.domain.limits import FOREVER
from earmark.domain.states import Enforcement, EntryKind, ReservationState
from earmark.engine.operations import LimitClaim, RetireReservations
from earmark.engine.results import RefusalCode, Swept
from tests.fundamentals.bank import HOUR, MINUTE, SECOND, Bank, done, refusal


async def test_a_silent_charge_leaves_no_entry(bank: Bank) -> None:
    answer = done(await bank.charge("view-1", 0, silent=True))
    assert answer.reservation.state == ReservationState.COMMITTED
    assert await bank.entries() == []
    assert answer.balance.entry_number == 0


async def test_its_record_keeps_what_no_entry_has(bank: Bank) -> None:
    await bank.charge("view-1", 0, silent=True)
    assert (await bank.reservation("view-1")).details == '{"r":"view-1"}'
    assert done(await bank.charge("view-1", 0, silent=True)).replayed


async def test_a_silent_reservation_leaves_none_however_it_ends(bank: Bank) -> None:
    for request_id in ("committed", "released", "expired"):
        await bank.reserve(request_id, 0, silent=True, ttl=SECOND if request_id == "expired" else MINUTE)
    await bank.commit("committed")
    await bank.release("released")
    await bank.pass_time(2 * SECOND)
    states = [(await bank.reservation(request_id)).state for request_id in ("committed", "released", "expired")]
    assert states == [ReservationState.COMMITTED, ReservationState.RELEASED, ReservationState.EXPIRED]
    assert await bank.entries() == []


async def test_what_costs_something_after_all_is_recorded(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("view-1", 0, silent=True)
    done(await bank.commit("view-1", 5))
    (entry,) = await bank.entries(EntryKind.CHARGE)
    assert entry.amount == 5


async def test_so_is_what_could_not_be_paid(bank: Bank) -> None:
    await bank.reserve("view-1", 0, silent=True)
    done(await bank.commit("view-1", 5))
    (entry,) = await bank.entries(EntryKind.CHARGE)
    assert (entry.amount, entry.uncollected) == (0, 5)


async def test_and_what_held_credits_that_came_back(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("view-1", 0, silent=True)
    await bank.extend("view-1", "more", additional=30)
    await bank.release("view-1")
    assert len(await bank.entries(EntryKind.RELEASE)) == 1


async def test_or_would_have_held_them_on_an_account_that_observes(bank: Bank) -> None:
    await bank.configure(enforcement=Enforcement.OBSERVE)
    await bank.reserve("view-1", 0, silent=True)
    await bank.extend("view-1", "more", additional=30)
    await bank.release("view-1")
    assert len(await bank.entries(EntryKind.RELEASE)) == 1


async def test_a_late_commit_that_charges_is_recorded_as_late(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("view-1", 0, silent=True, ttl=SECOND)
    await bank.pass_time(MINUTE)
    done(await bank.commit("view-1", 5))
    (entry,) = await bank.entries(EntryKind.CHARGE)
    assert (entry.amount, entry.late) == (5, 1)


async def test_it_goes_after_its_replay_window_without_waiting_for_sql(bank: Bank) -> None:
    await bank.charge("view-1", 0, silent=True)
    await bank.pass_time(HOUR)
    assert await bank.retire() == 1


async def test_a_late_commit_keeps_it_for_another_window_also_in_the_call_that_retires(bank: Bank) -> None:
    await bank.reserve("view-1", 0, silent=True, ttl=SECOND)
    await bank.pass_time(MINUTE)
    assert (await bank.reservation("view-1")).state == ReservationState.EXPIRED
    await bank.pass_time(HOUR)
    late, retired = await bank.send(bank.committing("view-1"), RetireReservations(1000))
    assert done(late).reservation.late
    assert retired == Swept(0)
    assert done(await bank.commit("view-1")).replayed
    await bank.pass_time(HOUR)
    assert await bank.retire() == 1


async def test_refusals_come_all_the_same(bank: Bank) -> None:
    await bank.configure(suspended=True)
    assert refusal(await bank.charge("view-1", 0, silent=True)) is RefusalCode.ACCOUNT_SUSPENDED


async def test_it_holds_its_window_open_like_any_other(bank: Bank) -> None:
    everything = LimitClaim("all:0:account:", 50, 40, blocks=True, windows=(0, FOREVER))
    await bank.grant(100)
    await bank.reserve("view-1", 0, silent=True, limits=[everything])
    assert refusal(await bank.extend("view-1", "more", additional=51)) is RefusalCode.LIMIT_EXCEEDED
    await bank.release("view-1")
    done(await bank.charge("image-1", 50, limits=[everything]))
