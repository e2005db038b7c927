"""Long work beside the event loop lets whoever answers calls go first, and is never starved."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from earmark.ledger.threads import background_thread


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_it_interrupts_nobody_and_keeps_its_share() -> None:
    with background_thread("background") as thread:
        assert thread.submit(lambda: os.sched_getscheduler(threading.get_native_id())).result() == os.SCHED_BATCH
        assert thread.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result() == 0
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "the process itself is left as it is"


def test_where_that_is_forbidden_it_works_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden, raising=False)
    with background_thread("background") as thread:
        assert thread.submit(lambda: threading.current_thread().name).result() == "background_0"
