"""The fixed set of container keys of a partition, all under one hash tag."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PartitionKeys", "partition_keys"]


@dataclass(frozen=True, slots=True)
class PartitionKeys:
    """Names of a partition's keys, in the order in which every script takes them."""

    accounts: str
    """Hash: account id to document; beside it the account's tail of grants and its members."""
    reservations: str
    """Hash: digest to record."""
    deadlines: str
    """Sorted set: when holds end and grants expire; in a second era, when ended records may go."""
    stream: str
    """Stream: one element for what one call settled."""
    meta: str
    """Hash: epoch, run id, seq, flushed, generations, leases."""
    waiters: str
    """Sorted set: tickets in order of arrival per account."""
    tickets: str
    """Hash: ticket to its owner and deadline."""
    counters: str
    """Hash: account id, limit's key and start of a window to what was used of the limit in it."""

    def all(self) -> tuple[str, ...]:
        """Return the keys in the order in which every call takes them."""
        return (
            self.accounts,
            self.reservations,
            self.deadlines,
            self.stream,
            self.meta,
            self.waiters,
            self.tickets,
            self.counters,
        )

    @property
    def channel(self) -> str:
        """Name of the pub/sub channel that wakes waiters and watchers."""
        return self.meta.removesuffix("meta") + "changes"


def partition_keys(partition: int, prefix: str = "em") -> PartitionKeys:
    """Return the keys of a partition.

    Example:
        >>> partition_keys(7).stream
        'em:{07}:stream'
    """
    tag = f"{prefix}:{{{partition:02d}}}"
    return PartitionKeys(
        accounts=f"{tag}:accounts",
        reservations=f"{tag}:reservations",
        deadlines=f"{tag}:deadlines",
        stream=f"{tag}:stream",
        meta=f"{tag}:meta",
        waiters=f"{tag}:waiters",
        tickets=f"{tag}:tickets",
        counters=f"{tag}:counters",
    )
