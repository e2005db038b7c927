"""Who the store is, and where each of its partitions stands."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from sqlalchemy import Connection, insert, select, text, update

from earmark.ledger.connections import Database
from earmark.ledger.models import PartitionPosition, StoreIdentity
from earmark.ledger.tables import partitions, stores

__all__ = ["Partitions", "Stores", "database_now", "read_identity", "read_position"]

_FORMAT = 1

# In microseconds: what several processes share must not depend on the clock of one of them.
_CLOCK = {
    "sqlite": text("SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"),
    "postgresql": text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"),
}


class Stores:
    """The identity of the store."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def initialise(self, partitions: int, for_tests: bool) -> StoreIdentity:
        """Create the store if it does not exist, with its partitions at epoch 0 and position 0.

        Returns:
            The store as it is: an existing one keeps its own partitions and `for_tests`; comparing them is the
            caller's. Of several callers at once all get the same one.
        """
        identity = StoreIdentity(str(uuid4()), partitions, _FORMAT, for_tests)
        return await self._database.write(lambda connection: _initialise(connection, identity, self._clock()))

    async def read(self) -> StoreIdentity | None:
        """Return the store, or None before `initialise`."""
        return await self._database.read(read_identity)


class Partitions:
    """How far each partition is flushed, and who may flush it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, partition: int) -> PartitionPosition:
        """Return where a partition stands.

        Raises:
            LookupError: for a partition that the store does not have.
        """
        position = await self._database.read(lambda connection: read_position(connection, partition))
        if position is None:
            raise LookupError(f"the store has no partition {partition}")
        return position

    async def read_all(self) -> dict[int, PartitionPosition]:
        """Return where every partition stands."""
        query = select(partitions.c.partition, partitions.c.epoch, partitions.c.flushed_seq).order_by("partition")
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.partition: PartitionPosition(row.epoch, row.flushed_seq) for row in rows}

    async def raise_epoch(self, partition: int, expected_epoch: int, new_epoch: int) -> bool:
        """Raise the epoch if it is still the expected one; flushers of the old one are fenced from here on.

        Returns:
            Whether it was; False changes nothing.
        """
        assert new_epoch > expected_epoch
        raised = (
            update(partitions)
            .where(partitions.c.partition == partition, partitions.c.epoch == expected_epoch)
            .values(epoch=new_epoch)
        )
        return await self._database.write(lambda connection: connection.execute(raised).rowcount == 1)

    async def take_lease(self, partition: int, owner: str, ttl: int) -> bool:
        """Take the recovery lease for `ttl` microseconds of the database's clock, or keep it if `owner` has it.

        Returns:
            Whether `owner` has it now.
        """
        assert owner
        return await self._database.write(lambda connection: _take_lease(connection, partition, owner, ttl))

    async def release_lease(self, partition: int, owner: str) -> None:
        """Give the recovery lease back; does nothing if `owner` does not have it."""
        released = (
            update(partitions)
            .where(partitions.c.partition == partition, partitions.c.lease_owner == owner)
            .values(lease_owner="", lease_until=0)
        )
        await self._database.write(lambda connection: connection.execute(released).rowcount)


def database_now(connection: Connection) -> int:
    """Return the database's clock, in microseconds since 1970."""
    return int(connection.execute(_CLOCK[connection.dialect.name]).scalar_one())


def read_identity(connection: Connection) -> StoreIdentity | None:
    """Return the store within a transaction, or None before `initialise`."""
    row = connection.execute(select(stores)).one_or_none()
    return None if row is None else StoreIdentity(row.store_id, row.partitions, row.format, row.for_tests)


def read_position(connection: Connection, partition: int) -> PartitionPosition | None:
    """Return where a partition stands within a transaction."""
    query = select(partitions.c.epoch, partitions.c.flushed_seq).where(partitions.c.partition == partition)
    row = connection.execute(query).one_or_none()
    return None if row is None else PartitionPosition(row.epoch, row.flushed_seq)


def _initialise(connection: Connection, identity: StoreIdentity, now: int) -> StoreIdentity:
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE stores IN EXCLUSIVE MODE"))
    existing = read_identity(connection)
    if existing is not None:
        return existing
    connection.execute(
        insert(stores).values(
            singleton=1,
            store_id=identity.store_id,
            partitions=identity.partitions,
            format=identity.format,
            for_tests=identity.for_tests,
            create_time=now,
        )
    )
    rows = [
        {"partition": number, "epoch": 0, "flushed_seq": 0, "lease_owner": "", "lease_until": 0}
        for number in range(identity.partitions)
    ]
    connection.execute(insert(partitions), rows)
    return identity


def _take_lease(connection: Connection, partition: int, owner: str, ttl: int) -> bool:
    now = database_now(connection)
    taken = (
        update(partitions)
        .where(
            partitions.c.partition == partition,
            (partitions.c.lease_owner == owner) | (partitions.c.lease_until <= now),
        )
        .values(lease_owner=owner, lease_until=now + ttl)
    )
    return connection.execute(taken).rowcount == 1
