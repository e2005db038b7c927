"""One account, on a real engine and on the reference store alike, spoken to in the words of the semantics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from earmark.domain.ids import ReservationDigest, content_digest, extension_digest, reservation_digest
from earmark.domain.states import Enforcement, EntryKind, GrantKind, OveragePolicy
from earmark.engine.operations import (
    ABSENT,
    ApplyGrant,
    CancelWait,
    Charge,
    Commit,
    Configure,
    ConfirmFlush,
    Evict,
    Extend,
    LimitClaim,
    LoadAccount,
    Operation,
    ReadBalance,
    ReadReservation,
    Release,
    Renew,
    Reserve,
    RetireReservations,
    VoidGrant,
)
from earmark.engine.records import StreamElement, StreamRecord
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import (
    REFUSAL_NUMBERS,
    Applied,
    BalanceRead,
    BalanceView,
    BatchReply,
    Done,
    RefusalCode,
    Refused,
    ReservationRead,
    ReservationView,
    Result,
    Swept,
)

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LOW = 100
"""Where the tests' system warns of a low balance."""
CRITICAL = 20


def done(result: Result) -> Done:
    """Expect success."""
    assert isinstance(result, Done), result
    return result


def refusal(result: Result) -> RefusalCode:
    """Expect a refusal; return why."""
    assert isinstance(result, Refused), result
    return RefusalCode(result.code)


def numbers(result: Result) -> dict[str, int]:
    """Return the numbers of a refusal under their names."""
    assert isinstance(result, Refused), result
    return dict(zip(REFUSAL_NUMBERS[RefusalCode(result.code)], result.numbers, strict=True))


class Store(Protocol):
    """What both stores can do."""

    async def execute(self, partition: int, operations: Sequence[Operation], /) -> BatchReply:
        """Execute a batch."""
        ...

    def set_policy(self, *, horizon: int, low_balance: int = ABSENT, critical_balance: int = ABSENT) -> None:
        """Set what the catalog says of every account."""
        ...

    async def move_clock(self, delta: int, /) -> None:
        """Let time pass."""
        ...

    async def read_stream(self, partition: int, after_seq: int, count: int, /) -> list[tuple[int, StreamElement]]:
        """Read the stream after a seq."""
        ...


class Bank:
    """An account. Amounts are microcredits, times and durations microseconds."""

    def __init__(self, store: Store, account_id: str = "acme") -> None:
        self.store = store
        self.account_id = account_id
        self.admin_seq = 0
        self.config_seq = 0
        """What the sidecar knows of the account's configuration."""

    # Batches, clock, stream

    async def send(self, *operations: Operation) -> Sequence[Result]:
        """Send a batch."""
        reply = await self.store.execute(0, operations)
        return reply.results

    async def do(self, operation: Operation) -> Result:
        """Send one operation."""
        (result,) = await self.send(operation)
        return result

    async def pass_time(self, duration: int) -> None:
        """Move the engine's clock."""
        await self.store.move_clock(duration)

    async def now(self) -> int:
        """Return the engine's time."""
        return (await self.store.execute(0, ())).now

    async def entries(self, *kinds: EntryKind) -> list[StreamRecord]:
        """Return the account's records in the stream, all or those of some kinds."""
        elements = await self.store.read_stream(0, 0, 10_000)
        records = [record for _, element in elements for record in element.records]
        return [
            record for record in records if record.account_id == self.account_id and (not kinds or record.kind in kinds)
        ]

    async def flush(self) -> int:
        """Pretend that SQL holds all of the stream."""
        seq = (await self.store.execute(0, ())).seq
        await self.do(ConfirmFlush(seq, 0))
        return seq

    async def retire(self) -> int:
        """Remove records whose replay window is over; return how many."""
        result = await self.do(RetireReservations(1000))
        assert isinstance(result, Swept)
        return result.count

    # Spending

    def digest(self, request_id: str) -> ReservationDigest:
        """Return the key of a request's reservation."""
        return reservation_digest(self.account_id, request_id)

    def reserving(
        self,
        request_id: str,
        amount: int,
        *,
        minimum: int | None = None,
        ttl: int = MINUTE,
        user_id: str = "",
        wait: int = 0,
        owner: str = "",
        validate_only: bool = False,
        silent: bool = False,
        entitled: bool = True,
        limits: Sequence[LimitClaim] = (),
    ) -> Reserve:
        """Make a Reserve."""
        minimum = amount if minimum is None else minimum
        return Reserve(
            account_id=self.account_id,
            digest=self.digest(request_id),
            content=content_digest(f"reserve {amount} {minimum} {user_id}".encode()),
            amount=amount,
            min_amount=minimum,
            ttl=ttl,
            price_version=0,
            details=f'{{"r":"{request_id}"}}',
            user_id=user_id,
            wait=wait,
            owner=owner or ("sidecar" if wait else ""),
            validate_only=validate_only,
            silent=silent,
            entitled=entitled,
            config_seq=self.config_seq,
            limits=tuple(limits),
        )

    async def reserve(self, request_id: str, amount: int, **options: Any) -> Result:
        """Reserve; the options are those of `reserving`."""
        return await self.do(self.reserving(request_id, amount, **options))

    def charging(
        self,
        request_id: str,
        amount: int,
        *,
        minimum: int | None = None,
        policy: OveragePolicy = OveragePolicy.ALLOW_IF_AVAILABLE,
        validate_only: bool = False,
        silent: bool = False,
        entitled: bool = True,
        limits: Sequence[LimitClaim] = (),
    ) -> Charge:
        """Make a Charge."""
        minimum = amount if minimum is None else minimum
        return Charge(
            account_id=self.account_id,
            digest=self.digest(request_id),
            content=content_digest(f"charge {amount} {minimum} {policy}".encode()),
            amount=amount,
            min_amount=minimum,
            policy=policy,
            price_version=0,
            details=f'{{"r":"{request_id}"}}',
            settlement="{}",
            user_id="",
            validate_only=validate_only,
            silent=silent,
            entitled=entitled,
            config_seq=self.config_seq,
            limits=tuple(limits),
        )

    async def charge(self, request_id: str, amount: int, **options: Any) -> Result:
        """Reserve and commit in one step; the options are those of `charging`."""
        return await self.do(self.charging(request_id, amount, **options))

    def committing(
        self, request_id: str, actual: int = ABSENT, policy: OveragePolicy = OveragePolicy.ALLOW_IF_AVAILABLE
    ) -> Commit:
        """Make a Commit of the reservation of a request."""
        return Commit(self.account_id, self.digest(request_id), actual, policy, '{"m":"done"}')

    async def commit(
        self, request_id: str, actual: int = ABSENT, policy: OveragePolicy = OveragePolicy.ALLOW_IF_AVAILABLE
    ) -> Result:
        """Commit the reservation of a request."""
        return await self.do(self.committing(request_id, actual, policy))

    async def release(self, request_id: str, tombstone: int = ABSENT) -> Result:
        """Release the reservation of a request."""
        return await self.do(Release(self.account_id, self.digest(request_id), '{"m":"failed"}', tombstone))

    async def extend(
        self, request_id: str, extension_id: str, *, ttl: int = 0, additional: int = 0, wait: int = 0
    ) -> Result:
        """Extend the reservation of a request."""
        digest = self.digest(request_id)
        return await self.do(
            Extend(
                account_id=self.account_id,
                digest=digest,
                extension=extension_digest(digest, extension_id),
                content=content_digest(f"extend {additional}".encode()),
                ttl=ttl,
                additional=additional,
                wait=wait,
                owner="sidecar" if wait else "",
            )
        )

    async def cancel_wait(self, request_id: str, owner: str = "sidecar") -> bool:
        """Leave the queue; tell whether there was a place to leave."""
        result = await self.do(CancelWait(self.account_id, self.digest(request_id), owner))
        assert isinstance(result, Applied)
        return result.fresh

    # Reading

    async def balance(self) -> BalanceView:
        """Return the totals."""
        result = await self.do(ReadBalance(self.account_id))
        assert isinstance(result, BalanceRead), result
        return result.balance

    async def available(self) -> int:
        """Return what can be spent."""
        return (await self.balance()).available

    async def remainders(self) -> dict[int, tuple[int, int]]:
        """Return what is available and what is reserved of each live grant, in burn-down order."""
        result = await self.do(ReadBalance(self.account_id, with_grants=True))
        assert isinstance(result, BalanceRead), result
        rows = [result.grants[start : start + 8] for start in range(0, len(result.grants), 8)]
        return {row[0]: (row[5], row[6]) for row in rows}

    async def reservation(self, request_id: str) -> ReservationView:
        """Return a record."""
        result = await self.do(ReadReservation(self.account_id, self.digest(request_id)))
        assert isinstance(result, ReservationRead), result
        return result.reservation

    # Administration

    async def grant(
        self,
        amount: int,
        *,
        kind: GrantKind = GrantKind.FREE,
        priority: int = 100,
        expire_time: int = 0,
        acquire_time: int = 0,
        max_grants: int = 256,
    ) -> int:
        """Grant credits; return the grant's number."""
        result = await self.try_grant(
            amount,
            kind=kind,
            priority=priority,
            expire_time=expire_time,
            acquire_time=acquire_time,
            max_grants=max_grants,
        )
        assert isinstance(result, Applied), result
        assert result.fresh
        return self.admin_seq

    async def try_grant(
        self,
        amount: int,
        *,
        kind: GrantKind = GrantKind.FREE,
        priority: int = 100,
        expire_time: int = 0,
        acquire_time: int = 0,
        max_grants: int = 256,
    ) -> Result:
        """Grant credits as the next administrative operation."""
        self.admin_seq += 1
        return await self.do(
            ApplyGrant(
                account_id=self.account_id,
                admin_seq=self.admin_seq,
                kind=kind,
                priority=priority,
                amount=amount,
                acquire_time=acquire_time,
                expire_time=expire_time,
                max_grants=max_grants,
                settlement='{"m":"welcome"}',
            )
        )

    async def void(self, grant: int) -> Result:
        """Void what is left of a grant."""
        self.admin_seq += 1
        return await self.do(VoidGrant(self.account_id, self.admin_seq, grant, '{"m":"refunded"}'))

    async def configure(
        self,
        *,
        suspended: bool = False,
        enforcement: Enforcement = Enforcement.BLOCK,
        overdraft_limit: int = 0,
        members_added: tuple[str, ...] = (),
        members_removed: tuple[str, ...] = (),
        low_balance: int = ABSENT,
        critical_balance: int = ABSENT,
        moves: bool = False,
    ) -> Result:
        """Set the configuration; `moves` if calls must be derived anew, which this sidecar does not know yet."""
        self.admin_seq += 1
        return await self.do(
            Configure(
                account_id=self.account_id,
                admin_seq=self.admin_seq,
                suspended=suspended,
                enforcement=enforcement,
                overdraft_limit=overdraft_limit,
                members_added=members_added,
                members_removed=members_removed,
                config_seq=self.admin_seq if moves else ABSENT,
                low_balance=low_balance,
                critical_balance=critical_balance,
            )
        )

    async def renew(
        self,
        amount: int,
        *,
        cap: int = ABSENT,
        kinds: Sequence[GrantKind] = (GrantKind.SUBSCRIPTION,),
        expire_time: int = 0,
        max_grants: int = 1024,
        moves: bool = False,
        admin_seq: int | None = None,
    ) -> Result:
        """Begin a billing cycle as the next administrative operation."""
        if admin_seq is None:
            self.admin_seq += 1
            admin_seq = self.admin_seq
        return await self.do(
            Renew(
                account_id=self.account_id,
                admin_seq=admin_seq,
                kind=GrantKind.SUBSCRIPTION,
                priority=100,
                amount=amount,
                acquire_time=await self.now(),
                expire_time=expire_time,
                max_grants=max_grants,
                cap=cap,
                kinds=sum(1 << kind for kind in kinds),
                settlement='{"m":"renewed"}',
                config_seq=admin_seq if moves else ABSENT,
            )
        )

    # Residence

    def loading(self, *, generation: int = 0, amount: int = 0, expire_time: int = 0) -> LoadAccount:
        """Make a load of an account with one grant, or none."""
        grants = (1, GrantKind.FREE, 100, expire_time, 0, amount, 0) if amount else ()
        return LoadAccount(
            account_id=self.account_id,
            generation=generation,
            entry_number=1 if amount else 0,
            charged=0,
            granted=amount,
            expired=0,
            voided=0,
            debt=0,
            suspended=False,
            enforcement=Enforcement.BLOCK,
            overdraft_limit=0,
            admin_seq=1 if amount else 0,
            members=(),
            grants=grants,
        )

    async def evict(self, counters: tuple[tuple[str, int], ...] = ()) -> Result:
        """Drop the account, if it is idle."""
        now = await self.now()
        return await self.do(Evict(self.account_id, now, self.admin_seq, (), counters))


class EngineBank(Bank):
    """An account on a real engine, for what only an engine has: keys and recoveries."""

    store: RedisStore
