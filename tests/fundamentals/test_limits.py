"""Limits: what may be spent in a window, counted with the balance in one step."""

from __future__ import annotations

import pytest

from earmark.domain.limits import FOREVER
from earmark.domain.states import AlertKind, Enforcement, EntryKind, OveragePolicy
from earmark.engine.operations import LimitClaim
from earmark.engine.records import Alert, WindowUse
from earmark.engine.results import Again, Applied, ConfigurationMoved, RefusalCode, Refused, Waiting, Warned
from tests.fundamentals.bank import DAY, HOUR, MINUTE, SECOND, Bank, EngineBank, done, numbers, refusal

DAILY = "daily:0:account:"


async def limit(
    bank: Bank, amount: int, *, key: str = DAILY, length: int = DAY, blocks: bool = True, near: int | None = None
) -> LimitClaim:
    """Make the claim of a limit that began to count an hour ago, with the window after it."""
    start = await bank.now() // HOUR * HOUR - HOUR
    near = max(1, amount * 8 // 10) if near is None else near
    windows = (start, start + length, start + length, start + 2 * length) if length != FOREVER else (0, FOREVER)
    return LimitClaim(key, amount, near, blocks, windows)


async def used(bank: Bank, claim: LimitClaim) -> int:
    """Return what the present window has used: what a call that asks for far too much is told."""
    asking = LimitClaim(claim.key, 0, 0, blocks=True, windows=claim.windows)
    answer = await bank.reserve("how much", 1, limits=[asking], validate_only=True)
    assert refusal(answer) is RefusalCode.LIMIT_EXCEEDED
    return numbers(answer)["used_micros"]


async def test_a_limit_refuses_what_would_pass_it(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    done(await bank.reserve("image-1", 70, limits=[daily]))
    answer = await bank.reserve("image-2", 40, limits=[daily])
    assert refusal(answer) is RefusalCode.LIMIT_EXCEEDED
    assert numbers(answer) == {
        "limit_micros": 100,
        "used_micros": 70,
        "required_micros": 40,
        "reset_time": daily.windows[1],
    }
    assert isinstance(answer, Refused)
    assert answer.key == DAILY
    done(await bank.reserve("image-3", 30, limits=[daily]))


async def test_a_charge_counts_and_is_refused_alike(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    done(await bank.charge("image-1", 70, limits=[daily]))
    assert refusal(await bank.charge("image-2", 40, limits=[daily])) is RefusalCode.LIMIT_EXCEEDED
    assert await used(bank, daily) == 70


@pytest.mark.parametrize(
    "key", ["daily:0:account:", "mine:3:user:ann", "shoot:4:project:summer : 24", "feature:0:operation:video"]
)
@pytest.mark.parametrize("length", [HOUR * 2, DAY, 31 * DAY, FOREVER])
async def test_every_scope_and_every_window_count_by_themselves(bank: Bank, key: str, length: int) -> None:
    await bank.grant(1000)
    own = await limit(bank, 50, key=key, length=length)
    other = await limit(bank, 50, key=f"{key}!", length=length)
    done(await bank.charge("image-1", 50, limits=[own]))
    assert refusal(await bank.charge("image-2", 1, limits=[own])) is RefusalCode.LIMIT_EXCEEDED
    done(await bank.charge("image-3", 50, limits=[other]))


async def test_the_first_limit_that_is_short_refuses(bank: Bank) -> None:
    await bank.grant(1000)
    wide, tight = await limit(bank, 100, key="wide:0:account:"), await limit(bank, 20, key="tight:0:account:")
    answer = await bank.reserve("image-1", 200, limits=[wide, tight])
    assert isinstance(answer, Refused)
    assert answer.key == "wide:0:account:"
    answer = await bank.reserve("image-1", 50, limits=[wide, tight])
    assert isinstance(answer, Refused)
    assert answer.key == "tight:0:account:"
    assert await used(bank, wide) == 0, "a refusal counts nowhere"


async def test_a_minimum_accepts_what_the_limit_leaves(bank: Bank) -> None:
    await bank.grant(1000)
    daily, hourly = await limit(bank, 100), await limit(bank, 40, key="hourly:0:account:", length=2 * HOUR)
    answer = done(await bank.reserve("image-1", 60, minimum=30, limits=[daily, hourly]))
    assert answer.reservation.reserved == 40
    assert await used(bank, daily) == 40
    assert refusal(await bank.reserve("image-2", 60, minimum=1, limits=[daily, hourly])) is RefusalCode.LIMIT_EXCEEDED


async def test_and_then_what_the_balance_leaves(bank: Bank) -> None:
    await bank.grant(25)
    daily = await limit(bank, 40)
    assert done(await bank.reserve("image-1", 60, minimum=10, limits=[daily])).reservation.reserved == 25
    assert await used(bank, daily) == 25


async def test_a_limit_that_only_tells_refuses_and_shrinks_nothing(bank: Bank) -> None:
    await bank.grant(1000)
    goal = await limit(bank, 50, blocks=False)
    assert done(await bank.reserve("image-1", 200, minimum=1, limits=[goal])).reservation.reserved == 200
    assert await used(bank, goal) == 200


async def test_zero_passes_every_limit(bank: Bank) -> None:
    done(await bank.reserve("free-1", 0, limits=[await limit(bank, 0)]))


async def test_an_overdraft_charge_is_shrunk_too(bank: Bank) -> None:
    await bank.configure(overdraft_limit=500)
    daily = await limit(bank, 40)
    answer = done(
        await bank.charge("image-1", 60, minimum=10, policy=OveragePolicy.ALLOW_WITH_OVERDRAFT, limits=[daily])
    )
    assert (answer.reservation.charged, answer.reservation.uncollected, answer.balance.debt) == (40, 0, 40)


# What comes back


async def test_what_is_released_goes_back_to_its_window(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    await bank.reserve("image-1", 70, limits=[daily])
    await bank.release("image-1")
    assert await used(bank, daily) == 0
    (entry,) = await bank.entries(EntryKind.RELEASE)
    assert entry.windows == (WindowUse(DAILY, daily.windows[0], daily.windows[1], 0),)


async def test_so_does_what_expires(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    await bank.reserve("image-1", 70, limits=[daily], ttl=MINUTE)
    await bank.pass_time(MINUTE)
    assert await used(bank, daily) == 0
    (entry,) = await bank.entries(EntryKind.EXPIRED_HOLD)
    assert entry.windows == (WindowUse(DAILY, daily.windows[0], daily.windows[1], 0),)


async def test_a_smaller_commit_gives_the_rest_back(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    await bank.reserve("image-1", 70, limits=[daily])
    await bank.commit("image-1", 20)
    assert await used(bank, daily) == 20
    (entry,) = await bank.entries(EntryKind.CHARGE)
    assert entry.windows == (WindowUse(DAILY, daily.windows[0], daily.windows[1], 20),)


async def test_overage_may_exceed_a_limit_and_counts(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    await bank.reserve("image-1", 70, limits=[daily])
    done(await bank.commit("image-1", 130))
    assert await used(bank, daily) == 130
    assert refusal(await bank.reserve("image-2", 1, limits=[daily])) is RefusalCode.LIMIT_EXCEEDED


# Extend


async def test_an_addition_counts_in_the_window_of_its_reservation(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    await bank.reserve("video-1", 70, limits=[daily])
    done(await bank.extend("video-1", "more", additional=20))
    assert await used(bank, daily) == 90


async def test_an_addition_over_the_limit_leaves_the_reservation_as_it_was(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    before = done(await bank.reserve("video-1", 70, limits=[daily])).reservation
    answer = await bank.extend("video-1", "more", additional=31, ttl=HOUR)
    assert refusal(answer) is RefusalCode.LIMIT_EXCEEDED
    assert list(numbers(answer).values()) == [100, 70, 31, daily.windows[1]]
    assert await bank.reservation("video-1") == before
    done(await bank.extend("video-1", "more", additional=30, ttl=HOUR))


async def test_a_limit_refuses_before_anybody_waits_for_credits(bank: Bank) -> None:
    await bank.grant(70)
    daily = await limit(bank, 100)
    await bank.reserve("video-1", 70, limits=[daily])
    assert refusal(await bank.extend("video-1", "more", additional=31, wait=MINUTE)) is RefusalCode.LIMIT_EXCEEDED
    assert isinstance(await bank.extend("video-1", "more", additional=30, wait=MINUTE), Waiting)


async def test_a_limit_ends_a_wait(bank: Bank) -> None:
    daily = await limit(bank, 100)
    await bank.reserve("image-1", 70, limits=[daily], wait=MINUTE)
    await bank.grant(50)
    await bank.charge("image-2", 40, limits=[daily])
    assert refusal(await bank.reserve("image-1", 70, limits=[daily], wait=MINUTE)) is RefusalCode.LIMIT_EXCEEDED
    assert not await bank.cancel_wait("image-1")


# Windows


async def test_a_reservation_made_before_midnight_counts_in_the_window_of_that_day(bank: Bank) -> None:
    await bank.grant(1000)
    midnight = await bank.now() + MINUTE
    daily = LimitClaim(DAILY, 100, 80, blocks=True, windows=(midnight - DAY, midnight, midnight, midnight + DAY))
    await bank.reserve("image-1", 70, limits=[daily], ttl=HOUR)
    await bank.pass_time(2 * MINUTE)
    assert await used(bank, daily) == 0, "a new day"
    await bank.commit("image-1", 60)
    assert await used(bank, daily) == 0
    (entry,) = await bank.entries(EntryKind.CHARGE)
    assert entry.windows == (WindowUse(DAILY, midnight - DAY, midnight, 60),)


async def test_an_addition_after_midnight_counts_there_too(bank: Bank) -> None:
    await bank.grant(1000)
    midnight = await bank.now() + MINUTE
    daily = LimitClaim(DAILY, 100, 80, blocks=True, windows=(midnight - DAY, midnight, midnight, midnight + DAY))
    await bank.reserve("video-1", 70, limits=[daily], ttl=HOUR)
    await bank.pass_time(2 * MINUTE)
    assert refusal(await bank.extend("video-1", "more", additional=31)) is RefusalCode.LIMIT_EXCEEDED
    done(await bank.extend("video-1", "more", additional=30))
    assert await used(bank, daily) == 0


async def test_without_a_window_that_holds_now_the_call_is_derived_anew(bank: Bank) -> None:
    await bank.grant(1000)
    now = await bank.now()
    gone = LimitClaim(DAILY, 100, 80, blocks=True, windows=(now - DAY, now))
    answer = await bank.reserve("image-1", 70, limits=[gone])
    assert isinstance(answer, ConfigurationMoved)
    assert answer.now >= now
    assert answer.config_seq == 0
    assert (await bank.balance()).reserved == 0


async def test_a_late_commit_counts_in_the_window_it_was_reserved_in(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    await bank.reserve("image-1", 70, limits=[daily], ttl=SECOND)
    await bank.pass_time(MINUTE)
    await bank.charge("image-2", 90, limits=[daily])
    assert done(await bank.commit("image-1")).reservation.late
    assert await used(bank, daily) == 160, "it ignores limits and counts"


async def test_after_the_windows_end_it_only_names_it(bank: Bank) -> None:
    await bank.grant(1000)
    end = await bank.now() + MINUTE
    daily = LimitClaim(DAILY, 100, 80, blocks=True, windows=(end - DAY, end, end, end + DAY))
    await bank.reserve("image-1", 70, limits=[daily], ttl=SECOND)
    await bank.pass_time(2 * MINUTE)
    done(await bank.commit("image-1"))
    assert await used(bank, daily) == 0
    (entry,) = await bank.entries(EntryKind.CHARGE)
    assert entry.windows == (WindowUse(DAILY, end - DAY, end, 70),)


def until(end: int, key: str) -> LimitClaim:
    return LimitClaim(key, 100, 80, blocks=True, windows=(end - DAY, end))


async def test_many_windows_may_end_at_once(bank: Bank) -> None:
    end = await bank.now() + MINUTE
    for first in range(0, 300, 60):
        calls = [bank.charging(f"{key}", 0, limits=[until(end, f"{key}")]) for key in range(first, first + 60)]
        await bank.send(*calls)
    await bank.pass_time(2 * MINUTE)
    assert isinstance(await bank.charge("image-1", 0), Again), "one call settles 256 of them"
    done(await bank.charge("image-1", 0))


async def test_a_window_that_has_ended_leaves_nothing_behind(engine_bank: EngineBank) -> None:
    keys = engine_bank.store.keys(0)
    end = await engine_bank.now() + MINUTE
    await engine_bank.charge("image-1", 0, limits=[until(end, "one"), until(end, "other")])
    await engine_bank.reserve("image-2", 0, limits=[until(end, "one")], ttl=HOUR)
    assert await engine_bank.store.command("HLEN", keys.counters) == 2
    await engine_bank.pass_time(2 * MINUTE)
    await engine_bank.balance()
    assert await engine_bank.store.command("HLEN", keys.counters) == 1, "one reservation was made in it"
    await engine_bank.release("image-2")
    assert await engine_bank.store.command("HLEN", keys.counters) == 0
    assert await engine_bank.store.command("ZCARD", keys.deadlines) == 2, "the ended reservations, until they retire"


async def test_nor_does_an_account_that_is_evicted(engine_bank: EngineBank) -> None:
    keys = engine_bank.store.keys(0)
    await engine_bank.charge("image-1", 0, limits=[await limit(engine_bank, 50)])
    await engine_bank.flush()
    (entry,) = await engine_bank.entries(EntryKind.CHARGE)
    assert isinstance(await engine_bank.evict(tuple((use.key, use.start) for use in entry.windows)), Applied)
    assert await engine_bank.store.command("HLEN", keys.counters) == 0


# Alerts and notices


async def test_charges_that_come_near_a_limit_are_told_once_and_again_at_the_limit(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100, near=80)
    await bank.charge("image-1", 70, limits=[daily])
    await bank.reserve("image-2", 20, limits=[daily])
    await bank.commit("image-2", 15)
    await bank.charge("image-3", 5, limits=[daily])
    await bank.charge("image-4", 10, limits=[daily])
    await bank.charge("free-1", 0, limits=[daily])
    alerts = [entry.alerts for entry in await bank.entries(EntryKind.CHARGE)]
    assert alerts == [
        (),
        (Alert(AlertKind.LIMIT_NEAR, 80, DAILY, 100, 915),),
        (),
        (Alert(AlertKind.LIMIT_NEAR, 100, DAILY, 100, 900),),
        (),
    ]


async def test_what_stands_at_the_mark_exactly_has_been_told(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100, near=80)
    await bank.charge("image-1", 80, limits=[daily])
    await bank.charge("image-2", 5, limits=[daily])
    assert [len(entry.alerts) for entry in await bank.entries(EntryKind.CHARGE)] == [1, 0]


async def test_one_charge_may_reach_both(bank: Bank) -> None:
    await bank.grant(1000)
    goal = await limit(bank, 100, near=80, blocks=False)
    await bank.charge("image-1", 300, limits=[goal])
    (entry,) = await bank.entries(EntryKind.CHARGE)
    assert [alert.threshold for alert in entry.alerts] == [80, 100]


async def test_what_is_only_reserved_is_not_near(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    assert done(await bank.reserve("image-1", 95, limits=[daily])).notices == ()
    near = Warned(AlertKind.LIMIT_NEAR, 100, DAILY)
    assert done(await bank.commit("image-1")).notices == (near,)
    assert done(await bank.commit("image-1")).notices == (near,), "a replay tells what is so now"
    assert done(await bank.charge("free-1", 0, limits=[daily])).notices == (near,)
    assert done(await bank.charge("free-2", 0)).notices == ()


async def test_a_commit_after_the_windows_end_still_alerts(bank: Bank) -> None:
    await bank.grant(1000)
    end = await bank.now() + MINUTE
    daily = LimitClaim(DAILY, 100, 80, blocks=True, windows=(end - DAY, end))
    await bank.reserve("image-1", 90, limits=[daily], ttl=HOUR)
    await bank.pass_time(2 * MINUTE)
    await bank.commit("image-1")
    (entry,) = await bank.entries(EntryKind.CHARGE)
    assert [alert.threshold for alert in entry.alerts] == [80]


# Accounts that only observe


async def test_an_account_that_observes_counts_and_is_not_refused(bank: Bank) -> None:
    await bank.configure(enforcement=Enforcement.OBSERVE)
    await bank.grant(40)
    daily = await limit(bank, 50)
    answer = done(await bank.reserve("image-1", 60, minimum=10, limits=[daily]))
    assert (answer.reservation.reserved, answer.reservation.uncollected, answer.would_refuse) == (40, 20, False)
    assert await observed(bank, daily) == 60, "what nothing funds counts too"
    assert done(await bank.reserve("image-2", 10, limits=[daily])).would_refuse
    await bank.commit("image-1", 30)
    assert await observed(bank, daily) == 40
    await bank.commit("image-2")
    assert await observed(bank, daily) == 40


async def observed(bank: Bank, claim: LimitClaim) -> int:
    """Return what a window has used, on an account that is not refused: as if it were not observing."""
    await bank.configure(enforcement=Enforcement.BLOCK)
    found = await used(bank, claim)
    await bank.configure(enforcement=Enforcement.OBSERVE)
    return found


async def test_its_additions_are_counted_and_not_refused(bank: Bank) -> None:
    await bank.configure(enforcement=Enforcement.OBSERVE)
    await bank.grant(1000)
    daily = await limit(bank, 50)
    await bank.reserve("video-1", 40, limits=[daily])
    assert done(await bank.extend("video-1", "more", additional=20)).would_refuse
    assert await observed(bank, daily) == 60


async def test_a_charge_of_it_counts_what_was_uncollected(bank: Bank) -> None:
    await bank.configure(enforcement=Enforcement.OBSERVE)
    await bank.grant(40)
    daily = await limit(bank, 50)
    await bank.charge("image-1", 60, limits=[daily])
    assert await observed(bank, daily) == 60
    (entry,) = await bank.entries(EntryKind.CHARGE)
    assert (entry.amount, entry.uncollected, entry.windows[0].amount) == (40, 20, 60)


# Checks only


async def test_validation_counts_nothing(bank: Bank) -> None:
    await bank.grant(1000)
    daily = await limit(bank, 100)
    done(await bank.reserve("image-1", 70, limits=[daily], validate_only=True))
    done(await bank.charge("image-1", 70, limits=[daily], validate_only=True))
    assert await used(bank, daily) == 0
    answer = await bank.charge("image-1", 101, limits=[daily], validate_only=True)
    assert refusal(answer) is RefusalCode.LIMIT_EXCEEDED


async def test_a_replay_asks_no_limit(bank: Bank) -> None:
    await bank.grant(1000)
    await bank.reserve("image-1", 70, limits=[await limit(bank, 100)])
    assert done(await bank.reserve("image-1", 70, limits=[await limit(bank, 0)])).replayed
