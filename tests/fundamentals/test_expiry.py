"""Expiry: holds that nobody settles, grants that run out. Every call settles what is due before anything else."""

from __future__ import annotations

from earmark.domain.states import EntryKind, GrantKind, OveragePolicy, ReservationState
from earmark.engine.operations import ReadBalance
from earmark.engine.results import Again, BalanceRead, RefusalCode
from tests.fundamentals.bank import DAY, HOUR, MINUTE, SECOND, Bank, done, numbers, refusal


async def test_a_hold_that_nobody_settles_expires_and_is_never_charged(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30, ttl=MINUTE)
    await bank.pass_time(MINUTE)
    balance = await bank.balance()
    assert (balance.available, balance.reserved, balance.charged) == (100, 0, 0)
    assert (await bank.reservation("image-1")).state == ReservationState.EXPIRED


async def test_its_entry_carries_the_moment_it_was_due(bank: Bank) -> None:
    await bank.grant(100)
    hold = done(await bank.reserve("image-1", 30, ttl=MINUTE)).reservation
    await bank.pass_time(3 * HOUR)
    await bank.balance()
    (entry,) = await bank.entries(EntryKind.EXPIRED_HOLD)
    assert entry.time == hold.expire_time
    assert (entry.amount, entry.reserved) == (0, 30)


async def test_until_then_it_holds(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30, ttl=MINUTE)
    await bank.pass_time(MINUTE - SECOND)
    assert await bank.available() == 70


async def test_work_that_was_done_after_the_hold_expired_is_charged_late(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30, ttl=MINUTE)
    await bank.pass_time(2 * MINUTE)
    answer = done(await bank.commit("image-1"))
    assert answer.reservation.state == ReservationState.COMMITTED
    assert (answer.reservation.charged, answer.reservation.late) == (30, 1)
    assert answer.balance.available == 70
    ended = await bank.entries(EntryKind.EXPIRED_HOLD, EntryKind.CHARGE)
    assert [(entry.kind, entry.late) for entry in ended] == [(EntryKind.EXPIRED_HOLD, 0), (EntryKind.CHARGE, 1)]


async def test_a_late_commit_is_charged_once(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30, ttl=MINUTE)
    await bank.pass_time(2 * MINUTE)
    await bank.commit("image-1")
    assert done(await bank.commit("image-1")).replayed
    assert await bank.available() == 70


async def test_a_late_commit_is_all_or_nothing(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30, ttl=MINUTE)
    await bank.pass_time(2 * MINUTE)
    await bank.charge("image-2", 80)
    answer = await bank.commit("image-1")
    assert refusal(answer) is RefusalCode.RESERVATION_EXPIRED
    assert numbers(answer) == {"available_micros": 20, "required_micros": 30, "shortfall_micros": 10}
    assert await bank.available() == 20


async def test_unless_the_overdraft_is_allowed(bank: Bank) -> None:
    await bank.configure(overdraft_limit=4)
    await bank.grant(100)
    await bank.reserve("image-1", 30, ttl=MINUTE)
    await bank.pass_time(2 * MINUTE)
    await bank.charge("image-2", 80)
    answer = done(await bank.commit("image-1", policy=OveragePolicy.ALLOW_WITH_OVERDRAFT))
    assert (answer.reservation.charged, answer.reservation.uncollected, answer.balance.debt) == (24, 6, 4)


async def test_an_expired_grant_leaves_available_at_its_moment(bank: Bank) -> None:
    await bank.grant(100, expire_time=await bank.now() + DAY)
    assert (await bank.balance()).expiring_soon == 100
    await bank.pass_time(DAY)
    balance = await bank.balance()
    assert (balance.available, balance.expiring_soon, balance.next_expire_time) == (0, 0, 0)


async def test_its_entry_is_dated_in_the_last_moment_of_its_validity(bank: Bank) -> None:
    """So that credits "valid until 27 July" expire on 27 July in the ledger."""
    expire_time = await bank.now() + DAY
    grant = await bank.grant(100, expire_time=expire_time)
    await bank.pass_time(3 * DAY)
    await bank.balance()
    (entry,) = await bank.entries(EntryKind.GRANT_EXPIRED)
    assert (entry.time, entry.amount, entry.grant) == (expire_time - 1, 100, grant)


async def test_what_is_reserved_when_its_grant_expires_still_pays(bank: Bank) -> None:
    grant = await bank.grant(100, expire_time=await bank.now() + MINUTE)
    await bank.reserve("video-1", 30, ttl=HOUR)
    await bank.pass_time(MINUTE)
    answer = done(await bank.commit("video-1"))
    assert answer.reservation.allocations == (grant, GrantKind.FREE, 30)
    (expired,) = await bank.entries(EntryKind.GRANT_EXPIRED)
    assert expired.amount == 70


async def test_what_returns_to_an_expired_grant_expires_at_once(bank: Bank) -> None:
    await bank.grant(100, expire_time=await bank.now() + MINUTE)
    await bank.reserve("video-1", 30, ttl=HOUR)
    await bank.pass_time(MINUTE)
    answer = done(await bank.commit("video-1", 10))
    assert answer.balance.available == 0
    kinds = [(entry.kind, entry.amount) for entry in await bank.entries()]
    assert kinds[-3:] == [(EntryKind.GRANT_EXPIRED, 70), (EntryKind.CHARGE, 10), (EntryKind.GRANT_EXPIRED, 20)]


async def test_a_grant_with_nothing_left_expires_without_an_entry(bank: Bank) -> None:
    await bank.grant(100, expire_time=await bank.now() + MINUTE)
    await bank.charge("image-1", 100)
    await bank.pass_time(MINUTE)
    await bank.balance()
    assert await bank.entries(EntryKind.GRANT_EXPIRED) == []


async def test_what_is_due_is_settled_in_the_order_of_its_times(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("later", 10, ttl=2 * MINUTE)
    await bank.grant(5, expire_time=await bank.now() + 90 * SECOND, priority=200)
    await bank.reserve("sooner", 10, ttl=MINUTE)
    await bank.pass_time(HOUR)
    await bank.balance()
    settled = [entry for entry in await bank.entries() if entry.kind != EntryKind.GRANT]
    assert [entry.digest for entry in settled] == [bank.digest("sooner"), "", bank.digest("later")]
    assert sorted(entry.time for entry in settled) == [entry.time for entry in settled]


async def test_accounts_that_nobody_touches_are_settled_with_the_others_of_their_partition(bank: Bank) -> None:
    quiet = Bank(bank.store, "quiet")
    await quiet.do(quiet.loading())
    await quiet.grant(100)
    await quiet.reserve("image-1", 30, ttl=MINUTE)
    await bank.pass_time(MINUTE)
    await bank.balance()
    assert len(await quiet.entries(EntryKind.EXPIRED_HOLD)) == 1


async def test_one_call_settles_256_events_and_asks_to_come_again(bank: Bank) -> None:
    await bank.grant(1000)
    for first in range(0, 300, 60):
        await bank.send(*(bank.reserving(f"hold-{number}", 1) for number in range(first, first + 60)))
    await bank.pass_time(MINUTE)
    reply = await bank.store.execute(0, (ReadBalance(bank.account_id),))
    assert (reply.results, reply.due_left) == ((Again(),), True)
    assert len(await bank.entries(EntryKind.EXPIRED_HOLD)) == 256
    reply = await bank.store.execute(0, (ReadBalance(bank.account_id),))
    (result,) = reply.results
    assert isinstance(result, BalanceRead)
    assert (result.balance.available, result.balance.reserved, reply.due_left) == (1000, 0, False)


async def test_time_never_runs_backwards(bank: Bank) -> None:
    """The clock of the server steps back an hour: what was written keeps its order."""
    await bank.grant(100)
    before = await bank.now()
    await bank.grant(100)
    await bank.pass_time(-HOUR)
    await bank.grant(100)
    times = [entry.time for entry in await bank.entries()]
    assert times == sorted(times)
    assert times[-1] >= before
