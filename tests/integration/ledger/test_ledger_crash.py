"""A flush that dies anywhere leaves nothing; a flush that answered is there for good."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from earmark.domain.states import EntryKind
from earmark.errors import Unavailable
from earmark.ledger import Ledger, open_ledger, upgrade
from earmark.ledger.models import EntryFilter, PartitionPosition, Written
from tests.integration.ledger.stream import charged, create, element, ended, grant, granted
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

# Opens the ledger, dies by SIGKILL at the statement that begins so, and would tell by its exit if it never came to it.
DIES = """
import asyncio, os, signal, sys
from sqlalchemy import Engine, event
from earmark.ledger import open_ledger
from tests.integration.ledger.test_ledger_crash import batch

url, partition, fatal = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def die(statement):
    if " ".join(statement.split()).startswith(fatal):
        os.kill(os.getpid(), signal.SIGKILL)

@event.listens_for(Engine, "connect")
def watch(connection, _record):
    connection.set_trace_callback(die)

async def main():
    ledger = await open_ledger(url)
    await ledger.flush(partition, 0, 1, batch())

asyncio.run(main())
"""


def batch():
    return [
        element(
            2,
            charged("acme", 2, 10),
            ended(EntryKind.RELEASE, "acme", 3, "failed"),
        )
    ]


async def prepared(ledger: Ledger) -> int:
    await ledger.stores.initialise(4, for_tests=False)
    writer = await create(ledger)
    await writer.write(granted(await grant(ledger), 1, 1000))
    return writer.partition


async def nothing_of_the_batch(ledger: Ledger, partition: int) -> None:
    assert await ledger.partitions.read(partition) == PartitionPosition(0, 1)
    assert [entry.entry_number for entry in await ledger.entries.list(EntryFilter(), 10)] == [1]
    assert (await ledger.accounts.get_grant("acme", 1)).charged == 0
    totals = (await ledger.projections.account_projections(["acme"]))["acme"]
    assert (totals.entry_number, totals.charged) == (1, 0)


@pytest.mark.parametrize(
    "fatal",
    [
        "UPDATE partitions",
        "INSERT INTO entries",
        "INSERT INTO entry_allocations",
        "UPDATE account_totals",
        "UPDATE grants",
        "COMMIT",
    ],
)
async def test_killed_at_any_statement_on_sqlite(tmp_path: Path, fatal: str) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    await upgrade(url)
    ledger = await open_ledger(url)
    partition = await prepared(ledger)
    await ledger.close()
    died = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", DIES, url, str(partition), fatal], check=False, capture_output=True
    )
    assert died.returncode == -9, died.stderr.decode()
    ledger = await open_ledger(url)
    await nothing_of_the_batch(ledger, partition)
    assert await ledger.flush(partition, 0, 1, batch()) == Written(3, 2, 0)
    await ledger.close()


@pytest.mark.parametrize("table", ["partitions", "entries", "entry_allocations", "account_totals", "grants"])
async def test_cut_off_at_any_statement_on_postgresql(postgres_server: PostgresServer, table: str) -> None:
    url = postgres_server.fresh_database()
    name = url.split("/")[3].split("?")[0]
    ledger, other = await open_ledger(url), await open_ledger(url)
    partition = await prepared(ledger)
    waiting = f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'"

    async with other._database._engine.begin() as blocker:  # type: ignore[attr-defined]
        # The flush waits for this table, with everything before it done.
        await blocker.exec_driver_sql(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        flush = asyncio.create_task(ledger.flush(partition, 0, 1, batch()))
        pid = await wait_until(lambda: asyncio.to_thread(postgres_server.execute, waiting))
        await asyncio.to_thread(postgres_server.execute, f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(Unavailable):
            await flush
    await nothing_of_the_batch(ledger, partition)
    assert await ledger.flush(partition, 0, 1, batch()) == Written(3, 2, 0)
    await ledger.close()
    await other.close()


async def test_a_cancelled_flush_is_there_wholly_or_not_at_all(ledger: Ledger) -> None:
    partition = await prepared(ledger)
    records = [charged("acme", 2 + at, 1, request_id=f"r{at}") for at in range(800)]
    position = 1
    for turns in range(0, 60, 6):
        elements = [element(position + 1, *records[position - 1 : position + 19])]
        flush = asyncio.create_task(ledger.flush(partition, 0, position, elements))
        for _ in range(turns):
            await asyncio.sleep(0)
        flush.cancel()
        await asyncio.gather(flush, return_exceptions=True)
        # A flush that began takes its turn before this one: then the position has moved, and this one is fenced.
        await ledger.flush(partition, 0, position, elements)
        position = (await ledger.partitions.read(partition)).flushed_seq
    totals = (await ledger.projections.account_projections(["acme"]))["acme"]
    assert (totals.entry_number, totals.charged) == (position, position - 1) == (201, 200)
    assert len(await ledger.entries.list(EntryFilter(), 1000)) == 201
