"""Logs and metrics: one form on stderr, nothing on stdout, no secrets."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter

from earmark.settings import LogFormat, LogLevel
from earmark.telemetry import configure_logging, serve_metrics


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configuration = structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configuration)


def test_json_lines_of_both_loggers_look_alike(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger("earmark.one").info("hello", partition=3)
    logging.getLogger("other").warning("of %s", "theirs")
    structlog.get_logger("earmark.one").debug("not shown")
    captured = capsys.readouterr()
    ours, theirs = (json.loads(line) for line in captured.err.splitlines())
    assert (ours["event"], ours["level"], ours["logger"], ours["partition"]) == ("hello", "info", "earmark.one", 3)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("of theirs", "warning", "other")
    assert captured.out == ""


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
def test_a_traceback_shows_no_values(log_format: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.INFO, log_format)
    url = "postgresql://earmark:" + "hunter2" * 2
    try:
        raise RuntimeError
    except RuntimeError:
        structlog.get_logger().exception("failed", length=len(url))
    shown = capsys.readouterr().err
    assert "RuntimeError" in shown
    assert "hunter2hunter2" not in shown


def test_away_from_a_terminal_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    structlog.get_logger().warning("hello")
    assert json.loads(capsys.readouterr().err)["event"] == "hello"


def test_configuring_twice_does_not_double_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.INFO, LogFormat.JSON)
    configure_logging(LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger().info("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_metrics_are_served_on_loopback_until_stopped() -> None:
    registry = CollectorRegistry()
    Counter("earmark_tests", "Counted here.", registry=registry).inc()
    port, stop = serve_metrics(0, registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            assert b"earmark_tests_total 1.0" in response.read()
        with pytest.raises(OSError, match="in use"):
            serve_metrics(port, registry)
    finally:
        stop()
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)
