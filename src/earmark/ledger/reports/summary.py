"""The summary of a month, or of any range: what was carried in, came, went and is left, by kind of grant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, and_, select

from earmark.domain.states import EntryKind, GrantKind
from earmark.ledger.administration import account_key_of
from earmark.ledger.reports.models import MonthlySummary, SummaryLine
from earmark.ledger.reports.pieces import Piece, cut
from earmark.ledger.reports.sources import bounded_sum, exact_sum, last_entry_time, piece_table
from earmark.ledger.tables import entries, entry_allocations, grant_hours

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

_Uses = dict[tuple[int, int, str], int]
"""What was used: range, kind of grant, use."""


def read_summary(connection: Connection, account_id: str, start_time: int, end_time: int) -> MonthlySummary:
    """Return the summary of [start_time, end_time).

    Raises:
        NotFound: ACCOUNT_NOT_FOUND.
    """
    account_key = account_key_of(connection, account_id)
    pieces = cut((0, start_time, end_time), last_entry_time(connection, account_key), by_days=False)
    uses: _Uses = defaultdict(int)
    _add_hours(connection, account_key, pieces.hours, uses)
    _add_entries(connection, account_key, pieces.entries, uses)
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
    if not pieces:
        return
    wanted = piece_table(pieces)
    rows = grant_hours.c
    inside = and_(rows.account_key == account_key, rows.hour >= wanted.c.start, rows.hour < wanted.c.end)
    query = (
        select(
            wanted.c.piece,
            rows.kind,
            *(bounded_sum(connection, rows[use]) if use == "uncollected" else exact_sum(rows[use]) for use in _USES),
        )
        .join_from(wanted, grant_hours, inside)
        .group_by(wanted.c.piece, rows.kind)
    )
    for piece, kind, *sums in connection.execute(query):
        for use, amount in zip(_USES, sums, strict=True):
            uses[piece, kind, use] += amount


def _add_entries(connection: Connection, account_key: int, pieces: Sequence[Piece], uses: _Uses) -> None:
    if not pieces:
        return
    wanted = piece_table(pieces)
    rows, parts = entries.c, entry_allocations.c
    piece = wanted.c.piece
    inside = and_(rows.account_key == account_key, rows.time >= wanted.c.start, rows.time < wanted.c.end)
    came_and_went = (
        select(piece, rows.kind, rows.grant_kind, exact_sum(rows.amount))
        .join_from(wanted, entries, inside)
        .where(rows.kind.in_([kind.value for kind in _USE_OF_KIND]))
        .group_by(piece, rows.kind, rows.grant_kind)
    )
    for number, kind, grant_kind, amount in connection.execute(came_and_went):
        uses[number, grant_kind, _USE_OF_KIND[EntryKind(kind)]] += amount
    charge = rows.kind == EntryKind.CHARGE.value
    of_entry = and_(parts.account_key == rows.account_key, parts.entry_number == rows.entry_number)
    paid = (
        select(piece, parts.kind, exact_sum(parts.amount))
        .select_from(wanted.join(entries, inside).join(entry_allocations, of_entry))
        .where(charge)
        .group_by(piece, parts.kind)
    )
    for number, grant_kind, amount in connection.execute(paid):
        uses[number, grant_kind, "charged"] += amount
    unpaid = (
        select(piece, exact_sum(rows.debt), bounded_sum(connection, rows.uncollected))
        .join_from(wanted, entries, inside)
        .where(charge)
        .group_by(piece)
    )
    for number, borrowed, uncollected in connection.execute(unpaid):
        uses[number, _NO_GRANT, "charged"] += borrowed
        uses[number, _NO_GRANT, "uncollected"] += uncollected


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
