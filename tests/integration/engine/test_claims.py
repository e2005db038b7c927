"""A call whose configuration has moved on is derived anew and sent again, until it fits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from earmark.domain.limits import FOREVER
from earmark.domain.states import Enforcement, GrantKind
from earmark.engine.operations import ApplyGrant, Charge, Configure, LimitClaim, Reserve
from earmark.engine.redis.keys import partition_keys
from earmark.engine.results import ConfigurationMoved, Done, RefusalCode, Refused
from earmark.errors import Reason, Unavailable
from tests.support.stack import CREDIT, Stack, done, open_stack, reservation
from tests.support.waiting import wait_until


class Configurations:
    """Derives as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.config_seq: int | None = None
        """What calls are derived under, whatever is in force; None for what is in force."""
        self.limits: tuple[LimitClaim, ...] = ()
        self.entitled = True
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def derive(self, operation: Reserve | Charge, now: int, config_seq: int) -> Reserve | Charge:
        assert now > 0
        self.asked.append((operation.digest, config_seq))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        seq = config_seq if self.config_seq is None else self.config_seq
        return replace(operation, config_seq=seq, entitled=self.entitled, limits=self.limits)


@pytest.fixture
def claims() -> Configurations:
    return Configurations()


@pytest.fixture
async def stack(tmp_path: Path, database_url: str, claims: Configurations) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path / "data", database_url, claims=claims) as opened:
        await opened.account("acme", 100)
        yield opened


async def move(stack: Stack, admin_seq: int = 2) -> None:
    """Give the account's configuration a new number in Redis."""
    await stack.engine.execute(
        Configure(
            "acme",
            admin_seq=admin_seq,
            suspended=False,
            enforcement=Enforcement.BLOCK,
            overdraft_limit=0,
            config_seq=admin_seq,
        )
    )


def daily(amount: int, *windows: int) -> LimitClaim:
    micros = amount * CREDIT
    return LimitClaim("daily:0:account:", micros, near=micros, blocks=True, windows=windows or (0, FOREVER))


async def test_a_call_under_an_older_configuration_is_derived_anew(stack: Stack, claims: Configurations) -> None:
    claims.limits = (daily(30),)
    await move(stack)
    assert isinstance(await stack.reserve("acme", "first", 20), Done)
    refused = await stack.reserve("acme", "second", 20)
    assert isinstance(refused, Refused)
    assert RefusalCode(refused.code) is RefusalCode.LIMIT_EXCEEDED
    assert refused.numbers == (30 * CREDIT, 20 * CREDIT, 20 * CREDIT, FOREVER)
    assert [seq for _, seq in claims.asked] == [2, 2]


async def test_a_call_whose_windows_are_over_is_derived_anew(stack: Stack, claims: Configurations) -> None:
    claims.limits = (daily(30),)
    yesterday = replace(reservation("acme", "r", 5), limits=(daily(30, 0, 86_400_000_000),))
    done(await stack.engine.execute(yesterday))
    assert len(claims.asked) == 1


async def test_accounts_without_a_configuration_ask_nobody(stack: Stack, claims: Configurations) -> None:
    done(await stack.reserve("acme", "r", 5))
    assert claims.asked == []


async def test_a_configuration_that_never_fits_is_given_up(stack: Stack, claims: Configurations) -> None:
    claims.config_seq = 7
    await move(stack)
    with pytest.raises(Unavailable) as given_up:
        await stack.reserve("acme", "r", 5)
    assert given_up.value.reason is Reason.RECOVERING
    assert len(claims.asked) == 4
    claims.config_seq = None
    done(await stack.reserve("acme", "r", 5))


async def test_a_failure_to_derive_is_the_answer(stack: Stack, claims: Configurations) -> None:
    claims.failure = Unavailable(Reason.STORE_UNAVAILABLE, "SQL is away")
    await move(stack)
    with pytest.raises(Unavailable) as failed:
        await stack.reserve("acme", "r", 5)
    assert failed.value.reason is Reason.STORE_UNAVAILABLE


async def test_the_raw_result_is_not_derived(stack: Stack, claims: Configurations) -> None:
    await move(stack)
    answer = await stack.engine.execute_once(reservation("acme", "r", 5))
    assert isinstance(answer, ConfigurationMoved)
    assert answer.config_seq == 2
    assert claims.asked == []


async def test_a_waiter_goes_on_under_the_configuration_that_is_in_force_then(
    stack: Stack, claims: Configurations
) -> None:
    claims.limits = (daily(500),)
    waiting = asyncio.create_task(stack.reserve("acme", "r", 120, wait=30, owner="o"))
    waiters = partition_keys(stack.engine.partition_of("acme")).waiters

    async def queued() -> bool:
        return int(await stack.store.command("ZCARD", waiters)) == 1

    await wait_until(queued)
    await move(stack)
    more = ApplyGrant(
        "acme",
        admin_seq=3,
        kind=GrantKind.PURCHASE,
        priority=100,
        amount=50 * CREDIT,
        acquire_time=0,
        expire_time=0,
        max_grants=256,
        settlement="{}",
    )
    await stack.engine.execute(more)
    assert done(await waiting).reservation.reserved == 120 * CREDIT
    assert [seq for _, seq in claims.asked] == [2]
    assert await stack.store.command("ZCARD", waiters) == 0


async def test_a_waiter_that_goes_away_while_it_is_derived_takes_nothing(stack: Stack, claims: Configurations) -> None:
    claims.gate = asyncio.Event()
    await move(stack)
    task = asyncio.create_task(stack.reserve("acme", "r", 5, wait=30, owner="o"))
    await wait_until(lambda: len(claims.asked) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    claims.gate.set()
    await stack.balance("acme")
    assert (await stack.balance("acme")).reserved == 0
