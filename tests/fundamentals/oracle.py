"""The reference store in the place of an engine."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.engine.memory import MemoryStore
from earmark.engine.operations import ABSENT, Operation
from earmark.engine.records import StreamElement
from earmark.engine.results import BatchReply
from tests.fundamentals.bank import HOUR, SECOND


class OracleStore:
    """The reference store with a clock of its own, spoken to like the engine."""

    def __init__(self) -> None:
        self.memory = MemoryStore(replay_window=HOUR)
        self._clock = 1_700_000_000 * SECOND
        self._elements: list[tuple[int, StreamElement]] = []

    async def execute(self, _partition: int, operations: Sequence[Operation], /) -> BatchReply:
        """Execute a batch, a millisecond after the last one."""
        self._clock += 1_000
        before = len(self.memory.stream)
        results = self.memory.execute(operations, self._clock)
        seq = len(self.memory.stream)
        if seq > before:
            records = tuple(self.memory.stream[before:])
            self._elements.append((seq, StreamElement(1, 1, before + 1, self._clock, records)))
        flushed = self.memory.partition.flushed
        return BatchReply(1, 0, 1, self._clock, seq, flushed, self.memory.due_left, results)

    def set_policy(self, *, horizon: int, low_balance: int = ABSENT, critical_balance: int = ABSENT) -> None:
        """Set what the catalog says of every account."""
        self.memory.partition.horizon = horizon
        self.memory.partition.low_balance = low_balance
        self.memory.partition.critical_balance = critical_balance

    async def move_clock(self, delta: int, /) -> None:
        """Let time pass."""
        self._clock += delta

    async def read_stream(self, _partition: int, after_seq: int, count: int, /) -> list[tuple[int, StreamElement]]:
        """Read the stream after a seq."""
        return [element for element in self._elements if element[0] > after_seq][:count]
