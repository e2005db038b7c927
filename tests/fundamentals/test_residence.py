"""Residence: accounts and ended records come from SQL and go back to it; a stalled load brings nothing back."""

from __future__ import annotations

import msgspec

from earmark.domain.limits import FOREVER
from earmark.domain.states import AlertKind, EntryKind, GrantKind, ReservationState
from earmark.engine.operations import (
    NEVER,
    Counter,
    Evict,
    LimitClaim,
    ReadBalance,
    RebuildAccount,
    RestoreReservation,
)
from earmark.engine.redis.store import Admission
from earmark.engine.results import AccountMissing, Applied, ConfigurationMoved, RefusalCode, Refused, Waiting, Warned
from tests.fundamentals.bank import HOUR, LOW, MINUTE, Bank, EngineBank, done, numbers, refusal


async def test_an_account_that_redis_does_not_hold_is_missing(bank: Bank) -> None:
    stranger = Bank(bank.store, "stranger")
    assert await stranger.reserve("image-1", 1) == AccountMissing(generation=0, flushed=0)


async def test_it_misses_for_its_own_operations_only(bank: Bank) -> None:
    stranger = Bank(bank.store, "stranger")
    missed, served = await bank.send(stranger.reserving("free-1", 0), bank.reserving("free-1", 0))
    assert isinstance(missed, AccountMissing)
    done(served)


async def test_a_load_brings_it(bank: Bank) -> None:
    cold = Bank(bank.store, "cold")
    answer = await cold.do(cold.loading(amount=100))
    assert isinstance(answer, Applied)
    assert answer.fresh
    assert done(await cold.reserve("image-1", 30)).balance.available == 70


async def test_one_of_several_loads_takes_effect_and_never_adds(bank: Bank) -> None:
    cold = Bank(bank.store, "cold")
    answers = await cold.send(*[cold.loading(amount=100)] * 3)
    assert [isinstance(answer, Applied) and answer.fresh for answer in answers] == [True, False, False]
    assert await cold.available() == 100


async def test_a_load_that_stalled_while_the_account_was_spent_and_evicted_is_refused(bank: Bank) -> None:
    cold = Bank(bank.store, "cold")
    cold.admin_seq = 1
    stalled = cold.loading(amount=100)
    await cold.do(stalled)
    await cold.charge("image-1", 100)
    await cold.flush()
    assert isinstance(await cold.evict(), Applied)
    answer = await cold.do(stalled)
    assert refusal(answer) is RefusalCode.STALE
    assert isinstance(answer, Refused)
    assert answer.numbers == (1, 1)  # the generation now, and what SQL must show at least


async def test_what_expired_while_the_account_was_away_cannot_be_spent(bank: Bank) -> None:
    cold = Bank(bank.store, "cold")
    load = cold.loading(amount=100, expire_time=await bank.now() - HOUR)
    _, answer = await bank.send(load, cold.reserving("image-1", 1))
    assert refusal(answer) is RefusalCode.INSUFFICIENT_CREDITS
    (entry,) = await cold.entries(EntryKind.GRANT_EXPIRED)
    assert (entry.amount, entry.entry_number) == (100, 2)


async def test_an_idle_account_is_evicted_without_a_trace(engine_bank: EngineBank) -> None:
    keys = engine_bank.store.keys(0)
    cold = Bank(engine_bank.store, "cold")
    before = await engine_bank.store.command("HKEYS", keys.accounts)
    await cold.do(cold.loading(amount=100, expire_time=await engine_bank.now() + HOUR))
    cold.admin_seq = 1
    assert isinstance(await cold.evict(), Applied)
    assert await engine_bank.store.command("HKEYS", keys.accounts) == before
    assert await engine_bank.store.command("ZCARD", keys.deadlines) == 0


async def test_not_while_something_is_reserved(bank: Bank) -> None:
    await bank.reserve("free-1", 0)
    await bank.flush()
    assert refusal(await bank.evict()) is RefusalCode.STALE


async def test_not_before_everything_is_flushed(bank: Bank) -> None:
    await bank.grant(100)
    assert refusal(await bank.evict()) is RefusalCode.STALE
    await bank.flush()
    assert isinstance(await bank.evict(), Applied)


async def test_not_while_somebody_waits(bank: Bank) -> None:
    await bank.reserve("image-1", 30, wait=MINUTE)
    assert refusal(await bank.evict()) is RefusalCode.STALE
    await bank.pass_time(MINUTE)
    assert isinstance(await bank.evict(), Applied), "a lapsed ticket keeps no account"


async def test_not_if_it_was_used_since(bank: Bank) -> None:
    idle_before = await bank.now()
    await bank.charge("free-1", 0)
    await bank.flush()
    assert refusal(await bank.do(Evict(bank.account_id, idle_before, 0, ()))) is RefusalCode.STALE


async def restore(bank: Bank, request_id: str, generation: int) -> RestoreReservation:
    """Make what SQL would restore from the entry that ended a reservation."""
    digest = bank.digest(request_id)
    (entry,) = [record for record in await bank.entries() if record.digest == digest]
    states = {EntryKind.CHARGE: ReservationState.COMMITTED, EntryKind.EXPIRED_HOLD: ReservationState.EXPIRED}
    return RestoreReservation(
        account_id=entry.account_id,
        generation=generation,
        digest=digest,
        state=states[EntryKind(entry.kind)],
        content=entry.content,
        reserved=entry.reserved,
        charged=entry.amount,
        uncollected=entry.uncollected,
        late=bool(entry.late),
        create_time=entry.create_time,
        expire_time=entry.expire_time,
        settle_time=entry.time,
        price_version=entry.price_version,
        entry_number=entry.entry_number,
        details=entry.details,
        allocations=entry.allocations,
        windows=tuple((use.key, use.start, use.end) for use in entry.windows),
    )


async def test_a_record_that_has_left_is_restored_for_its_late_commit(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30, ttl=MINUTE)
    await bank.pass_time(MINUTE)
    await bank.balance()
    await bank.flush()
    await bank.pass_time(2 * HOUR)
    assert await bank.retire() == 1
    assert isinstance(await bank.do(await restore(bank, "image-1", 1)), Applied)
    answer = done(await bank.commit("image-1"))
    assert (answer.reservation.late, answer.balance.available) == (1, 70)


async def test_two_late_commits_of_a_restored_record_charge_once(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30, ttl=MINUTE)
    await bank.pass_time(MINUTE)
    await bank.balance()
    await bank.flush()
    await bank.pass_time(2 * HOUR)
    await bank.retire()
    restoring = await restore(bank, "image-1", 1)
    await bank.do(restoring)
    await bank.commit("image-1")
    await bank.flush()
    await bank.pass_time(2 * HOUR)
    await bank.retire()
    # The second restore stalled while the record was charged and retired again.
    assert refusal(await bank.do(restoring)) is RefusalCode.STALE
    assert await bank.available() == 70


async def test_a_restored_commit_answers_its_replay(bank: Bank) -> None:
    await bank.grant(100)
    await bank.charge("image-1", 30)
    await bank.flush()
    await bank.pass_time(HOUR)
    await bank.retire()
    await bank.do(await restore(bank, "image-1", 1))
    assert done(await bank.charge("image-1", 30)).replayed
    assert done(await bank.commit("image-1", 30)).replayed


async def test_a_load_carries_members_and_configuration(bank: Bank) -> None:
    cold = Bank(bank.store, "cold")
    load = msgspec.structs.replace(cold.loading(amount=100), suspended=False, members=("ann",), admin_seq=3)
    await cold.do(load)
    assert refusal(await cold.reserve("image-1", 1, user_id="eve")) is RefusalCode.NOT_A_MEMBER
    done(await cold.reserve("image-1", 1, user_id="ann"))


async def test_members_of_an_earlier_life_mean_nothing(bank: Bank) -> None:
    cold = Bank(bank.store, "cold")
    await cold.do(msgspec.structs.replace(cold.loading(), members=("ann",)))
    assert isinstance(await cold.do(Evict("cold", await cold.now(), 0, ())), Applied)
    await cold.do(msgspec.structs.replace(cold.loading(generation=1), members=("bob",)))
    assert refusal(await cold.reserve("free-1", 0, user_id="ann")) is RefusalCode.NOT_A_MEMBER


EVERYTHING = LimitClaim("all:0:account:", 100, 80, blocks=True, windows=(0, FOREVER))


async def test_a_load_carries_what_limits_have_counted(bank: Bank) -> None:
    cold = Bank(bank.store, "cold")
    counters = (Counter(EVERYTHING.key, 0, FOREVER, 70), Counter("old:0:account:", 0, HOUR, 70))
    await cold.do(msgspec.structs.replace(cold.loading(amount=500), counters=counters))
    answer = await cold.reserve("image-1", 31, limits=[EVERYTHING])
    assert refusal(answer) is RefusalCode.LIMIT_EXCEEDED
    assert numbers(answer)["used_micros"] == 70
    done(await cold.charge("image-2", 10, limits=[EVERYTHING]))
    (entry,) = await cold.entries(EntryKind.CHARGE)
    assert [alert.threshold for alert in entry.alerts] == [80]


async def test_counters_of_an_earlier_life_mean_nothing(bank: Bank) -> None:
    """SQL knows of no charge: what the counter held was released."""
    await bank.reserve("image-1", 0, limits=[EVERYTHING])
    await bank.grant(500)
    await bank.extend("image-1", "more", additional=60)
    await bank.release("image-1")
    await bank.flush()
    assert isinstance(await bank.evict(), Applied)
    load = msgspec.structs.replace(bank.loading(generation=1, amount=500), entry_number=2)
    await bank.do(load)
    done(await bank.reserve("image-2", 100, limits=[EVERYTHING]))


async def test_what_was_charged_counts_again_after_a_life_elsewhere(bank: Bank) -> None:
    await bank.grant(500)
    await bank.charge("image-1", 60, limits=[EVERYTHING])
    await bank.flush()
    assert isinstance(await bank.evict(((EVERYTHING.key, 0),)), Applied)
    (entry,) = await bank.entries(EntryKind.CHARGE)
    counters = tuple(Counter(use.key, use.start, use.end, use.amount) for use in entry.windows)
    load = msgspec.structs.replace(
        bank.loading(generation=1, amount=500),
        entry_number=2,
        charged=60,
        grants=(1, 1, 100, 0, 0, 440, 0),
        counters=counters,
    )
    await bank.do(load)
    assert refusal(await bank.reserve("image-2", 41, limits=[EVERYTHING])) is RefusalCode.LIMIT_EXCEEDED
    done(await bank.reserve("image-3", 40, limits=[EVERYTHING]))


async def test_a_load_carries_the_number_of_the_configuration(bank: Bank) -> None:
    cold = Bank(bank.store, "cold")
    await cold.do(msgspec.structs.replace(cold.loading(amount=100), config_seq=7))
    assert isinstance(await cold.reserve("image-1", 1), ConfigurationMoved)
    cold.config_seq = 7
    done(await cold.reserve("image-1", 1))


async def test_a_load_carries_thresholds_and_sets_off_none(warned: Bank) -> None:
    cold = Bank(warned.store, "cold")
    await cold.do(msgspec.structs.replace(cold.loading(amount=50), low_balance=60, critical_balance=NEVER))
    assert await cold.entries() == []
    answer = done(await cold.charge("image-1", 45))
    assert answer.notices == (Warned(AlertKind.LOW_BALANCE, 60),)


async def test_what_expired_while_the_account_was_away_may_set_off_an_alert(warned: Bank) -> None:
    cold = Bank(warned.store, "cold")
    await cold.do(cold.loading(amount=LOW + 1, expire_time=await warned.now() - HOUR))
    (entry,) = await cold.entries(EntryKind.GRANT_EXPIRED)
    assert [alert.kind for alert in entry.alerts] == [AlertKind.LOW_BALANCE, AlertKind.CRITICAL_BALANCE]


async def test_a_rebuild_keeps_the_room_of_the_cap_for_what_returns(bank: Bank) -> None:
    """Recovery: SQL knows the renewal and its room, Redis still holds what was reserved before it."""
    await bank.grant(50, kind=GrantKind.SUBSCRIPTION)
    await bank.reserve("video-1", 30, ttl=HOUR)
    in_sql = msgspec.structs.replace(
        bank.loading(amount=50),
        admin_seq=2,
        entry_number=2,
        grants=(1, GrantKind.SUBSCRIPTION, 100, 0, 0, 50, 0),
        cycle_seq=2,
        carry_room=10,
        carry_kinds=1 << GrantKind.SUBSCRIPTION,
    )
    await bank.do(RebuildAccount("acme", in_sql, (bank.digest("video-1"),), ()))
    balance = done(await bank.release("video-1")).balance
    assert (balance.available, balance.reserved) == (30, 0)
    *_, released, expired = await bank.entries()
    assert (released.carry_room, expired.kind, expired.amount) == (0, EntryKind.GRANT_EXPIRED, 20)


async def test_a_rebuild_counts_what_the_kept_holds_were_counted_for(bank: Bank) -> None:
    await bank.grant(500)
    await bank.reserve("kept", 30, limits=[EVERYTHING], ttl=HOUR)
    await bank.reserve("dissolved", 30, limits=[EVERYTHING], ttl=HOUR)
    await bank.commit("dissolved")
    ended = await restore(bank, "dissolved", 0)
    in_sql = msgspec.structs.replace(
        bank.loading(amount=500),
        entry_number=2,
        charged=30,
        grants=(1, 1, 100, 0, 0, 470, 0),
        counters=(Counter(EVERYTHING.key, 0, FOREVER, 30),),
    )
    await bank.do(RebuildAccount("acme", in_sql, (bank.digest("kept"),), (ended,)))
    answer = await bank.reserve("image-1", 41, limits=[EVERYTHING])
    assert numbers(answer)["used_micros"] == 60
    await bank.release("kept")
    done(await bank.reserve("image-2", 70, limits=[EVERYTHING]))


async def test_a_restored_late_commit_counts_in_its_window(bank: Bank) -> None:
    await bank.grant(500)
    await bank.reserve("image-1", 30, ttl=MINUTE, limits=[EVERYTHING])
    await bank.pass_time(MINUTE)
    await bank.balance()
    await bank.flush()
    await bank.pass_time(2 * HOUR)
    await bank.retire()
    await bank.do(await restore(bank, "image-1", 1))
    done(await bank.commit("image-1"))
    assert numbers(await bank.reserve("image-2", 71, limits=[EVERYTHING]))["used_micros"] == 30


async def test_reading_changes_nothing(bank: Bank) -> None:
    await bank.grant(100)
    first = await bank.balance()
    await bank.do(ReadBalance(bank.account_id, with_grants=True))
    assert await bank.balance() == first


async def recovering(engine_bank: EngineBank, operation: RebuildAccount) -> None:
    """Rebuild the account as a recovery under epoch 2 does, five minutes later."""
    assert await engine_bank.store.begin_recovery(0, 2, wipe=False)
    await engine_bank.pass_time(5 * MINUTE)
    reply = await engine_bank.store.execute_recovering(0, 2, [operation])
    assert isinstance(reply.results[0], Applied)
    assert await engine_bank.store.finish_recovery(0, 2, engine_bank.store.run_id)
    assert await engine_bank.store.admit(0, 0, 2) is Admission.ADMITTED


async def test_recovery_settles_nothing_before_the_accounts_are_what_sql_knows(engine_bank: EngineBank) -> None:
    """Redis came back from an older snapshot: its due holds would take entry numbers that SQL has given already."""
    await engine_bank.grant(100)
    await engine_bank.reserve("image-1", 30, ttl=MINUTE)
    in_sql = msgspec.structs.replace(engine_bank.loading(amount=100), entry_number=9)
    await recovering(engine_bank, RebuildAccount("acme", in_sql, (engine_bank.digest("image-1"),), ()))
    assert await engine_bank.available() == 100
    assert [entry.entry_number for entry in await engine_bank.entries(EntryKind.EXPIRED_HOLD)] == [10]


async def test_holds_that_sql_does_not_know_as_ended_survive_a_recovery(engine_bank: EngineBank) -> None:
    await engine_bank.grant(100)
    await engine_bank.reserve("image-1", 30, ttl=HOUR)
    await recovering(
        engine_bank, RebuildAccount("acme", engine_bank.loading(amount=100), (engine_bank.digest("image-1"),), ())
    )
    balance = done(await engine_bank.commit("image-1")).balance
    assert (balance.available, balance.reserved) == (70, 0)


async def test_what_sql_knows_as_ended_is_not_charged_again(engine_bank: EngineBank) -> None:
    await engine_bank.grant(100)
    await engine_bank.reserve("image-1", 30, ttl=HOUR)
    await engine_bank.commit("image-1")
    ended = await restore(engine_bank, "image-1", 0)
    in_sql = msgspec.structs.replace(
        engine_bank.loading(amount=100), entry_number=2, charged=30, grants=(1, 1, 100, 0, 0, 70, 0)
    )
    await recovering(engine_bank, RebuildAccount("acme", in_sql, (), (ended,)))
    assert done(await engine_bank.commit("image-1")).replayed
    assert await engine_bank.available() == 70


async def test_a_queue_outlives_a_recovery_in_its_order(engine_bank: EngineBank) -> None:
    """Found by the property tests: tickets that lapsed meanwhile were counted against those who came after."""
    await engine_bank.grant(20)
    await engine_bank.reserve("gone", 40, wait=10 * MINUTE)
    await recovering(engine_bank, RebuildAccount("acme", engine_bank.loading(amount=20), (), ()))
    assert isinstance(await engine_bank.reserve("first", 40, wait=MINUTE), Waiting)
    assert isinstance(await engine_bank.reserve("gone", 0, wait=MINUTE), Waiting)


async def test_credits_of_dissolved_holds_repay_debt_first(bank: Bank) -> None:
    """Redis was lost while 40 were held and 100 owed: the 40 come back, and do not become available."""
    cold = Bank(bank.store, "cold")
    in_debt = msgspec.structs.replace(cold.loading(amount=40), charged=100, debt=100, entry_number=5)
    await cold.do(in_debt)
    balance = await cold.balance()
    assert (balance.available, balance.debt) == (0, 60)
    (entry,) = await cold.entries(EntryKind.DEBT_REPAID)
    assert (entry.amount, entry.grant, entry.entry_number) == (40, 1, 6)
