"""Deriving calls anew: what a Reserve or Charge says of limits and entitlement comes from an account's configuration.

The server derives it from the configuration that it remembers. When the script finds another one in force, or a later
time than the windows that were sent, it says so and does nothing; the call is then derived again, from SQL, and sent
again. A place in the queue for credits stays meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from earmark.engine.operations import AccountOperation, Charge, Reserve
from earmark.engine.ports import Claims, OnDone
from earmark.engine.results import ConfigurationMoved, Result
from earmark.errors import EarmarkError, Internal, Reason, Unavailable

__all__ = ["Deriving", "asker_of"]

_PAUSES = (0.0, 0.005, 0.02, 0.08)
"""Seconds before each attempt to derive a call anew. More than one means that a change is on its way to Redis."""

_log = structlog.get_logger("earmark.engine")

Derived = Reserve | Charge


class _Again:
    """Who asked for a call that was derived anew, and how often it was."""

    __slots__ = ("asker", "attempts")

    def __init__(self, asker: OnDone, attempts: int) -> None:
        self.asker = asker
        self.attempts = attempts

    def __call__(self, result: Result | EarmarkError) -> None:
        self.asker(result)


def asker_of(on_done: OnDone) -> OnDone:
    """Return who asked, without the count of attempts: a call that got as far as the queue begins to count anew."""
    return on_done.asker if isinstance(on_done, _Again) else on_done


class Deriving:
    """The calls that are being derived anew."""

    def __init__(
        self,
        claims: Claims | None,
        resend: Callable[[AccountOperation, OnDone], None],
        leave_queue: Callable[[Derived], None],
    ) -> None:
        """Begin with none.

        Args:
            claims: Derives; without one such calls are answered RECOVERING.
            resend: Queues a derived call.
            leave_queue: Takes a call that failed out of the queue for credits.
        """
        self._claims = claims
        self._resend = resend
        self._leave_queue = leave_queue
        self._under_way: dict[asyncio.Task[Derived], tuple[str, str]] = {}
        """Digest and owner of each, by which a caller that goes away finds it."""

    def moved(self, operation: Derived, on_done: OnDone, answer: ConfigurationMoved) -> None:
        """Derive a call again and send it."""
        attempts = on_done.attempts if isinstance(on_done, _Again) else 0
        asker = asker_of(on_done)
        if self._claims is None or attempts == len(_PAUSES):
            self._fail(operation, asker, _changing(operation.account_id))
            return
        work = _derive(self._claims, operation, answer, _PAUSES[attempts])
        task = asyncio.get_running_loop().create_task(work)
        self._under_way[task] = (operation.digest, operation.owner)
        task.add_done_callback(partial(self._derived, operation, _Again(asker, attempts + 1)))

    def _derived(self, operation: Derived, again: _Again, task: asyncio.Task[Derived]) -> None:
        wanted = self._under_way.pop(task, None) is not None
        if task.cancelled():
            if wanted:
                again.asker(Unavailable(Reason.DRAINING, "the server stops: repeat the call with the same ids"))
            return
        failure = task.exception()
        if not wanted:
            return
        if failure is None:
            self._resend(task.result(), again)
        elif isinstance(failure, EarmarkError):
            self._fail(operation, again.asker, failure)
        else:
            _log.error("a call could not be derived anew", account_id=operation.account_id, exc_info=failure)
            self._fail(operation, again.asker, Internal(Reason.INTERNAL, "the account's limits could not be read"))

    def _fail(self, operation: Derived, asker: OnDone, failure: EarmarkError) -> None:
        if operation.wait:
            self._leave_queue(operation)
        asker(failure)

    def leave(self, digest: str, owner: str) -> None:
        """Forget the call of a waiter that went away: it is neither sent again nor answered."""
        for task, waiter in tuple(self._under_way.items()):
            if waiter == (digest, owner):
                del self._under_way[task]
                task.cancel()

    async def close(self) -> None:
        """Stop deriving; who asked is told to repeat."""
        tasks = tuple(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _derive(claims: Claims, operation: Derived, answer: ConfigurationMoved, pause: float) -> Derived:
    if pause:
        await asyncio.sleep(pause)
    return await claims.derive(operation, answer.now, answer.config_seq)


def _changing(account_id: str) -> Unavailable:
    return Unavailable(
        Reason.RECOVERING,
        "the account's configuration is being changed: repeat the call with the same ids",
        {"account_id": account_id},
    )
