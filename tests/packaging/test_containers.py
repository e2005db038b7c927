"""The compose file and the image: what they promise, read from the files themselves."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from earmark.settings import Settings, parse_duration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    return found


def test_nothing_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:7070:7070"]


def test_every_service_that_stays_has_a_health_check(services: dict[str, Any]) -> None:
    staying = {name: service for name, service in services.items() if service["restart"] != "no"}
    assert set(staying) == {"valkey", "postgres", "earmark"}
    assert all("test" in service["healthcheck"] for service in staying.values())


def test_the_engine_persists_and_never_evicts(services: dict[str, Any]) -> None:
    command = services["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] in {"always", "everysec"}
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--maxmemory"] != "0"


def test_the_sidecar_waits_for_its_stores_and_their_migration(services: dict[str, Any]) -> None:
    conditions = {name: wait["condition"] for name, wait in services["earmark"]["depends_on"].items()}
    assert conditions == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "valkey": "service_healthy",
    }
    assert services["migrate"]["image"] == services["earmark"]["image"]
    assert services["migrate"]["environment"] == services["earmark"]["environment"]


def test_the_sidecar_is_started_with_settings_that_it_accepts(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = services["earmark"]
    for name, value in sidecar["environment"].items():
        monkeypatch.setenv(name, value.replace("${POSTGRES_PASSWORD:-earmark}", "secret"))
    assert Settings.unknown_variables(sidecar["environment"]) == []
    program, *flags = sidecar["command"]
    assert program == "serve"
    assert flags == ["--listen", "0.0.0.0:7070", "--allow-insecure", "--drain-timeout", "30s"]
    settings = Settings.load(listen=("0.0.0.0:7070",), allow_insecure=True, drain_timeout="30s")
    assert settings.redis_url == "redis://valkey:6379/0"
    assert parse_duration(sidecar["stop_grace_period"]) > settings.drain_timeout


def test_the_image_copies_only_what_the_build_context_holds() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copies = [line.split()[1:-1] for line in dockerfile if line.startswith("COPY ") and "--from" not in line]
    assert {source for sources in copies for source in sources} == kept
    assert all((ROOT / source).exists() for source in kept)


def test_the_image_runs_as_an_ordinary_user_on_the_oldest_python_that_is_supported() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "USER earmark" in dockerfile.splitlines()
    assert f"FROM python:{project['requires-python'].removeprefix('>=')}-slim" in dockerfile
