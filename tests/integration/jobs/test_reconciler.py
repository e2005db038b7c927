"""Reconciliation finds every kind of drift, and none where there is none, also while everything moves."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import msgspec

from earmark.domain.ids import ContentDigest, reservation_digest
from earmark.domain.limits import FOREVER
from earmark.domain.states import Enforcement
from earmark.engine.engine import Engine
from earmark.engine.operations import ABSENT, Commit, ConfirmFlush, LimitClaim, Release
from earmark.engine.redis.packed import decode_account, decode_counter, decode_reservation
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import Done
from earmark.jobs.comparison import check_document, compare_holds
from earmark.jobs.eviction import EvictorOptions
from earmark.jobs.metrics import JobMetrics
from earmark.jobs.reconciler import ReconciliationReport, reconcile
from earmark.jobs.residents import Residents
from earmark.jobs.runner import Jobs, JobsOptions
from earmark.ledger.models import NewAccount
from tests.integration.jobs.test_flusher import all_flushed
from tests.support.stack import CREDIT, Stack, done, reservation
from tests.support.waiting import wait_until

DAY = 86_400_000_000
ACCOUNTS = [f"account-{number}" for number in range(12)]


@contextlib.asynccontextmanager
async def jobs_of(stack: Stack, metrics: JobMetrics) -> AsyncIterator[Jobs]:
    jobs = Jobs(stack.store, stack.engine, stack.ledger, metrics=metrics)
    jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()


async def traffic(engine: Engine, seed: int, generations: int) -> None:
    """Reserve, then commit, release or forget, with random amounts."""
    dice = random.Random(seed)
    for number in range(generations):
        account_id, request_id = dice.choice(ACCOUNTS), f"{seed}-{number}"
        if not isinstance(await engine.execute(reservation(account_id, request_id, dice.randint(0, 9))), Done):
            continue
        digest, what = reservation_digest(account_id, request_id), dice.random()
        if what < 0.6:
            actual = dice.choice([ABSENT, dice.randint(0, 12) * CREDIT])
            await engine.execute(Commit(account_id, digest, actual, dice.randint(1, 3), "{}"))
        elif what < 0.9:
            await engine.execute(Release(account_id, digest, "{}"))


async def accounts_with_grants(stack: Stack) -> None:
    for account_id in ACCOUNTS:
        await stack.account(account_id, 40)
        for number in range(3):
            await stack.grant(account_id, 20, request_id=f"more-{number}")


def described(report: ReconciliationReport) -> set[tuple[str, str]]:
    return {(difference.account_id, difference.what) for difference in report.differences}


async def test_no_drift_after_and_during_heavy_traffic(stack: Stack, metrics: JobMetrics) -> None:
    async with jobs_of(stack, metrics):
        await accounts_with_grants(stack)
        work = asyncio.gather(*(traffic(stack.engine, seed, 150) for seed in range(8)))
        during = 0
        while not work.done():
            report = await reconcile(stack.store, stack.ledger)
            assert not report.drift, report
            during += 1
        await work
        assert during > 0
        await wait_until(lambda: all_flushed(stack))
        seen: list[tuple[int, int | None]] = []
        report = await reconcile(stack.store, stack.ledger, lambda done, total: seen.append((done, total)))
    assert not report.drift, report
    assert (report.accounts, report.resident_accounts, report.unsettled_accounts) == (12, 12, 0)
    assert report.open_reservations > 0
    assert report.entries > 300
    assert seen[-1] == (12, 12)
    assert msgspec.json.decode(report.to_json())["drift"] is False


async def test_what_an_expired_hold_of_an_observing_account_lacked_is_no_drift(
    stack: Stack, metrics: JobMetrics
) -> None:
    await stack.ledger.accounts.create(
        NewAccount("acme", enforcement=Enforcement.OBSERVE), "create", ContentDigest("new")
    )
    done(await stack.reserve("acme", "nobody settles it", 7))
    done(await stack.reserve("acme", "used", 5))
    await stack.commit("acme", "used")
    await stack.store.move_clock(61_000_000)
    await stack.balance("acme")
    await stack.flush()
    report = await reconcile(stack.store, stack.ledger)
    assert not report.drift, report
    assert report.entries == 2


async def test_accounts_and_their_reservations_are_read_at_one_moment(stack: Stack) -> None:
    await accounts_with_grants(stack)
    work = asyncio.gather(*(traffic(stack.engine, seed, 40) for seed in range(4)))
    partition = stack.engine.partition_of("account-3")
    residents = Residents(stack.store, partition)
    mine = [account_id for account_id in ACCOUNTS if stack.engine.partition_of(account_id) == partition]
    while not work.done():
        read = await residents.read_with_holds([*mine, "nobody"])
        assert read is not None
        assert set(read) == set(mine)
        for account, holds in read.values():
            assert compare_holds(account, holds) == {}
            assert check_document(account) == {}
    await work
    read = await residents.read_with_holds(mine)
    assert read is not None
    assert sum(holds.count for _, holds in read.values()) > 0
    assert {account_id: holds for account_id, (_, holds) in read.items() if holds.count} == await residents.holds()


async def test_compares_without_admission_and_before_anything_is_flushed(stack: Stack) -> None:
    await accounts_with_grants(stack)
    await traffic(stack.engine, 1, 60)
    store = RedisStore(stack.redis.url, stack.store.store_id, stack.store.partitions)
    await store.open()
    try:
        report = await reconcile(store, stack.ledger)
    finally:
        await store.close()
    assert not report.drift, report
    assert report.entries == 0
    assert report.resident_accounts == 12


async def test_finds_tampered_documents(stack: Stack) -> None:
    await accounts_with_grants(stack)
    await traffic(stack.engine, 1, 60)
    await stack.flush()
    fields = ("available", "reserved", "charged", "granted", "expired", "voided", "debt")
    tampered = dict(zip(ACCOUNTS, fields, strict=False))
    for account_id, field in tampered.items():
        await tamper_with_document(stack, account_id, **{field: 1})
    report = await reconcile(stack.store, stack.ledger)
    assert report.drift
    found = described(report)
    assert {account_id for account_id, _ in found} == set(tampered)
    assert {(account_id, "granted, by the balance equation") for account_id in tampered} <= found


async def test_finds_a_document_whose_entries_are_missing(stack: Stack) -> None:
    await accounts_with_grants(stack)
    await stack.flush()
    await tamper_with_document(stack, "account-3", entry_number=1)
    report = await reconcile(stack.store, stack.ledger)
    assert described(report) == {("account-3", "entry number")}
    (difference,) = report.differences
    assert (difference.redis, difference.sql) == (5, 4)


async def test_finds_credits_moved_between_grants(stack: Stack) -> None:
    await accounts_with_grants(stack)
    await stack.flush()
    document = await read_document(stack, "account-3")
    grants = list(document.grants)
    grants[5] += 1
    grants[13] -= 1
    await write_document(stack, "account-3", msgspec.structs.replace(document, grants=tuple(grants)))
    report = await reconcile(stack.store, stack.ledger)
    assert len(described(report)) == 2
    assert {what.partition(" of ")[0] for _, what in described(report)} == {"left"}


async def test_finds_a_reservation_that_vanished_and_one_without_account(stack: Stack) -> None:
    await accounts_with_grants(stack)
    await stack.reserve("account-3", "lost", 5)
    await stack.reserve("account-4", "kept", 5)
    keys = stack.store.keys(stack.engine.partition_of("account-3"))
    await stack.store.command("HDEL", keys.reservations, reservation_digest("account-3", "lost"))
    keys = stack.store.keys(stack.engine.partition_of("account-4"))
    await stack.store.command("HDEL", keys.accounts, "account-4")
    report = await reconcile(stack.store, stack.ledger)
    found = described(report)
    assert ("account-3", "number of open reservations") in found
    assert ("account-3", "reserved, by open reservations") in found
    assert ("account-4", "number of open reservations") in found
    assert {account_id for account_id, _ in found} == {"account-3", "account-4"}


async def test_finds_a_tampered_reservation(stack: Stack) -> None:
    await accounts_with_grants(stack)
    await stack.reserve("account-3", "changed", 5)
    key = stack.store.keys(stack.engine.partition_of("account-3")).reservations
    digest = reservation_digest("account-3", "changed")
    record = decode_reservation(await stack.store.command("HGET", key, digest))
    grant, kind, amount = record.allocations
    changed = msgspec.structs.replace(record, allocations=(grant, kind, amount - 1))
    await stack.store.command("HSET", key, digest, msgspec.msgpack.encode(changed))
    report = await reconcile(stack.store, stack.ledger)
    assert {account_id for account_id, _ in described(report)} == {"account-3"}
    assert any(what.startswith("held of g") for _, what in described(report))


LIMIT = "daily:0:day:account:"


async def spend_within_a_limit(stack: Stack, account_id: str, request_id: str, credits: int) -> None:
    """Reserve and commit what counts in two windows: a day that goes on, and all time."""
    now = stack.store.now()
    claims = (
        LimitClaim(LIMIT, 100 * CREDIT, 90 * CREDIT, True, (now - DAY, now + DAY)),  # noqa: FBT003  by position
        LimitClaim("total:0:lifetime:account:", 100 * CREDIT, 90 * CREDIT, False, (0, FOREVER)),  # noqa: FBT003
    )
    asked = msgspec.structs.replace(reservation(account_id, request_id, credits), limits=claims)
    done(await stack.engine.execute(asked))
    await stack.commit(account_id, request_id)


async def test_compares_what_limits_counted_flushed_or_not(stack: Stack) -> None:
    for account_id in ACCOUNTS[:4]:
        await stack.account(account_id, 100)
        await spend_within_a_limit(stack, account_id, "flushed", 5)
    await stack.flush()
    for account_id in ACCOUNTS[:4]:
        await spend_within_a_limit(stack, account_id, "on its way", 7)
    assert not (await reconcile(stack.store, stack.ledger)).drift
    await execute(stack, f"UPDATE limit_counters SET used = used + 1 WHERE key = '{LIMIT}' AND {mine(ACCOUNTS[0])}")
    await execute(stack, f"DELETE FROM limit_counters WHERE key = 'total:0:lifetime:account:' AND {mine(ACCOUNTS[1])}")
    keys = stack.store.keys(stack.engine.partition_of(ACCOUNTS[2]))
    await stack.store.command("HDEL", keys.counters, *await counter_fields(stack, ACCOUNTS[2], LIMIT))
    assert described(await reconcile(stack.store, stack.ledger)) == {
        (ACCOUNTS[0], f"charged of {LIMIT}"),
        (ACCOUNTS[0], f"ledger: used of {LIMIT}"),
        (ACCOUNTS[1], "charged of total:0:lifetime:account:"),
        (ACCOUNTS[2], f"charged of {LIMIT}"),
    }


async def counter_fields(stack: Stack, account_id: str, key: str) -> list[bytes]:
    counters = stack.store.keys(stack.engine.partition_of(account_id)).counters
    found: list[bytes] = await stack.store.command("HKEYS", counters)
    return [field for field in found if field.startswith(f"{account_id}\0{key}\0".encode())]


async def test_an_account_that_left_comes_back_with_what_its_limits_counted(stack: Stack, metrics: JobMetrics) -> None:
    await stack.account("acme", 100)
    await spend_within_a_limit(stack, "acme", "before", 5)
    await stack.flush()
    for partition in range(stack.store.partitions):
        position = await stack.ledger.partitions.read(partition)
        await stack.engine.execute_on(partition, ConfirmFlush(position.flushed_seq, 0))
    options = JobsOptions(background=False, evictor=EvictorOptions(idle_micros=-DAY))
    jobs = Jobs(stack.store, stack.engine, stack.ledger, options, metrics)
    assert await jobs.evictor.evict(stack.engine.partition_of("acme")) == 1
    assert await counter_fields(stack, "acme", LIMIT) == []
    await stack.balance("acme")
    counters = stack.store.keys(stack.engine.partition_of("acme")).counters
    [field] = await counter_fields(stack, "acme", LIMIT)
    counter = decode_counter(await stack.store.command("HGET", counters, field))
    assert (counter.used, counter.charged, counter.refs) == (5 * CREDIT, 5 * CREDIT, 0)
    assert not (await reconcile(stack.store, stack.ledger)).drift


async def test_finds_a_configuration_that_redis_has_otherwise(stack: Stack) -> None:
    changes: dict[str, dict[str, int]] = {
        "suspended": {"suspended": 1},
        "enforcement": {"enforcement": 1},
        "overdraft limit": {"overdraft_limit": 1},
        "config seq": {"config_seq": 1},
        "low balance": {"low_balance": 9},
        "critical balance": {"critical_balance": 9},
        "cycle seq": {"cycle_seq": 1},
        "carry kinds": {"carry_kinds": 1},
        "members": {"members": 1},
        "room for what is carried over": {"carry_room": 1},
    }
    await accounts_with_grants(stack)
    await stack.flush()
    assert not (await reconcile(stack.store, stack.ledger)).drift
    for account_id, change in zip(ACCOUNTS, changes.values(), strict=False):
        await tamper_with_document(stack, account_id, **change)
    assert described(await reconcile(stack.store, stack.ledger)) == set(zip(ACCOUNTS, changes, strict=False))


def mine(account_id: str) -> str:
    return f"account_key = (SELECT account_key FROM accounts WHERE account_id = '{account_id}')"


TAMPERED_ROWS = [
    ("UPDATE account_totals SET charged = charged + 1", "ledger: charged"),
    ("UPDATE entries SET amount = amount + 1 WHERE kind = 2", "ledger: charged"),
    ("UPDATE entry_allocations SET amount = amount + 1", "ledger: g1 amount"),
    ("UPDATE grants SET charged = charged + 1", "ledger: g1 charged"),
    ("DELETE FROM entries WHERE entry_number = 2", "ledger: number of entries"),
    ("UPDATE account_totals SET entry_number = entry_number + 1", "ledger: last entry number"),
]


async def test_finds_tampered_rows(stack: Stack) -> None:
    for account_id in ACCOUNTS[: len(TAMPERED_ROWS) + 1]:
        await stack.account(account_id, 100)
        for request_id in ("one", "two"):
            await stack.reserve(account_id, request_id, 5)
            await stack.commit(account_id, request_id)
    await stack.flush()
    assert not (await reconcile(stack.store, stack.ledger)).drift
    for account_id, (statement, _) in zip(ACCOUNTS, TAMPERED_ROWS, strict=False):
        statement += f" {'AND' if 'WHERE' in statement else 'WHERE'} {mine(account_id)}"
        await execute(stack, statement)
    found = described(await reconcile(stack.store, stack.ledger))
    for account_id, (_, what) in zip(ACCOUNTS, TAMPERED_ROWS, strict=False):
        assert (account_id, what) in found
    assert {account_id for account_id, _ in found} == set(ACCOUNTS[: len(TAMPERED_ROWS)])


async def test_checks_accounts_that_only_sql_knows(stack: Stack) -> None:
    await stack.account("acme", 100)
    await stack.flush()
    for partition in range(stack.store.partitions):
        await stack.store.command("DEL", *stack.store.keys(partition).all())
    report = await reconcile(stack.store, stack.ledger)
    assert (report.accounts, report.resident_accounts, report.drift) == (1, 0, False)
    await execute(stack, "UPDATE account_totals SET granted = granted + 1")
    assert described(await reconcile(stack.store, stack.ledger)) == {("acme", "ledger: granted")}


async def execute(stack: Stack, statement: str) -> None:
    await stack.ledger._database.write(lambda connection: connection.exec_driver_sql(statement).rowcount)


async def read_document(stack: Stack, account_id: str):
    key = stack.store.keys(stack.engine.partition_of(account_id)).accounts
    return decode_account(await stack.store.command("HGET", key, account_id))


async def write_document(stack: Stack, account_id: str, document: object) -> None:
    key = stack.store.keys(stack.engine.partition_of(account_id)).accounts
    await stack.store.command("HSET", key, account_id, msgspec.msgpack.encode(document))


async def tamper_with_document(stack: Stack, account_id: str, **changes: int) -> None:
    document = await read_document(stack, account_id)
    moved = {name: getattr(document, name) + change for name, change in changes.items()}
    await write_document(stack, account_id, msgspec.structs.replace(document, **moved))
