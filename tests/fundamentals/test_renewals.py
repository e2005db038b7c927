"""Renewals: what carries over, what expires, and what the cycle gives, all in one step."""

from __future__ import annotations

from earmark.domain.states import EntryKind, GrantKind
from earmark.engine.operations import ABSENT
from earmark.engine.results import Applied, BalanceView, ConfigurationMoved, RefusalCode
from tests.fundamentals.bank import HOUR, MINUTE, SECOND, Bank, done, refusal


def applied(result: object) -> BalanceView:
    assert isinstance(result, Applied), result
    assert result.fresh
    assert result.balance is not None
    return result.balance


async def subscribe(bank: Bank, amount: int) -> int:
    """Give a cycle's credits without any cap; return the grant."""
    applied(await bank.renew(amount))
    return bank.admin_seq


async def test_a_renewal_gives_the_cycles_credits(bank: Bank) -> None:
    assert applied(await bank.renew(50)).available == 50
    (entry,) = await bank.entries()
    assert (entry.kind, entry.amount, entry.admin_seq, entry.grant_kind) == (
        EntryKind.GRANT,
        50,
        1,
        GrantKind.SUBSCRIPTION,
    )
    assert (entry.settlement, entry.carry_room) == ('{"m":"renewed"}', ABSENT)


async def test_without_a_cap_nothing_is_cut(bank: Bank) -> None:
    await subscribe(bank, 50)
    assert applied(await bank.renew(50)).available == 100


async def test_up_to_the_cap_credits_carry_over_and_the_excess_expires(bank: Bank) -> None:
    await subscribe(bank, 50)
    assert applied(await bank.renew(20, cap=40)).available == 60
    _, expired, granted = await bank.entries()
    assert (expired.kind, expired.amount, expired.grant) == (EntryKind.GRANT_EXPIRED, 10, 1)
    assert (granted.kind, granted.amount, granted.carry_room) == (EntryKind.GRANT, 20, 0)


async def test_less_than_the_cap_carries_over_whole_and_leaves_room(bank: Bank) -> None:
    await subscribe(bank, 30)
    assert applied(await bank.renew(20, cap=40)).available == 50
    *_, granted = await bank.entries()
    assert granted.carry_room == 10


async def test_a_cap_of_zero_carries_nothing(bank: Bank) -> None:
    await subscribe(bank, 50)
    assert applied(await bank.renew(20, cap=0)).available == 20


async def test_the_excess_expires_in_burn_down_order(bank: Bank) -> None:
    later, sooner = await bank.now() + 2 * HOUR, await bank.now() + HOUR
    await bank.renew(30, expire_time=later)
    await bank.renew(30, expire_time=sooner)
    await bank.renew(30)
    await bank.renew(0, cap=25)
    expired = await bank.entries(EntryKind.GRANT_EXPIRED)
    assert [(entry.grant, entry.amount) for entry in expired] == [(2, 30), (1, 30), (3, 5)]


async def test_only_the_kinds_that_the_cap_counts_are_cut(bank: Bank) -> None:
    pack = await bank.grant(100, kind=GrantKind.PURCHASE)
    free = await bank.grant(5, kind=GrantKind.FREE)
    subscription = await subscribe(bank, 50)
    await bank.renew(0, cap=10)
    assert await bank.remainders() == {free: (5, 0), subscription: (10, 0), pack: (100, 0)}
    await bank.renew(0, cap=10, kinds=(GrantKind.FREE, GrantKind.SUBSCRIPTION))
    assert await bank.remainders() == {subscription: (10, 0), pack: (100, 0)}


async def test_open_reservations_still_pay_and_the_cap_applies_to_what_is_unspent(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.reserve("video-1", 30, ttl=HOUR)
    balance = applied(await bank.renew(20, cap=10))
    assert (balance.available, balance.reserved) == (30, 30)
    answer = done(await bank.commit("video-1"))
    assert (answer.reservation.charged, answer.balance.available) == (30, 30)
    assert answer.reservation.allocations == (1, GrantKind.SUBSCRIPTION, 30)


async def test_what_returns_fills_the_room_of_the_cap_and_then_expires(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.reserve("video-1", 30, ttl=HOUR)
    await bank.renew(0, cap=35)  # 20 carried: room for 15
    answer = done(await bank.release("video-1"))
    assert answer.balance.available == 35
    _, renewed, released, expired = await bank.entries()
    assert renewed.carry_room == 15
    assert (released.kind, released.carry_room) == (EntryKind.RELEASE, 0)
    assert (expired.kind, expired.amount, expired.grant) == (EntryKind.GRANT_EXPIRED, 15, 1)


async def test_several_returns_share_the_room(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.reserve("video-1", 20, ttl=HOUR)
    await bank.reserve("video-2", 20, ttl=MINUTE)
    await bank.renew(0, cap=40)  # 10 carried: room for 30
    await bank.commit("video-1", 5)
    assert await bank.available() == 25
    await bank.pass_time(2 * MINUTE)
    assert await bank.available() == 40
    rooms = {EntryKind(entry.kind): entry.carry_room for entry in await bank.entries() if entry.carry_room != ABSENT}
    assert rooms == {EntryKind.CONFIGURED: 30, EntryKind.CHARGE: 15, EntryKind.EXPIRED_HOLD: 0}


async def test_what_was_spent_of_the_carried_credits_leaves_no_new_room(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.reserve("video-1", 30, ttl=HOUR)
    await bank.renew(0, cap=20)
    await bank.charge("image-1", 20)
    assert done(await bank.release("video-1")).balance.available == 0


async def test_what_returns_repays_debt_first(bank: Bank) -> None:
    await bank.configure(overdraft_limit=100)
    await subscribe(bank, 50)
    await bank.reserve("video-1", 50, ttl=HOUR)
    await bank.charge("image-1", 15, policy=3)
    await bank.renew(0, cap=20)
    balance = done(await bank.release("video-1")).balance
    assert (balance.debt, balance.available) == (0, 20)
    amounts = [(EntryKind(entry.kind), entry.amount) for entry in (await bank.entries())[-3:]]
    assert amounts == [(EntryKind.RELEASE, 0), (EntryKind.DEBT_REPAID, 15), (EntryKind.GRANT_EXPIRED, 15)]


async def test_what_returns_to_a_grant_that_has_expired_takes_no_room(bank: Bank) -> None:
    await bank.renew(30, expire_time=await bank.now() + MINUTE)
    await bank.reserve("video-1", 30, ttl=HOUR)
    await bank.renew(0, cap=40)
    await bank.pass_time(2 * MINUTE)
    await bank.release("video-1")
    *_, released, expired = await bank.entries()
    assert (released.carry_room, expired.kind, expired.amount) == (ABSENT, EntryKind.GRANT_EXPIRED, 30)


async def test_what_returns_to_this_cycles_grants_is_not_capped(bank: Bank) -> None:
    await bank.renew(50, cap=0)
    await bank.reserve("video-1", 50)
    assert done(await bank.release("video-1")).balance.available == 50


async def test_nor_is_what_returns_to_packs(bank: Bank) -> None:
    await bank.grant(50, kind=GrantKind.PURCHASE)
    await bank.reserve("video-1", 50)
    await bank.renew(0, cap=0)
    assert done(await bank.release("video-1")).balance.available == 50


async def test_what_was_reserved_of_the_carried_credits_returns_in_full(bank: Bank) -> None:
    """The cap has let them through once: the cycle's generations that fail must not eat them."""
    await subscribe(bank, 50)
    await bank.renew(0, cap=40)
    await bank.reserve("video-1", 40)
    assert done(await bank.commit("video-1", 0)).balance.available == 40
    await bank.reserve("video-2", 30, ttl=MINUTE)
    await bank.pass_time(2 * MINUTE)
    assert await bank.available() == 40
    assert not any(entry.carry_room >= 0 for entry in (await bank.entries())[3:])


async def test_and_beside_it_what_was_held_before_still_needs_room(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.reserve("video-1", 20, ttl=HOUR)
    await bank.renew(0, cap=35)  # 30 carried: room for 5
    await bank.reserve("video-2", 30, ttl=HOUR)
    assert done(await bank.release("video-1")).balance.available == 5
    assert done(await bank.release("video-2")).balance.available == 35


async def test_an_addition_of_the_new_cycle_returns_before_what_was_held_earlier(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.reserve("video-1", 20, ttl=HOUR)
    await bank.renew(0, cap=30)  # all of it carried
    await bank.extend("video-1", "more", additional=10)
    assert done(await bank.commit("video-1", 15)).balance.available == 30, "10 return, 5 expire"
    assert [entry.amount for entry in await bank.entries(EntryKind.GRANT_EXPIRED)] == [5]


async def test_the_next_renewal_counts_what_its_holds_took_as_held(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.renew(0, cap=40)
    await bank.reserve("video-1", 40, ttl=HOUR)
    await bank.renew(0, cap=30)
    assert done(await bank.release("video-1")).balance.available == 30


async def test_free_or_not_what_returns_repays_debt(bank: Bank) -> None:
    await bank.configure(overdraft_limit=100)
    await subscribe(bank, 50)
    await bank.reserve("video-1", 20, ttl=HOUR)
    await bank.renew(0, cap=30)
    await bank.extend("video-1", "more", additional=30)
    await bank.charge("image-1", 35, policy=3)
    balance = done(await bank.release("video-1")).balance
    assert (balance.debt, balance.available) == (0, 0)
    amounts = [(EntryKind(entry.kind), entry.amount) for entry in (await bank.entries())[-2:]]
    assert amounts == [(EntryKind.DEBT_REPAID, 35), (EntryKind.GRANT_EXPIRED, 15)]


async def test_the_next_renewal_sets_the_room_anew(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.reserve("video-1", 40, ttl=HOUR)
    await bank.renew(10, cap=60)
    await bank.renew(10, cap=20)
    assert done(await bank.release("video-1")).balance.available == 30
    assert [entry.carry_room for entry in await bank.entries(EntryKind.GRANT)] == [ABSENT, 50, 0]


async def test_a_renewal_without_a_cap_leaves_the_room_as_it_is(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.reserve("video-1", 40, ttl=HOUR)
    await bank.renew(0, cap=20)
    await bank.renew(0)
    assert done(await bank.release("video-1")).balance.available == 20


async def test_the_credits_of_a_cycle_repay_debt(bank: Bank) -> None:
    await bank.configure(overdraft_limit=100)
    await bank.charge("image-1", 30, policy=3)
    balance = applied(await bank.renew(50, cap=40))
    assert (balance.available, balance.debt) == (20, 0)


async def test_a_renewal_counts_once(bank: Bank) -> None:
    await bank.renew(50, cap=40)
    again = await bank.renew(50, cap=40, admin_seq=1)
    assert isinstance(again, Applied)
    assert (again.fresh, again.admin_seq) == (False, 1)
    assert await bank.available() == 50


async def test_and_never_overtakes(bank: Bank) -> None:
    ahead = await bank.renew(50, cap=40, admin_seq=2)
    assert isinstance(ahead, Applied)
    assert (ahead.fresh, ahead.admin_seq) == (False, 0)


async def test_three_cycles_late_each_counts_once(bank: Bank) -> None:
    for _ in range(3):
        await bank.renew(50, cap=40)
    assert await bank.available() == 90


async def test_a_renewal_without_credits_is_recorded_as_applied(bank: Bank) -> None:
    await subscribe(bank, 50)
    await bank.renew(0, cap=60)
    *_, record = await bank.entries()
    assert (record.kind, record.entry_number, record.admin_seq, record.carry_room, record.settlement) == (
        EntryKind.CONFIGURED,
        0,
        2,
        10,
        '{"m":"renewed"}',
    )


async def test_a_refused_renewal_lets_nothing_expire(bank: Bank) -> None:
    await subscribe(bank, 50)
    assert refusal(await bank.renew(20, cap=0, max_grants=1)) is RefusalCode.TOO_MANY_GRANTS
    assert refusal(await bank.renew(2**53 - 1, cap=0)) is RefusalCode.INVALID_AMOUNT
    assert await bank.available() == 50
    await bank.reserve("video-1", 50)
    assert done(await bank.release("video-1")).balance.available == 50
    applied(await bank.renew(0, cap=ABSENT, max_grants=1))


async def test_credits_that_came_too_late_expire_at_once(bank: Bank) -> None:
    await subscribe(bank, 50)
    balance = applied(await bank.renew(20, cap=60, expire_time=await bank.now() - SECOND))
    assert balance.available == 50
    assert [entry.amount for entry in await bank.entries(EntryKind.GRANT_EXPIRED)] == [20]


async def test_a_renewal_may_move_the_configuration(bank: Bank) -> None:
    await bank.renew(50, moves=True)
    answer = await bank.reserve("image-1", 10)
    assert isinstance(answer, ConfigurationMoved)
    assert answer.config_seq == 1
