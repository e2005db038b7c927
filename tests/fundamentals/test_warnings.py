"""Low and critical balances: an alert on the crossing, once, and a notice in every answer while it lasts."""

from __future__ import annotations

from earmark.domain.states import AlertKind, EntryKind
from earmark.engine.operations import ABSENT, NEVER
from earmark.engine.records import Alert
from earmark.engine.results import Warned
from tests.fundamentals.bank import CRITICAL, HOUR, LOW, MINUTE, Bank, done

LOW_ALERT, CRITICAL_ALERT = AlertKind.LOW_BALANCE, AlertKind.CRITICAL_BALANCE


async def alerts(bank: Bank) -> list[tuple[int, int, int]]:
    """Return kind, threshold and balance of every alert."""
    return [(alert.kind, alert.threshold, alert.balance) for entry in await bank.entries() for alert in entry.alerts]


async def test_nobody_is_warned_without_thresholds(bank: Bank) -> None:
    await bank.grant(10)
    assert done(await bank.charge("image-1", 10)).notices == ()
    assert await alerts(bank) == []


async def test_the_charge_that_crosses_a_threshold_says_so(warned: Bank) -> None:
    await warned.grant(LOW + 50)
    await warned.charge("image-1", 49)
    assert await alerts(warned) == []
    await warned.charge("image-2", 1)
    (_, entry) = await warned.entries(EntryKind.CHARGE)
    assert entry.alerts == (Alert(LOW_ALERT, LOW, "", 0, LOW),)


async def test_once_however_often_it_is_charged_below(warned: Bank) -> None:
    await warned.grant(LOW + 10)
    for number in range(5):
        await warned.charge(f"image-{number}", 10)
    assert await alerts(warned) == [(LOW_ALERT, LOW, LOW)]


async def test_it_arms_again_when_the_balance_has_risen_above(warned: Bank) -> None:
    await warned.grant(LOW + 10)
    await warned.charge("image-1", 10)
    await warned.grant(1)
    await warned.charge("image-2", 1)
    assert len(await alerts(warned)) == 2
    await warned.charge("image-3", 20)
    await warned.grant(20)
    await warned.charge("image-4", 1)
    assert len(await alerts(warned)) == 2, "it had not risen above, only up to it"


async def test_one_charge_may_cross_both(warned: Bank) -> None:
    await warned.grant(LOW + 10)
    await warned.charge("image-1", LOW)
    assert await alerts(warned) == [(LOW_ALERT, LOW, 10), (CRITICAL_ALERT, CRITICAL, 10)]


async def test_a_hold_that_comes_and_goes_fires_nothing(warned: Bank) -> None:
    await warned.grant(LOW + 10)
    await warned.reserve("image-1", LOW)
    await warned.release("image-1")
    await warned.reserve("image-2", LOW, ttl=MINUTE)
    await warned.pass_time(HOUR)
    await warned.available()
    assert await alerts(warned) == []


async def test_a_grant_that_expires_crosses_too(warned: Bank) -> None:
    await warned.grant(LOW)
    await warned.grant(50, expire_time=await warned.now() + HOUR)
    await warned.pass_time(HOUR)
    await warned.available()
    (entry,) = await warned.entries(EntryKind.GRANT_EXPIRED)
    assert entry.alerts == (Alert(LOW_ALERT, LOW, "", 0, LOW),)


async def test_so_does_one_that_is_voided(warned: Bank) -> None:
    grant = await warned.grant(LOW + 50)
    await warned.void(grant)
    (entry,) = await warned.entries(EntryKind.GRANT_VOIDED)
    assert [alert.kind for alert in entry.alerts] == [LOW_ALERT, CRITICAL_ALERT]


async def test_the_alert_stands_on_the_last_entry_of_what_happened(warned: Bank) -> None:
    """A commit whose rest returns to a grant that has expired: the charge alone crossed nothing."""
    await warned.grant(90)
    await warned.grant(60, priority=1, expire_time=await warned.now() + MINUTE)
    await warned.reserve("image-1", 60, ttl=HOUR)
    await warned.pass_time(2 * MINUTE)
    await warned.commit("image-1", 10)
    charge, expired = await warned.entries(EntryKind.CHARGE, EntryKind.GRANT_EXPIRED)
    assert charge.alerts == ()
    assert expired.alerts == (Alert(LOW_ALERT, LOW, "", 0, 90),)


async def test_a_renewal_is_one_transition(warned: Bank) -> None:
    """What expires in it and what it gives: only the balance before and after counts."""
    await warned.renew(LOW + 50)
    await warned.renew(LOW + 50, cap=0)
    assert await alerts(warned) == []
    await warned.renew(30, cap=0)
    assert await alerts(warned) == [(LOW_ALERT, LOW, 30)]


async def test_an_accounts_own_thresholds_replace_the_systems(warned: Bank) -> None:
    await warned.configure(low_balance=40, critical_balance=NEVER)
    await warned.grant(50)
    await warned.charge("image-1", 10)
    await warned.charge("image-2", 40)
    assert await alerts(warned) == [(LOW_ALERT, 40, 40)]


async def test_and_give_way_again(warned: Bank) -> None:
    await warned.configure(low_balance=NEVER, critical_balance=NEVER)
    await warned.configure(low_balance=ABSENT, critical_balance=ABSENT)
    await warned.grant(LOW + 1)
    await warned.charge("image-1", 1)
    assert await alerts(warned) == [(LOW_ALERT, LOW, LOW)]


async def test_moving_a_threshold_over_the_balance_fires_nothing(warned: Bank) -> None:
    await warned.grant(LOW + 50)
    await warned.configure(low_balance=LOW + 100)
    await warned.charge("image-1", 1)
    assert await alerts(warned) == []


async def test_a_threshold_of_zero_fires_when_all_is_spent(warned: Bank) -> None:
    await warned.configure(low_balance=NEVER, critical_balance=0)
    await warned.grant(50)
    await warned.charge("image-1", 50)
    assert await alerts(warned) == [(CRITICAL_ALERT, 0, 0)]


async def test_answers_tell_of_a_balance_that_is_low(warned: Bank) -> None:
    await warned.grant(LOW + 10)
    assert done(await warned.reserve("image-1", 50)).notices == (), "what is reserved still counts"
    assert done(await warned.commit("image-1")).notices == (Warned(LOW_ALERT, LOW),)
    assert done(await warned.charge("image-2", 45)).notices == (Warned(CRITICAL_ALERT, CRITICAL),)
    assert done(await warned.reserve("image-3", 1, validate_only=True)).notices == (Warned(CRITICAL_ALERT, CRITICAL),)


async def test_a_replay_tells_what_is_so_now(warned: Bank) -> None:
    await warned.grant(LOW + 10)
    await warned.charge("image-1", 10)
    await warned.grant(100)
    answer = done(await warned.charge("image-1", 10))
    assert answer.replayed
    assert answer.notices == ()


async def test_debt_that_grows_crosses_nothing(warned: Bank) -> None:
    """Nothing is kept before, nothing after."""
    await warned.configure(overdraft_limit=100)
    await warned.charge("image-1", 50, policy=3)
    assert await alerts(warned) == []
