"""A command line that runs in this process, and a place where a sidecar would be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from earmark.cli.main import main


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


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EARMARK_ADDRESS", "EARMARK_API_KEY", "EARMARK_DATA_DIR", "EARMARK_REDIS_URL", "EARMARK_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run `earmark` with these arguments."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return Ran(int(status), out, err)

    return run
