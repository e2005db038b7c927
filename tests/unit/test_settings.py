"""The configuration: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from earmark.settings import AppendFsync, Settings, SettingsError, Switch, is_loopback, parse_duration, parse_size


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.upper().startswith("EARMARK_")]:
        monkeypatch.delenv(name)


def test_nothing_has_to_be_set() -> None:
    settings = Settings.load()
    assert settings.listen == ("127.0.0.1:7070",)
    assert settings.data_dir == Path("earmark-data")
    assert settings.redis_url is None
    assert settings.database_url is None
    assert settings.appendfsync is AppendFsync.ALWAYS
    assert settings.replay_window == 3600 * 1_000_000
    assert settings.drain_timeout == 30 * 1_000_000


def test_a_flag_wins_over_its_variable_and_a_variable_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_WORKERS", "3")
    monkeypatch.setenv("EARMARK_JOBS", "off")
    settings = Settings.load(workers=2, jobs=None)
    assert settings.workers == 2
    assert settings.jobs is Switch.OFF


def test_every_setting_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "listen": "127.0.0.1:0, unix:/run/earmark.sock",
        "redis_url": "redis://localhost:6379/0",
        "database_url": "postgres://localhost/earmark",
        "data_dir": "/var/lib/earmark",
        "catalog": "preset:monthly",
        "workers": "2",
        "jobs": "off",
        "metrics_port": "9090",
        "replay_window": "2h",
        "drain_timeout": "1500ms",
        "reuse_port": "true",
        "allow_insecure": "1",
        "partitions": "32",
        "appendfsync": "everysec",
        "engine_maxmemory": "2gb",
        "max_calls_in_flight": "100",
        "max_message_bytes": "1mb",
        "backlog_limit": "1000",
        "smtp_url": "smtp://user:password@localhost",
        "smtp_from": "alerts@example.org",
        "webhook_secret": "secret",
        "log_level": "debug",
        "log_format": "json",
        "test_store": "yes",
    }
    assert set(values) == set(Settings.model_fields)
    for name, value in values.items():
        monkeypatch.setenv(f"EARMARK_{name.upper()}", value)
    settings = Settings.load()
    assert settings.listen == ("127.0.0.1:0", "unix:/run/earmark.sock")
    assert settings.drain_timeout == 1_500_000
    assert settings.engine_maxmemory == 2 * 2**30
    changed = [name for name in values if getattr(settings, name) != Settings.model_fields[name].default]
    assert set(changed) == set(values)


def test_a_misspelled_variable_is_named() -> None:
    environment = {"EARMARK_WORKER": "2", "EARMARK_WORKERS": "2", "EARMARK_API_KEY": "k", "HOME": "/"}
    assert Settings.unknown_variables(environment) == ["EARMARK_WORKER"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"workers": 0}, "workers: input should be greater than or equal to 1"),
        ({"workers": "many"}, "workers: input should be a valid integer"),
        ({"partitions": 1025}, "partitions: input should be less than or equal to 1024"),
        ({"jobs": "perhaps"}, "jobs: input should be 'on' or 'off'"),
        ({"replay_window": "1 fortnight"}, "replay_window: '1 fortnight' is not a duration"),
        ({"replay_window": "0s"}, "replay_window: must be between 1s and 30d"),
        ({"drain_timeout": "2h"}, "drain_timeout: must be at most 1h"),
        ({"engine_maxmemory": "1mb"}, "engine_maxmemory: must be at least 16mb"),
        ({"max_message_bytes": "1b"}, "max_message_bytes: must be between 64kb and 64mb"),
        ({"redis_url": "http://localhost"}, "redis_url: must start with redis://"),
        ({"database_url": "mysql://localhost/x"}, "database_url: must start with sqlite://"),
        ({"listen": ("7070",)}, "listen: '7070' is neither HOST:PORT nor unix:PATH"),
        ({"listen": (":7070",)}, "listen: ':7070' is neither HOST:PORT nor unix:PATH"),
        ({"listen": ("127.0.0.1:70700",)}, "listen: '127.0.0.1:70700' is neither"),
        ({"listen": ("127.0.0.1:\u0667",)}, "is neither HOST:PORT nor unix:PATH"),
        ({"listen": ("::1:7070",)}, "an IPv6 address goes in brackets"),
        ({"listen": ("unix:",)}, "listen: 'unix:' names no path"),
        ({"listen": (f"unix:/{'x' * 107}",)}, "the path of a Unix socket has at most 107 bytes"),
        ({"listen": ("127.0.0.1:7070", "127.0.0.1:7070")}, "listen: 127.0.0.1:7070 is named twice"),
        ({"listen": ("0.0.0.0:7070",)}, "--allow-insecure says that this is wanted"),
        ({"listen": ("earmark.example:7070",)}, "--allow-insecure says that this is wanted"),
        ({"colour": "red"}, "colour: there is no such setting"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(flags: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(**flags)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_hostile_values_are_not_echoed_without_bound() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(replay_window="9" * 10_000, listen=("x" * 10_000,))
    assert len(str(refused.value)) < 500


def test_several_mistakes_are_told_together() -> None:
    with pytest.raises(SettingsError, match=r"^workers: .*; partitions: "):
        Settings.load(workers=0, partitions=0)


def test_other_machines_are_served_only_when_that_is_wanted() -> None:
    assert Settings.load(listen=("0.0.0.0:7070",), allow_insecure=True).listen == ("0.0.0.0:7070",)


@pytest.mark.parametrize(
    ("listener", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.10:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("unix:/tmp/x", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
    ],
)
def test_loopback_is_told_from_the_rest(listener: str, *, loopback: bool) -> None:
    assert is_loopback(listener) is loopback


@pytest.mark.parametrize(
    ("text", "micros"),
    [("250ms", 250_000), ("30s", 30_000_000), ("1.5h", 5_400_000_000), ("7d", 604_800_000_000), ("1us", 1), (5, 5)],
)
def test_durations(text: str | int, micros: int) -> None:
    assert parse_duration(text) == micros


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1e3s", "0.5us", "1 h 2", True, None, "\u0663s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


def test_sizes() -> None:
    assert parse_size("64mb") == 64 * 2**20
    assert parse_size("1.5gb") == 3 * 2**29
    assert parse_size("123") == 123
    with pytest.raises(ValueError):
        parse_size("64m")
