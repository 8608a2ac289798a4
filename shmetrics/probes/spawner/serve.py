# SPDX-License-Identifier: Apache-2.0
"""The life of a spawner's process: its socket, its guardian, its end."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from shmetrics.config.spawner import SpawnerFile
from shmetrics.errors import ConfigError, ShmetricsError
from shmetrics.probes.spawner.guardian import guard
from shmetrics.probes.spawner.spawner import Spawner
from shmetrics.service_manager import notify
from shmetrics.unix_socket import Access, bound, remove

_FIRST_PASSED = 3  # of sd_listen_fds(3)
_BACKLOG = 8


def serve(file: SpawnerFile, fd: int | None, ready: Callable[[str], None]) -> int:
    """Run a spawner until it is told to stop.

    Args:
        file: its configuration.
        fd: the connection of the gatherer that started it; None: it listens, at a socket that
            systemd has passed, or at that of the configuration.
        ready: called with the place at which it can be asked.

    Returns:
        The exit status.

    Raises:
        ShmetricsError: one line, if there is no such descriptor, or no such socket can be made.
    """
    _open_standard_descriptors()
    if fd is not None:
        own = _adopted(fd, f"--fd {fd}")

        def spawn_own() -> int:
            Spawner(file, own=own).run()
            return 0

        return guard(spawn_own, own.close)
    passed = _passed_by_systemd()
    listener = passed or _listening(file.spawner.socket, file.spawner.uid(os.geteuid()))
    path = listener.getsockname()

    def spawn() -> int:
        Spawner(file, listener=listener).run()
        return 0

    def begun() -> None:
        listener.close()
        ready(path)
        notify("READY=1")  # from the process that the service manager has started

    guardian, inode = os.getpid(), os.stat(path).st_ino
    try:
        return guard(spawn, begun)
    finally:
        if passed is None and os.getpid() == guardian:
            remove(path, inode)


def _open_standard_descriptors() -> None:
    """Open what is closed of STDIN, STDOUT and STDERR, so that nothing else gets their numbers."""
    while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        pass
    os.close(fd)


def _adopted(fd: int, what: str) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_SEQPACKET:
            sock.detach()
            raise OSError(errno.EPROTOTYPE, "this is no packet socket")
    except OSError as error:
        raise ConfigError(f"{what}: {error.strerror}") from None
    os.set_inheritable(fd, False)
    return sock


def _passed_by_systemd() -> socket.socket | None:
    """Return the socket that systemd has made for this process (sd_listen_fds(3))."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    if pid != str(os.getpid()) or count != "1":
        return None
    return _adopted(_FIRST_PASSED, "the socket that systemd has passed")


def _listening(path: str, gatherer: int) -> socket.socket:
    """Return a new socket that the gatherer's user may connect to."""
    try:
        listener = bound(path, socket.SOCK_SEQPACKET, Access(0o600))
    except ShmetricsError as error:
        raise ShmetricsError(f"spawner.socket: {error}") from None
    try:
        if gatherer != os.geteuid():
            _let_in(path, gatherer)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ShmetricsError(f"spawner.socket: {path}: {error.strerror or error}") from None
    return listener


def _let_in(path: str, gatherer: int) -> None:
    """Let a user connect; if we may not say which, then everybody: each is looked at anyway."""
    try:
        os.chown(path, gatherer, -1)
    except PermissionError:
        os.chmod(path, 0o666)
