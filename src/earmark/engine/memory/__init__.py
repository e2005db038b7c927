"""The reference store: every rule of the semantics in plain Python, without I/O. The oracle of the property tests."""

from earmark.engine.memory.invariants import InvariantBroken, check_invariants
from earmark.engine.memory.store import MemoryStore

__all__ = ["InvariantBroken", "MemoryStore", "check_invariants"]
