"""`earmark catalog` and `serve --catalog`, as a shell sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from earmark.catalogs import read_source
from earmark.cli.main import main
from earmark.testing import EarmarkServer, ServerDidNotStart

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[EarmarkServer]:
    with EarmarkServer(catalog="preset:inspira") as running:
        yield running


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.delenv("EARMARK_ADDRESS", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return int(status), out, err

    return run


def test_check_needs_no_sidecar(shell: Shell, tmp_path: Path) -> None:
    status, out, err = shell("catalog", "check", "preset:workspace")
    assert (status, err) == (0, "")
    assert out == "preset:workspace: 21 operations, 2 plans, 5 packs, 0 promotions, 0 limits\n"
    bad = tmp_path / "bad.yaml"
    bad.write_text("operations:\n  chat: -1\nplan: {}\n", encoding="utf-8")
    status, out, err = shell("catalog", "check", str(bad))
    assert (status, out) == (1, "")
    first, second = err.splitlines()
    assert first.startswith(f"{bad}:2:9: operations.chat: expected a number of credits")
    assert second == f"{bad}:3:1: plan: is unknown: did you mean 'plans'?"
    assert shell("catalog", "check", str(tmp_path / "none"))[0] == 1
    assert "there is no preset 'x'" in shell("catalog", "check", "preset:x")[2]


def test_presets_are_listed_and_shown(shell: Shell) -> None:
    out = shell("catalog", "presets")[1]
    assert [line.split()[0] for line in out.splitlines()[2:]] == [
        "preset:inspira",
        "preset:workspace",
        "preset:monthly",
        "preset:amisi",
    ]
    assert shell("catalog", "show", "preset:amisi")[1] == read_source("preset:amisi")
    out = shell("catalog", "show", "preset:amisi", "--prices", "--plans", "--packs")[1]
    for part in ("resolution=8K", "resolution_8k", "up to 300", "custom", "0.550 USD"):
        assert part in out
    assert "from 1,000" in shell("catalog", "show", "preset:inspira", "--packs")[1]


def test_serve_installs_its_catalog_and_others_replace_it(server: EarmarkServer, shell: Shell, tmp_path: Path) -> None:
    at = ("--address", server.address)
    shown = json.loads(shell("catalog", "show", "--json", *at)[1])
    assert (shown["version"], shown["name"], shown["document"]) == (1, "inspira", read_source("preset:inspira"))
    assert shell("catalog", "apply", "preset:inspira", *at)[1] == "version 1 is this document already\n"
    document = tmp_path / "catalog.yaml"
    document.write_text("name: own\noperations: {chat: 2}\n", encoding="utf-8")
    assert shell("catalog", "apply", str(document), "--dry-run", *at)[1] == "version 2 would be installed\n"
    assert shell("catalog", "apply", str(document), "--request-id", "a", *at)[1] == "version 2 is installed\n"
    assert (
        shell("catalog", "apply", str(document), "--request-id", "a", *at)[1] == "version 2 is this document already\n"
    )
    assert shell("catalog", "show", *at)[1] == document.read_text(encoding="utf-8")
    assert shell("catalog", "show", "--version", "1", *at)[1] == read_source("preset:inspira")
    assert shell("catalog", "show", "--version", "9", *at)[0] == 1
    prices = json.loads(shell("catalog", "show", "--prices", "--json", *at)[1])
    assert [(row["operation"], row["min_micros"]) for row in prices["prices"]] == [("chat", 2_000_000)]
    status, _, err = shell("catalog", "show", "--plans", *at)
    assert (status, err) == (0, "The catalog has no plans.\n")
    assert shell("catalog", "show", "--plans", "--version", "1", *at)[0] == 2


def test_serve_with_a_catalog_that_is_none(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("operations:\n  chat: -1\n", encoding="utf-8")
    server = EarmarkServer(data_dir=tmp_path / "data", catalog=str(bad))
    with pytest.raises(ServerDidNotStart, match=r"line 2, column 9: operations\.chat"), server:
        pass


@pytest.mark.parametrize("workers", [2])
def test_of_several_workers_one_installs_it(shell: Shell, workers: int) -> None:
    with EarmarkServer(catalog="preset:monthly", workers=workers) as server:
        for _ in range(4):
            shown = json.loads(shell("catalog", "show", "--json", "--address", server.address)[1])
            assert (shown["version"], shown["name"]) == (1, "monthly")
