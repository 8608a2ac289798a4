# SPDX-License-Identifier: Apache-2.0
"""The gatherer's end of the connection with a spawner, in an asyncio loop.

Either a spawner listens at a socket, as the service of the node; or the gatherer starts one of its
own, which then can be no other user than the gatherer, unless that is root. One that is gone is
looked for, or started, again, after a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Protocol

from shmetrics.probes.spawner import protocol
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.registration.peer import peer_of

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_STOP_SECONDS = 10.0  # that a spawner of our own has to end

#: Called with the answer to a run, after news that it is Stuck, if it is; None: the spawner is
#: gone, and the run with it.
OnAnswer = Callable[[protocol.Answer | None], None]


class Unavailable(Exception):
    """There is no spawner now; one line for people."""


class Way(Protocol):
    """A way to a spawner."""

    def open(self) -> socket.socket:
        """Return a connection. Raises OSError."""

    def close(self) -> None:
        """End what `open` has started, after the connection is closed."""


class Listening:
    """The way to a spawner that listens at a socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self) -> socket.socket:
        """Connect. Raises OSError, also if it is neither root's nor ours."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.setblocking(False)
            sock.connect(self._path)
            uid = peer_of(sock).uid
            if uid not in (0, os.geteuid()):
                raise PermissionError(
                    errno.EPERM, f"uid {uid} listens there, not root and not ours"
                )
        except OSError as error:
            sock.close()
            raise OSError(error.errno, f"{self._path}: {error.strerror}") from None
        return sock

    def close(self) -> None:
        """Do nothing: it is not ours."""


class Started:
    """The way to a spawner that this process starts, and that ends with it."""

    def __init__(self, config: str = "") -> None:
        """Set its configuration file; "": the defaults."""
        self._config = os.path.abspath(config) if config else ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the pid of its guardian, None if it has not been started."""
        return self._process.pid if self._process else None

    def open(self) -> socket.socket:
        """Start it, and return the connection. Raises OSError, also if a former one ends yet."""
        if self._process is not None and self._process.poll() is None:
            raise OSError(errno.EBUSY, "the one before is still ending")
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            command = [sys.executable, "-m", "shmetrics", "spawner", "--fd", str(its.fileno())]
            try:
                self._process = subprocess.Popen(
                    command + (["--config", self._config] if self._config else []),
                    stdin=subprocess.DEVNULL,
                    pass_fds=[its.fileno()],
                    cwd="/",  # Python looks for modules there first, and others may write to ours
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        return ours

    def close(self) -> None:
        """Wait until it has ended, which it does because its connection is closed."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class SpawnerClient:
    """A connection with a spawner, whichever there is at the time."""

    def __init__(self, way: Way, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._way = way
        self._monotonic = monotonic
        self._rate_limited = RateLimitedLog(log)
        self._socket: socket.socket | None = None
        self._waiting: dict[int, OnAnswer] = {}  # by the number of the run
        self._last_id = 0
        self._pause_seconds = 0.0
        self._not_before = 0.0

    def run(
        self,
        wish: Callable[[int], protocol.Run],
        descriptors: tuple[int, int],
        on_answer: OnAnswer,
    ) -> int:
        """Ask for a run, and return its number.

        Args:
            wish: makes the message, with the number of the run.
            descriptors: the program's STDOUT and STDERR; the caller closes them.
            on_answer: called later; for the last time when the run is over.

        Raises:
            Unavailable: it cannot be asked for now; on_answer is not called.
        """
        sock = self._connected()
        self._last_id += 1
        try:
            packet = protocol.encode(wish(self._last_id))
            socket.send_fds(sock, [packet], descriptors)
        except protocol.ProtocolError as error:
            raise Unavailable(str(error)) from None
        except BlockingIOError:
            raise Unavailable("the spawner does not read what it is asked") from None
        except OSError as error:
            self._lose()
            raise Unavailable(f"the spawner is gone: {error.strerror}") from None
        self._waiting[self._last_id] = on_answer
        return self._last_id

    def stop(self, id: int) -> None:
        """End a run at once. Its answer comes all the same."""
        if self._socket is not None and id in self._waiting:
            # If it cannot be told now, the run ends at its deadline.
            with contextlib.suppress(OSError):
                self._socket.send(protocol.encode(protocol.Stop(id)))

    def close(self) -> None:
        """Close the connection: all runs end; they are answered with None."""
        self._lose()
        self._way.close()

    def _connected(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        now = self._monotonic()
        if now < self._not_before:
            raise Unavailable("there is no spawner; it is tried again soon")
        self._pause_seconds = min(
            max(self._pause_seconds * 2, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS
        )
        self._not_before = now + self._pause_seconds
        try:
            self._socket = self._way.open()
        except OSError as error:
            self._rate_limited.warning("open", f"there is no spawner: {error.strerror}")
            raise Unavailable(f"there is no spawner: {error.strerror}") from None
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        return self._socket

    def _read(self) -> None:
        assert self._socket is not None
        try:
            packet = self._socket.recv(protocol.MESSAGE_MAX_BYTES + 1)
            answer = protocol.decode_answer(packet) if packet else None
        except BlockingIOError:
            return
        except OSError:
            answer = None
        except protocol.ProtocolError as error:
            self._rate_limited.warning("answer", f"the spawner's answer is none: {error}")
            answer = None
        if answer is None:
            self._rate_limited.warning("gone", "the spawner has gone; what it ran has ended")
            self._lose()
            return
        self._pause_seconds = 0.0
        on_answer = self._waiting.get(answer.id)
        if not isinstance(answer, protocol.Stuck):
            self._waiting.pop(answer.id, None)
        if on_answer is not None:
            on_answer(answer)

    def _lose(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        waiting, self._waiting = self._waiting, {}
        for on_answer in waiting.values():
            on_answer(None)
