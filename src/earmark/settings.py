"""The configuration of the sidecar: every flag of `earmark serve` is a field here and an `EARMARK_*` variable.

A flag wins over its variable, a variable over the default. Durations are written `250ms`, `30s`, `5m`, `1h`, `7d`;
sizes `64mb`, `4gb`. Inside, durations are integers of microseconds and sizes integers of bytes.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = [
    "AppendFsync",
    "LogFormat",
    "LogLevel",
    "Settings",
    "SettingsError",
    "Switch",
    "is_loopback",
    "parse_duration",
    "parse_size",
]

PREFIX = "EARMARK_"

_MICROS_OF_UNIT = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_BYTES_OF_UNIT = {"": 1, "b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-z]*)")

CLIENT_VARIABLES = frozenset({"EARMARK_ADDRESS", "EARMARK_API_KEY"})
"""Read by the command line's client commands, not by the sidecar."""


class SettingsError(ValueError):
    """The configuration is wrong. The message is one line that names the setting."""


@unique
class AppendFsync(StrEnum):
    """When the embedded engine's append-only file reaches the disk."""

    ALWAYS = "always"
    EVERYSEC = "everysec"


@unique
class LogLevel(StrEnum):
    """The least severe message that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@unique
class LogFormat(StrEnum):
    """How log lines look: for people, for machines, or by whether stderr is a terminal."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


@unique
class Switch(StrEnum):
    """A setting that is on or off."""

    ON = "on"
    OFF = "off"


def parse_duration(text: str | int) -> int:
    """Return the microseconds of `30s`, `250ms`, `1.5h`, …; an integer is microseconds already.

    Raises:
        ValueError: for anything else, and for fractions of a microsecond.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    return _parse_quantity(text, _MICROS_OF_UNIT, "a duration such as 250ms, 30s, 5m or 1h")


def parse_size(text: str | int) -> int:
    """Return the bytes of `64mb`, `4gb`, …; a plain number is bytes.

    Raises:
        ValueError: for anything else, and for fractions of a byte.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    return _parse_quantity(text, _BYTES_OF_UNIT, "a size such as 64mb or 4gb")


def _parse_quantity(text: object, units: Mapping[str, int], expected: str) -> int:
    match = _QUANTITY.fullmatch(text.strip().lower()) if isinstance(text, str) and len(text) <= 64 else None
    if match is None or match[2] not in units:
        raise ValueError(f"{str(text)[:64]!r} is not {expected}")
    value = Decimal(match[1]) * units[match[2]]
    if value != int(value):
        raise ValueError(f"{text!r} is finer than can be kept")
    return int(value)


def is_loopback(listener: str) -> bool:
    """Return whether only this machine can reach a listener `HOST:PORT` or `unix:PATH`."""
    if listener.startswith("unix:"):
        return True
    host = listener.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_listener(listener: str) -> str:
    if listener.startswith("unix:"):
        path = listener.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ValueError(f"{listener!r} names no path after unix:")
        absolute = os.path.abspath(path)  # noqa: PTH100 - the text counts, not what it resolves to
        if len(os.fsencode(absolute)) > 107:
            raise ValueError(f"{listener[:32]!r}… is too long: the path of a Unix socket has at most 107 bytes")
        return f"unix:{absolute}"
    host, colon, port = listener.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{listener[:64]!r} is neither HOST:PORT nor unix:PATH")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{listener!r}: an IPv6 address goes in brackets, as [::1]:7070")
    return f"{host}:{int(port)}"


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Duration = Annotated[int, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]


class Settings(BaseSettings):
    """What `earmark serve` runs with.

    Build it with `Settings.load(...)`, which gives one-line errors. Fields given as None are left to their variable.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)

    listen: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)] = ("127.0.0.1:7070",)
    """Where to serve: `HOST:PORT` or `unix:PATH`; several are separated by commas in the variable."""
    redis_url: str | None = None
    """`redis://`, `rediss://` or `unix://`; None starts the embedded engine."""
    database_url: str | None = None
    """A SQLAlchemy URL, or `postgres://…`; None is SQLite under `data_dir`."""
    data_dir: Path = Path("earmark-data")
    """Where the embedded engine and SQLite keep their files."""
    catalog: str | None = None
    """`PATH` or `preset:NAME`, installed at the start if it differs from the latest; None leaves what is installed."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that serve."""
    jobs: Switch = Switch.ON
    """Whether flush, sweep and recovery run here, or are left to other sidecars."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port on loopback for Prometheus; None has none, 0 takes a free one."""
    replay_window: Duration = 3_600_000_000
    """How long an ended reservation's request id still answers, in microseconds."""
    drain_timeout: Duration = 30_000_000
    """How long Commit, Release and Extend still pass after SIGTERM, in microseconds."""
    reuse_port: bool = False
    """Share the port with other processes (SO_REUSEPORT)."""
    allow_insecure: bool = False
    """Listen beyond loopback without access keys."""
    partitions: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Partitions of a store that is initialised now; a store that exists keeps its own number. None is one with the
    embedded engine, and four with a Redis that several sidecars may share."""
    appendfsync: AppendFsync = AppendFsync.ALWAYS
    """When the embedded engine's append-only file reaches the disk."""
    engine_maxmemory: Size | None = None
    """Memory of the embedded engine in bytes; None is a quarter of this machine's."""
    max_calls_in_flight: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    """Calls of one `Session` stream that are answered at the same time; more wait unread."""
    max_message_bytes: Size = 4 * 2**20
    """The largest message that is accepted, in bytes."""
    backlog_limit: Annotated[int, Field(ge=1)] = 5_000_000
    """Unflushed entries of the whole store above which new reservations get OVERLOADED."""
    smtp_url: Annotated[str | None, Field(repr=False)] = None
    """Where alerts are handed in as mail: `smtp://user:password@host:587`, or `smtps://…`; None sends none."""
    smtp_from: str = ""
    """Whom that mail comes from: an address, or `Name <address>`."""
    webhook_secret: Annotated[str, Field(repr=False)] = ""
    """Signs the webhooks of accounts that have no secret of their own; "" leaves those unsigned."""
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.AUTO
    test_store: bool = False
    """Initialise a new store for tests: its clock can be moved. A store that exists keeps what it is."""

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Read the variables, with the flags that are not None above them.

        Raises:
            SettingsError: one line, naming every setting at fault.
        """
        given = {name: value for name, value in flags.items() if value is not None and value != ()}
        try:
            return cls(**given)
        except ValidationError as invalid:
            raise SettingsError("; ".join(_describe(error) for error in invalid.errors())) from None

    @classmethod
    def unknown_variables(cls, environment: Mapping[str, str] | None = None) -> list[str]:
        """Return the `EARMARK_*` variables that name no setting: most likely misspelled, worth a warning."""
        known = {f"{PREFIX}{name.upper()}" for name in cls.model_fields} | CLIENT_VARIABLES
        names = os.environ if environment is None else environment
        return sorted(name for name in names if name.upper().startswith(PREFIX) and name.upper() not in known)

    @field_validator("listen")
    @classmethod
    def _listen_is_well_formed(cls, listeners: tuple[str, ...]) -> tuple[str, ...]:
        if not listeners:
            raise ValueError("name at least one HOST:PORT or unix:PATH")
        checked = tuple(_check_listener(listener) for listener in listeners)
        twice = {listener for listener in checked if checked.count(listener) > 1 and not listener.endswith(":0")}
        if twice:
            raise ValueError(f"{min(twice)} is named twice")
        return checked

    @field_validator("redis_url")
    @classmethod
    def _redis_url_is_known(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return url

    @field_validator("database_url")
    @classmethod
    def _database_url_is_known(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"(sqlite|postgres|postgresql)(\+[a-z0-9]+)?://", url):
            raise ValueError("must start with sqlite:// or postgresql://")
        return url

    @field_validator("replay_window")
    @classmethod
    def _replay_window_is_sane(cls, micros: int) -> int:
        if not 1_000_000 <= micros <= 30 * 86_400_000_000:
            raise ValueError("must be between 1s and 30d")
        return micros

    @field_validator("drain_timeout")
    @classmethod
    def _drain_timeout_is_sane(cls, micros: int) -> int:
        if micros > 3_600_000_000:
            raise ValueError("must be at most 1h")
        return micros

    @field_validator("engine_maxmemory")
    @classmethod
    def _engine_maxmemory_is_sane(cls, size: int | None) -> int | None:
        if size is not None and size < 16 * 2**20:
            raise ValueError("must be at least 16mb")
        return size

    @field_validator("max_message_bytes")
    @classmethod
    def _max_message_is_sane(cls, size: int) -> int:
        if not 64 * 2**10 <= size <= 64 * 2**20:
            raise ValueError("must be between 64kb and 64mb")
        return size

    @model_validator(mode="after")
    def _insecure_listeners_are_wanted(self) -> Self:
        open_listeners = [listener for listener in self.listen if not is_loopback(listener)]
        if open_listeners and not self.allow_insecure:
            raise ValueError(
                f"listen: {open_listeners[0]} is reachable from other machines and nothing checks who calls; "
                "--allow-insecure says that this is wanted"
            )
        return self


def _describe(error: ErrorDetails) -> str:
    setting = str(error["loc"][0]) if error["loc"] else ""
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such setting"
    if message.startswith("Input"):
        message = f"i{message[1:]}"
    return f"{setting}: {message}" if setting else message
