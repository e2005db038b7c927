"""`earmark serve`: the sidecar."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from earmark.cli.output import note
from earmark.cli.stores import DatabaseUrl, DataDir, RedisUrl, store_settings

__all__ = ["EXAMPLES", "serve"]

EXAMPLES = (
    "earmark serve",
    "earmark serve --catalog preset:inspira",
    "earmark serve --listen unix:/run/earmark.sock --listen 127.0.0.1:7070 --data-dir /var/lib/earmark",
    "earmark serve --redis-url redis://redis:6379/0 --database-url postgresql://earmark@db/earmark --workers 2",
)

_STORES, _SERVING, _LOGS = "Stores", "Serving", "Logs"


def _option(flag: str, metavar: str, help_text: str, default: str | bool, panel: str = _SERVING) -> Any:
    return typer.Option(flag, metavar=metavar, help=help_text, show_default=default, rich_help_panel=panel)


def serve(
    listen: Annotated[
        list[str] | None,
        _option("--listen", "ADDRESS", "HOST:PORT or unix:PATH; repeat it for more.", "127.0.0.1:7070"),
    ] = None,
    redis_url: RedisUrl = None,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
    catalog: Annotated[
        str | None,
        _option("--catalog", "PATH|preset:NAME", "Install this catalog, if it differs from the latest.", "none"),
    ] = None,
    workers: Annotated[str | None, _option("--workers", "N", "Processes that serve.", "1")] = None,
    jobs: Annotated[
        str | None,
        _option("--jobs", "on|off", "Flush, sweep and recover here, or leave it to other sidecars.", "on"),
    ] = None,
    metrics_port: Annotated[
        str | None, _option("--metrics-port", "PORT", "Prometheus metrics on 127.0.0.1; 0 takes a free port.", "none")
    ] = None,
    replay_window: Annotated[
        str | None,
        _option("--replay-window", "DURATION", "How long the request id of an ended reservation still answers.", "1h"),
    ] = None,
    drain_timeout: Annotated[
        str | None,
        _option("--drain-timeout", "DURATION", "How long commits and releases still pass after SIGTERM.", "30s"),
    ] = None,
    reuse_port: Annotated[
        bool, typer.Option("--reuse-port", help="Share the port with other processes.", rich_help_panel=_SERVING)
    ] = False,
    allow_insecure: Annotated[
        bool,
        typer.Option(
            "--allow-insecure", help="Listen beyond this machine without access keys.", rich_help_panel=_SERVING
        ),
    ] = False,
    partitions: Annotated[
        str | None,
        _option("--partitions", "N", "Partitions of a store that is made now.", "1; 4 with --redis-url", _STORES),
    ] = None,
    appendfsync: Annotated[
        str | None,
        _option(
            "--appendfsync", "always|everysec", "When the embedded engine's file reaches the disk.", "always", _STORES
        ),
    ] = None,
    engine_maxmemory: Annotated[
        str | None,
        _option("--engine-maxmemory", "SIZE", "Memory of the embedded engine.", "a quarter of the machine's", _STORES),
    ] = None,
    max_calls_in_flight: Annotated[
        str | None,
        _option("--max-calls-in-flight", "N", "Calls of one session that are answered at a time.", "4096"),
    ] = None,
    max_message_bytes: Annotated[
        str | None, _option("--max-message-bytes", "SIZE", "The largest message that is taken.", "4mb")
    ] = None,
    backlog_limit: Annotated[
        str | None,
        _option("--backlog-limit", "N", "Unflushed entries above which reservations are refused.", "5000000", _STORES),
    ] = None,
    log_level: Annotated[
        str | None, _option("--log-level", "debug|info|warning|error", "The least severe message.", "info", _LOGS)
    ] = None,
    log_format: Annotated[
        str | None,
        _option("--log-format", "auto|console|json", "auto: console on a terminal, else JSON.", "auto", _LOGS),
    ] = None,
    test_store: Annotated[
        bool,
        typer.Option("--test-store", help="Make a new store whose clock tests can move.", rich_help_panel=_STORES),
    ] = False,
) -> None:
    """Run the sidecar until SIGTERM or Ctrl-C, which drain it.

    Without any option it starts an engine of its own (Valkey or Redis, with an append-only file) and a SQLite ledger,
    both under ./earmark-data; a second start finds everything again. Each option is also a variable: --redis-url is
    EARMARK_REDIS_URL, --listen is EARMARK_LISTEN with commas between addresses.
    """
    settings = store_settings(
        listen=tuple(listen or ()),
        redis_url=redis_url,
        database_url=database_url,
        data_dir=data_dir,
        catalog=catalog,
        workers=workers,
        jobs=jobs,
        metrics_port=metrics_port,
        replay_window=replay_window,
        drain_timeout=drain_timeout,
        reuse_port=reuse_port or None,
        allow_insecure=allow_insecure or None,
        partitions=partitions,
        appendfsync=appendfsync,
        engine_maxmemory=engine_maxmemory,
        max_calls_in_flight=max_calls_in_flight,
        max_message_bytes=max_message_bytes,
        backlog_limit=backlog_limit,
        log_level=log_level,
        log_format=log_format,
        test_store=test_store or None,
    )
    from earmark.app import run

    for name in settings.unknown_variables():
        note(f"{name} is no setting of this release: is it misspelled?")
    run(settings, on_ready=lambda addresses: print(f"earmark serves on {', '.join(addresses)}", flush=True))
