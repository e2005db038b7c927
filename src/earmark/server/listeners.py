"""Addresses to listen on: taken by exactly one server, or refused with one clear line.

gRPC alone would not do. It shares TCP ports when asked to, binds some of a name's addresses when the others are taken,
and removes a Unix socket that another server listens on. Two ledgers behind one address must be impossible.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Protocol, Self

from earmark.errors import FailedPrecondition

__all__ = ["AddressInUse", "Binder", "Listeners", "PortClaims", "check_free"]


class AddressInUse(FailedPrecondition):
    """An address cannot be listened on. The message is one line that says which and why."""

    def __init__(self, message: str) -> None:
        super().__init__("ADDRESS_IN_USE", message)


class Binder(Protocol):
    """What is used of `grpc.aio.Server`."""

    def add_insecure_port(self, address: str) -> int:
        """Listen; return the port. Raises RuntimeError."""
        ...


class Listeners:
    """Claims addresses for this process and binds a server to them. Use it as a context: it ends the claims."""

    def __init__(self, listen: Sequence[str], *, reuse_port: bool = False) -> None:
        """`listen` are `HOST:PORT` and `unix:PATH`; `reuse_port` shares TCP ports with others that do."""
        self._listen = tuple(listen)
        self._reuse_port = reuse_port
        self._claims = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._claims.close()

    def bind(self, server: Binder) -> list[str]:
        """Bind the server; return the addresses as clients name them, with the real ports.

        Raises:
            AddressInUse: somebody listens there already, or the address is none of this machine.
        """
        return [
            self._bind_unix(server, address) if address.startswith("unix:") else self._bind_tcp(server, address)
            for address in self._listen
        ]

    def _bind_unix(self, server: Binder, address: str) -> str:
        path = _path_of(address)
        self._claims.enter_context(_lock_socket(path))
        _remove_stale(path, address)
        self._claims.callback(path.unlink, missing_ok=True)  # Before the lock goes.
        try:
            server.add_insecure_port(f"unix:{path}")
        except RuntimeError as failure:
            raise AddressInUse(f"cannot listen on {address}: {failure}") from None
        return f"unix:{path}"

    def _bind_tcp(self, server: Binder, address: str) -> str:
        host, _, port_text = address.rpartition(":")
        port = int(port_text)
        for resolved in _resolve(host, port, address):
            if not self._reuse_port:
                # gRPC's own refusal does not say why, and it would share a port with a server that shares.
                _bind_alone(resolved, port, address).close()
            shown = f"[{resolved}]" if ":" in resolved else resolved
            try:
                port = server.add_insecure_port(f"{shown}:{port}")
            except RuntimeError:
                raise _taken(address) from None
        return f"{host}:{port}"


class PortClaims:
    """TCP ports that several worker processes share: claimed alone first, so that nobody else shares them.

    A claim is a bound socket that does not listen. Binding it fails if anybody has the port; only then it is opened
    to the sockets of our workers, which gRPC binds with SO_REUSEPORT. While it is held, no other claim succeeds.
    """

    def __init__(self, listen: Sequence[str]) -> None:
        """Claim every TCP address of `listen`.

        Raises:
            AddressInUse: another process has one of them.
        """
        self._claims = ExitStack()
        self.listen: list[str] = []
        """The same addresses, with the ports that were free where 0 was asked for."""
        try:
            for address in listen:
                self.listen.append(address if address.startswith("unix:") else self._claim(address))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the ports back."""
        self._claims.close()

    def _claim(self, address: str) -> str:
        host, _, port_text = address.rpartition(":")
        port = int(port_text)
        for resolved in _resolve(host, port, address):
            claim = self._claims.enter_context(_bind_alone(resolved, port, address))
            # Order counts: an address that may be reused can be bound twice as long as nobody listens on it.
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            port = claim.getsockname()[1]
        return f"{host}:{port}"


def check_free(listen: Sequence[str]) -> None:
    """Refuse addresses that are taken, before anything is started for them.

    Raises:
        AddressInUse: another process listens there.
    """
    PortClaims([address for address in listen if not address.startswith("unix:")]).close()
    for address in listen:
        if address.startswith("unix:"):
            with _lock_socket(_path_of(address)):
                _remove_stale(_path_of(address), address)


def _path_of(address: str) -> Path:
    return Path(address.removeprefix("unix:").removeprefix("//"))


def _taken(address: str) -> AddressInUse:
    return AddressInUse(f"cannot listen on {address}: another process listens there already")


def _resolve(host: str, port: int, address: str) -> list[str]:
    """Return every address of a host, so that each one is bound or refused by itself."""
    bare = host.strip("[]")
    try:
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as failure:
        raise AddressInUse(f"cannot listen on {address}: {failure.strerror}") from None
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    # A machine without IPv6 still resolves localhost to ::1.
    return [each for each in addresses if _exists(each)] or addresses


def _exists(resolved: str) -> bool:
    family = socket.AF_INET6 if ":" in resolved else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((resolved, 0))
    except OSError:
        return False
    return True


def _bind_alone(resolved: str, port: int, address: str) -> socket.socket:
    """Bind a socket that shares its port with nobody."""
    family = socket.AF_INET6 if ":" in resolved else socket.AF_INET
    alone = socket.socket(family, socket.SOCK_STREAM)
    try:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            alone.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        alone.bind((resolved, port))
    except OSError as failure:
        alone.close()
        if failure.errno == errno.EADDRINUSE:
            raise _taken(address) from None
        raise AddressInUse(f"cannot listen on {address}: {failure.strerror}") from None
    return alone


def _lock_socket(path: Path) -> IO[str]:
    """Take the lock beside a Unix socket, which the kernel gives back whatever ends this process."""
    try:
        handle = path.with_name(f"{path.name}.lock").open("w", encoding="ascii")
    except OSError as failure:
        raise AddressInUse(f"cannot listen on unix:{path}: {failure.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise _taken(f"unix:{path}") from None
    return handle


def _remove_stale(path: Path, address: str) -> None:
    """Remove the socket that a killed server left; refuse one that answers, and anything that is no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise AddressInUse(f"cannot listen on {address}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.settimeout(1)
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise _taken(address)
