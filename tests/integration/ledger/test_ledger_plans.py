"""What the jobs ask all the time is answered by an index, however many rows there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from earmark.domain.states import EntryKind, Outcome
from earmark.ledger import Ledger
from earmark.ledger.models import EntryFilter, EntryPosition
from tests.integration.ledger.stream import NOW, create, digest, partition


@contextmanager
def plans() -> Iterator[list[str]]:
    """Collect how the database answers every query of the block."""
    seen: list[str] = []

    def explain(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("SELECT"):
            return
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.driver_connection
            rows = driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        else:
            # Small tables are scanned whatever the indexes: only what is possible can be tested on them.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_sort = off")
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        seen.append("\n".join(str(row) for row in rows))

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", explain)


@pytest.mark.parametrize(
    ("index", "query"),
    [
        ("grants_due", lambda ledger: ledger.accounts.accounts_with_due_grants(NOW, 10)),
        ("admin_operations_pending", lambda ledger: ledger.accounts.accounts_with_pending_administration(10)),
        ("grants_open", lambda ledger: ledger.archive.read_account("acme", partition("acme"))),
        ("grants_open", lambda ledger: ledger.projections.account_projections(["acme"])),
        (
            "entries_by_reservation",
            lambda ledger: ledger.archive.read_reservation("acme", digest("acme", "r"), partition("acme")),
        ),
        ("entries_by_reservation", lambda ledger: ledger.entries.by_reservation("acme", digest("acme", "r"))),
        (
            "entries_by_reservation",
            lambda ledger: ledger.entries.list(EntryFilter(account_id="acme", digest=digest("acme", "r")), 10),
        ),
        ("entries_by_reservation", lambda ledger: ledger.entries.ended_reservations("acme", None, 10)),
        *(
            (index, lambda ledger, wanted=wanted: ledger.entries.list(wanted, 10, EntryPosition(NOW, 1, 1)))
            for index, wanted in (
                ("entries_by_account_time", EntryFilter(account_id="acme")),
                ("entries_by_account_time", EntryFilter(account_id="acme", start_time=1, end_time=NOW)),
                ("entries_by_account_time", EntryFilter(account_id="acme", labels={"a": "b"})),
                ("entries_by_account_time", EntryFilter(account_id="acme", min_amount=1, max_amount=9)),
                ("entries_by_account_time", EntryFilter(account_id="acme", outcome=Outcome.SUCCEEDED)),
                ("entries_by_operation", EntryFilter(account_id="acme", operation="image", max_amount=9)),
                ("entries_by_user", EntryFilter(account_id="acme", user_id="ann", operation="image")),
                ("entries_by_project", EntryFilter(account_id="acme", project_id="p")),
                ("entries_by_kind", EntryFilter(account_id="acme", outcome=Outcome.FAILED)),
                ("entries_by_kind", EntryFilter(account_id="acme", kinds=(EntryKind.GRANT, EntryKind.RELEASE))),
                ("entries_by_request", EntryFilter(account_id="acme", request_id="r")),
                ("entries_by_time", EntryFilter()),
                ("entries_by_time", EntryFilter(user_id="ann")),
            )
        ),
        ("entries_by_time", lambda ledger: ledger.entries.list(EntryFilter(kinds=(EntryKind.CHARGE,)), 10)),
    ],
)
async def test_an_index_answers(ledger: Ledger, index: str, query: Any) -> None:
    await create(ledger)
    with plans() as seen:
        await query(ledger)
    assert any(index in plan for plan in seen), "\n\n".join(seen)
