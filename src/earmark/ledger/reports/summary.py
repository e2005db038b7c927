"""The summary of a month, or of any range: what was carried in, came, went and is left, by kind of grant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from earmark.domain.states import EntryKind, GrantKind
from earmark.ledger.administration import account_key_of
from earmark.ledger.reports.models import MonthlySummary, SummaryLine
from earmark.ledger.reports.pieces import HOUR, Piece, cut
from earmark.ledger.reports.sources import bounded_sum, exact_sum, last_entry_time, read_pieces

__all__ = ["read_summary"]

_FREE = (GrantKind.FREE, GrantKind.PROMOTION, GrantKind.ADJUSTMENT)
_BEFORE, _INSIDE = 0, 1
_NO_GRANT = 0
_USE_OF_KIND = {
    EntryKind.GRANT: "granted",
    EntryKind.GRANT_EXPIRED: "expired",
    EntryKind.GRANT_VOIDED: "voided",
    EntryKind.DEBT_REPAID: "repaid",
}
_USES = ("granted", "charged", "expired", "voided", "repaid", "uncollected")

# Formatted twice: with the report, and with each piece.
_HOURS = """
    SELECT {{piece}} AS piece, kind, {sums} FROM grant_hours
    WHERE account_key = {account} AND hour >= {{start}} AND hour < {{end}} GROUP BY kind
"""
_EDGES = """
    SELECT {{piece}} AS piece, kind, grant_kind, {amount}, {debt}, {uncollected} FROM entries
    WHERE account_key = {account} AND time >= {{start}} AND time < {{end}} AND kind IN (1, 2, 5, 6, 7)
    GROUP BY kind, grant_kind
"""
_PAID = """
    SELECT {{piece}} AS piece, a.kind, {amount} FROM entries AS e
    JOIN entry_allocations AS a ON a.account_key = e.account_key AND a.entry_number = e.entry_number
    WHERE e.account_key = {account} AND e.time >= {{start}} AND e.time < {{end}} AND e.kind = 2 GROUP BY a.kind
"""

_Uses = dict[tuple[int, int, str], int]
"""What was used: range, kind of grant, use."""


def read_summary(connection: Connection, account_id: str, start_time: int, end_time: int) -> MonthlySummary:
    """Return the summary of [start_time, end_time).

    Raises:
        NotFound: ACCOUNT_NOT_FOUND.
    """
    account_key = account_key_of(connection, account_id)
    pieces = cut((0, start_time, end_time), HOUR, last_entry_time(connection, account_key))
    uses: _Uses = defaultdict(int)
    _add_hours(connection, account_key, pieces.whole, uses)
    _add_edges(connection, account_key, pieces.edges, uses)
    kinds = [_line(uses, kind) for kind in GrantKind]
    return MonthlySummary(
        total=_together(kinds),
        free=_together(line for line in kinds if line.kind in _FREE),
        purchased=_together(line for line in kinds if line.kind is GrantKind.PURCHASE),
        subscription=_together(line for line in kinds if line.kind is GrantKind.SUBSCRIPTION),
        kinds=tuple(line for line in kinds if line != SummaryLine(line.kind)),
        borrowed=uses[_INSIDE, _NO_GRANT, "charged"],
        uncollected=uses[_INSIDE, _NO_GRANT, "uncollected"],
    )


def _add_hours(connection: Connection, account_key: int, pieces: Sequence[Piece], uses: _Uses) -> None:
    sums = ", ".join(bounded_sum(connection, use) if use == "uncollected" else exact_sum(use) for use in _USES)
    for piece, kind, *amounts in read_pieces(connection, pieces, _HOURS.format(account=account_key, sums=sums)):
        for use, amount in zip(_USES, amounts, strict=True):
            uses[piece, kind, use] += amount


def _add_edges(connection: Connection, account_key: int, pieces: Sequence[Piece], uses: _Uses) -> None:
    edges = _EDGES.format(
        account=account_key,
        amount=exact_sum("amount"),
        debt=exact_sum("debt"),
        uncollected=bounded_sum(connection, "uncollected"),
    )
    for piece, kind, grant_kind, amount, debt, uncollected in read_pieces(connection, pieces, edges):
        if kind == EntryKind.CHARGE:
            uses[piece, _NO_GRANT, "charged"] += debt
            uses[piece, _NO_GRANT, "uncollected"] += uncollected
        else:
            uses[piece, grant_kind, _USE_OF_KIND[EntryKind(kind)]] += amount
    paid = _PAID.format(account=account_key, amount=exact_sum("a.amount"))
    for piece, grant_kind, amount in read_pieces(connection, pieces, paid):
        uses[piece, grant_kind, "charged"] += amount


def _line(uses: _Uses, kind: GrantKind) -> SummaryLine:
    went = sum(uses[_BEFORE, kind, use] for use in ("charged", "expired", "voided", "repaid"))
    return SummaryLine(
        kind=kind,
        carried_in=uses[_BEFORE, kind, "granted"] - went,
        allocated=uses[_INSIDE, kind, "granted"],
        consumed=uses[_INSIDE, kind, "charged"],
        expired=uses[_INSIDE, kind, "expired"],
        voided=uses[_INSIDE, kind, "voided"],
        repaid=uses[_INSIDE, kind, "repaid"],
    )


def _together(lines: Iterable[SummaryLine]) -> SummaryLine:
    them = list(lines)
    return SummaryLine(
        carried_in=sum(line.carried_in for line in them),
        allocated=sum(line.allocated for line in them),
        consumed=sum(line.consumed for line in them),
        expired=sum(line.expired for line in them),
        voided=sum(line.voided for line in them),
        repaid=sum(line.repaid for line in them),
    )
