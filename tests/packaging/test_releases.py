"""The tested releases: what pyproject.toml allows and what constraints.txt pins belong together."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    texts = [*project["dependencies"], *(text for extra in extras for text in extra)]
    return [requirement for requirement in map(Requirement, texts) if requirement.name != project["name"]]


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_every_dependency_is_pinned_at_a_release_that_is_allowed() -> None:
    pinned = pins()
    assert {canonicalize_name(need.name) for need in requirements()} <= set(pinned)
    assert [str(need) for need in requirements() if pinned[canonicalize_name(need.name)] not in need.specifier] == []


def test_the_generated_code_runs_on_the_oldest_protobuf_that_is_allowed() -> None:
    [protobuf] = [need for need in requirements() if need.name == "protobuf"]
    generated = (ROOT / "src/earmark/v1/common_pb2.py").read_text(encoding="utf-8")
    generator = re.search(r"# Protobuf Python Version: ([0-9.]+)", generated)
    assert generator is not None
    assert f">={generator[1]}" in str(protobuf.specifier)
