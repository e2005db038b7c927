"""The catalogs that ship with Earmark, and documents named by `PATH` or `preset:NAME`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from earmark.catalogs.document import MAX_DOCUMENT_BYTES
from earmark.catalogs.fields import closest
from earmark.errors import InvalidRequest, Reason, error

__all__ = ["PRESETS", "read_source"]

PRESETS = ("inspira", "workspace", "monthly", "amisi")
"""Names of the presets."""

_PREFIX = "preset:"


def read_source(source: str) -> str:
    """Return the document that `PATH` or `preset:NAME` names.

    Raises:
        InvalidRequest: no such preset; the file is no UTF-8 text, or larger than 1 MiB.
        OSError: the file cannot be read.
    """
    if not source.startswith(_PREFIX):
        return _decode(source, _read(Path(source)))
    name = source.removeprefix(_PREFIX)
    if name not in PRESETS:
        raise _refusal(f"there is no preset {name!r}: {closest(name, PRESETS)}")
    return _decode(source, (files("earmark.catalogs") / f"{name}.yaml").read_bytes())


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise _refusal(f"{path} has more than 1 MiB")
    return content


def _decode(source: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise _refusal(f"{source} is no UTF-8 text: line {line}") from None


def _refusal(message: str) -> InvalidRequest:
    refusal = error(Reason.INVALID_CATALOG, message, field="document")
    assert isinstance(refusal, InvalidRequest)
    return refusal
