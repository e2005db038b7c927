"""Free plans that are claimed: once for each identity, once for each account."""

from __future__ import annotations

import asyncio

import grpc.aio

from earmark.v1 import billing_service_pb2 as billing
from tests.integration.billing.conftest import Driver
from tests.integration.server.conftest import Refusal, refusal


async def test_a_free_plan_is_given_once(driver: Driver) -> None:
    await driver.account()
    request = billing.ClaimFreePlanRequest(account_id="acme", request_id="c", identity=" 0xAbC ")
    answer = await driver.rpc.ClaimFreePlan(request)
    assert (answer.subscription.plan_id, answer.balance.available_micros) == ("trial", 5_000_000)
    assert not answer.subscription.HasField("cycle_end_time")
    assert (await driver.rpc.ClaimFreePlan(request)).replayed
    # The same identity in other letters is the same request too.
    request.identity = "0XABC"
    assert (await driver.rpc.ClaimFreePlan(request)).replayed
    await driver.move_by(days=70)
    assert await driver.available() == 5


async def test_an_identity_claims_once_whatever_its_letters(driver: Driver) -> None:
    await driver.account("one")
    await driver.account("two")
    await driver.claim("0xABCdef", "one")
    said = await refusal(driver.claim("\t0xabcDEF ", "two"))
    assert (said.code, said.reason, said.metadata["identity"]) == ("ALREADY_EXISTS", "FREE_PLAN_CLAIMED", "0xabcdef")
    assert (await refusal(driver.claim("0xabcdef", "one"))).reason == "FREE_PLAN_CLAIMED"
    assert await driver.available("two") == 0
    await driver.claim("somebody else", "two")
    assert await driver.available("two") == 5


async def test_only_accounts_that_never_had_a_plan_may_claim(driver: Driver) -> None:
    await driver.account()
    await driver.subscribe("basic")
    assert (await refusal(driver.claim("me"))).reason == "FREE_PLAN_CLAIMED"
    await driver.cancel()
    await driver.move_by(days=32)
    assert (await refusal(driver.claim("me"))).reason == "FREE_PLAN_CLAIMED"
    # Nothing was taken from the identity by the refusals.
    await driver.account("new")
    await driver.claim("me", "new")


async def test_two_claims_at_the_same_moment_give_one_grant(driver: Driver) -> None:
    names = [f"account{number}" for number in range(6)]
    for name in names:
        await driver.account(name)

    async def claim(name: str) -> str:
        try:
            await driver.claim("0xABC", name)
        except grpc.aio.AioRpcError as error:
            return Refusal.of(error).reason
        return "claimed"

    outcomes = await asyncio.gather(*(claim(name) for name in names))
    assert sorted(outcomes) == ["FREE_PLAN_CLAIMED"] * 5 + ["claimed"]
    assert sum([await driver.available(name) for name in names]) == 5


async def test_what_is_refused(driver: Driver) -> None:
    await driver.account()
    assert (await refusal(driver.claim(" "))).field == "identity"
    assert (await refusal(driver.claim("x" * 257))).field == "identity"
    assert (await refusal(driver.claim("a\x00b"))).field == "identity"
    assert (await refusal(driver.claim("me", plan_id="none"))).reason == "PLAN_NOT_FOUND"
    assert (await refusal(driver.claim("me", plan_id="pro"))).field == "plan_id"
    assert (await refusal(driver.claim("me", "nobody"))).reason == "ACCOUNT_NOT_FOUND"


async def test_a_claimed_plan_gives_way_to_a_paid_one(driver: Driver) -> None:
    await driver.account()
    await driver.claim("me")
    answer = await driver.change("pro")
    assert answer.immediate
    assert answer.balance.available_micros == 55_000_000
