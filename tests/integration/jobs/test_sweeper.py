"""What is due happens within a second though nobody asks; what is over leaves Redis, and comes back when needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import pytest

from earmark.domain.ids import content_digest, reservation_digest
from earmark.domain.states import EntryKind, GrantKind, ReservationState
from earmark.engine.operations import AnyOperation, ReadBalance, RetireReservations
from earmark.engine.redis.packed import PackedReservation, decode_reservation
from earmark.engine.results import BalanceRead, BatchReply, Done, RefusalCode, Refused
from earmark.errors import EarmarkError
from earmark.jobs.eviction import EvictorOptions
from earmark.jobs.flusher import FlusherOptions
from earmark.jobs.memory import MemoryOptions
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.reconciler import reconcile
from earmark.jobs.relay import RelayOptions, relay_account
from earmark.jobs.runner import Jobs, JobsOptions
from earmark.jobs.sweeper import Sweeper
from earmark.ledger.models import EntryFilter, MemberRole, NewAccount, NewGrant
from tests.support.stack import CREDIT, Stack, done
from tests.support.waiting import wait_until

OPTIONS = JobsOptions(
    flusher=FlusherOptions(rest_seconds=0.02, longest_rest_seconds=0.02),
    relay=RelayOptions(interval_seconds=0.05, patience_seconds=0.1),
    evictor=EvictorOptions(interval_seconds=0.05, above_percent=0),
)
WINDOW = 3_600_000_000
CONTENT = content_digest(b"content")
OnReply: TypeAlias = Callable[[BatchReply | EarmarkError], None]


@contextlib.asynccontextmanager
async def jobs_of(stack: Stack, metrics: JobMetrics, options: JobsOptions = OPTIONS) -> AsyncIterator[Jobs]:
    jobs = Jobs(stack.store, stack.engine, stack.ledger, options, metrics)
    jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()


@contextlib.asynccontextmanager
async def sweeping(stack: Stack, metrics: JobMetrics) -> AsyncIterator[None]:
    """Sweep alone: nothing is flushed."""
    sweeper = Sweeper(stack.store, stack.engine, stack.ledger, "sweeper", metrics)
    task = asyncio.create_task(sweeper.run())
    try:
        await wait_until(lambda: len(sweeper.leases.held_partitions()) == stack.store.partitions)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def record(stack: Stack, account_id: str, request_id: str) -> PackedReservation | None:
    """A record as it stands in Redis: reading it through a script would settle it."""
    key = stack.store.keys(stack.engine.partition_of(account_id)).reservations
    packed = await stack.store.command("HGET", key, reservation_digest(account_id, request_id))
    return decode_reservation(packed) if packed else None


async def is_resident(stack: Stack, account_id: str) -> bool:
    key = stack.store.keys(stack.engine.partition_of(account_id)).accounts
    return bool(await stack.store.command("HEXISTS", key, account_id))


async def kinds(stack: Stack, account_id: str) -> list[EntryKind]:
    page = await stack.ledger.entries.list(EntryFilter(account_id=account_id), 100)
    return [entry.kind for entry in sorted(page, key=lambda entry: entry.entry_number)]


async def test_hold_that_nobody_settles_is_swept_within_a_second(stack: Stack, metrics: JobMetrics) -> None:
    await stack.account("acme", 10)
    done(await stack.reserve("acme", "forgotten", 4))
    async with sweeping(stack, metrics):
        await stack.store.move_clock(61_000_000)

        async def expired() -> bool:
            found = await record(stack, "acme", "forgotten")
            return found is not None and found.state == ReservationState.EXPIRED

        # A second by design; a busy machine may take a little longer.
        await wait_until(expired, seconds=2)
    assert (await stack.balance("acme")).available == 10 * CREDIT


async def test_more_than_one_script_settles_are_all_swept(stack: Stack, metrics: JobMetrics) -> None:
    await stack.account("acme", 1000)
    for start in range(0, 600, 60):
        await asyncio.gather(*(stack.reserve("acme", f"r{number}", 1) for number in range(start, start + 60)))
    async with sweeping(stack, metrics):
        await stack.store.move_clock(61_000_000)
        deadlines = stack.store.keys(stack.engine.partition_of("acme")).deadlines

        async def none_open() -> bool:
            return bool(await stack.store.command("ZCOUNT", deadlines, "-inf", "(4503599627370496") == 0)

        await wait_until(none_open, seconds=5)
    assert (await stack.balance("acme")).available == 1000 * CREDIT


async def test_cancelling_together_with_an_answer_ends_the_sweeper(
    stack: Stack, metrics: JobMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = stack.store.send

    def cancel_on_answer(partition: int, operations: Sequence[AnyOperation], on_reply: OnReply) -> None:
        def answered(reply: BatchReply | EarmarkError) -> None:
            on_reply(reply)
            if isinstance(operations[0], RetireReservations):
                task.cancel()

        send(partition, operations, answered)

    monkeypatch.setattr(stack.store, "send", cancel_on_answer)
    task = asyncio.create_task(Sweeper(stack.store, stack.engine, stack.ledger, "sweeper", metrics).run())
    assert task in (await asyncio.wait((task,), timeout=5))[0], "a cancelled sweeper goes on"
    assert task.cancelled()


async def test_ended_records_go_after_their_window_and_never_before_they_are_flushed(
    stack: Stack, metrics: JobMetrics
) -> None:
    await stack.account("acme", 10)
    done(await stack.reserve("acme", "one", 4))
    done(await stack.commit("acme", "one"))
    async with sweeping(stack, metrics):
        await stack.store.move_clock(WINDOW + 1_000_000)
        done(await stack.reserve("acme", "two", 4))
        await stack.store.move_clock(61_000_000)

        async def two_expired() -> bool:
            found = await record(stack, "acme", "two")
            return found is not None and found.state == ReservationState.EXPIRED

        await wait_until(two_expired)
        assert await record(stack, "acme", "one") is not None
    async with jobs_of(stack, metrics):

        async def one_gone() -> bool:
            return await record(stack, "acme", "one") is None

        await wait_until(one_gone)
        assert await record(stack, "acme", "two") is not None
        assert (await stack.commit("acme", "one", 3)) == Refused(RefusalCode.ALREADY_COMMITTED, (4 * CREDIT,))
        assert done(await stack.commit("acme", "one")).replayed


async def test_late_commit_of_a_retired_record_charges_once(stack: Stack, metrics: JobMetrics) -> None:
    await stack.account("acme", 10)
    done(await stack.reserve("acme", "slow", 4))
    async with jobs_of(stack, metrics):
        await stack.store.move_clock(61_000_000)

        async def flushed() -> bool:
            return await kinds(stack, "acme") == [EntryKind.GRANT, EntryKind.EXPIRED_HOLD]

        await wait_until(flushed)
        await stack.store.move_clock(WINDOW + 1_000_000)

        async def gone() -> bool:
            return await record(stack, "acme", "slow") is None

        await wait_until(gone)
        answers = [done(answer) for answer in await asyncio.gather(*(stack.commit("acme", "slow") for _ in range(5)))]
        assert sorted(answer.replayed for answer in answers) == [False, True, True, True, True]
        assert all(answer.reservation.late for answer in answers)

        async def charged() -> bool:
            return await kinds(stack, "acme") == [EntryKind.GRANT, EntryKind.EXPIRED_HOLD, EntryKind.CHARGE]

        await wait_until(charged)
        assert (await stack.balance("acme")).charged == 4 * CREDIT
        assert not (await reconcile(stack.store, stack.ledger)).drift


async def test_idle_accounts_leave_and_come_back_with_every_number(stack: Stack, metrics: JobMetrics) -> None:
    await stack.account("acme", 10)
    await stack.grant("acme", 5, request_id="second")
    member = await stack.ledger.accounts.add_member("acme", "member", CONTENT, "ada", MemberRole.MEMBER)
    await stack.engine.execute(member.operation)
    user = balance_read(await stack.engine.execute(ReadBalance("acme", with_grants=True)))
    await stack.account("busy", 10)
    done(await stack.reserve("busy", "open", 1))
    async with jobs_of(stack, metrics):
        await stack.store.move_clock(59 * 60_000_000)

        async def left() -> bool:
            await stack.store.move_clock(10_000_000)
            return not await is_resident(stack, "acme")

        await wait_until(left, seconds=20)
        partition = stack.engine.partition_of("acme")
        fields = await stack.store.command("HKEYS", stack.store.keys(partition).accounts)
        assert not [field for field in fields if field.startswith(b"acme")]
        back = balance_read(await stack.engine.execute(ReadBalance("acme", with_grants=True)))
        assert (back.balance.available, back.grants) == (user.balance.available, user.grants)
        assert back.balance.entry_number == user.balance.entry_number
        assert back.balance.version > user.balance.version
        refused = await stack.reserve("acme", "stranger", 1)
        assert isinstance(refused, Refused)
        assert refused.code == RefusalCode.NOT_A_MEMBER
        assert not (await reconcile(stack.store, stack.ledger)).drift


def balance_read(answer: object) -> BalanceRead:
    assert isinstance(answer, BalanceRead)
    return answer


async def test_account_with_an_open_reservation_or_unflushed_entries_stays(stack: Stack, metrics: JobMetrics) -> None:
    await stack.account("acme", 10)
    async with sweeping(stack, metrics):
        await stack.store.move_clock(2 * WINDOW)
        await stack.balance("acme")
        jobs = Jobs(stack.store, stack.engine, stack.ledger, OPTIONS, metrics)
        assert await jobs.evictor.evict(stack.engine.partition_of("acme")) == 0
        await stack.flush()
        assert await is_resident(stack, "acme")


async def test_grant_of_a_cold_account_expires(stack: Stack, metrics: JobMetrics) -> None:
    await stack.account("acme", 10)
    partition = stack.engine.partition_of("acme")
    expires = stack.engine.now(partition) + 3 * WINDOW
    await stack.grant("acme", 5, request_id="ends", expire_time=expires)
    eager = replace(OPTIONS, evictor=EvictorOptions(interval_seconds=0.02, above_percent=0, idle_micros=WINDOW))
    async with jobs_of(stack, metrics, eager):
        await wait_until(lambda: stack.ledger.entries.last_entry("acme"))
        await stack.store.move_clock(WINDOW + 60_000_000)

        async def left() -> bool:
            return not await is_resident(stack, "acme")

        await wait_until(left)
        await stack.store.move_clock(2 * WINDOW)

        async def expired() -> bool:
            return (await kinds(stack, "acme"))[-1] == EntryKind.GRANT_EXPIRED

        await wait_until(expired)
        entry = await stack.ledger.entries.last_entry("acme")
        assert entry is not None
        assert (entry.amount, entry.time) == (5 * CREDIT, expires - 1)
        assert (await stack.balance("acme")).available == 10 * CREDIT


async def test_recorded_administration_is_relayed_when_its_process_died(stack: Stack, metrics: JobMetrics) -> None:
    await stack.account("acme", 10)
    await stack.ledger.accounts.create(NewAccount("other"), "create", CONTENT)
    for account_id in ("acme", "other"):
        for number in range(3):
            grant = NewGrant(kind=GrantKind.FREE, amount=CREDIT, acquire_time=1)
            await stack.ledger.accounts.record_grant(account_id, f"died-{number}", CONTENT, grant)
        await stack.ledger.accounts.set_suspended(account_id, "suspend", CONTENT, suspended=True)
    async with jobs_of(stack, metrics):

        async def all_confirmed() -> bool:
            return not await stack.ledger.accounts.accounts_with_pending_administration(10)

        await wait_until(all_confirmed)
        assert (await stack.balance("acme")).available == 13 * CREDIT
        assert (await stack.balance("other")).available == 3 * CREDIT
        refused = await stack.reserve("other", "suspended", 1)
        assert isinstance(refused, Refused)
        assert refused.code == RefusalCode.ACCOUNT_SUSPENDED


async def test_relaying_twice_or_a_refused_grant_does_no_harm(stack: Stack) -> None:
    await stack.account("acme", 10)
    refused = NewGrant(kind=GrantKind.FREE, amount=CREDIT, acquire_time=1)
    await stack.ledger.accounts.record_grant("acme", "too-many", CONTENT, refused, max_grants=1)
    ticket = await stack.ledger.accounts.record_grant("acme", "fine", CONTENT, refused)
    counts = await asyncio.gather(
        *(relay_account(stack.engine, stack.ledger.archive, "acme", ticket.admin_seq) for _ in range(4))
    )
    assert sum(counts) == 2
    assert await relay_account(stack.engine, stack.ledger.archive, "acme", ticket.admin_seq) == 0
    assert (await stack.balance("acme")).available == 11 * CREDIT


async def test_full_memory_refuses_reservations_until_there_is_room(stack: Stack, metrics: JobMetrics) -> None:
    await stack.account("acme", 10)
    done(await stack.reserve("acme", "before", 1))
    options = replace(OPTIONS, memory=MemoryOptions(interval_seconds=0.02))
    async with jobs_of(stack, metrics, options) as jobs:
        await wait_until(lambda: jobs.memory.state.limit > 0)
        room = jobs.memory.state.limit
        await stack.store.command("CONFIG", "SET", "maxmemory", str(jobs.memory.state.used * 11 // 10))
        await wait_until(lambda: stack.engine.memory_full)
        assert isinstance(await stack.commit("acme", "before"), Done)
        await stack.store.command("CONFIG", "SET", "maxmemory", str(room))
        await wait_until(lambda: not stack.engine.memory_full)
        done(await stack.reserve("acme", "after", 1))
