"""Replays: a caller repeats what it sent until it has an answer; nothing happens twice."""

from __future__ import annotations

from earmark.domain.states import EntryKind, ReservationState
from earmark.engine.results import RefusalCode, ReservationMissing
from tests.fundamentals.bank import HOUR, MINUTE, Bank, done, refusal


async def test_the_same_request_again_gets_the_first_answer(bank: Bank) -> None:
    await bank.grant(100)
    first = done(await bank.reserve("image-1", 30))
    again = done(await bank.reserve("image-1", 30))
    assert again.replayed
    assert (again.reservation, again.balance) == (first.reservation, first.balance)


async def test_the_same_id_for_something_else_is_refused(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    assert refusal(await bank.reserve("image-1", 31)) is RefusalCode.REQUEST_ID_REUSED


async def test_the_ttl_is_not_part_of_what_is_asked(bank: Bank) -> None:
    await bank.grant(100)
    first = done(await bank.reserve("image-1", 30, ttl=MINUTE))
    again = done(await bank.reserve("image-1", 30, ttl=HOUR))
    assert again.reservation.expire_time == first.reservation.expire_time


async def test_reserve_and_charge_share_one_namespace(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    assert refusal(await bank.charge("image-1", 30)) is RefusalCode.REQUEST_ID_REUSED


async def test_each_account_has_its_own(bank: Bank) -> None:
    other = Bank(bank.store, "other")
    await other.do(other.loading())
    await bank.reserve("free-1", 0)
    assert not done(await other.reserve("free-1", 0)).replayed


async def test_a_replay_shows_the_present_state(bank: Bank) -> None:
    """The reply to Reserve was lost, the hold expired, the repeat arrives: the client must not generate."""
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.pass_time(HOUR)
    again = done(await bank.reserve("image-1", 30))
    assert again.replayed
    assert again.reservation.state == ReservationState.EXPIRED
    assert (again.reservation.reserved, again.balance.available) == (30, 100)


async def test_a_replay_comes_before_suspension(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.configure(suspended=True)
    assert done(await bank.reserve("image-1", 30)).replayed


async def test_a_charge_repeated_is_charged_once(bank: Bank) -> None:
    await bank.grant(100)
    await bank.charge("image-1", 30)
    again = done(await bank.charge("image-1", 30))
    assert again.replayed
    assert again.reservation.charged == 30
    assert again.balance.available == 70


async def test_ids_live_for_the_replay_window_after_the_end(bank: Bank) -> None:
    await bank.grant(100)
    await bank.charge("image-1", 30)
    await bank.flush()
    await bank.pass_time(HOUR - MINUTE)
    assert await bank.retire() == 0
    await bank.pass_time(MINUTE)
    assert await bank.retire() == 1
    assert isinstance(await bank.commit("image-1"), ReservationMissing)


async def test_they_never_go_before_their_entry_is_in_sql(bank: Bank) -> None:
    await bank.grant(100)
    await bank.charge("image-1", 30)
    await bank.pass_time(24 * HOUR)
    assert await bank.retire() == 0
    assert done(await bank.charge("image-1", 30)).replayed
    await bank.flush()
    assert await bank.retire() == 1


async def test_an_open_reservation_is_never_retired(bank: Bank) -> None:
    await bank.reserve("free-1", 0, ttl=24 * HOUR)
    await bank.flush()
    await bank.pass_time(23 * HOUR)
    assert await bank.retire() == 0


async def test_an_ended_record_leaves_its_details_to_its_entry_and_still_answers_replays(bank: Bank) -> None:
    await bank.grant(100)
    first = done(await bank.charge("image-1", 30))
    assert first.reservation.details
    again = done(await bank.charge("image-1", 30))
    assert again.replayed
    assert (again.reservation.details, again.reservation.charged) == ("", 30)
    assert len(await bank.entries(EntryKind.CHARGE)) == 1
