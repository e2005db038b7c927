"""Importing `earmark` costs a worker nothing of the server."""

import subprocess
import sys

import earmark

ALLOWED = ("earmark.client", "earmark.v1", "earmark.credits", "earmark.errors")


def test_importing_earmark_imports_nothing_of_the_server():
    code = "import sys, earmark; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "earmark.client" in names
    ours = [name for name in names if name.startswith("earmark.")]
    assert [name for name in ours if not name.startswith(ALLOWED)] == []
    assert not {"redis", "sqlalchemy", "pydantic", "structlog", "uvloop"}.intersection(names)


def test_every_public_name_is_there():
    for name in earmark.__all__:
        assert getattr(earmark, name) is not None
