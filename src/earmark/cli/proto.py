"""`earmark proto`: the protos, for clients in other languages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from earmark.cli.exits import CommandError
from earmark.cli.groups import CommandGroup
from earmark.cli.output import note

__all__ = ["commands"]

commands = CommandGroup("Get the protos, to generate clients in other languages.")


@commands.callback()
def root() -> None:
    """Keep `proto` a group, though it has one command."""


@commands.add("earmark proto export ./proto", "protoc -I proto --go_out=. --go-grpc_out=. proto/earmark/v1/*.proto")
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made if absent.", show_default=False)],
) -> None:
    """Write the protos and everything they import to DIR, which is then the one include path to name."""
    written = 0
    for name, source in sorted(_protos()):
        target = directory / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
        except OSError as error:
            raise CommandError(f"cannot write {target}: {error.strerror}") from None
        written += 1
    note(f"{written} protos written to {directory}.")


def _protos() -> Iterator[tuple[str, Traversable]]:
    """Yield every proto with its import name."""
    packaged = files("earmark") / "proto" / "earmark" / "v1"
    # In a checkout the sources stand beside src/.
    own = packaged if packaged.is_dir() else files("earmark") / ".." / ".." / "proto" / "earmark" / "v1"
    if not own.is_dir():
        raise CommandError("this installation has no protos: reinstall earmark")
    for source in own.iterdir():
        if source.name.endswith(".proto"):
            yield f"earmark/v1/{source.name}", source
    yield "google/rpc/status.proto", files("google.rpc") / "status.proto"
    for source in (files("earmark.cli") / "protos" / "google" / "protobuf").iterdir():
        yield f"google/protobuf/{source.name}", source
