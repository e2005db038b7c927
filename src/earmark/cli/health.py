"""`earmark health`: a probe for containers."""

from __future__ import annotations

from typing import Annotated

import typer

from earmark.cli.connection import Connection, connected_for
from earmark.cli.exits import CommandError, ExitStatus
from earmark.cli.options import Json
from earmark.cli.output import print_json, print_line
from earmark.errors import EarmarkError, NotFound

__all__ = ["EXAMPLES", "health"]

EXAMPLES = (
    "earmark health",
    "earmark health --service earmark.v1.MeteringService --timeout 1",
    "earmark health --address unix:/run/earmark.sock",
)


@connected_for(5.0)
def health(
    connection: Connection,
    service: Annotated[
        str,
        typer.Option("--service", metavar="NAME", help="One service; the whole sidecar if absent.", show_default=False),
    ] = "",
    as_json: Json = False,
) -> None:
    """Ask whether a sidecar serves: exit status 0 if it does, 1 if it does not or nobody answers."""
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

    try:
        response = connection.call(connection.health.Check, HealthCheckRequest(service=service))
    except NotFound:
        raise CommandError(f"{connection.address} knows no service {service!r}") from None
    except EarmarkError as error:
        raise CommandError(f"{error} ({error.reason})", ExitStatus.REFUSED) from None
    state = HealthCheckResponse.ServingStatus.Name(response.status)
    if as_json:
        print_json({"address": connection.address, "service": service, "status": state})
    else:
        print_line(state)
    if response.status != HealthCheckResponse.SERVING:
        raise typer.Exit(ExitStatus.REFUSED)
