"""Plans, packs, estimates, limits and alerts from a shell, and the clock of a test store."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from earmark import Client
from earmark.cli.main import main
from earmark.testing import EarmarkServer
from tests.support.waiting import wait_until_sync

CREDIT = 1_000_000


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed as JSON."""
        assert self.status == 0, self.err
        return json.loads(self.out)


Shell = Callable[..., Ran]


@pytest.fixture(scope="module")
def server() -> Iterator[EarmarkServer]:
    with EarmarkServer(catalog="preset:amisi") as running:
        yield running


@pytest.fixture
def shell(server: EarmarkServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("EARMARK_ADDRESS", server.address)
    monkeypatch.delenv("EARMARK_API_KEY", raising=False)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return Ran(int(status), out, err)

    return run


def test_a_subscription_from_the_shell(shell: Shell) -> None:
    shell("account", "create", "sub")
    created = shell("subscription", "create", "sub", "basic", "--request-id", "a", "--json").json
    assert created["subscription"]["plan_id"] == "basic"
    assert created["balance"]["available_micros"] == 25 * CREDIT
    repeated = shell("subscription", "create", "sub", "basic", "--request-id", "a")
    assert "had made this change already" in repeated.err
    up = shell("subscription", "change", "sub", "business")
    assert up.out.startswith("In force at once.\n")
    assert "150 each cycle, paid by the month" in up.out
    assert "api_access=true" in up.out
    down = shell("subscription", "change", "sub", "pro")
    assert down.out.startswith("Planned for the end of what was paid.\n")
    assert shell("subscription", "show", "sub", "--json").json["next_plan_id"] == "pro"
    assert "cancelling" in shell("subscription", "cancel", "sub", "--reason", "moved").out
    shown = shell("account", "show", "sub")
    assert "resolution_8k=true" in shown.out
    assert shell("account", "show", "sub", "--json").json["subscription"]["state"] == "STATE_CANCELLING"
    refused = shell("subscription", "create", "sub", "gold")
    assert (refused.status, refused.out) == (1, "")
    assert "(PLAN_NOT_FOUND)" in refused.err


def test_what_a_subscription_has_instead_of_its_plan(shell: Shell) -> None:
    shell("account", "create", "big")
    own = ("--credits", "5000", "--rollover", "all", "--seats", "80", "--entitlement", "sla=gold", "--term", "year")
    made = shell("subscription", "create", "big", "enterprise", *own, "--json").json["subscription"]
    assert (made["credits_micros"], made["seats"], made["term"]) == (5_000 * CREDIT, 80, "TERM_YEAR")
    assert (made["entitlements"]["sla"], made["entitlements"]["white_label"]) == ("gold", "true")
    assert "rolls over    all\n" in shell("subscription", "show", "big").out


def test_a_purchase_gives_its_credits_once(shell: Shell) -> None:
    shell("account", "create", "buyer")
    begun = shell("purchase", "create", "buyer", "large", "--reference", "tx-1", "--json").json["purchase"]
    assert (begun["state"], begun["price"], begun["unit_price"]) == (
        "STATE_PENDING",
        {"method": "USD", "amount": "100"},
        "0.500",
    )
    confirmed = shell("purchase", "confirm", "--reference", "tx-1")
    assert "confirmed" in confirmed.out
    assert "large for 100 USD" in confirmed.out
    again = shell("purchase", "confirm", begun["purchase_id"])
    assert "nothing more was given" in again.err
    assert "available  205" in again.out
    other = shell("purchase", "create", "buyer", "small", "--json").json["purchase"]["purchase_id"]
    assert "card declined" in shell("purchase", "fail", other, "--reason", "card declined").out
    assert "PURCHASE_FAILED" in shell("purchase", "confirm", other).err
    listed = shell("purchase", "list", "buyer", "--json").json
    assert [each["state"] for each in listed] == ["STATE_FAILED", "STATE_CONFIRMED"]
    assert [each["pack_id"] for each in shell("purchase", "list", "buyer", "--state", "confirmed", "--json").json] == [
        "large"
    ]
    assert shell("purchase", "list", "buyer", "--state", "pending").err == "No purchase.\n"


def test_an_estimate_with_and_without_an_account(shell: Shell) -> None:
    shell("account", "create", "planner", "--grant", "15")
    planned = ("image.generate:5,resolution=4K", "chat.message:10", "--buffer", "20")
    table = shell("estimate", "planner", *planned).out
    first = next(line for line in table.splitlines() if line.startswith("image.generate"))
    assert first.split() == ["image.generate", "5", "resolution=4K", "3", "credits", "per", "image", "15", "6"]
    assert "30 credits, with 20 % more" in table
    assert "no, 10 are missing" in table
    assert "packs that would cover it" in table
    found = shell("estimate", "planner", *planned, "--json").json
    assert (found["max_micros"], found["shortfall_micros"], found["sufficient"]) == (30 * CREDIT, 10 * CREDIT, False)
    assert "sufficient" not in shell("estimate", *planned).out
    assert "total    1 credit\n" in shell("estimate", "chat.message").out
    assert "20 of planner" in shell("estimate", "--account", "planner", "chat.message").out
    unknown = shell("estimate", "planner", "chat.mesage")
    assert (unknown.status, unknown.out) == (1, "")
    assert "(UNKNOWN_OPERATION)" in unknown.err


def test_limits_thresholds_contacts_and_what_an_entry_counted_for(
    shell: Shell, server: EarmarkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret\n"))
    options: tuple[str, ...] = (
        "--limit",
        "name=videos,scope=operation,subject=chat.message,window=day,amount=4,near=50",
    )
    options += ("--limit", "name=all,window=lifetime,amount=100,mode=notify", "--low-balance", "3")
    options += ("--webhook", "http://127.0.0.1:9/alerts", "--webhook-secret", "-")
    made = shell("account", "create", "careful", *options, "--json").json["account"]
    assert [(one["name"], one["scope"], one["window"], one["mode"]) for one in made["limits"]] == [
        ("videos", "SCOPE_OPERATION", "WINDOW_DAY", "MODE_BLOCK"),
        ("all", "SCOPE_ACCOUNT", "WINDOW_LIFETIME", "MODE_NOTIFY"),
    ]
    shown = shell("account", "show", "careful").out
    assert "operation chat.message" in shown
    assert "s3cret" not in shown
    with Client(server.address) as client:
        reservation = client.charge("careful", operation="chat.message", quantity=3).reservation_id
    found: list[Any] = []

    def alerted() -> bool:
        found[:] = shell("ledger", "alerts", "careful", "--json").json
        return {alert["kind"] for alert in found} == {"KIND_LOW_BALANCE", "KIND_LIMIT_NEAR"} and all(
            alert["deliveries"] and alert["deliveries"][0]["attempts"] for alert in found
        )

    wait_until_sync(alerted, seconds=20)
    assert "webhook http://127.0.0.1:9/alerts: pending" in shell("ledger", "alerts", "careful").out
    assert len(shell("ledger", "alerts", "careful", "--kind", "low-balance", "--json").json) == 1
    told = shell("ledger", "explain", reservation).out
    assert "The price: 1 credit per message (version 1)." in told
    assert "It counts 3 credits in the limit videos of operation chat.message, day from " in told
    assert "It counts 3 credits in the limit all, for ever." in told
    card = shell("reservation", "show", reservation).out
    assert re.search(r"^priced by +version 1 of the catalog$", card, re.MULTILINE)
    changed = shell("account", "update", "careful", "--balance-alerts-off", "--clear", "limits", "--json").json
    assert changed["account"]["limits"] == []
    assert changed["account"]["thresholds"]["balance_alerts_off"] is True
    assert changed["account"]["thresholds"]["low_balance_micros"] is None


def test_free_plans_confirmed_renewals_and_the_clock(tmp_path_factory: pytest.TempPathFactory, shell: Shell) -> None:
    document = tmp_path_factory.mktemp("catalog") / "catalog.yaml"
    document.write_text(
        "name: own\n"
        "grants: {promotion: {validity: 10 days}}\n"
        "plans:\n"
        "  trial: {credits: 10, cycle: once, claimed: true, validity: never}\n"
        "  paid: {credits: 30, cycle: monthly, validity: cycle, confirmed_renewal: true}\n",
        encoding="utf-8",
    )
    with EarmarkServer(catalog=str(document)) as own:
        at = ("--address", own.address)
        shell("account", "create", "one", *at)
        shell("account", "create", "two", *at)
        assert "available     10\n" in shell("subscription", "claim", "one", "0xABC", *at).out
        refused = shell("subscription", "claim", "two", "0xabc", "--plan", "trial", *at)
        assert (refused.status, "(FREE_PLAN_CLAIMED)" in refused.err) == (1, True)
        shell("subscription", "create", "two", "paid", *at)
        assert "movable  yes" in shell("clock", "show", *at).out
        assert shell("clock", "move", "32d", *at).status == 0
        waiting = shell("subscription", "show", "two", *at).out
        assert "awaiting-renewal" in waiting
        renewed = shell("subscription", "confirm", "two", "--request-id", "invoice-2", "--json", *at).json
        assert (renewed["subscription"]["cycle"], renewed["balance"]["available_micros"]) == (2, 30 * CREDIT)
        gift = ("account", "grant", "one", "1", "--kind", "promotion", "--json", *at)
        assert shell(*gift).json["grant"]["expire_time"] is not None
        assert shell(*gift, "--expires", "never").json["grant"]["expire_time"] is None
        back = shell("clock", "move", "2020-01-01", *at)
        assert (back.status, back.out) == (1, "")
