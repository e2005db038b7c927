"""Fixtures of every test: a real engine per worker, real databases, and what reproduces a failure."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from earmark.ledger import upgrade
from tests.support.engine import SharedEngine, shared_engine
from tests.support.postgres import PostgresServer, shared_postgres

# A slow machine is no failure; a failing example prints what repeats it.
hypothesis.settings.register_profile(
    "earmark",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("earmark")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        metavar="PATH",
        type=Path,
        help="the valkey-server or redis-server to test on (default: PATH, else the embedded extra's)",
    )


def pytest_configure(config: pytest.Config) -> None:
    binary: Path | None = config.getoption("--engine")
    if binary is None:
        return
    if not os.access(binary, os.X_OK):
        raise pytest.UsageError(f"--engine: {binary} is no program")
    # First on PATH under the name that is looked for first: the sidecars that tests start take it as well.
    directory = tempfile.TemporaryDirectory(prefix="earmark-engine-")
    config.add_cleanup(directory.cleanup)
    (Path(directory.name) / "valkey-server").symlink_to(binary.absolute())
    os.environ["PATH"] = f"{directory.name}{os.pathsep}{os.environ['PATH']}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        command = ["pytest", "-n0", item.nodeid]
        binary = item.config.getoption("--engine")
        if binary is not None:
            command.append(f"--engine={binary}")
        lines = [shlex.join(command)]
        engine = getattr(item, "funcargs", {}).get("engine")
        if isinstance(engine, SharedEngine):
            lines.append(f"engine: {engine.version()}")
        report.sections.append(("To reproduce", "\n".join(lines)))
    return report


@pytest.fixture(scope="session")
def _engine_of_worker() -> Iterator[SharedEngine]:
    with shared_engine() as engine:
        yield engine


@pytest.fixture
def engine(_engine_of_worker: SharedEngine) -> SharedEngine:
    """A real, empty engine."""
    _engine_of_worker.empty()
    return _engine_of_worker


@pytest.fixture
def redis_url(engine: SharedEngine) -> str:
    """The URL of a real, empty engine."""
    return engine.url


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, one per worker."""
    with shared_postgres() as server:
        server.make_template()
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the newest schema and no rows."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh ledger, once on each database: the newest schema, no rows."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.fresh_database()
    path = tmp_path / "ledger.db"
    shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"
