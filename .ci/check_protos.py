"""The proto check: the generated code is what the protos give, and buf finds nothing to say about them.

Run from the root of the repository, in an environment with the `dev` extra:

    python .ci/check_protos.py            # compares; exit 1 and a diff if something differs
    python .ci/check_protos.py --write    # generates src/earmark/v1 anew
"""

from __future__ import annotations

import argparse
import difflib
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

import google.rpc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "proto"
GENERATED = ROOT / "src" / "earmark" / "v1"


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="generate the code instead of comparing it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name) / "generated"
        _generate(fresh)
        if arguments.write:
            _replace(fresh / "earmark" / "v1")
            return 0
        same = _compare(fresh / "earmark" / "v1")
        return 0 if _lint(Path(name) / "lint") and same else 1


def _generate(target: Path) -> None:
    target.mkdir()
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    with as_file(files("grpc_tools") / "_proto") as well_known:
        includes = [f"-I{PROTOS}", f"-I{well_known}", f"-I{_google_root()}"]
        subprocess.run(  # noqa: S603 - every argument is ours
            [sys.executable, "-m", "grpc_tools.protoc", *includes, *outputs, *_proto_files()], check=True
        )


def _compare(fresh: Path) -> bool:
    theirs = {path.name for path in GENERATED.glob("*_pb2*.py*") if path.is_file()}
    ours = {path.name for path in fresh.iterdir()}
    for name in sorted(theirs | ours):
        old = (GENERATED / name).read_text(encoding="utf-8") if name in theirs else ""
        new = (fresh / name).read_text(encoding="utf-8") if name in ours else ""
        if old != new:
            print(f"src/earmark/v1/{name} is not what proto/ gives: run python .ci/check_protos.py --write")
            difference = difflib.unified_diff(old.splitlines(), new.splitlines(), "committed", "generated", lineterm="")
            print("\n".join(line[:200] for line in list(difference)[:40]))
            return False
    print(f"generated code: {len(ours)} files are what {len(_proto_files())} protos give")
    return True


def _lint(stage: Path) -> bool:
    """Lint in a copy that holds google/rpc too: buf takes imports from modules, and we fetch none."""
    shutil.copytree(PROTOS, stage / "proto")
    google_root = _google_root()
    for proto in (google_root / "google" / "rpc").glob("*.proto"):
        target = stage / "google" / proto.relative_to(google_root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(proto, target)
    configuration = (ROOT / "buf.yaml").read_text(encoding="utf-8")
    (stage / "buf.yaml").write_text(
        configuration.replace("modules:\n", "modules:\n  - path: google\n", 1), encoding="utf-8"
    )
    buf = shutil.which("buf")
    if buf is None:
        print("buf is missing: it comes with the dev extra")
        return False
    arguments = [buf, "lint", *(f"--path=proto/{path.relative_to(PROTOS)}" for path in _proto_files())]
    clean = subprocess.run(arguments, cwd=stage, check=False).returncode == 0  # noqa: S603 - every argument is ours
    print("buf lint: clean" if clean else "buf lint: see above")
    return clean


def _replace(fresh: Path) -> None:
    for old in GENERATED.glob("*_pb2*.py*"):
        old.unlink()
    for new in fresh.iterdir():
        shutil.copyfile(new, GENERATED / new.name)


def _proto_files() -> list[Path]:
    return sorted(PROTOS.rglob("*.proto"))


def _google_root() -> Path:
    """Return the directory that google/rpc/*.proto of googleapis-common-protos are under."""
    return Path(next(iter(google.rpc.__path__))).parent.parent


if __name__ == "__main__":
    sys.exit(main())
