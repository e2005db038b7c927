"""Reserve: hold credits before a generation begins."""

from __future__ import annotations

from earmark.credits import MAX_MICROS, to_micros
from earmark.domain.states import GrantKind, ReservationState
from earmark.engine.results import RefusalCode, ReservationMissing
from tests.fundamentals.bank import MINUTE, Bank, EngineBank, done, numbers, refusal


async def test_a_reservation_moves_credits_from_available_to_reserved(bank: Bank) -> None:
    await bank.grant(100)
    answer = done(await bank.reserve("image-1", 30))
    assert answer.reservation.state == ReservationState.ACTIVE
    assert answer.reservation.reserved == 30
    assert (answer.balance.available, answer.balance.reserved, answer.balance.charged) == (70, 30, 0)


async def test_it_says_which_grants_will_pay(bank: Bank) -> None:
    first = await bank.grant(20)
    second = await bank.grant(20, kind=GrantKind.PURCHASE)
    answer = done(await bank.reserve("image-1", 30))
    assert answer.reservation.allocations == (first, GrantKind.FREE, 20, second, GrantKind.PURCHASE, 10)


async def test_an_open_reservation_leaves_no_entry_in_the_ledger(bank: Bank) -> None:
    await bank.grant(100)
    before = await bank.entries()
    await bank.reserve("image-1", 30)
    assert await bank.entries() == before


async def test_what_the_balance_does_not_cover_is_refused_with_the_shortfall(bank: Bank) -> None:
    await bank.grant(100)
    answer = await bank.reserve("image-1", 130)
    assert refusal(answer) is RefusalCode.INSUFFICIENT_CREDITS
    assert numbers(answer) == {"available_micros": 100, "required_micros": 130, "shortfall_micros": 30}


async def test_a_refused_reserve_stores_nothing_and_may_succeed_later(bank: Bank) -> None:
    assert refusal(await bank.reserve("image-1", 30)) is RefusalCode.INSUFFICIENT_CREDITS
    await bank.grant(100)
    assert not done(await bank.reserve("image-1", 30)).replayed


async def test_a_hold_rejected_for_lack_of_credits_cannot_be_committed_later(bank: Bank) -> None:
    await bank.reserve("image-1", 30)
    await bank.grant(100)
    assert isinstance(await bank.commit("image-1"), ReservationMissing)


async def test_a_minimum_turns_not_enough_into_a_smaller_reservation(bank: Bank) -> None:
    await bank.grant(40)
    assert done(await bank.reserve("text-1", 100, minimum=10)).reservation.reserved == 40


async def test_never_below_the_minimum(bank: Bank) -> None:
    await bank.grant(9)
    answer = await bank.reserve("text-1", 100, minimum=10)
    assert numbers(answer) == {"available_micros": 9, "required_micros": 10, "shortfall_micros": 1}


async def test_zero_is_a_valid_amount_on_an_empty_balance_too(bank: Bank) -> None:
    assert done(await bank.reserve("free-1", 0)).reservation.reserved == 0


async def test_it_never_uses_the_overdraft(bank: Bank) -> None:
    await bank.configure(overdraft_limit=1000)
    assert refusal(await bank.reserve("image-1", 1)) is RefusalCode.INSUFFICIENT_CREDITS


async def test_validate_only_shows_what_would_be_and_stores_nothing(bank: Bank) -> None:
    grant = await bank.grant(100)
    before = await bank.balance()
    answer = done(await bank.reserve("image-1", 30, validate_only=True))
    assert answer.reservation.digest == ""
    assert answer.reservation.allocations == (grant, GrantKind.FREE, 30)
    assert answer.balance == before == await bank.balance()


async def test_it_expires_its_ttl_after_now(bank: Bank) -> None:
    answer = done(await bank.reserve("free-1", 0, ttl=5 * MINUTE))
    assert answer.reservation.expire_time == answer.reservation.create_time + 5 * MINUTE


async def test_twenty_reservations_of_75_on_500_leave_six_and_50(bank: Bank) -> None:
    await bank.grant(500)
    answers = await bank.send(*(bank.reserving(f"image-{number}", 75) for number in range(20)))
    assert sum(type(answer).__name__ == "Done" for answer in answers) == 6
    assert await bank.available() == 50


async def test_the_largest_amount_survives_to_the_last_microcredit(bank: Bank) -> None:
    await bank.grant(MAX_MICROS)
    answer = done(await bank.reserve("all", MAX_MICROS - 1))
    assert answer.reservation.reserved == MAX_MICROS - 1
    assert answer.balance.available == 1
    committed = done(await bank.commit("all"))
    assert committed.balance.charged == MAX_MICROS - 1
    (charge,) = [entry for entry in await bank.entries() if entry.digest]
    assert charge.amount == MAX_MICROS - 1


async def test_a_hundredth_is_a_hundredth(bank: Bank) -> None:
    await bank.grant(to_micros("17.96"))
    assert refusal(await bank.reserve("image-1", to_micros("17.97"))) is RefusalCode.INSUFFICIENT_CREDITS
    await bank.grant(to_micros("0.01"))
    assert done(await bank.reserve("image-1", to_micros("17.97"))).balance.available == 0
    assert to_micros("0.1") + to_micros("0.2") == to_micros("0.3")


async def test_hostile_ids_are_only_ids(engine_bank: EngineBank) -> None:
    await engine_bank.grant(100)
    for request_id in ("{0}", "em:{00}:meta", "a b", "%s%d", "'\"\\\\", "x" * 256):
        done(await engine_bank.reserve(request_id, 1))
    keys = {key.decode() for key in await engine_bank.store.command("KEYS", "*")}
    assert keys <= set(engine_bank.store.keys(0).all())
