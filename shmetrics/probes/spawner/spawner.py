# SPDX-License-Identifier: Apache-2.0
"""The spawner: it runs commands for gatherers, ends them in time, and says how they ended.

It is one thread that waits for four things: a gatherer that connects or asks, the deadline of a
run, the death of a child, and the signal to stop. Another one sees to deadlines while this one
looks at a program or starts it (standstill.py). It reads nothing that a program prints. When a
gatherer is gone, its runs end; when the spawner ends, all do.
"""

from __future__ import annotations

import errno
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from shmetrics.config.spawner import SpawnerFile
from shmetrics.errors import ShmetricsError
from shmetrics.probes.spawner import _start, protocol
from shmetrics.probes.spawner.connection import Connection, Gone, close_all
from shmetrics.probes.spawner.permission import Command, NotAllowed, Permission
from shmetrics.probes.spawner.run_cgroups import RunCgroups
from shmetrics.probes.spawner.runs import Answered, Runs
from shmetrics.probes.spawner.standstill import Standstill
from shmetrics.rate_limited_log import RateLimitedLog

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 8
_LONGEST_END_SECONDS = 5.0  # that the spawner waits for the dying at its own end


class Spawner:
    """The spawner of one node, or of one gatherer."""

    def __init__(
        self,
        file: SpawnerFile,
        listener: socket.socket | None = None,
        own: socket.socket | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Prepare what it needs. This process is its own from now on: signals, orphans, rights.

        Args:
            file: its configuration.
            listener: a listening socket for gatherers.
            own: the connection of the gatherer that started it; it ends with that.
            monotonic_ns: the clock, in nanoseconds.

        Raises:
            ShmetricsError: the gatherer that started it may not ask it.
        """
        uid = os.geteuid()
        self._allowed_uids = {0, file.spawner.uid(uid)}
        self._permission = Permission(
            [Command(probe.uid(uid), tuple(probe.command)) for probe in file.probes],
            file.spawner.directories,
            file.spawner.allow_root,
            uid,
        )
        self._rate_limited = RateLimitedLog(log)
        self._stopping = False
        _start.take_in_orphans()
        _start.gain_no_privileges()
        cgroups = RunCgroups.open() if file.spawner.cgroups else None
        self._standstill = Standstill(self._advance_meanwhile)
        self._runs = Runs(file.spawner, cgroups, monotonic_ns, self._standstill.allowed)
        self._news: list[Answered] = []
        self._connections: set[Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._wake_from, self._wake_to = socket.socketpair()
        for end in (self._wake_from, self._wake_to):
            end.setblocking(False)
        self._selector.register(self._wake_from, selectors.EVENT_READ, self._woken)
        self._listener = listener
        if listener is not None:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._own = None if own is None else self._welcome(own)
        if own is not None and self._own is None:
            raise ShmetricsError("spawner.user: this is not who started the spawner")

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until the gatherer that started it is gone."""
        signal.set_wakeup_fd(self._wake_to.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler nothing wakes us
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the guardian has blocked them until now
        try:
            while not self._stopping:
                for key, _ in self._selector.select(self._runs.wait_seconds()):
                    key.data()
                news, self._news = self._news, []
                self._say([*news, *self._runs.advance()])
        finally:
            self._end()

    def stop(self) -> None:
        """End soon."""
        self._stopping = True

    def _advance_meanwhile(self) -> None:
        """End what is late while the thread of this spawner waits for a disk."""
        self._news += self._runs.advance()

    def _woken(self) -> None:
        try:
            while self._wake_from.recv(4096):
                pass
        except BlockingIOError:
            pass
        self._say(self._runs.reap())

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # it is gone again, or there are no descriptors
            self._rate_limited.warning("accept", f"a gatherer cannot connect: {error.strerror}")
            return
        if len(self._connections) >= MOST_CONNECTIONS:
            self._rate_limited.warning("many", f"more than {MOST_CONNECTIONS} gatherers connect")
            sock.close()
            return
        self._welcome(sock)

    def _welcome(self, sock: socket.socket) -> Connection | None:
        connection = Connection(sock)
        uid = connection.peer.uid
        if uid not in self._allowed_uids:
            self._rate_limited.warning(
                ("peer", uid), f"uid {uid} may not ask for commands; see spawner.user"
            )
            connection.close()
            return None
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._receive(connection))
        return connection

    def _receive(self, connection: Connection) -> None:
        try:
            received = connection.receive()
        except Gone:
            self._lose(connection)
            return
        except protocol.ProtocolError as error:
            self._rate_limited.warning(
                "protocol", f"the gatherer of pid {connection.peer.pid} is cut off: {error}"
            )
            self._lose(connection)
            return
        if received is None:
            return
        try:
            self._obey(connection, received.wish, received.descriptors)
        finally:
            close_all(received.descriptors)

    def _obey(self, connection: Connection, wish: protocol.Wish, descriptors: list[int]) -> None:
        if isinstance(wish, protocol.Stop):
            self._runs.kill(connection, wish.id)
            return
        try:
            with self._standstill.allowed():
                account = self._permission.check(wish)
            self._runs.begin(wish, account, descriptors, connection)
        except NotAllowed as error:
            self._send(connection, protocol.Refused(wish.id, error.reason, str(error)))
        except _start.NotStarted as error:
            text = f"{wish.command[0]}: cannot be run as uid {wish.uid}: {error.strerror}"
            reason = "slow_start" if error.errno == errno.ETIMEDOUT else "not_started"
            self._send(connection, protocol.Refused(wish.id, reason, text))

    def _say(self, news: list[Answered]) -> None:
        for connection, said in news:
            if connection in self._connections:
                self._send(connection, said)

    def _send(self, connection: Connection, answer: protocol.Answer) -> None:
        try:
            connection.send(answer)
        except Gone:
            self._lose(connection)

    def _lose(self, connection: Connection) -> None:
        """End the runs of a gatherer that is gone."""
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.close()
        self._runs.kill(connection)
        if connection is self._own:
            self.stop()

    def _end(self) -> None:
        """End all runs, wait until they are gone, and close everything."""
        deadline = time.monotonic() + _LONGEST_END_SECONDS
        for connection in list(self._connections):
            self._lose(connection)
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
        while self._runs.end() and time.monotonic() < deadline:
            if self._selector.select(0.1):
                self._woken()
        signal.set_wakeup_fd(-1)
        self._standstill.close()
        self._runs.close()
        self._selector.close()
        self._wake_from.close()
        self._wake_to.close()
