"""What the holds of one client share: connection, session, keep-alive, and the commits nobody was told about."""

from __future__ import annotations

import asyncio
import logging
import os
from itertools import count
from math import inf

import grpc

from earmark.client.calls import Owner, SessionCall
from earmark.client.connection import Connection
from earmark.client.failures import CallTimedOut, ClientClosed, UnsettledCommit, UnsettledCommits
from earmark.client.keepalive import KeepAlive
from earmark.client.session import Session
from earmark.errors import EarmarkError
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["Core", "RequestIds"]

_log = logging.getLogger("earmark")


class RequestIds:
    """Makes request ids: a random prefix for the client and a number for the call."""

    def __init__(self) -> None:
        self._prefix = os.urandom(9).hex()
        self._numbers = count(1)

    def next(self) -> str:
        """Return an id that no other client makes."""
        return f"{self._prefix}-{next(self._numbers)}"


class _GivenUp(Owner):
    """Stands behind the release of a Reserve that nobody waits for: what it is answered interests nobody."""

    __slots__ = ()

    def refused(self, refusal: EarmarkError) -> bool:
        _log.debug("release of a reserve that was given up: %s", refusal)
        return True


_GIVEN_UP = _GivenUp()


class Core:
    """The running part of a client. Belongs to one event loop."""

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None,
        credentials: grpc.ChannelCredentials | None,
        max_in_flight: int,
        request_ids: RequestIds,
    ) -> None:
        self.connection = Connection(address, api_key=api_key, credentials=credentials)
        self.session = Session(self.connection, max_in_flight=max_in_flight)
        self.keep_alive = KeepAlive(self.session)
        self.request_ids = request_ids
        self._unsettled: list[UnsettledCommit] = []

    def report_unsettled(self, unsettled: UnsettledCommit) -> None:
        """Keep a commit that failed without anybody waiting for it, for `close`; and log it."""
        _log.error("could not settle: %s", unsettled)
        self._unsettled.append(unsettled)

    def give_up_reserve(self, call: SessionCall, reserve: pb.ReserveRequest) -> None:
        """Make sure that a Reserve whose caller is gone, or was told that it timed out, leaves no hold behind."""
        refused = call.error is not None and not isinstance(call.error, (CallTimedOut, ClientClosed))
        self.session.withdraw(call)
        if refused or not call.was_sent:
            return
        message = pb.SessionCall()
        message.release.account_id = reserve.account_id
        message.release.request_id = reserve.request_id
        message.release.reason = "the caller of the reserve gave up before its answer came"
        try:
            self.session.submit(message, urgent=True, owner=_GIVEN_UP)
        except ClientClosed:
            _log.warning("reserve %s of account %s was given up; its hold expires", call.sequence, reserve.account_id)
            return

    async def close(self, timeout: float) -> None:
        """Wait for what is being settled, then drop the connection.

        Raises:
            UnsettledCommits: with what was not settled in time, and what failed unseen before.
        """
        self.keep_alive.close()
        try:
            async with asyncio.timeout(timeout):
                while settling := [call for call in self.session.open_calls() if call.deadline == inf]:
                    await asyncio.gather(*(_ended(call) for call in settling))
        except TimeoutError:
            pass
        finally:
            for call in self.session.open_calls():
                self._report_open(call)
            await self.session.close()
            await self.connection.close()
        if self._unsettled:
            unsettled, self._unsettled = self._unsettled, []
            raise UnsettledCommits(unsettled)

    def _report_open(self, call: SessionCall) -> None:
        if call.deadline != inf:
            return
        commit = call.owner.unsettled(None) if call.owner is not None else None
        if commit is not None:
            self.report_unsettled(commit)
        else:
            _log.warning("closed before a release was answered (%s); its hold expires", call.last_failure)


async def _ended(call: SessionCall) -> None:
    try:
        await call
    except EarmarkError:
        return  # Whoever waits for the call is told; who does not has left a handler with it.
