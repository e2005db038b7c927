"""Pages of the ledger: which index leads through it, and how far one page looks.

A page of an account follows one index in the order of time, so that it costs what it shows, however long the history
is. What that index does not know (labels, amounts, a second name) is looked for in at most `EXAMINED` entries: a page
that finds less than was asked for says where the next one continues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    Subquery,
    and_,
    exists,
    false,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from earmark.domain.ids import reservation_digest
from earmark.domain.states import EntryKind, Outcome
from earmark.ledger.models import EntryFilter, EntryPosition
from earmark.ledger.tables import accounts, entries

__all__ = ["EXAMINED", "read_rows"]

EXAMINED = 4_000
"""At most so many entries, of those that follow each other, does one page look at."""
EXAMINED_APART = 1_000
"""The same of entries that lie apart, as those of one user do."""

_KIND_OF_OUTCOME = {
    Outcome.SUCCEEDED: EntryKind.CHARGE,
    Outcome.FAILED: EntryKind.RELEASE,
    Outcome.EXPIRED: EntryKind.EXPIRED_HOLD,
}
_NAMES = ("user_id", "project_id", "operation")
"""Those with an index of their own, the most selective first."""

_MOST_OF_ONE = 10_000
"""So many entries about one reservation, or of one request, are shown."""

_Columns = Any
_Condition = Callable[[_Columns], ColumnElement[bool]]


def read_rows(
    connection: Connection,
    wanted: EntryFilter,
    limit: int,
    start: EntryPosition | None = None,
    *,
    oldest: bool = False,
    examined: int | None = None,
) -> tuple[Sequence[Row[Any]], EntryPosition | None]:
    """Return a page of rows of `entries`, and the position after which the next page continues; None at the end.

    Args:
        connection: Whose snapshot to read.
        wanted: An unknown account has no entries.
        limit: At most so many.
        start: The position that the page continues.
        oldest: The oldest first, instead of the newest.
        examined: How many entries to look at, instead of what is set.
    """
    kinds = _kinds(wanted)
    if kinds is not None and not kinds:
        return (), None
    key: int | None = None
    if wanted.account_id is not None:
        account = select(accounts.c.account_key).where(accounts.c.account_id == wanted.account_id)
        key = connection.execute(account).scalar_one_or_none()
        if key is None:
            return (), None
    order = _Order(key is None, oldest)
    bounds = [*_bounds(wanted), *order.after(start)]
    others = _others(connection.dialect.name, wanted, kinds)
    numbered = _numbered(connection, wanted, key)
    if numbered is not None:
        # Fetched first, as the limit makes sure: an index of times would lead through all that lies between them.
        them = select(entries).where(numbered).limit(_MOST_OF_ONE).subquery("them")
        query = select(them).where(*_applied(them.c, bounds), *_applied(them.c, others.values()))
        return _cut(connection.execute(order.of(query, them.c).limit(limit + 1)).all(), limit)
    scans, apart = _scans(key, others, kinds)
    # What the scan does not decide is looked at one by one, and so many entries only.
    reach = limit + 1
    if others:
        reach = max(limit + 1, examined or (EXAMINED_APART if apart else EXAMINED))
    walk = _walk(scans, bounds, order, reach)
    if not others:
        return _cut(connection.execute(order.of(select(walk), walk.c)).all(), limit)
    passing = select(walk).where(*_applied(walk.c, others.values()))
    rows = connection.execute(order.of(passing, walk.c).limit(limit + 1)).all()
    if len(rows) > limit:
        return _cut(rows, limit)
    keys = _walk(scans, bounds, order, reach, only_keys=True)
    last = connection.execute(order.of(select(keys), keys.c).offset(reach - 1).limit(1)).one_or_none()
    return rows, None if last is None else _position(last)


class _Order:
    """In which order a history is read: by time; entries of one time by their numbers."""

    def __init__(self, of_all: bool, oldest: bool) -> None:
        self._names = ("time", "account_key", "entry_number") if of_all else ("time", "entry_number")
        self._oldest = oldest

    def of(self, query: Select[Any], columns: _Columns) -> Select[Any]:
        """Return the query in this order."""
        return query.order_by(*(columns[name] if self._oldest else columns[name].desc() for name in self._names))

    def after(self, start: EntryPosition | None) -> list[_Condition]:
        """Return the condition that leaves what comes after a position."""
        if start is None:
            return []
        at = tuple_(*(literal(getattr(start, name), BigInteger()) for name in self._names))

        def later(columns: _Columns) -> ColumnElement[bool]:
            position = tuple_(*(columns[name] for name in self._names))
            return position > at if self._oldest else position < at

        return [later]


def _bounds(wanted: EntryFilter) -> list[_Condition]:
    bounds: list[_Condition] = []
    start, end = wanted.start_time, wanted.end_time
    if start is not None:
        bounds.append(lambda columns: columns.time >= start)
    if end is not None:
        bounds.append(lambda columns: columns.time < end)
    return bounds


def _kinds(wanted: EntryFilter) -> frozenset[EntryKind] | None:
    """Return which kinds may pass; None for all."""
    kinds = frozenset(wanted.kinds) or None
    if wanted.outcome is None:
        return kinds
    kind = _KIND_OF_OUTCOME[wanted.outcome]
    return frozenset({kind}) if kinds is None else kinds & {kind}


def _others(dialect: str, wanted: EntryFilter, kinds: frozenset[EntryKind] | None) -> dict[str, _Condition]:
    """Return the conditions that are not about time, by what they are about."""
    others: dict[str, _Condition] = {}
    for name in (*_NAMES, "request_id", "digest", "entry_number"):
        value = getattr(wanted, name)
        if value is not None:
            others[name] = _equal(name, value)
    if kinds is not None:
        numbers = sorted(kind.value for kind in kinds)
        others["kind"] = lambda columns: columns.kind.in_(numbers)
    least, most = wanted.min_amount, wanted.max_amount
    if least is not None:
        others["min_amount"] = lambda columns: columns.amount >= least
    if most is not None:
        others["max_amount"] = lambda columns: columns.amount <= most
    for key, value in wanted.labels.items():
        others[f"label {key}"] = _has_label(dialect, key, value)
    return others


def _equal(name: str, value: str | int) -> _Condition:
    return lambda columns: columns[name] == value


def _has_label(dialect: str, key: str, value: str) -> _Condition:
    # Entries without a reservation have no details: the empty text is no JSON, and must not be read as such.
    if dialect == "postgresql":
        return lambda columns: func.nullif(columns.details, "").cast(JSONB)["l"].contains({key: value})

    def has(columns: _Columns) -> ColumnElement[bool]:
        label = func.json_each(func.nullif(columns.details, ""), "$.l").table_valued("key", "value")
        return exists(select(1).select_from(label).where(label.c.key == key, label.c.value == value))

    return has


def _numbered(connection: Connection, wanted: EntryFilter, key: int | None) -> ColumnElement[bool] | None:
    """Return which entries to look at, where the filter names a reservation, a request or a number."""
    if key is not None and wanted.entry_number is not None:
        return and_(entries.c.account_key == key, entries.c.entry_number == wanted.entry_number)
    query = select(entries.c.account_key, entries.c.entry_number).limit(_MOST_OF_ONE)
    if wanted.digest is not None:
        lookups = [query.where(entries.c.digest == wanted.digest)]
    elif key is None or wanted.account_id is None or wanted.request_id is None:
        return None
    else:
        lookups = [
            query.where(entries.c.digest == reservation_digest(wanted.account_id, wanted.request_id)),
            query.where(
                # To the letter as the partial index says it, so that it is used.
                text("kind NOT BETWEEN 2 AND 4 AND request_id <> ''"),
                entries.c.account_key == key,
                entries.c.request_id == wanted.request_id,
            ),
        ]
    # By the digest alone: SQLite would rather read the account's whole history. No two accounts share one.
    found = [row for lookup in lookups for row in connection.execute(lookup) if key in (None, row.account_key)]
    if not found:
        return false()
    numbers = [row.entry_number for row in found]
    return and_(entries.c.account_key == found[0].account_key, entries.c.entry_number.in_(numbers))


def _scans(
    key: int | None, others: dict[str, _Condition], kinds: frozenset[EntryKind] | None
) -> tuple[list[ColumnElement[bool]], bool]:
    """Choose the index to follow; take what it decides out of `others`.

    Returns:
        What each scan is about: one, or one for each kind; and whether what it finds lies apart.
    """
    if key is None:
        return [true()], False
    mine = entries.c.account_key == key
    for name in _NAMES:
        if name in others:
            named = others.pop(name)
            # As the partial index says it; an empty name is in none.
            return [and_(mine, text(f"{name} <> ''"), named(entries.c))], True
    if kinds is not None and EntryKind.CHARGE not in kinds:
        del others["kind"]
        return [and_(mine, text("kind <> 2"), entries.c.kind == kind.value) for kind in sorted(kinds)], True
    return [mine], False


def _walk(
    scans: Sequence[ColumnElement[bool]],
    bounds: Sequence[_Condition],
    order: _Order,
    reach: int,
    *,
    only_keys: bool = False,
) -> Subquery:
    columns = [entries.c[name] for name in ("time", "account_key", "entry_number")] if only_keys else list(entries.c)
    walks = [
        order.of(select(*columns).where(scan, *_applied(entries.c, bounds)), entries.c).limit(reach) for scan in scans
    ]
    if len(walks) == 1:
        return walks[0].subquery("walk")
    together = union_all(*(select(walk.subquery()) for walk in walks)).subquery("walks")
    return order.of(select(together), together.c).limit(reach).subquery("walk")


def _applied(columns: _Columns, conditions: Any) -> list[ColumnElement[bool]]:
    return [condition(columns) for condition in conditions]


def _cut(rows: Sequence[Row[Any]], limit: int) -> tuple[Sequence[Row[Any]], EntryPosition | None]:
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], _position(rows[limit - 1])


def _position(row: Row[Any]) -> EntryPosition:
    return EntryPosition(row.time, row.account_key, row.entry_number)
