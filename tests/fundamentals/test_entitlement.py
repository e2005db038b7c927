"""What the account's configuration says of a call: whether it is entitled, and whether the sidecar still knows."""

from __future__ import annotations

from earmark.domain.states import Enforcement
from earmark.engine.operations import LimitClaim
from earmark.engine.results import ConfigurationMoved, RefusalCode, Waiting
from tests.fundamentals.bank import MINUTE, Bank, done, refusal

NOTHING = LimitClaim("nothing:0:account:", 0, 0, blocks=True, windows=(0, 2**53 - 1))


async def test_what_the_plan_does_not_include_is_refused(bank: Bank) -> None:
    await bank.grant(100)
    assert refusal(await bank.reserve("video-1", 30, entitled=False)) is RefusalCode.NOT_ENTITLED
    assert refusal(await bank.charge("video-1", 30, entitled=False)) is RefusalCode.NOT_ENTITLED
    assert (await bank.balance()).reserved == 0


async def test_an_account_that_observes_is_only_told(bank: Bank) -> None:
    await bank.configure(enforcement=Enforcement.OBSERVE)
    await bank.grant(100)
    assert done(await bank.reserve("video-1", 30, entitled=False)).would_refuse
    assert done(await bank.charge("video-2", 30, entitled=False)).would_refuse


async def test_entitlement_comes_after_membership_and_before_limits_and_balance(bank: Bank) -> None:
    await bank.configure(members_added=("ann",))
    assert refusal(await bank.reserve("video-1", 30, entitled=False, user_id="eve")) is RefusalCode.NOT_A_MEMBER
    answer = await bank.reserve("video-1", 30, entitled=False, user_id="ann", limits=[NOTHING])
    assert refusal(answer) is RefusalCode.NOT_ENTITLED
    answer = await bank.reserve("video-1", 30, user_id="ann", limits=[NOTHING])
    assert refusal(answer) is RefusalCode.LIMIT_EXCEEDED
    await bank.configure(suspended=True)
    answer = await bank.reserve("video-1", 30, entitled=False, user_id="eve")
    assert refusal(answer) is RefusalCode.ACCOUNT_SUSPENDED


async def test_it_ends_a_wait(bank: Bank) -> None:
    assert isinstance(await bank.reserve("video-1", 30, wait=MINUTE), Waiting)
    assert refusal(await bank.reserve("video-1", 30, wait=MINUTE, entitled=False)) is RefusalCode.NOT_ENTITLED
    assert not await bank.cancel_wait("video-1")


async def test_what_was_derived_from_another_configuration_is_not_executed(bank: Bank) -> None:
    await bank.grant(100)
    await bank.configure(moves=True)
    answer = await bank.reserve("image-1", 30)
    assert isinstance(answer, ConfigurationMoved)
    assert answer.config_seq == bank.admin_seq
    assert isinstance(await bank.charge("image-1", 30), ConfigurationMoved)
    bank.config_seq = answer.config_seq
    done(await bank.reserve("image-1", 30))


async def test_a_configuration_that_calls_need_not_know_leaves_it(bank: Bank) -> None:
    await bank.grant(100)
    await bank.configure(overdraft_limit=10)
    done(await bank.reserve("image-1", 30))


async def test_that_comes_after_the_replay_and_before_every_refusal(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    await bank.configure(suspended=True, moves=True)
    assert done(await bank.reserve("image-1", 30)).replayed
    assert refusal(await bank.reserve("image-1", 31)) is RefusalCode.REQUEST_ID_REUSED
    assert isinstance(await bank.reserve("image-2", 30), ConfigurationMoved)
    bank.config_seq = bank.admin_seq
    assert refusal(await bank.reserve("image-2", 30)) is RefusalCode.ACCOUNT_SUSPENDED


async def test_who_waits_keeps_the_place(bank: Bank) -> None:
    await bank.reserve("image-1", 30, wait=MINUTE)
    await bank.configure(moves=True)
    assert isinstance(await bank.reserve("image-1", 30, wait=MINUTE), ConfigurationMoved)
    assert await bank.cancel_wait("image-1")
