"""An event loop in a background thread, where `Client` runs its `AsyncClient`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, ParamSpec, TypeVar

__all__ = ["LoopThread"]

_JOIN_SECONDS: Final = 5.0
_FINISH_SECONDS: Final = 1.0

_T = TypeVar("_T")
_P = ParamSpec("_P")


class LoopThread:
    """An event loop that runs in a thread of its own. It follows the program's event loop policy."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_handle_loop_exception)
        self._thread = threading.Thread(target=self._loop.run_forever, name="earmark-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine there and wait for it; an interrupt here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a plain function there and wait for its result."""
        future: Future[_T] = Future()

        def call() -> None:
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as failure:  # noqa: BLE001 - raised in the thread that waits
                future.set_exception(failure)

        self._loop.call_soon_threadsafe(call)
        return future.result()

    def stop(self) -> None:
        """End the loop and its thread, after what gRPC still has to end in it."""
        self.run(_finish_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


async def _finish_tasks() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if rest:
        _, unfinished = await asyncio.wait(rest, timeout=_FINISH_SECONDS)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _handle_loop_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # gRPC wakes every loop of the process through one socket: a loop that comes second finds it empty. Harmless.
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)
