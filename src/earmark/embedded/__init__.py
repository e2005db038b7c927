"""The embedded engine: a private Valkey or Redis process with an append-only file under the data directory."""

from earmark.embedded.binary import default_maxmemory, find_engine_binary
from earmark.embedded.directory import DataDirectoryInUse, EngineError, engine_pid, lock_data_dir
from earmark.embedded.engine import EmbeddedEngine, open_engine

__all__ = [
    "DataDirectoryInUse",
    "EmbeddedEngine",
    "EngineError",
    "default_maxmemory",
    "engine_pid",
    "find_engine_binary",
    "lock_data_dir",
    "open_engine",
]
