"""A sidecar that is killed, restarted, or never there: no commit is lost, none is charged twice."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from earmark import (
    AsyncClient,
    CallTimedOut,
    Client,
    ClientClosed,
    FailedPrecondition,
    Reason,
    UnsettledCommits,
)
from earmark.testing import EarmarkServer
from tests.support.waiting import wait_until


@pytest.fixture
def server() -> Iterator[EarmarkServer]:
    with EarmarkServer() as server:
        yield server


async def test_a_commit_made_while_the_sidecar_is_down_is_settled_when_it_is_back(server):
    async with AsyncClient(server.address) as client:
        await client.create_account("acme", grant=100)
        async with client.reserve("acme", amount=5) as hold:
            await asyncio.to_thread(server.kill)
            hold.commit(amount=2)
            await asyncio.to_thread(server.start)
        assert hold.receipt.charged == 2
        assert (await client.get_balance("acme")).available == 98


async def test_workers_go_on_through_a_killed_sidecar_and_the_total_is_exact(server):
    charged = 0
    stop = asyncio.Event()

    async with AsyncClient(server.address, timeout=60) as client:
        await client.create_account("acme", grant=100_000)

        async def work(number: int) -> None:
            nonlocal charged
            while not stop.is_set():
                async with client.reserve("acme", amount=2) as hold:
                    hold.commit(amount=1 + number % 2)
                assert hold.receipt.charged == 1 + number % 2
                charged += 1 + number % 2

        workers = [asyncio.create_task(work(number)) for number in range(8)]
        await wait_until(lambda: charged > 50)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        before = charged
        await wait_until(lambda: charged > before + 50, seconds=30)
        stop.set()
        await asyncio.gather(*workers)
        balance = await client.get_balance("acme")
        assert balance.available == 100_000 - charged
        assert balance.reserved == 0


async def test_the_store_dies_and_comes_back(server):
    async with AsyncClient(server.address, timeout=60) as client:
        await client.create_account("acme", grant=100)
        async with client.reserve("acme", amount=5) as hold:
            await asyncio.to_thread(server.kill_engine)
            hold.commit(amount=2)
        assert hold.receipt.charged == 2
        async with client.reserve("acme", amount=5) as hold:
            pass
        assert hold.receipt.available == 93


async def test_done_work_whose_reservation_the_store_lost_is_charged_anew(tmp_path: Path):
    with EarmarkServer() as lost:
        async with AsyncClient(lost.address, timeout=30) as client:
            await client.create_account("acme", grant=100)
            async with client.reserve("acme", amount=5, operation="image.generate", user_id="ada") as hold:
                await asyncio.to_thread(lost.kill)
                # Another store behind the same address: it never heard of the reservation.
                with EarmarkServer(data_dir=tmp_path / "data", listen=lost.address):
                    await client.create_account("acme", grant=50)
                    hold.commit(amount=2)
                    receipt = await hold.settled()
                    assert receipt.charged == 2
                    assert receipt.available == 48
                    charge = await client.get_reservation(receipt.reservation_id)
                    assert charge.request_id == f"lost/{hold.reservation_id}"
                    assert (charge.operation, charge.user_id) == ("image.generate", "ada")


async def test_a_balance_is_watched_through_a_restart(server):
    async with AsyncClient(server.address, timeout=60) as client:
        await client.create_account("acme", grant=100)
        seen: list[Decimal] = []

        async def watch() -> None:
            async for balance in client.watch_balance("acme"):
                seen.append(balance.available)  # noqa: PERF401 - the list is looked at meanwhile

        task = asyncio.create_task(watch())
        await wait_until(lambda: seen == [100])
        await asyncio.to_thread(server.restart)
        await client.charge("acme", 1)
        await wait_until(lambda: seen[-1] == 99)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_closing_says_which_commits_could_not_be_settled(server, caplog):
    client = AsyncClient(server.address)
    await client.create_account("acme", grant=100)

    async def generate(amount: int) -> None:
        async with client.reserve("acme", amount=5) as hold:
            opened.append(hold.reservation_id)
            await down.wait()
            hold.commit(amount=amount)

    opened: list[str] = []
    down = asyncio.Event()
    tasks = [asyncio.create_task(generate(amount)) for amount in (1, 2)]
    await wait_until(lambda: len(opened) == 2)
    await asyncio.to_thread(server.kill)
    down.set()
    await asyncio.sleep(0)
    with caplog.at_level(logging.ERROR, logger="earmark"), pytest.raises(UnsettledCommits) as caught:
        await client.close(timeout=0.3)
    assert {commit.reservation_id for commit in caught.value.unsettled} == set(opened)
    assert {commit.description for commit in caught.value.unsettled} == {"commit of 1 credits", "commit of 2 credits"}
    assert all(reservation_id in caplog.text for reservation_id in opened)
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, ClientClosed)

    # What is listed can be settled later, by anybody.
    await asyncio.to_thread(server.start)
    async with AsyncClient(server.address) as later:
        for commit in caught.value.unsettled:
            async with later.resume(commit.reservation_id) as hold:
                hold.commit(amount=1)
        assert (await later.get_balance("acme")).available == 98


async def test_closing_waits_for_a_commit_whose_block_was_cancelled(server):
    async with AsyncClient(server.address) as client:
        await client.create_account("acme", grant=100)
        committed = asyncio.Event()

        async def generate() -> None:
            async with client.reserve("acme", amount=5) as hold:
                hold.commit(amount=2)
                committed.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(generate())
        await committed.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with AsyncClient(server.address) as client:
        assert (await client.get_balance("acme")).available == 98


async def test_a_reserve_that_timed_out_leaves_no_hold(server):
    async with AsyncClient(server.address) as client:
        await client.create_account("acme", grant=100)
        os.kill(server.pid, signal.SIGSTOP)  # It takes the call in, and answers when the caller is gone.
        try:
            with pytest.raises(CallTimedOut):
                async with client.reserve("acme", amount=5, timeout=0.3, request_id="late-answer"):
                    pytest.fail("nothing was answered")
        finally:
            os.kill(server.pid, signal.SIGCONT)

        await wait_until(lambda: not client._start().session.open_calls())
        balance = await client.get_balance("acme")
        assert balance.available == 100
        assert balance.reserved == 0
        with pytest.raises(FailedPrecondition) as caught:
            async with client.reserve("acme", amount=5, request_id="late-answer"):
                pytest.fail("it was given up")
        assert caught.value.reason is Reason.ALREADY_RELEASED


async def test_an_unreachable_sidecar_is_said_so_in_time():
    async with AsyncClient("127.0.0.1:1", timeout=0.3) as client:
        with pytest.raises(CallTimedOut) as caught:
            async with client.reserve("acme", amount=1):
                pytest.fail("nobody is there")
        assert caught.value.retryable
        with pytest.raises(CallTimedOut):
            await client.get_balance("acme")


def test_threads_wait_through_a_restart(server):
    with Client(server.address) as client:
        client.create_account("acme", grant=100)
        with client.reserve("acme", amount=5) as hold:
            server.kill()
            hold.commit(amount=2)
            server.start()
        assert hold.receipt.charged == 2
