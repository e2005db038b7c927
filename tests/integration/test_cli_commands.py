"""The command line against a real sidecar: what a shell or a script sees."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from earmark import Client, InsufficientCredits
from earmark.cli.main import main
from earmark.testing import EarmarkServer
from tests.support.waiting import wait_until_sync


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
    with EarmarkServer() as running:
        yield running


@pytest.fixture
def shell(server: EarmarkServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Run `earmark` as a script does, but for a process of its own, which would take most of the time."""
    monkeypatch.setenv("EARMARK_ADDRESS", server.address)
    monkeypatch.delenv("EARMARK_API_KEY", raising=False)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return Ran(int(status), out, err)

    return run


@pytest.fixture
def client(server: EarmarkServer) -> Iterator[Client]:
    with Client(server.address) as connected:
        yield connected


def entries_of(shell: Shell, account: str, count: int) -> list[Any]:
    """Return an account's entries, newest first, once SQL has so many."""
    found: list[Any] = []

    def flushed() -> bool:
        found[:] = shell("ledger", "list", account, "--json").json
        return len(found) >= count

    wait_until_sync(flushed, seconds=20)
    return found


def test_an_account_from_the_shell(shell: Shell) -> None:
    assert "acme" in shell("account", "create", "acme", "--grant", "100", "--label", "tier=gold").out
    shown = shell("account", "show", "acme", "--json").json
    assert shown["account"]["labels"] == {"tier": "gold"}
    assert shown["balance"]["available_micros"] == 100_000_000
    assert [(grant["grant_id"], grant["kind"]) for grant in shown["grants"]] == [("g1", "KIND_FREE")]
    again = shell("account", "create", "acme")
    assert (again.status, again.out) == (1, "")
    assert again.err.count("\n") == 1
    assert "(ACCOUNT_EXISTS)" in again.err


def test_repeating_a_change_with_its_id_has_no_second_effect(shell: Shell) -> None:
    create = ("account", "create", "twice", "--grant", "5", "--request-id", "setup-1", "--json")
    assert shell(*create).json["replayed"] is False
    assert shell(*create).json["replayed"] is True
    grant = ("account", "grant", "twice", "7", "--request-id", "invoice-1", "--json")
    assert shell(*grant).json["grant"]["grant_id"] == shell(*grant).json["grant"]["grant_id"]
    assert shell("account", "show", "twice", "--json").json["balance"]["available_micros"] == 12_000_000
    other = shell("account", "grant", "twice", "8", "--request-id", "invoice-1")
    assert other.status == 1
    assert "REQUEST_ID_REUSED" in other.err


def test_amounts_are_exact_up_to_the_largest(shell: Shell) -> None:
    largest = shell("account", "create", "rich", "--grant", "9007199254.740991", "--json").json
    assert largest["balance"]["available_micros"] == 2**53 - 1
    assert "9,007,199,254.740991" in shell("account", "show", "rich").out
    [entry] = entries_of(shell, "rich", 1)
    assert entry["amount_micros"] == 2**53 - 1
    exported = shell("ledger", "export", "rich", "--format", "csv").out
    assert next(csv.DictReader(io.StringIO(exported)))["amount_micros"] == str(2**53 - 1)


def test_a_grant_until_a_day_lasts_through_it_in_the_accounts_zone(shell: Shell) -> None:
    shell("account", "create", "paris", "--time-zone", "Europe/Paris")
    granted = shell("account", "grant", "paris", "1", "--expires", "2037-07-27", "--json").json
    assert granted["grant"]["expire_time"] == "2037-07-27T22:00:00.000000Z"
    created = shell(
        "account", "create", "tokyo", "--time-zone", "Asia/Tokyo", "--grant", "1", "--expires", "2037-07-27", "--json"
    ).json
    assert created["grants"][0]["expire_time"] == "2037-07-27T15:00:00.000000Z"


def test_configuration_members_and_suspension(shell: Shell, client: Client) -> None:
    shell("account", "create", "team", "--grant", "10")
    changed = shell("account", "update", "team", "--overdraft", "5", "--low-balance", "2", "--email", "a@b.c", "--json")
    account = changed.json["account"]
    assert account["overdraft_limit_micros"] == 5_000_000
    assert account["thresholds"]["low_balance_micros"] == 2_000_000
    assert account["contacts"]["emails"] == ["a@b.c"]
    cleared = shell("account", "update", "team", "--clear", "thresholds", "--json").json["account"]
    assert cleared["thresholds"] is None or cleared["thresholds"]["low_balance_micros"] is None
    assert cleared["contacts"]["emails"] == ["a@b.c"]
    assert "alice (admin)" in shell("account", "member-add", "team", "alice", "--role", "admin").out
    assert "alice" not in shell("account", "member-remove", "team", "alice").out
    assert "suspended" in shell("account", "suspend", "team", "--reason", "payment failed").out
    with pytest.raises(Exception, match="suspended"), client.reserve("team", amount=1):
        pass
    assert "active" in shell("account", "resume", "team").out


def test_accounts_are_listed_by_prefix_with_their_balances(shell: Shell) -> None:
    for number in range(3):
        shell("account", "create", f"list-{number}", "--grant", str(number + 1))
    listed = shell("account", "list", "--prefix", "list-", "--balances", "--limit", "2", "--json")
    assert [one["account_id"] for one in listed.json] == ["list-0", "list-1"]
    assert [one["balance"]["available_micros"] for one in listed.json] == [1_000_000, 2_000_000]
    assert "There are more" in listed.err


def test_a_charge_stands_in_the_ledger_and_is_explained(shell: Shell, client: Client, tmp_path: Path) -> None:
    shell("account", "create", "story", "--grant", "0.3", "--kind", "free")
    shell("account", "grant", "story", "10", "--kind", "purchase")
    with client.reserve(
        "story", amount="0.5", operation="image.generate", user_id="alice", labels={"team": "red"}
    ) as hold:
        hold.commit(amount="0.38", comment="a cat")
    with pytest.raises(RuntimeError), client.reserve("story", amount="0.2", operation="image.generate"):
        raise RuntimeError("the model broke")
    failed, charged, second, first = entries_of(shell, "story", 4)
    assert [one["kind"] for one in (failed, charged, second, first)] == [
        "KIND_RELEASE",
        "KIND_CHARGE",
        "KIND_GRANT",
        "KIND_GRANT",
    ]
    assert (charged["amount_micros"], charged["user_id"], charged["comment"]) == (380_000, "alice", "a cat")
    assert [(part["grant_id"], part["amount_micros"]) for part in charged["allocations"]] == [
        ("g1", 300_000),
        ("g2", 80_000),
    ]

    for subject in (charged["reservation_id"], f"story/{charged['entry_number']}"):
        told = shell("ledger", "explain", subject).out
        assert "alice reserved 0.5 credits for image.generate" in told
        assert "used 0.38 credits, 0.12 less than was reserved" in told
        assert "0.3 from g1 (free" in told
        assert "0.08 from g2 (purchase" in told
        assert "Comment: a cat" in told
    assert "Reason: RuntimeError: the model broke" in shell("ledger", "explain", failed["reservation_id"]).out
    assert "10 credits were granted" in shell("ledger", "explain", f"story/{second['entry_number']}").out
    beyond = shell("ledger", "explain", "story/99")
    assert beyond.status == 1
    assert "has no entry 99" in beyond.err

    def numbers(*filters: str) -> list[int]:
        return [one["entry_number"] for one in shell("ledger", "list", "story", *filters, "--json").json]

    assert numbers("--kind", "charge") == [3]
    assert numbers("--kind", "charge", "--kind", "release") == [4, 3]
    assert numbers("--outcome", "failed") == [4]
    assert numbers("--user", "alice") == [3]
    assert numbers("--label", "team=red") == [3]
    assert numbers("--operation", "image.generate", "--min-amount", "0.1") == [3]
    assert numbers("--max-amount", "0.35") == [4, 1]
    assert numbers("--reservation", charged["reservation_id"]) == [3]
    assert numbers("--request-id", charged["request_id"]) == [3]
    assert numbers("--since", "1h", "--limit", "2") == [4, 3]
    assert numbers("--until", "1h") == []

    table = shell("ledger", "list", "story").out
    assert "\x1b" not in table
    assert table.splitlines()[0].split("  ")[0] == "number"
    assert "g1 0.3 + g2 0.08" in table

    for output_format in ("csv", "json", "jsonl"):
        target = tmp_path / f"out.{output_format}"
        assert shell("ledger", "export", "story", "--format", output_format, "-o", str(target)).status == 0
        text = target.read_text()
        match output_format:
            case "csv":
                amounts = [int(row["amount_micros"]) for row in csv.DictReader(io.StringIO(text))]
            case "json":
                amounts = [row["amount_micros"] for row in json.loads(text)]
            case _:
                amounts = [json.loads(line)["amount_micros"] for line in text.splitlines()]
        assert amounts == [300_000, 10_000_000, 380_000, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.json", "out.jsonl"]

    adjusted = shell("account", "adjust", "story", "0.1", "--reservation", charged["reservation_id"], "--json").json
    assert adjusted["grant"]["kind"] == "KIND_ADJUSTMENT"
    too_much = shell("account", "adjust", "story", "0.3", "--reservation", charged["reservation_id"])
    assert "ADJUSTMENT_EXCEEDS_CHARGE" in too_much.err


def test_reports_from_the_shell(shell: Shell, client: Client) -> None:
    shell("account", "create", "sums", "--grant", "10", "--kind", "free", "--time-zone", "Asia/Kathmandu")
    for user, amount in (("ann", "2"), ("bob", "0.5")):
        with client.reserve("sums", amount=amount, operation="image", user_id=user):
            pass
    entries_of(shell, "sums", 3)

    report = shell("report", "usage", "sums", "--group-by", "user,day", "--format", "json").json
    assert [(row["user_id"], row["charged_micros"]) for row in report["rows"]] == [("ann", 2_000_000), ("bob", 500_000)]
    assert report["rows"][0]["start_time"].endswith("T18:15:00.000000Z")
    assert report["total"]["succeeded_count"] == 2
    table = shell("report", "usage", "sums", "--group-by", "user", "--order-by", "key", "--limit", "1")
    assert "ann" in table.out
    assert "bob" not in table.out
    assert "2.5" in table.out.splitlines()[-1]
    assert "2 rows" in table.err
    header, row = shell("report", "usage", "sums", "--operation", "image", "--format", "csv").out.splitlines()
    assert header.startswith("operation,charged_micros,")
    assert row.startswith("image,2500000,0,2,0,0,2,0")

    lines = shell("report", "monthly", "sums", "--format", "csv").out.splitlines()
    assert lines[1:] == [f"{name},0,10000000,2500000,0,0,0,7500000" for name in ("free", "all free")] + [
        "all purchased,0,0,0,0,0,0,0",
        "all subscription,0,0,0,0,0,0,0",
        "total,0,10000000,2500000,0,0,0,7500000",
    ]
    assert "7.5" in shell("report", "monthly", "sums").out.splitlines()[-1]
    past = shell("report", "monthly", "sums", "--to", "2020-01-31", "--format", "json").json
    assert (past["start_time"], past["kinds"]) == ("2019-12-31T18:15:00.000000Z", [])
    refused = shell("report", "usage", "sums", "--group-by", "moon")
    assert refused.status == 2
    assert "moon" in refused.err


def test_reservations_from_the_shell(shell: Shell, client: Client) -> None:
    shell("account", "create", "holds", "--grant", "1")
    with client.reserve("holds", amount="0.4", request_id="job-1", user_id="bob") as hold:
        hold.detach()
    [listed] = shell("reservation", "list", "holds", "--state", "active", "--json").json
    assert (listed["reserved_micros"], listed["user_id"]) == (400_000, "bob")
    assert "open, nothing is charged" in shell("ledger", "explain", listed["reservation_id"]).out
    released = shell("reservation", "release", "--account", "holds", "--request-id", "job-1", "--reason", "gone")
    assert released.status == 0
    assert "released" in released.out
    again = shell("reservation", "release", listed["reservation_id"])
    assert "released before" in again.err
    assert "released" in shell("reservation", "show", listed["reservation_id"]).out
    with client.reserve("holds", amount="0.5") as hold:
        pass
    settled = shell("reservation", "release", hold.reservation_id)
    assert settled.status == 1
    assert "ALREADY_COMMITTED" in settled.err


def test_a_void_takes_what_is_left(shell: Shell, client: Client) -> None:
    shell("account", "create", "voided", "--grant", "3")
    assert shell("account", "void", "voided", "g1", "--json").json["balance"]["available_micros"] == 0
    with pytest.raises(InsufficientCredits), client.reserve("voided", amount=1):
        pass
    assert shell("account", "void", "voided", "g7").status == 1


def test_what_others_wrote_cannot_steer_the_terminal(shell: Shell, client: Client) -> None:
    shell("account", "create", "[bold]x", "--grant", "1")
    client.charge("[bold]x", "0.1", operation="[red]:tada:", comment="line\nend [link=http://x]y")
    entries_of(shell, "[bold]x", 2)
    table = shell("ledger", "list", "[bold]x").out
    assert "[red]:tada:" in table
    assert "line end [link=http://x]y" in table


def test_entries_are_found_by_number_in_a_long_ledger(shell: Shell, client: Client) -> None:
    shell("account", "create", "long", "--grant", "100")
    for _ in range(1_250):
        client.charge("long", "0.01")
    wait_until_sync(lambda: shell("ledger", "list", "long", "--limit", "1", "--json").json[0]["entry_number"] == 1_251)
    for number in (1, 2, 250, 251, 252, 700, 1_251):
        told = shell("ledger", "explain", f"long/{number}")
        assert f"ntry {number}" in told.out, told.err


def test_health_is_a_probe(shell: Shell) -> None:
    assert shell("health").out == "SERVING\n"
    assert shell("health", "--service", "earmark.v1.LedgerService", "--json").json["status"] == "SERVING"
    unknown = shell("health", "--service", "nonsense")
    assert unknown.status == 1
    assert unknown.err.count("\n") == 1
