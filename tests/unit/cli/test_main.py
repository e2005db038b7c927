"""The tree of commands: every help teaches, every mistake is one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from earmark.cli.connection import Connection
from earmark.cli.exits import ExitStatus
from earmark.cli.main import app
from earmark.v1.ledger_pb2 import LedgerEntry
from earmark.v1.ledger_service_pb2 import ExportLedgerResponse
from tests.unit.cli.conftest import Ran

Run = Callable[..., Ran]


def commands() -> Iterator[tuple[str, ...]]:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, child in getattr(command, "commands", {}).items():
            yield (*path, name)
            yield from walk(child, (*path, name))

    yield from walk(get_command(app), ())


def leaves() -> list[tuple[str, ...]]:
    every = list(commands())
    return [path for path in every if not any(other[: len(path)] == path and other != path for other in every)]


def test_the_commands_of_the_contract_are_there() -> None:
    contract = {
        ("serve",), ("demo",), ("account", "create"), ("account", "show"), ("account", "list"), ("account", "grant"),
        ("account", "adjust"), ("account", "suspend"), ("reservation", "list"), ("reservation", "show"),
        ("reservation", "release"), ("ledger", "list"), ("ledger", "export"), ("ledger", "explain"), ("reconcile",),
        ("report", "usage"), ("report", "monthly"), ("catalog", "check"), ("catalog", "apply"), ("catalog", "show"),
        ("health",), ("proto", "export"), ("db", "upgrade"),
    }  # fmt: skip
    assert contract <= set(leaves())


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_every_help_has_an_example_of_its_command(run: Run, path: tuple[str, ...]) -> None:
    ran = run(*path, "--help")
    assert ran.status == 0
    assert "Examples" in ran.out
    assert f"earmark {' '.join(path)}" in ran.out.partition("Examples")[2]


@pytest.mark.parametrize("path", [(), ("account",), ("ledger",), ("reservation",), ("db",), ("proto",)], ids=" ".join)
def test_a_group_alone_prints_its_help(run: Run, path: tuple[str, ...]) -> None:
    ran = run(*path)
    assert ran.status == ExitStatus.USAGE
    assert "Commands" in ran.out
    assert ran.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["account", "creat", "acme"], "Did you mean 'create'"),
        (["account", "create"], "Missing argument 'ACCOUNT'"),
        (["account", "create", "acme", "--grant", "ten"], "'ten' is not an amount of credits"),
        (["account", "create", "acme", "--grant", "-1"], "an amount cannot be negative"),
        (["account", "create", "acme", "--grant", "0.0000001"], "the smallest unit is 0.000001"),
        (["account", "create", "acme", "--kind", "gift"], "'gift' is not one of"),
        (["account", "create", "acme", "--expires", "2030-01-01"], "--grant, which is missing"),
        (["account", "create", "acme", "--grant", "1", "--request-id", "x" * 256], "at most 250 characters"),
        (["account", "create", "acme", "--time-zone", "Mars"], "'Mars' is no time zone"),
        (["account", "create", "acme", "--label", "gold"], "write it as KEY=VALUE"),
        (["account", "grant", "acme", "-5"], "No such option: -5"),
        (["account", "adjust", "acme", "1"], "Missing option '--reservation'"),
        (["account", "update", "acme"], "nothing to change"),
        (["account", "update", "acme", "--name", "A", "--clear", "name"], "name is set by another option"),
        (["account", "update", "acme", "--limit", "name=a,window=week,amount=1"], "window=week is none of"),
        (
            ["account", "update", "acme", "--limit", "name=a,window=day,amount=1", "--clear", "limits"],
            "limits is set by",
        ),
        (["account", "list", "--limit", "0"], "'--limit'"),
        (["subscription", "create", "acme"], "Missing argument 'PLAN'"),
        (["subscription", "create", "acme", "pro", "--term", "week"], "'week' is not one of"),
        (["subscription", "create", "acme", "pro", "--entitlement", "sla"], "write it as KEY=VALUE"),
        (["purchase", "confirm"], "by its id, or by --reference"),
        (["purchase", "fail", "--reason", "declined"], "by its id, or by --reference"),
        (["estimate"], "Missing argument"),
        (["estimate", "image:many"], "'many' is no number of units"),
        (["estimate", "image:1", "--buffer", "1001"], "'--buffer'"),
        (["clock", "move", "soon"], "'soon' is no time"),
        (["ledger", "alerts", "--kind", "loud"], "'loud' is not one of"),
        (["account", "show", "acme", "--address", "nowhere"], "'nowhere' is no address"),
        (["account", "show", "acme", "--timeout", "0"], "'--timeout'"),
        (["account", "show", "acme", "--api-key", "ü"], "printable ASCII"),
        (["reservation", "release"], "by its id, or by --account and --request-id"),
        (["reservation", "release", "r", "--account", "a"], "not by both"),
        (["ledger", "list", "--since", "yesterday"], "'yesterday' is no time"),
        (["ledger", "list", "--kind", "gift"], "'gift' is not one of"),
        (["ledger", "explain", "acme/x"], "ACCOUNT/NUMBER"),
        (["ledger", "explain", "/3"], "ACCOUNT/NUMBER"),
        (["serve", "--workers", "many"], "workers"),
        (["serve", "--listen", "0.0.0.0:7070"], "--allow-insecure"),
        (["serve", "--redis-url", "http://x"], "redis_url"),
        (["reconcile", "--redis-url", "http://x"], "redis_url"),
        (["demo", "--generations", "0"], "'--generations'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_status_2(run: Run, arguments: list[str], words: str) -> None:
    ran = run(*arguments)
    assert ran.status == ExitStatus.USAGE
    assert ran.out == ""
    assert ran.error.startswith("earmark: ")
    assert words in ran.error


def test_arguments_that_are_no_text_are_wrong_usage(run: Run) -> None:
    ran = run("account", "show", "a\udcff")
    assert ran.status == ExitStatus.USAGE
    assert ran.error == "earmark: an argument is no UTF-8 text"


def test_an_export_that_cannot_be_written_names_its_file(run: Run, tmp_path: Path) -> None:
    for target in (tmp_path / "none" / "ledger.csv", tmp_path):
        ran = run("ledger", "export", "-o", str(target))
        assert ran.status == ExitStatus.REFUSED
        assert f"cannot write {target}: " in ran.error


def test_no_server_is_one_line_and_status_69(run: Run, unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    for arguments in (["account", "show", "acme"], ["ledger", "export"], ["reservation", "show", "r"]):
        ran = run(*arguments, "--address", address)
        assert ran.status == ExitStatus.UNAVAILABLE
        assert address in ran.error
        assert "earmark serve" in ran.error
        assert ran.out == ""


def test_health_of_no_server_is_status_1(run: Run, unused_tcp_port: int, tmp_path: Path) -> None:
    for address in (f"127.0.0.1:{unused_tcp_port}", f"unix:{tmp_path}/none.sock"):
        ran = run("health", "--address", address, "--timeout", "2")
        assert ran.status == ExitStatus.REFUSED
        assert address in ran.error


def test_the_address_can_come_from_the_environment(
    run: Run, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARMARK_ADDRESS", f"127.0.0.1:{unused_tcp_port}")
    assert str(unused_tcp_port) in run("account", "show", "acme").error


def test_a_failed_export_leaves_no_file(run: Run, unused_tcp_port: int, tmp_path: Path) -> None:
    target = tmp_path / "ledger.csv"
    assert run("ledger", "export", "-o", str(target), "--address", f"127.0.0.1:{unused_tcp_port}").status == 69
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_is_quiet_and_leaves_no_half_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Iterator[ExportLedgerResponse]:
        yield ExportLedgerResponse(entries=[LedgerEntry(account_id="acme", entry_number=1)])
        raise KeyboardInterrupt

    monkeypatch.setattr(Connection, "stream", interrupted)
    ran = run("ledger", "export", "-o", str(tmp_path / "ledger.csv"))
    assert (ran.status, ran.out, ran.err) == (ExitStatus.INTERRUPTED, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_demo_does_not_touch_a_directory_in_use(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    ran = run("demo", "--keep", str(tmp_path))
    assert ran.status == ExitStatus.USAGE
    assert "name a new directory" in ran.error


def test_version(run: Run) -> None:
    ran = run("--version")
    assert ran.status == 0
    assert ran.out.startswith("earmark ")


def test_help_loads_neither_stores_nor_server() -> None:
    program = (
        "import sys; from earmark.cli.main import main; main(['--help']);"
        "heavy = {'sqlalchemy', 'redis', 'pydantic', 'alembic', 'uvloop', 'structlog', 'hypothesis'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    program = "import sys; from earmark.cli.main import main; sys.exit(main(['account', 'create', '--help']))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
