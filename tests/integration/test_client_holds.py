"""Holds on a real sidecar: a generation is charged once, and only if it succeeded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from itertools import count

import pytest

from earmark import (
    AlreadyExists,
    AsyncClient,
    FailedPrecondition,
    HoldStateError,
    InsufficientCredits,
    NotFound,
    Reason,
)
from earmark.testing import EarmarkServer
from tests.support.waiting import wait_until

_numbers = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[EarmarkServer]:
    with EarmarkServer() as server:
        yield server


@pytest.fixture
async def client(server: EarmarkServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.address) as client:
        yield client


@pytest.fixture
async def account(client: AsyncClient) -> str:
    """An account with 100 credits."""
    account_id = f"acct-{next(_numbers)}"
    await client.create_account(account_id, grant=100)
    return account_id


async def available(client: AsyncClient, account: str) -> Decimal:
    return (await client.get_balance(account)).available


async def test_a_commit_charges_what_was_used_and_gives_the_rest_back(client, account):
    async with client.reserve(account, amount="0.5", operation="image.generate", user_id="ada") as hold:
        assert hold.reserved == Decimal("0.5")
        hold.commit(amount="0.38")
    receipt = hold.receipt
    assert receipt.charged == Decimal("0.38")
    assert receipt.available == Decimal("99.62")
    assert [part.amount for part in receipt.allocations] == [Decimal("0.38")]
    assert str(receipt).startswith(f"{account}: charged 0.38 of 0.5 reserved: 0.38 from g")
    reservation = await client.get_reservation(hold.reservation_id)
    assert (reservation.state, reservation.operation, reservation.user_id) == ("committed", "image.generate", "ada")


async def test_leaving_the_block_commits_the_whole_amount(client, account):
    async with client.reserve(account, amount="0.5") as hold:
        pass
    assert hold.receipt.charged == Decimal("0.5")


async def test_an_explicit_zero_is_zero(client, account):
    async with client.reserve(account, amount="0.5") as hold:
        hold.commit(amount=0)
    assert (hold.receipt.state, hold.receipt.charged) == ("committed", Decimal(0))


async def test_an_exception_releases(client, account):
    with pytest.raises(ZeroDivisionError):
        async with client.reserve(account, amount=5) as hold:
            1 / 0  # noqa: B018
    assert hold.receipt.state == "released"
    assert await available(client, account) == 100


async def test_a_cancelled_generation_is_released(client, account):
    started = asyncio.Event()

    async def generate() -> None:
        async with client.reserve(account, amount=5):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(generate())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await available(client, account) == 100


async def test_a_commit_stands_when_the_block_is_cancelled_after_it(client, account):
    committed = asyncio.Event()

    async def generate() -> None:
        async with client.reserve(account, amount=5) as hold:
            hold.commit(amount=2)
            committed.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(generate())
    await committed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await available(client, account) == 98


async def test_a_commit_stands_when_the_block_fails_after_it(client, account):
    async def generate() -> None:
        async with hold:
            hold.commit(amount=2)
            raise OSError("disk full")

    hold = client.reserve(account, amount=5)
    with pytest.raises(OSError, match="disk full"):
        await generate()
    assert hold.receipt.charged == 2


async def test_a_second_settling_call_is_refused_and_the_first_stands(client, account):
    async with client.reserve(account, amount=5) as hold:
        hold.release("the model refused the prompt")
        with pytest.raises(HoldStateError, match="already released"):
            hold.commit()
    assert hold.receipt.state == "released"
    assert await available(client, account) == 100


async def test_the_receipt_can_be_awaited_inside_the_block(client, account):
    async with client.reserve(account, amount=5) as hold:
        with pytest.raises(HoldStateError, match="no receipt yet"):
            _ = hold.receipt
        hold.commit(amount=1)
        assert (await hold.settled()).charged == 1


async def test_a_float_is_refused_and_the_hold_is_still_open(client, account):
    async with client.reserve(account, amount=5) as hold:
        with pytest.raises(TypeError, match="float"):
            hold.commit(amount=0.38)
        hold.commit(amount="0.38")
    assert hold.receipt.charged == Decimal("0.38")


async def test_too_little_credit_is_refused_with_its_numbers(client, account):
    with pytest.raises(InsufficientCredits) as caught:
        async with client.reserve(account, amount="100.25"):
            pytest.fail("a generation without credits")
    assert caught.value.metadata["shortfall_micros"] == "250000"
    assert await available(client, account) == 100


async def test_a_minimum_accepts_less(client, account):
    async with client.reserve(account, amount=150, min_amount=50) as hold:
        assert hold.reserved == 100
        hold.commit(amount=1)
    assert await available(client, account) == 99


async def test_twenty_at_once_never_spend_more_than_there_is(client):
    account = f"acct-{next(_numbers)}"
    await client.create_account(account, grant=500)

    async def generate() -> bool:
        try:
            async with client.reserve(account, amount=75):
                return True
        except InsufficientCredits:
            return False

    outcomes = await asyncio.gather(*(generate() for _ in range(20)))
    assert sum(outcomes) == 6
    assert await available(client, account) == 50


async def test_an_overage_that_is_rejected_is_raised_at_the_end_of_the_block(client, account):
    with pytest.raises(FailedPrecondition) as caught:
        async with client.reserve(account, amount=5) as hold:
            hold.commit(amount=6, overage_policy="reject")
    assert caught.value.reason is Reason.OVERAGE_REJECTED
    async with client.resume(hold.reservation_id) as again:
        again.commit(amount=6)
    assert again.receipt.charged == 6


async def test_a_repeated_reserve_of_an_ended_generation_is_a_failure(client, account):
    async with client.reserve(account, amount=5, request_id="job-7"):
        pass
    with pytest.raises(FailedPrecondition) as caught:
        async with client.reserve(account, amount=5, request_id="job-7"):
            pytest.fail("generated twice")
    assert caught.value.reason is Reason.ALREADY_COMMITTED
    assert await available(client, account) == 95


async def test_other_content_under_the_same_request_id_is_refused(client, account):
    async with client.reserve(account, amount=5, request_id="job-8"):
        with pytest.raises(AlreadyExists):
            async with client.reserve(account, amount=6, request_id="job-8"):
                pytest.fail("another reservation under the same id")


async def test_a_reserve_cancelled_before_its_answer_leaves_no_hold(client):
    account = f"acct-{next(_numbers)}"
    await client.create_account(account)

    async def generate() -> None:
        async with client.reserve(account, amount=5, wait=30, request_id="given-up"):
            pytest.fail("nobody waits any more")

    task = asyncio.create_task(generate())
    await wait_until(lambda: any(call.was_sent for call in client._start().session.open_calls()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await client.create_grant(account, 100)
    assert await available(client, account) == 100
    with pytest.raises(FailedPrecondition):
        async with client.reserve(account, amount=5, wait=30, request_id="given-up"):
            pytest.fail("released")


async def test_waiting_for_credits_that_come(client):
    account = f"acct-{next(_numbers)}"
    await client.create_account(account)

    async def generate():
        async with client.reserve(account, amount=5, wait=30) as hold:
            pass
        return hold.receipt.charged

    task = asyncio.create_task(generate())
    await client.create_grant(account, 7)
    assert await task == 5


async def test_an_extension_adds_credits(client, account):
    async with client.reserve(account, amount=5) as hold:
        await hold.extend(ttl=120, additional=3)
        assert hold.reserved == 8
        with pytest.raises(InsufficientCredits):
            await hold.extend(additional=1000)
        assert hold.reserved == 8
    assert hold.receipt.charged == 8


async def test_a_long_generation_is_kept_alive(client, account):
    async with client.reserve(account, amount=5, ttl=1) as hold:
        first = (await client.get_reservation(hold.reservation_id)).expire_time

        async def outlived():
            reservation = await client.get_reservation(hold.reservation_id)
            assert reservation.state == "active"
            return (reservation.expire_time - first).total_seconds() > 1.5

        await wait_until(outlived)
    assert (hold.receipt.state, hold.receipt.late) == ("committed", False)


async def test_without_keep_alive_a_hold_expires_and_is_charged_late(client, account):
    async with client.reserve(account, amount=5, ttl=1, keep_alive=False) as hold:

        async def expired():
            return (await client.get_reservation(hold.reservation_id)).state == "expired"

        await wait_until(expired)
        hold.commit(amount=4)
    assert (hold.receipt.charged, hold.receipt.late) == (4, True)


async def test_another_process_finishes_a_detached_hold(server, client, account):
    async with client.reserve(account, amount=5) as hold:
        hold.detach()
    assert await available(client, account) == 95
    async with AsyncClient(server.address) as worker, worker.resume(hold.reservation_id) as resumed:
        assert resumed.account_id == account
        assert resumed.reserved == 5
        resumed.commit(amount=3)
    assert resumed.receipt.charged == 3
    assert await available(client, account) == 97


async def test_a_resumed_hold_is_released_only_by_release(client, account):
    async with client.reserve(account, amount=5) as hold:
        hold.detach()
    with pytest.raises(ZeroDivisionError):
        async with client.resume(hold.reservation_id):
            1 / 0  # noqa: B018
    assert (await client.get_reservation(hold.reservation_id)).state == "active"
    async with client.resume(hold.reservation_id) as resumed:
        resumed.release("gave up")
    assert resumed.receipt.state == "released"
    with pytest.raises(FailedPrecondition) as caught:
        async with client.resume(hold.reservation_id):
            pytest.fail("it has ended")
    assert caught.value.reason is Reason.ALREADY_RELEASED


async def test_what_does_not_exist_is_said_so(client):
    with pytest.raises(NotFound) as caught:
        async with client.reserve("nobody", amount=1):
            pytest.fail("no such account")
    assert caught.value.reason is Reason.ACCOUNT_NOT_FOUND
    with pytest.raises(NotFound):
        async with client.resume("nothing"):
            pytest.fail("no such reservation")


async def test_a_charge_in_one_step(client, account):
    receipt = await client.charge(account, "0.02", "embedding", request_id="c1")
    again = await client.charge(account, "0.02", "embedding", request_id="c1")
    assert (receipt.charged, receipt.replayed) == (Decimal("0.02"), False)
    assert (again.charged, again.replayed) == (Decimal("0.02"), True)
    assert await available(client, account) == Decimal("99.98")


async def test_the_hold_of_a_lost_answer_is_released_by_its_request_id(client, account):
    async with client.reserve(account, amount=5, request_id="lost-answer") as hold:
        hold.detach()
    receipt = await client.release_request(account, "lost-answer", "the worker died")
    assert receipt.state == "released"
    assert await available(client, account) == 100


async def test_open_reservations_are_listed_page_by_page(client, account):
    holds = [client.reserve(account, amount=1) for _ in range(5)]
    for hold in holds:
        await hold.__aenter__()
    listed = [each.reservation_id async for each in client.list_reservations(account, state="active", page_size=2)]
    assert sorted(listed) == sorted(hold.reservation_id for hold in holds)
    for hold in holds:
        hold.release()
        await hold.__aexit__(None, None, None)


async def test_a_balance_is_watched(client, account):
    seen: list[Decimal] = []

    async def watch() -> None:
        async for balance in client.watch_balance(account):
            seen.append(balance.available)  # noqa: PERF401 - the list is looked at meanwhile

    task = asyncio.create_task(watch())
    await wait_until(lambda: seen == [100])
    await client.charge(account, 1)
    await wait_until(lambda: seen[-1] == 99)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
