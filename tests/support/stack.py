"""The inside of a sidecar without its server: a private engine, a ledger, recovery and the engine's front."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from earmark.domain.ids import ContentDigest, reservation_digest
from earmark.domain.states import GrantKind, OveragePolicy
from earmark.embedded import EmbeddedEngine, lock_data_dir
from earmark.engine.batcher import BatcherOptions
from earmark.engine.engine import Engine, EngineOptions
from earmark.engine.operations import ABSENT, Commit, ReadBalance, Release, Reserve
from earmark.engine.ports import Claims
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import BalanceRead, BalanceView, Done, Result
from earmark.jobs.recovery import Recovery
from earmark.ledger import open_ledger
from earmark.ledger.database import Ledger
from earmark.ledger.models import NewAccount, NewGrant, StoreIdentity, Written
from tests.support.waiting import wait_until

__all__ = ["CONTENT", "CREDIT", "PATIENT", "Stack", "done", "open_engine_of", "open_stack", "reservation"]

CREDIT = 1_000_000
CONTENT = ContentDigest("content")
PATIENT = EngineOptions(batcher=BatcherOptions(timeout_micros=5_000_000))
"""For tests that are not about the time-out: a busy machine is no failure."""


@dataclass(slots=True)
class Stack:
    """What a test drives. Amounts in credits, ids short."""

    redis: EmbeddedEngine
    ledger: Ledger
    store: RedisStore
    recovery: Recovery
    engine: Engine

    async def account(self, account_id: str, credits: int) -> None:
        """Create an account with one grant that never expires."""
        await self.ledger.accounts.create(NewAccount(account_id), "create", CONTENT)
        await self.grant(account_id, credits)

    async def grant(self, account_id: str, credits: int, *, request_id: str = "grant", expire_time: int = 0) -> None:
        """Give credits, in SQL and in Redis."""
        grant = NewGrant(kind=GrantKind.FREE, amount=credits * CREDIT, acquire_time=1, expire_time=expire_time)
        ticket = await self.ledger.accounts.record_grant(account_id, request_id, CONTENT, grant)
        await self.engine.execute(ticket.operation)

    async def reserve(
        self, account_id: str, request_id: str, credits: int, *, wait: float = 0, owner: str = ""
    ) -> Result:
        """Reserve for a minute."""
        return await self.engine.execute(reservation(account_id, request_id, credits, wait=wait, owner=owner))

    async def commit(self, account_id: str, request_id: str, credits: int | None = None) -> Result:
        """Commit an amount, or the whole."""
        actual = ABSENT if credits is None else credits * CREDIT
        digest = reservation_digest(account_id, request_id)
        return await self.engine.execute(Commit(account_id, digest, actual, OveragePolicy.ALLOW_IF_AVAILABLE, "{}"))

    async def release(self, account_id: str, request_id: str) -> Result:
        """Release."""
        return await self.engine.execute(Release(account_id, reservation_digest(account_id, request_id), "{}"))

    async def balance(self, account_id: str) -> BalanceView:
        """Read the totals."""
        answer = await self.engine.execute(ReadBalance(account_id))
        assert isinstance(answer, BalanceRead)
        return answer.balance

    async def flush(self) -> int:
        """Bring SQL up to date in every partition; returns how many entries were new."""
        written = 0
        for partition in range(self.store.partitions):
            position = await self.ledger.partitions.read(partition)
            elements = await self.store.read_stream(partition, position.flushed_seq, 1000)
            if elements:
                epoch = self.store.epoch(partition)
                outcome = await self.ledger.flush(partition, epoch, position.flushed_seq, elements)
                assert isinstance(outcome, Written), outcome
                written += outcome.entries
        return written

    async def kill_redis(self) -> None:
        """Kill -9 the engine and wait until the store has noticed."""
        assert self.redis.pid is not None
        os.kill(self.redis.pid, signal.SIGKILL)
        await self.redis.wait()
        await wait_until(lambda: not self.store.connected)

    async def start_redis(self) -> None:
        """Start the engine again and wait until every partition serves."""
        await self.redis.start()
        await wait_until(lambda: self.store.connected)
        await self.recovery.wait_admitted()

    def save_redis(self, data_dir: Path, name: str) -> None:
        """Copy the append-only files of a stopped engine."""
        shutil.copytree(_append_only(data_dir), data_dir / name)

    def restore_redis(self, data_dir: Path, name: str) -> None:
        """Put an older copy in the place of a stopped engine's append-only files."""
        target = _append_only(data_dir)
        shutil.rmtree(target)
        shutil.copytree(data_dir / name, target)


def reservation(account_id: str, request_id: str, credits: int, *, wait: float = 0, owner: str = "") -> Reserve:
    """Build a Reserve for a minute."""
    return Reserve(
        account_id=account_id,
        digest=reservation_digest(account_id, request_id),
        content=CONTENT,
        amount=credits * CREDIT,
        min_amount=credits * CREDIT,
        ttl=60_000_000,
        price_version=0,
        details=f'{{"r":"{request_id}"}}',
        user_id="",
        wait=int(wait * 1e6),
        owner=owner,
    )


def done(result: Result) -> Done:
    """Return a result that must be Done."""
    assert isinstance(result, Done), result
    return result


def _append_only(data_dir: Path) -> Path:
    [path] = data_dir.rglob("appendonlydir")
    return path


@contextlib.asynccontextmanager
async def open_stack(
    data_dir: Path,
    database_url: str,
    *,
    partitions: int = 2,
    options: EngineOptions = PATIENT,
    claims: Claims | None = None,
) -> AsyncIterator[Stack]:
    """Start everything; stop it at the end."""
    data_dir.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(lock_data_dir(data_dir))
        redis = EmbeddedEngine(data_dir, maxmemory=2**28)
        await redis.start()
        stack.push_async_callback(redis.stop)
        ledger = await open_ledger(database_url)
        stack.push_async_callback(ledger.close)
        identity = await ledger.stores.initialise(partitions, for_tests=True)
        serving = open_engine_of(ledger, redis.url, identity, options, claims)
        store, recovery, engine = await stack.enter_async_context(serving)
        yield Stack(redis, ledger, store, recovery, engine)


@contextlib.asynccontextmanager
async def open_engine_of(
    ledger: Ledger,
    redis_url: str,
    identity: StoreIdentity,
    options: EngineOptions = PATIENT,
    claims: Claims | None = None,
) -> AsyncIterator[tuple[RedisStore, Recovery, Engine]]:
    """Open what stands between a ledger and its Redis; all partitions serve. Close it at the end."""
    async with contextlib.AsyncExitStack() as stack:
        store = RedisStore(redis_url, identity.store_id, identity.partitions)
        await store.open()
        stack.push_async_callback(store.close)
        recovery = Recovery(store, ledger)
        recovery.start()
        stack.push_async_callback(recovery.close)
        await recovery.wait_admitted()
        engine = Engine(store, ledger.archive, options, claims)
        await engine.start()
        stack.push_async_callback(engine.close)
        yield store, recovery, engine
