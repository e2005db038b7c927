"""The commands that open the stores themselves, `serve`, and the demo: each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from earmark import Client
from earmark.testing import EarmarkServer
from tests.support.waiting import wait_until_sync

PROGRAM = "import sys; from earmark.cli.main import main; sys.exit(main())"


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that an error is."""
        [line] = self.err.splitlines()
        return line


Shell = Callable[..., Ran]


def environment(**variables: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("EARMARK_")} | variables


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run `earmark` in an empty directory."""

    def run(*arguments: str, **variables: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            cwd=tmp_path,
            env=environment(**variables),
        )
        assert "Traceback" not in done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[EarmarkServer]:
    with EarmarkServer(data_dir=tmp_path / "data") as server:
        yield server


def spend(server: EarmarkServer) -> None:
    with Client(server.address) as client:
        client.create_account("acme", grant=100)
        for number in range(20):
            with client.reserve("acme", amount="0.5") as hold:
                hold.commit(amount=f"0.{number + 1:02}")
        with client.reserve("acme", amount=2, ttl=600) as hold:
            hold.detach()


def test_reconcile_beside_a_sidecar_and_without_one(shell: Shell, serving: EarmarkServer) -> None:
    spend(serving)
    data_dir = str(serving.data_dir)
    beside = shell("reconcile", "--data-dir", data_dir)
    assert beside.status == 0, beside.err
    assert "No drift: Redis and SQL agree on 1 account" in beside.out
    serving.stop()
    alone = shell("reconcile", "--json", EARMARK_DATA_DIR=data_dir)
    assert alone.status == 0, alone.err
    report = json.loads(alone.out)
    assert (report["drift"], report["accounts"], report["open_reservations"]) == (False, 1, 1)
    assert serving.engine_pid is None


def test_one_microcredit_of_drift_is_found(shell: Shell, serving: EarmarkServer) -> None:
    spend(serving)
    serving.stop()
    with sqlite3.connect(serving.data_dir / "ledger.db") as database:
        changed = database.execute("UPDATE account_totals SET charged = charged + 1")
        assert changed.rowcount == 1
    database.close()
    found = shell("reconcile", "--data-dir", str(serving.data_dir))
    assert found.status == 1
    assert "Drift:" in found.out
    assert "acme" in found.out
    as_json = json.loads(shell("reconcile", "--data-dir", str(serving.data_dir), "--json", "--dry-run").out)
    assert as_json["drift"] is True
    assert {item["account_id"] for item in as_json["differences"]} == {"acme"}


def test_what_cannot_be_compared_is_status_2(shell: Shell, tmp_path: Path) -> None:
    nothing = shell("reconcile")
    assert nothing.status == 2
    assert "could not compare" in nothing.error
    assert shell("db", "upgrade", "--database-url", f"sqlite:///{tmp_path}/empty.db").status == 0
    empty = shell("reconcile", "--database-url", f"sqlite:///{tmp_path}/empty.db")
    assert empty.status == 2
    assert "belongs to no store yet" in empty.error
    assert not (tmp_path / "earmark-data").exists()


def test_upgrade_makes_the_ledger_and_is_idempotent(shell: Shell, tmp_path: Path) -> None:
    for _ in range(2):
        ran = shell("db", "upgrade", "--data-dir", str(tmp_path / "data"))
        assert ran.status == 0
        assert ran.out == ""
    assert (tmp_path / "data" / "ledger.db").exists()
    for url in ("mysql://x/y", "nonsense"):
        refused = shell("db", "upgrade", "--database-url", url)
        assert refused.status == 2
        assert "database_url" in refused.error
    away = shell("db", "upgrade", "--database-url", "postgresql://nobody@127.0.0.1:1/none")
    assert away.status == 69
    assert "STORE_UNAVAILABLE" in away.error


def test_a_second_sidecar_on_a_directory_is_refused_in_one_line(shell: Shell, serving: EarmarkServer) -> None:
    quiet = ("--log-level", "error")
    same_directory = shell("serve", *quiet, "--data-dir", str(serving.data_dir), "--listen", "127.0.0.1:0")
    assert same_directory.status == 1
    assert "in use" in same_directory.error
    same_address = shell("serve", *quiet, "--data-dir", "other", "--listen", serving.address)
    assert same_address.status == 1
    assert serving.address in same_address.error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_cleanly(tmp_path: Path, number: signal.Signals, shell: Shell) -> None:
    address = f"unix:{tmp_path}/earmark.sock"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", "--listen", address, "--data-dir", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        wait_until_sync(lambda: shell("health", "--address", address).status == 0, seconds=30)
        process.send_signal(number)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in log


def test_the_demo_agrees_to_the_microcredit(shell: Shell, tmp_path: Path) -> None:
    ran = shell("demo", "--generations", "150", "--seed", "11", "--keep", "kept")
    assert ran.status == 0, ran.err
    assert "Every figure agrees, to the microcredit." in ran.out
    assert "No drift" in ran.out
    for account in ("studio", "newsroom", "agency", "lab", "hobby"):
        assert account in ran.out
    kept = shell("reconcile", "--data-dir", "kept")
    assert kept.status == 0
    assert shell("demo", "--keep", "kept").status == 2


def test_the_demo_notices_what_is_wrong(tmp_path: Path) -> None:
    """A sidecar that charges a microcredit too much must not pass."""
    spoiled = (
        "import sys\n"
        "from earmark.cli.demo import simulation\n"
        "from earmark.cli.main import main\n"
        "from earmark.cli.demo import command\n"
        "command.SETTLING_SECONDS = 0.0\n"
        "real = simulation.simulate\n"
        "async def simulate(*arguments):\n"
        "    tallies = await real(*arguments)\n"
        "    tallies['studio'].charged -= 1\n"
        "    return tallies\n"
        "simulation.simulate = simulate\n"
        "sys.exit(main(['demo', '--generations', '40']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", spoiled],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
        env=environment(),
    )
    assert done.returncode == 1
    assert "studio: " in done.stderr
    assert "Every figure agrees" not in done.stdout


ACCOUNTS = """\
{"account_id": "acme", "time_zone": "Europe/Paris", "balance_micros": 5000000, "lifetime_charged_micros": "7000000",
 "members": [{"user_id": "ada"}], "subscription": {"plan_id": "free", "anchor_time": "2026-03-01T00:00:00Z"}}
{"account_id": "globex", "grants": [{"external_id": "order 7", "kind": "KIND_PURCHASE", "amount_micros": 25000000,
 "charged_micros": 4000000, "acquire_time": "2026-03-01T00:00:00Z"}],
 "subscription": {"plan_id": "basic", "anchor_time": "2026-03-01T00:00:00Z"}, "claimed_identities": ["0xABC"]}

{"account_id": "initech", "balance": 5}
{"account_id": "umbrella"
{"account_id": "hooli", "time_zone": "Mars/Olympus"}
"""


def test_import_beside_a_sidecar(shell: Shell, tmp_path: Path) -> None:
    lines = ACCOUNTS.replace(",\n ", ", ")
    (tmp_path / "accounts.jsonl").write_text(lines + '{"account_id": "' + "x" * 2**22 + '"}\n{"account_id": "last"}')
    with EarmarkServer(data_dir=tmp_path / "data", catalog="preset:amisi") as server:
        command = ("import", "accounts.jsonl", "--data-dir", "data")
        checked = shell(*command, "--dry-run")
        assert checked.status == 1
        assert checked.out.splitlines()[-1] == "Checked 7 accounts, 4 refused; nothing was brought."
        brought = shell(*command)
        assert brought.status == 1
        assert [line.split(":")[0] for line in brought.err.splitlines()] == ["line 4", "line 5", "line 6", "line 7"]
        assert 'no field named "balance"' in brought.err
        assert "Mars/Olympus" in brought.err
        assert "is longer than 4 MiB" in brought.err
        again = json.loads(shell(*command, "--json").out)
        assert {name: again[name] for name in ("accounts", "imported", "unchanged", "refused")} == {
            "accounts": 7,
            "imported": 0,
            "unchanged": 3,
            "refused": 4,
        }
        assert [(one["line"], one["reason"]) for one in again["errors"]] == [
            (number, "INVALID_ARGUMENT") for number in (4, 5, 6, 7)
        ]
        with Client(server.address) as client:
            assert client.get_balance("acme").available == 5
            assert client.get_balance("globex").available == 21
            with client.reserve("globex", amount=21) as hold:
                hold.commit()
        told = shell("ledger", "explain", "globex/2", "--address", server.address)
        assert "4 credits of g1 were charged by another system" in told.out
        assert "Comment: before the import" in told.out
    good = "".join(line for line in lines.splitlines(keepends=True)[:2])
    (tmp_path / "good.jsonl").write_text(good)
    alone = shell("import", "good.jsonl", "--data-dir", "data")
    assert alone.status == 0
    assert alone.out.splitlines()[-1] == "Read 2 accounts, none refused."
    assert shell("reconcile", "--data-dir", "data").status == 0


def test_import_says_what_is_missing(shell: Shell, tmp_path: Path) -> None:
    assert "none.jsonl: No such file" in shell("import", "none.jsonl").error
    (tmp_path / "one.jsonl").write_text('{"account_id": "acme"}\n')
    no_ledger = shell("import", "one.jsonl")
    assert no_ledger.status != 0
    assert "earmark db upgrade" in no_ledger.error
    assert shell("db", "upgrade", "--data-dir", "data").status == 0
    assert "start `earmark serve`" in shell("import", "one.jsonl", "--data-dir", "data").error
