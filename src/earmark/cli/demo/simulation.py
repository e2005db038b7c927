"""The demo's workers: they generate nothing, but reserve, commit, fail and crash as real ones do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, unique

from earmark import AsyncClient, InsufficientCredits
from earmark.cli.demo.workload import CRASHED_TTL_SECONDS, Fate, Generation, Workload
from earmark.credits import to_credits

__all__ = ["Ending", "Tally", "simulate"]

WORKERS = 48


class GenerationFailedError(Exception):
    """What a model raises."""


@unique
class Ending(Enum):
    """How a generation ended, as its worker saw it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CRASHED = "crashed"
    REFUSED = "refused"


@dataclass(slots=True)
class Tally:
    """What the demo itself counted for one account; it is compared with what Earmark says."""

    granted: int = 0
    """Microcredits."""
    charged: int = 0
    """What the generations that succeeded used, in microcredits."""
    released: int = 0
    """What the failed and crashed ones had reserved, in microcredits."""
    endings: Counter[Ending] = field(default_factory=Counter)


async def simulate(address: str, workload: Workload, on_done: Callable[[], None]) -> dict[str, Tally]:
    """Create the accounts and run all generations; `on_done` is called after each.

    Raises:
        EarmarkError: a refusal that is not part of the plan.
    """
    tallies = {plan.account_id: Tally() for plan in workload.accounts}
    async with AsyncClient(address) as client:
        for plan in workload.accounts:
            await client.create_account(plan.account_id)
            for grant in plan.grants:
                expires = datetime.now(UTC) + timedelta(seconds=grant.seconds) if grant.seconds else None
                await client.create_grant(
                    plan.account_id, to_credits(grant.amount), kind=grant.kind, expire_time=expires
                )
                tallies[plan.account_id].granted += grant.amount
        waiting = iter(workload.generations)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(_work(client, waiting, tallies, on_done))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # One is enough for one line; the group cancelled the others.
    return tallies


async def _work(
    client: AsyncClient, waiting: Iterator[Generation], tallies: dict[str, Tally], on_done: Callable[[], None]
) -> None:
    for generation in waiting:
        tally = tallies[generation.account_id]
        ending = await _generate(client, generation)
        tally.endings[ending] += 1
        match ending:
            case Ending.SUCCEEDED:
                tally.charged += generation.actual
            case Ending.FAILED | Ending.CRASHED:
                tally.released += generation.reserved
            case Ending.REFUSED:
                pass
        on_done()


async def _generate(client: AsyncClient, generation: Generation) -> Ending:
    crashes = generation.fate is Fate.CRASHES
    try:
        async with client.reserve(
            generation.account_id,
            amount=to_credits(generation.reserved),
            operation=generation.operation,
            user_id=generation.user_id,
            ttl=CRASHED_TTL_SECONDS if crashes else None,
            keep_alive=not crashes,
        ) as hold:
            await asyncio.sleep(generation.seconds)
            match generation.fate:
                case Fate.FAILS:
                    raise GenerationFailedError("the model is overloaded")
                case Fate.CRASHES:
                    hold.detach()  # What a killed process leaves behind: a hold that nobody settles.
                case Fate.SUCCEEDS if generation.actual != generation.reserved:
                    hold.commit(amount=to_credits(generation.actual))
                case Fate.SUCCEEDS:
                    pass  # Leaving the block commits all that was reserved.
    except InsufficientCredits:
        return Ending.REFUSED
    except GenerationFailedError:
        return Ending.FAILED
    return Ending.CRASHED if crashes else Ending.SUCCEEDED
