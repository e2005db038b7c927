"""`earmark demo --catalog`: a month in the life of each credit system, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from earmark.catalogs.presets import PRESETS

PROGRAM = "import sys; from earmark.cli.main import main; sys.exit(main())"


def demo(directory: Path, *arguments: str, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    """Run the demo in an empty directory."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EARMARK_")}
    done = subprocess.run(
        [sys.executable, "-c", program, "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=directory,
        env=environment,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("name", PRESETS)
def test_every_figure_of_a_month_agrees(name: str, tmp_path: Path) -> None:
    played = demo(tmp_path, "--catalog", f"preset:{name}", "--seed", "7")
    assert played.returncode == 0, played.stderr
    lines = played.stdout.splitlines()
    assert lines[-1].startswith("Every figure agrees, to the microcredit.")
    assert lines[-2].startswith("No drift: Redis and SQL agree on")
    assert any(line.startswith("Alerts: ") and "balance" in line for line in lines)


OWN = """
format: 1
name: own
thresholds: {low: 20, critical: 5}
default_plan: starter
limits:
  daily: {scope: account, window: day, amount: 12, mode: block}
operations:
  chat: {price: {tokens: {input: 3, output: 15, per: 100000}}}
  image: {price: 2, unit: image}
  speech: {price: {per_unit: 0.5, step: 100, count: characters}}
  strategy: {price: {range: [2, 5]}}
  view: {price: free, record: false}
  extra: {price: 1, requires: extras}
plans:
  starter: {credits: 60, rollover: 10, validity: cycle, prices: {month: {USD: 5}}}
  better: {credits: 90, prices: {month: {USD: 9}}, entitlements: {extras: true}}
packs:
  small: {credits: 40, prices: {USD: 4}, validity: 10 days}
"""


def test_a_month_of_a_catalog_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    played = demo(tmp_path, "--catalog", "own.yaml", "--seed", "7")
    assert played.returncode == 0, played.stderr
    assert "own: three accounts" in played.stdout
    for operation in ("chat", "image", "speech", "strategy"):
        assert f"\n{operation} " in played.stdout
    assert "\nextra " not in played.stdout


def test_the_same_seed_lives_the_same_life(tmp_path: Path) -> None:
    first, second = (demo(tmp_path, "--catalog", "preset:monthly", "--seed", "12") for _ in range(2))
    assert first.returncode == second.returncode == 0
    assert first.stdout.splitlines()[:-1] == second.stdout.splitlines()[:-1]


def test_what_does_not_agree_is_noticed(tmp_path: Path) -> None:
    """An arithmetic that is a microcredit off must not pass."""
    spoiled = (
        "import sys\n"
        "from earmark.cli.demo.month.book import Book\n"
        "from earmark.cli.main import main\n"
        "real = Book.grant\n"
        "def grant(self, kind, amount, *rest):\n"
        "    real(self, kind, amount + (kind == 'purchase'), *rest)\n"
        "Book.grant = grant\n"
        "sys.exit(main())\n"
    )
    played = demo(tmp_path, "--catalog", "preset:workspace", "--seed", "7", program=spoiled)
    assert played.returncode == 1
    assert "instead of" in played.stderr
    assert "Every figure agrees" not in played.stdout


def test_a_catalog_that_is_none(tmp_path: Path) -> None:
    for source, said in (("preset:gold", "no preset 'gold'"), ("none.yaml", "none.yaml: No such file")):
        refused = demo(tmp_path, "--catalog", source)
        assert refused.returncode == 1
        [line] = refused.stderr.splitlines()
        assert said in line
