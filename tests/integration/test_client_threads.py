"""The client for threads: the same holds, without an event loop of the caller's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice

import pytest

from earmark import Client, ClientClosed, HoldStateError, InsufficientCredits
from earmark.testing import EarmarkServer

_numbers = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[EarmarkServer]:
    with EarmarkServer() as server:
        yield server


@pytest.fixture
def client(server: EarmarkServer) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client


@pytest.fixture
def account(client: Client) -> str:
    account_id = f"acct-{next(_numbers)}"
    client.create_account(account_id, grant=500)
    return account_id


def test_a_block_commits_releases_and_counts_once(client, account):
    with client.reserve(account, amount=5) as hold:
        hold.commit(amount=2)
        with pytest.raises(HoldStateError):
            hold.release()
    assert hold.receipt.charged == 2
    with pytest.raises(ZeroDivisionError), client.reserve(account, amount=5) as failed:
        1 / 0  # noqa: B018
    assert failed.receipt.state == "released"
    assert client.get_balance(account).available == 498


def test_many_threads_share_one_client_and_never_overspend(client, account):
    def generate(_: int) -> bool:
        try:
            with client.reserve(account, amount=75):
                return True
        except InsufficientCredits:
            return False

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(generate, range(20))) == 6
    assert client.get_balance(account).available == 50


def test_everything_else_is_there_too(client, account):
    with client.reserve(account, amount=5) as hold:
        hold.extend(additional=1)
        hold.detach()
    assert [each.reservation_id for each in client.list_reservations(account, state="active")] == [hold.reservation_id]
    with client.resume(hold.reservation_id) as resumed:
        resumed.commit()
        assert resumed.settled().charged == 6
    assert client.get_reservation(hold.reservation_id).state == "committed"
    assert client.charge(account, 1).charged == 1
    assert client.create_grant(account, 7, kind="promotion").kind == "promotion"
    assert [balance.available for balance in islice(client.watch_balance(account), 1)] == [500]
    with client.reserve(account, amount=5, request_id="q") as hold:
        hold.detach()
    assert client.release_request(account, "q").state == "released"


def test_a_closed_client_says_so(server):
    client = Client(server.address)
    client.create_account(f"acct-{next(_numbers)}")
    client.close()
    client.close()
    with pytest.raises(ClientClosed):
        client.get_balance("acct-1")
