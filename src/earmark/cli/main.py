"""The entry point: the tree of commands, and how any failure becomes one line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from earmark.cli import (
    account,
    catalog,
    clock,
    database,
    demo,
    estimate,
    health,
    imports,
    ledger,
    proto,
    purchase,
    reconcile,
    report,
    reservation,
    serve,
    subscription,
)
from earmark.cli.exits import CommandError, ExitStatus, status_of
from earmark.cli.groups import CommandGroup
from earmark.cli.options import examples
from earmark.errors import EarmarkError

__all__ = ["app", "main"]

app = CommandGroup(
    "Earmark: a metering sidecar for AI platforms that sell credits. It reserves credits before a generation, charges "
    "what was really used, gives everything back when it fails, and keeps each settled entry in a SQL ledger."
)


def _show_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"earmark {version('earmark')}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "earmark demo                                   see it work, in under a minute",
        "earmark serve                                  the sidecar, on 127.0.0.1:7070",
        "earmark account create acme --grant 100        an account with 100 credits",
        "earmark ledger list acme                       what happened to them",
        "earmark reconcile                              Redis and SQL agree",
    )
    + "\n\n[bold]Exit statuses[/bold]\n\n"
    "  0 done   1 refused   2 wrong usage   69 nobody answers, or not in time   70 a bug   130 Ctrl-C"
)
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hold the options that stand before any command."""


app.add(*serve.EXAMPLES)(serve.serve)
app.add(*demo.EXAMPLES)(demo.demo)
app.add_typer(account.commands, name="account")
app.add_typer(catalog.commands, name="catalog")
app.add_typer(subscription.commands, name="subscription")
app.add_typer(purchase.commands, name="purchase")
app.add(*estimate.EXAMPLES)(estimate.estimate)
app.add_typer(reservation.commands, name="reservation")
app.add_typer(ledger.commands, name="ledger")
app.add_typer(report.commands, name="report")
app.add(*reconcile.EXAMPLES)(reconcile.reconcile)
app.add(*imports.EXAMPLES, name="import")(imports.import_accounts)
app.add(*health.EXAMPLES)(health.health)
app.add_typer(clock.commands, name="clock")
app.add_typer(proto.commands, name="proto")
app.add_typer(database.commands, name="db")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. Every failure is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # A terminal that cannot show a character gets its number, not a crash.
            stream.reconfigure(errors="backslashreplace")
    given = sys.argv[1:] if arguments is None else list(arguments)
    if any(not _is_text(argument) for argument in given):
        return _fail("an argument is no UTF-8 text", ExitStatus.USAGE)
    try:
        # Not standalone: returns the status of `typer.Exit`, 130 after Ctrl-C, and raises everything else.
        status = get_command(app).main(args=given, prog_name="earmark", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _report_usage(error)
    except CommandError as error:
        return _fail(str(error), error.status)
    except EarmarkError as error:
        return _fail(f"{error} ({error.reason})", status_of(error))
    except (typer.Abort, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        return _quiet_pipe()
    except OSError as error:
        reason = error.strerror or str(error)
        return _fail(f"{error.filename}: {reason}" if error.filename else reason, ExitStatus.REFUSED)
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        return _fail(f"bug: {type(error).__name__}: {error} (PYTHONDEVMODE=1 shows where)", ExitStatus.INTERNAL)
    return status if isinstance(status, int) else ExitStatus.OK


def _is_text(argument: str) -> bool:
    """Return whether an argument is text; bytes that are not UTF-8 come as halves of surrogate pairs."""
    return not any("\ud800" <= char <= "\udfff" for char in argument)


def _report_usage(error: typer.TyperException) -> int:
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    if not message:
        return error.exit_code  # A bare group: its help was printed.
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    return _fail(f"{message}{hint}", ExitStatus.USAGE)


def _fail(message: str, status: ExitStatus) -> int:
    print(f"earmark: {' '.join(message.split())}", file=sys.stderr)
    return status


def _quiet_pipe() -> int:
    """End without a word when the reader of our output has gone, as `head` does."""
    # The interpreter flushes stdout once more at exit; it must not find the broken pipe again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitStatus.REFUSED
