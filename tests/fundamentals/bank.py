"""One account on a real engine, spoken to in the words of the semantics."""

from __future__ import annotations

from collections.abc import Sequence

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
    LoadAccount,
    Operation,
    ReadBalance,
    ReadReservation,
    Release,
    Reserve,
    RetireReservations,
    VoidGrant,
)
from earmark.engine.records import StreamRecord
from earmark.engine.redis.store import RedisStore
from earmark.engine.results import (
    REFUSAL_NUMBERS,
    Applied,
    BalanceRead,
    BalanceView,
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


class Bank:
    """An account. Amounts are microcredits, times and durations microseconds."""

    def __init__(self, store: RedisStore, account_id: str = "acme") -> None:
        self.store = store
        self.account_id = account_id
        self.admin_seq = 0

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
        )

    async def reserve(self, request_id: str, amount: int, **options: int | str | bool) -> Result:
        """Reserve; the options are those of `reserving`."""
        return await self.do(self.reserving(request_id, amount, **options))  # type: ignore[arg-type]  # as named there

    def charging(
        self,
        request_id: str,
        amount: int,
        *,
        minimum: int | None = None,
        policy: OveragePolicy = OveragePolicy.ALLOW_IF_AVAILABLE,
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
        )

    async def charge(
        self,
        request_id: str,
        amount: int,
        *,
        minimum: int | None = None,
        policy: OveragePolicy = OveragePolicy.ALLOW_IF_AVAILABLE,
    ) -> Result:
        """Reserve and commit in one step."""
        return await self.do(self.charging(request_id, amount, minimum=minimum, policy=policy))

    async def commit(
        self, request_id: str, actual: int = ABSENT, policy: OveragePolicy = OveragePolicy.ALLOW_IF_AVAILABLE
    ) -> Result:
        """Commit the reservation of a request."""
        return await self.do(Commit(self.account_id, self.digest(request_id), actual, policy, '{"m":"done"}'))

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
    ) -> Result:
        """Set the configuration."""
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

    async def evict(self) -> Result:
        """Drop the account, if it is idle."""
        now = await self.now()
        return await self.do(Evict(self.account_id, now, self.admin_seq, ()))
