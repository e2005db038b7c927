"""Administration: SQL decides and numbers, Redis applies each change exactly once and in order."""

from __future__ import annotations

from earmark.domain.states import EntryKind, GrantKind
from earmark.engine.operations import ApplyGrant, Configure
from earmark.engine.results import Applied, RefusalCode
from tests.fundamentals.bank import Bank, done, refusal


def granting(bank: Bank, admin_seq: int, amount: int) -> ApplyGrant:
    return ApplyGrant(bank.account_id, admin_seq, GrantKind.FREE, 100, amount, 0, 0, 256, '{"m":"welcome"}')


async def test_the_next_change_is_applied(bank: Bank) -> None:
    answer = await bank.do(granting(bank, 1, 100))
    assert isinstance(answer, Applied)
    assert (answer.admin_seq, answer.fresh) == (1, True)
    (entry,) = await bank.entries()
    assert (entry.kind, entry.amount, entry.admin_seq, entry.grant) == (EntryKind.GRANT, 100, 1, 1)
    assert entry.settlement == '{"m":"welcome"}'


async def test_a_late_relay_repeats_nothing(bank: Bank) -> None:
    await bank.do(granting(bank, 1, 100))
    answer = await bank.do(granting(bank, 1, 100))
    assert isinstance(answer, Applied)
    assert (answer.admin_seq, answer.fresh) == (1, False)
    assert await bank.available() == 100


async def test_nothing_overtakes(bank: Bank) -> None:
    """An answer below the change's own number says from where on the relay must send."""
    answer = await bank.do(granting(bank, 2, 100))
    assert isinstance(answer, Applied)
    assert (answer.admin_seq, answer.fresh) == (0, False)
    assert await bank.available() == 0


async def test_a_refusal_uses_its_number_up_and_is_recorded(bank: Bank) -> None:
    assert refusal(await bank.void(7)) is RefusalCode.GRANT_NOT_FOUND
    (record,) = await bank.entries()
    assert (record.kind, record.entry_number, record.admin_seq) == (EntryKind.ADMIN_REFUSED, 0, 1)
    assert record.refusal == RefusalCode.GRANT_NOT_FOUND
    await bank.grant(100)
    assert await bank.available() == 100


async def test_a_configuration_is_recorded_without_an_entry_number(bank: Bank) -> None:
    await bank.configure(suspended=True)
    (record,) = await bank.entries()
    assert (record.kind, record.entry_number, record.admin_seq) == (EntryKind.CONFIGURED, 0, 1)


async def test_suspension_blocks_reserve_and_charge_until_it_ends(bank: Bank) -> None:
    await bank.grant(100)
    await bank.configure(suspended=True)
    assert refusal(await bank.reserve("image-1", 1)) is RefusalCode.ACCOUNT_SUSPENDED
    assert refusal(await bank.charge("image-1", 1)) is RefusalCode.ACCOUNT_SUSPENDED
    await bank.configure(suspended=False)
    done(await bank.reserve("image-1", 1))


async def test_an_account_with_members_serves_only_them(bank: Bank) -> None:
    await bank.grant(100)
    await bank.configure(members_added=("ann", "böb"))
    done(await bank.reserve("image-1", 1, user_id="ann"))
    done(await bank.reserve("image-2", 1, user_id="böb"))
    assert refusal(await bank.reserve("image-3", 1, user_id="eve")) is RefusalCode.NOT_A_MEMBER
    assert refusal(await bank.reserve("image-4", 1)) is RefusalCode.NOT_A_MEMBER


async def test_without_the_last_member_everybody_is_served_again(bank: Bank) -> None:
    await bank.configure(members_added=("ann",))
    await bank.configure(members_removed=("ann",))
    done(await bank.reserve("free-1", 0, user_id="eve"))


async def test_members_are_a_difference_and_each_counts_once(bank: Bank) -> None:
    await bank.configure(members_added=("ann",))
    await bank.configure(members_added=("ann", "bob"), members_removed=("carol",))
    await bank.configure(members_removed=("ann",))
    assert refusal(await bank.reserve("free-1", 0, user_id="ann")) is RefusalCode.NOT_A_MEMBER
    done(await bank.reserve("free-1", 0, user_id="bob"))


async def test_suspension_comes_before_membership_and_both_before_the_balance(bank: Bank) -> None:
    await bank.do(Configure(bank.account_id, 1, True, 1, 0, ("ann",)))  # noqa: FBT003 - suspended
    assert refusal(await bank.reserve("image-1", 1, user_id="eve")) is RefusalCode.ACCOUNT_SUSPENDED
    await bank.do(Configure(bank.account_id, 2, False, 1, 0))  # noqa: FBT003 - not suspended
    assert refusal(await bank.reserve("image-1", 1, user_id="eve")) is RefusalCode.NOT_A_MEMBER
    assert refusal(await bank.reserve("image-1", 1, user_id="ann")) is RefusalCode.INSUFFICIENT_CREDITS
