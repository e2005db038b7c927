"""Batches: many operations in one call, each with its own answer, all at one moment."""

from __future__ import annotations

from earmark.domain.states import ReservationState
from earmark.engine.operations import ABSENT, Commit, ConfirmFlush, ListHolds, RenewLease
from earmark.engine.records import StreamElement
from earmark.engine.results import HoldsRead, LeaseRenewed, RefusalCode, ReservationView
from tests.fundamentals.bank import MINUTE, SECOND, Bank, done, refusal


async def test_operations_of_one_batch_see_each_other(bank: Bank) -> None:
    await bank.grant(100)
    digest = bank.digest("image-1")
    reserved, committed, again = await bank.send(
        bank.reserving("image-1", 30),
        Commit(bank.account_id, digest, 10, 2, "{}"),
        Commit(bank.account_id, digest, 10, 2, "{}"),
    )
    assert done(reserved).reservation.state == ReservationState.ACTIVE
    assert done(committed).balance.available == 90
    assert done(again).replayed


async def test_a_refusal_does_not_touch_its_neighbours(bank: Bank) -> None:
    await bank.grant(50)
    first, second, third = await bank.send(
        bank.reserving("image-1", 30), bank.reserving("image-2", 30), bank.reserving("image-3", 20)
    )
    done(first)
    assert refusal(second) is RefusalCode.INSUFFICIENT_CREDITS
    assert done(third).balance.available == 0


async def test_what_one_call_settles_is_one_element_of_the_stream(bank: Bank) -> None:
    await bank.grant(100)
    await bank.send(bank.charging("image-1", 1), bank.charging("image-2", 2), bank.charging("image-3", 3))
    *_, (last_seq, element) = await bank.store.read_stream(0, 0, 100)
    assert isinstance(element, StreamElement)
    assert (element.first_seq, last_seq) == (2, 4)
    assert [record.amount for record in element.records] == [1, 2, 3]
    assert {record.time for record in element.records} == {element.now}


async def test_the_version_grows_with_every_change_and_with_nothing_else(bank: Bank) -> None:
    await bank.grant(100)
    before = (await bank.balance()).version
    await bank.reserve("image-1", 200)
    await bank.commit("never")
    assert (await bank.balance()).version == before
    assert done(await bank.reserve("image-1", 30)).balance.version == before + 1
    assert done(await bank.commit("image-1")).balance.version == before + 2
    assert done(await bank.commit("image-1")).balance.version == before + 2


async def test_confirming_a_flush_in_the_same_call_undoes_nothing(bank: Bank) -> None:
    await bank.grant(100)
    await bank.reserve("image-1", 30)
    digest = bank.digest("image-1")
    await bank.send(Commit(bank.account_id, digest, ABSENT, 2, "{}"), ConfirmFlush(1, 0))
    assert (await bank.reservation("image-1")).state == ReservationState.COMMITTED
    assert done(await bank.commit("image-1")).replayed


async def test_a_lease_has_one_holder_by_the_engines_clock(bank: Bank) -> None:
    first = await bank.do(RenewLease("flush", "one", MINUTE))
    second = await bank.do(RenewLease("flush", "two", MINUTE))
    assert isinstance(first, LeaseRenewed)
    assert first.held
    assert second == LeaseRenewed(held=False, until=first.until)
    await bank.pass_time(MINUTE)
    taken = await bank.do(RenewLease("flush", "two", MINUTE))
    assert isinstance(taken, LeaseRenewed)
    assert taken.held


async def test_a_lease_can_be_given_back(bank: Bank) -> None:
    await bank.do(RenewLease("flush", "one", MINUTE))
    await bank.do(RenewLease("flush", "one", 0))
    taken = await bank.do(RenewLease("flush", "two", MINUTE))
    assert isinstance(taken, LeaseRenewed)
    assert taken.held


async def test_open_reservations_are_listed_page_by_page_in_the_order_of_their_expiry(bank: Bank) -> None:
    other = Bank(bank.store, "other")
    await other.do(other.loading())
    for number in range(25):
        await bank.reserve(f"free-{number}", 0, ttl=MINUTE + (number * 7 % 25) * SECOND)
        await other.reserve(f"free-{number}", 0, ttl=MINUTE)
    listed: list[ReservationView] = []
    time, member = 0, ""
    while True:
        page = await bank.do(ListHolds("acme", time, member, 7))
        assert isinstance(page, HoldsRead)
        listed += page.reservations
        time, member = page.next_time, page.next_member
        if not member:
            break
    assert len({view.digest for view in listed}) == len(listed) == 25
    assert {view.account_id for view in listed} == {"acme"}
    expiries = [view.expire_time for view in listed]
    assert expiries == sorted(expiries)
