"""What Earmark says of the demo's accounts, and whether it agrees with what the demo counted itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from earmark.cli.connection import Connection
from earmark.cli.demo.simulation import Ending, Tally
from earmark.cli.output import enum_word
from earmark.credits import format_credits

__all__ = ["AccountFigures", "disagreements", "read_figures"]

_ENDING_OF_KIND = {"charge": Ending.SUCCEEDED, "release": Ending.FAILED, "expired-hold": Ending.CRASHED}


@dataclass(slots=True)
class AccountFigures:
    """An account as Earmark reports it: balances from Redis, sums and counts from the SQL ledger. Microcredits."""

    account_id: str
    available: int
    reserved: int
    lifetime_charged: int
    expires: bool = False
    """Whether something of what is available will expire."""
    sums: Counter[str] = field(default_factory=Counter)
    """Of the amounts of the ledger's entries, by kind."""
    endings: Counter[Ending] = field(default_factory=Counter)
    """How many entries there are of each ending."""
    numbers_have_gaps: bool = False

    @property
    def granted(self) -> int:
        """What the ledger says was granted."""
        return self.sums["grant"]

    @property
    def charged(self) -> int:
        """What the ledger says was charged."""
        return self.sums["charge"]

    @property
    def expired(self) -> int:
        """What the ledger says expired with its grant."""
        return self.sums["grant-expired"]


def read_figures(connection: Connection, account_id: str) -> AccountFigures:
    """Read an account's balance and its whole ledger.

    Raises:
        EarmarkError: the sidecar's refusal.
    """
    from earmark.v1.ledger_service_pb2 import ExportLedgerRequest
    from earmark.v1.metering_service_pb2 import GetBalanceRequest

    balance = connection.call(connection.metering.GetBalance, GetBalanceRequest(account_id=account_id)).balance
    figures = AccountFigures(
        account_id,
        balance.available_micros,
        balance.reserved_micros,
        balance.lifetime_charged_micros,
        balance.HasField("next_expire_time"),
    )
    expected = count(1)
    for part in connection.stream(connection.ledger.ExportLedger, ExportLedgerRequest(account_id=account_id)):
        for entry in part.entries:
            kind = enum_word(entry, "kind")
            figures.sums[kind] += entry.amount_micros
            if kind in _ENDING_OF_KIND:
                figures.endings[_ENDING_OF_KIND[kind]] += 1
            figures.numbers_have_gaps |= entry.entry_number != next(expected)
    return figures


def disagreements(figures: Mapping[str, AccountFigures], tallies: Mapping[str, Tally]) -> Iterator[str]:
    """Yield a sentence for every figure that does not agree."""
    for account_id, tally in tallies.items():
        seen = figures[account_id]
        pairs = [
            ("granted", seen.granted, tally.granted),
            ("charged in the ledger", seen.charged, tally.charged),
            ("charged in the balance", seen.lifetime_charged, tally.charged),
            ("still reserved", seen.reserved, 0),
            ("charged for failed generations", seen.sums["release"], 0),
            ("charged for crashed generations", seen.sums["expired-hold"], 0),
            (
                "available + reserved + charged + expired",
                seen.available + seen.reserved + seen.charged + seen.expired,
                tally.granted,
            ),
        ]
        for what, theirs, ours in pairs:
            if theirs != ours:
                yield f"{account_id}: {what}: {format_credits(theirs)} instead of {format_credits(ours)} credits"
        for ending in (Ending.SUCCEEDED, Ending.FAILED, Ending.CRASHED):
            if seen.endings[ending] != tally.endings[ending]:
                there, here = seen.endings[ending], tally.endings[ending]
                yield f"{account_id}: {ending.value}: {there} instead of {here} generations"
        if seen.numbers_have_gaps:
            yield f"{account_id}: the numbers of its entries have a gap"
