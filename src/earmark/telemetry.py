"""Logs: one structlog set-up for every process of Earmark, as console lines or as JSON, always on stderr.

Metrics are Prometheus objects beside the code that counts; `serve_metrics` shows them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from structlog.typing import Processor

from earmark.settings import LogFormat, LogLevel

__all__ = ["configure_logging", "serve_metrics"]


def configure_logging(level: LogLevel = LogLevel.INFO, log_format: LogFormat = LogFormat.AUTO) -> None:
    """Send structlog's events and the standard library's records to stderr, in one form.

    AUTO is CONSOLE on a terminal and JSON elsewhere. Calling it again replaces the former set-up.
    """
    as_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_number_of(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderers: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            # Rich tracebacks print locals, and with them the passwords of URLs.
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_number_of(level))
    for chatty in ("alembic", "asyncio", "sqlalchemy.engine"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, _number_of(level)))


def serve_metrics(port: int, registry: CollectorRegistry = REGISTRY) -> tuple[int, Callable[[], None]]:
    """Serve the registry on 127.0.0.1 in a thread of its own; return the port and what stops it.

    Raises:
        OSError: the port is taken.
    """
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return int(server.server_address[1]), stop


def _number_of(level: LogLevel) -> int:
    return logging.getLevelNamesMapping()[level.value.upper()]
