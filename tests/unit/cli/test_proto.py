"""`earmark proto export`: what it writes compiles with no other include path."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.unit.cli.conftest import Ran


def test_exported_protos_compile_alone(run: Callable[..., Ran], tmp_path: Path) -> None:
    target = tmp_path / "protos"
    assert run("proto", "export", str(target)).status == 0
    sources = sorted(str(path) for path in target.rglob("*.proto"))
    names = {str(path.relative_to(target)) for path in target.rglob("*.proto")}
    assert {"earmark/v1/metering_service.proto", "google/rpc/status.proto", "google/protobuf/any.proto"} <= names
    # The bare compiler, without the include path that its Python front adds.
    arguments = [b"protoc", f"-I{target}".encode(), f"--descriptor_set_out={tmp_path / 'out'}".encode()]
    program = (
        "import sys; from grpc_tools import _protoc_compiler;"
        f"sys.exit(_protoc_compiler.run_main({[*arguments, *(source.encode() for source in sources)]!r}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "out").stat().st_size > 10_000


def test_a_directory_that_cannot_be_made_is_one_line(run: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = run("proto", "export", str(tmp_path / "file" / "protos"))
    assert ran.status == 1
    assert "cannot write" in ran.error
