"""Importing `earmark` costs a worker nothing of the server."""

import subprocess
import sys

import earmark

ALLOWED = ("earmark.client", "earmark.v1", "earmark.credits", "earmark.errors")


def imported_by(statement: str) -> list[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def test_importing_the_client_imports_nothing_of_the_server():
    names = imported_by("from earmark import AsyncClient")
    assert "earmark.client" in names
    ours = [name for name in names if name.startswith("earmark.")]
    assert [name for name in ours if not name.startswith(ALLOWED)] == []
    assert not {"redis", "sqlalchemy", "pydantic", "structlog", "uvloop"}.intersection(names)


def test_grpc_is_imported_by_neither_the_package_nor_the_command_line():
    """Its core reads the environment then, which the command line sets (`earmark.cli`)."""
    assert "grpc" not in imported_by("import earmark")
    assert "grpc" not in imported_by("import earmark.cli.main")


def test_every_public_name_is_there():
    for name in earmark.__all__:
        assert getattr(earmark, name) is not None
    assert not hasattr(earmark, "no_such_name")
