"""The state machines: batches of intents at moving times, every invariant after each."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from earmark.domain.states import Enforcement, GrantKind, OveragePolicy
from earmark.engine.memory import MemoryStore, check_invariants
from earmark.engine.memory.model import Account, Grant
from earmark.engine.operations import (
    ApplyGrant,
    Charge,
    Configure,
    Extend,
    Operation,
    Renew,
    Reserve,
    RetireReservations,
    VoidGrant,
)
from earmark.engine.results import Applied, Result, Waiting
from tests.property import strategies as tries
from tests.property.intents import (
    ACCOUNTS,
    HOUR,
    MILLISECOND,
    REQUESTS,
    SECOND,
    Intent,
    TryCommit,
    TryEvict,
    TryFlush,
    TryLoad,
    TryRead,
    TryRelease,
    TryRenew,
    TryReserve,
    World,
)

START = 1_700_000_000 * SECOND


class Driver(RuleBasedStateMachine):
    """Drives the reference store alone; what is tried is for the subclasses."""

    funds = 300
    overdraft_limit = 500
    low_balance = 150
    critical_balance = 20

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(
            replay_window=HOUR, low_balance=self.low_balance, critical_balance=self.critical_balance
        )
        self.world = World(self.store)
        self.clock = START
        self.batches = 0
        """Since the last recovery: one after another would prove nothing."""

    def execute(self, operations: Sequence[Operation], pause: int) -> tuple[Result, ...]:
        """Execute one batch after a pause."""
        self.clock += pause
        return self.store.execute(operations, self.clock)

    @initialize()
    def begin(self) -> None:
        self.send([self.world.ledger.load(name, 0) for name in ACCOUNTS[:3]], 0)
        grant = ApplyGrant(
            ACCOUNTS[0],
            admin_seq=1,
            kind=GrantKind.FREE,
            priority=100,
            amount=self.funds,
            acquire_time=START,
            expire_time=0,
            max_grants=256,
            settlement="{}",
        )
        overdraft = Configure(
            ACCOUNTS[0],
            admin_seq=2,
            suspended=False,
            enforcement=Enforcement.BLOCK,
            overdraft_limit=self.overdraft_limit,
        )
        self.send([grant, overdraft], 0)

    @precondition(lambda self: self.batches > 3)
    @rule(rebuild=tries.rebuilds)
    def recover(self, rebuild: Intent) -> None:
        self.batches = 0
        self.attempt([TryRead(0, None)], 0)  # An engine's clock ran on: what is due by now is settled, and seen.
        self.attempt([rebuild], 0)

    def attempt(self, batch: Sequence[Intent], pause: int) -> None:
        self.batches += 1
        self.world.administered.clear()
        self.world.pause = pause
        operations = [operation for intent in batch if (operation := intent.operation(self.world)) is not None]
        # First, as if in a call of its own: after a late commit in the same batch the engine looks at one record less.
        operations.sort(key=lambda operation: not isinstance(operation, RetireReservations))
        if operations:
            self.send(operations, pause)

    def stay_away(self, idle: int, away: int, batch: Sequence[Intent]) -> None:
        """Let the first account be flushed, evicted and loaded again, if nothing holds it."""
        self.attempt([TryRead(0, None)], idle)
        self.attempt([TryFlush(0)], 0)
        self.attempt([TryEvict(0, idle=True, skew=0)], 0)
        self.attempt([TryRead(0, None)], away)
        self.attempt([TryLoad(0, stale=False)], 0)
        self.attempt(batch, 0)

    def send(self, operations: Sequence[Operation], pause: int) -> None:
        before = len(self.store.stream)
        results = self.execute(operations, pause)
        for operation, result in zip(operations, results, strict=True):
            if currently_in_test_context():
                note(f"{operation}\n    -> {result}")
            match operation, result:
                case (ApplyGrant() | VoidGrant() | Configure() | Renew()) as change, Applied(fresh=True):
                    self.world.ledger.record(change)
                case (Reserve() | Charge() | Extend()) as waiting, Waiting():
                    self.world.waiting.append(waiting)
                case _:
                    pass
        self.world.ledger.project(self.store.stream[before:])
        check_invariants(self.store)


class Everything(Driver):
    """Every operation, on four accounts of which one is missing at first."""

    @rule(batch=st.lists(tries.everything, min_size=1, max_size=6), pause=tries.pauses)
    def mixed(self, batch: list[Intent], pause: int) -> None:
        self.attempt(batch, pause)

    @rule(batch=st.lists(tries.spending, min_size=1, max_size=4), pause=tries.pauses)
    def spend(self, batch: list[Intent], pause: int) -> None:
        self.attempt(batch, pause)

    @rule(intent=st.one_of(tries.administration, tries.residence))
    def administer(self, intent: Intent) -> None:
        self.attempt([intent], 0)


class Queue(Driver):
    """Many who wait for the credits of one account."""

    funds = 60
    overdraft_limit = 0

    @rule(batch=st.lists(tries.queueing, min_size=1, max_size=4), pause=tries.short_pauses)
    def wait(self, batch: list[Intent], pause: int) -> None:
        self.attempt(batch, pause)


class Hoard(Driver):
    """An account with more grants than its document keeps in front."""

    @rule(batch=tries.hoard)
    def collect(self, batch: list[Intent]) -> None:
        self.attempt(batch, 0)

    @rule(batch=st.lists(tries.hoarding, min_size=1, max_size=6), pause=tries.pauses)
    def spend(self, batch: list[Intent], pause: int) -> None:
        self.attempt(batch, pause)


class Outlived(Driver):
    """Holds that outlive the grants that pay for them."""

    @rule(batch=st.lists(tries.outlived, min_size=1, max_size=5), pause=tries.minutes)
    def spend(self, batch: list[Intent], pause: int) -> None:
        self.attempt(batch, pause)


class Debtor(Driver):
    """An account that goes into debt, and at times only observes."""

    @rule(batch=st.lists(tries.owing, min_size=1, max_size=5), pause=tries.soon)
    def owe(self, batch: list[Intent], pause: int) -> None:
        self.attempt(batch, pause)


class Limited(Driver):
    """Limits of several windows, thresholds, and a configuration that moves."""

    @rule(batch=st.lists(tries.limited, min_size=1, max_size=5), pause=tries.across_windows)
    def spend(self, batch: list[Intent], pause: int) -> None:
        self.attempt(batch, pause)

    @precondition(lambda self: self.batches > 3)
    @rule(idle=tries.absences, away=tries.absences, batch=tries.returning)
    def leave_and_return(self, idle: int, away: int, batch: list[Intent]) -> None:
        self.stay_away(idle, away, batch)


class Cycles(Driver):
    """Renewals, rollovers, expiries, purchases and generations in any order."""

    funds = 40
    overdraft_limit = 60

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0

    @property
    def account(self) -> Account | None:
        return self.store.partition.accounts.get(ACCOUNTS[0])

    def grants(self) -> dict[int, Grant]:
        return self.account.grants if self.account else {}

    def carried(self, renewal: TryRenew) -> int:
        """What is available of the kinds that a renewal counts, without what it gave itself."""
        cycle = self.account.cycle_seq if self.account else 0
        return sum(it.remaining for it in self.grants().values() if it.kind in renewal.kinds and it.number != cycle)

    @rule(renewal=tries.renewals, pause=tries.minutes)
    def renew(self, renewal: TryRenew, pause: int) -> None:
        """What is carried over is min(cap, available), to the microcredit."""
        self.attempt([TryRead(0, None)], pause)
        everything = sum(it.remaining for it in self.grants().values() if it.kind in renewal.kinds)
        quiet = not self.world.due_within(2 * SECOND)
        last = self.account.cycle_seq if self.account else 0
        self.attempt([renewal], 0)
        if quiet and self.account and self.account.cycle_seq > last:
            assert self.carried(renewal) == min(renewal.cap, everything)

    @precondition(lambda self: self.account and self.account.available and not self.world.due_within(2 * SECOND))
    @rule(part=st.integers(1, 100), commits=st.booleans())
    def fail(self, part: int, commits: bool) -> None:
        """A generation that fails changes nothing, whatever renewals came before it."""
        assert self.account
        before = {number: (it.remaining, it.held) for number, it in self.grants().items()}
        version = self.account.version
        amount = max(1, self.account.available * part // 100)
        self.failures += 1
        request = 100_000 + self.failures
        self.attempt([TryReserve(0, request, amount, None, HOUR, "", 0, "", validate_only=False)], MILLISECOND)
        latest = REQUESTS
        ends = TryCommit(0, latest, 0, OveragePolicy.REJECT) if commits else TryRelease(0, latest, tombstone=False)
        self.attempt([ends], 0)
        assert self.account.version == version + 2
        assert {number: (it.remaining, it.held) for number, it in self.grants().items()} == before

    @rule(batch=st.lists(tries.living, min_size=1, max_size=5), pause=tries.minutes)
    def generate(self, batch: list[Intent], pause: int) -> None:
        self.attempt(batch, pause)

    @precondition(lambda self: self.batches > 3)
    @rule(idle=tries.absences, away=tries.absences, batch=tries.returning)
    def leave_and_return(self, idle: int, away: int, batch: list[Intent]) -> None:
        self.stay_away(idle, away, batch)


MACHINES: tuple[type[Driver], ...] = (Everything, Queue, Hoard, Outlived, Debtor, Limited, Cycles)
