"""The built wheel, not the source tree: installed in an environment of its own, it serves."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Runs in the new environment; prints where it was imported from, and the ledger as the command line shows it.
WORKER = """
import subprocess, sys
from decimal import Decimal
from pathlib import Path
import earmark
from earmark import Client
from earmark.testing import EarmarkServer

earmark_command = Path(sys.executable).with_name("earmark")

def run(*arguments):
    subprocess.run([earmark_command, *arguments], check=True)

print(Path(earmark.__file__).parent, flush=True)
with EarmarkServer() as server:
    run("account", "create", "acme", "--grant", "100", "--address", server.address)
    with Client(server.address) as client:
        with client.reserve("acme", amount="0.5", operation="image.generate", user_id="ada") as hold:
            hold.commit(amount="0.38")
        assert hold.receipt.charged == Decimal("0.38"), hold.receipt
    server.stop()
    run("reconcile", "--data-dir", server.data_dir)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that this tree builds, with the tools that are installed."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    [path] = target.glob("earmark-*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel alone; what it depends on is borrowed from the one that runs this."""
    directory = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(directory, symlinks=True)
    python = directory / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    # Later on the path than the wheel; a path file inside it, such as an editable install's, is not followed.
    [site_packages] = directory.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return directory / "bin"


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not name.partition("/")[0].endswith(".dist-info")}
    source = ROOT / "src"
    expected = {
        str(path.relative_to(source))
        for path in (source / "earmark").rglob("*")
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in path.parts)
    }
    expected |= {f"earmark/{path.relative_to(ROOT)}" for path in (ROOT / "proto").rglob("*.proto")}
    assert packed == expected
    kinds = {Path(name).suffix for name in packed}
    assert {".lua", ".proto", ".pyi"} <= kinds
    assert "earmark/py.typed" in packed
    assert any("/migrations/" in name for name in packed)


def test_the_command_runs_without_the_source_tree(environment: Path, tmp_path: Path) -> None:
    version = subprocess.run(
        [environment / "earmark", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("earmark 0.")


def test_it_exports_the_protos_with_all_that_they_import(environment: Path, tmp_path: Path) -> None:
    subprocess.run([environment / "earmark", "proto", "export", "out"], cwd=tmp_path, check=True)
    exported = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.proto"))
    (tmp_path / "code").mkdir()
    protoc = [
        sys.executable,
        "-c",
        "import grpc_tools._protoc_compiler as p, sys; sys.exit(p.run_main([a.encode() for a in sys.argv]))",
    ]
    compiled = subprocess.run(
        [*protoc, f"-I{tmp_path / 'out'}", f"--python_out={tmp_path / 'code'}", *exported],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stderr
    assert "google/rpc/status.proto" in exported


def test_it_serves(environment: Path, tmp_path: Path) -> None:
    worked = subprocess.run(
        [environment / "python", "-c", WORKER], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert worked.returncode == 0, worked.stdout + worked.stderr
    assert Path(worked.stdout.splitlines()[0]).is_relative_to(environment.parent)
