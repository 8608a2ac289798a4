# SPDX-License-Identifier: Apache-2.0
"""Collectors forked from a program that has imported all that a collector needs.

To import it takes most of a collector's start, and the tests start many hundreds. So there is one
program for all tests of this process, which only imports and forks: what a collector does begins
after the fork, in a session of its own, with the arguments and the environment of its test.
"""

import atexit
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers.patience import until

MESSAGE_BYTES = 1 << 20


class Nursery:
    """The program, and the connection to it."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.servers.nursery", str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, **request: object) -> Any:
        """Send a request, see _serve(); return the answer."""
        self._connection.send(json.dumps(request).encode())
        return json.loads(self._connection.recv(MESSAGE_BYTES))

    def close(self) -> None:
        """End the program."""
        self._connection.close()
        self._process.wait()


class Child:
    """A process of the nursery's, with the methods of subprocess.Popen that tests use."""

    def __init__(
        self, nursery: Nursery, argv: Sequence[str], log: Path, env: Mapping[str, str]
    ) -> None:
        self._nursery = nursery
        self.returncode: int | None = None
        self.pid: int = nursery.ask(argv=list(argv), log=str(log), env=dict(env))

    def poll(self) -> int | None:
        """Return the exit status, as Popen does; None as long as it runs."""
        if self.returncode is None:
            self.returncode = self._nursery.ask(pid=self.pid)
        return self.returncode

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the end. Raises TimeoutExpired after so many seconds."""
        try:
            until(lambda: self.poll() is not None, lambda: "it runs", seconds or 60)
        except AssertionError:
            raise subprocess.TimeoutExpired("a child of the nursery", seconds or 60) from None
        assert self.returncode is not None
        return self.returncode

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.poll() is None:  # then its pid is no other process's
            os.kill(self.pid, number)


_nurseries: list[Nursery] = []  # none, or one


def begin() -> None:
    """Start the program, unless it runs."""
    if not _nurseries:
        _nurseries.append(Nursery())
        atexit.register(end)  # of a program of a test that starts collectors itself


def end() -> None:
    """End the program, if it runs."""
    while _nurseries:
        _nurseries.pop().close()


def pids() -> list[int]:
    """Return the pid of the program, if it runs."""
    return [nursery.pid for nursery in _nurseries]


def fork(argv: Sequence[str], log: Path, env: Mapping[str, str]) -> Child:
    """Start `shmetrics` with these arguments."""
    begin()
    return Child(_nurseries[0], argv, log, env)


def _serve(connection: socket.socket) -> int:
    """Fork, or tell how a child has ended, as often as that is asked."""
    for module in ("shmetrics.cli.collector", "shmetrics.collector.daemon"):
        importlib.import_module(module)
    gc.freeze()
    while message := connection.recv(MESSAGE_BYTES):
        request = json.loads(message)
        if "pid" in request:
            pid, status = os.waitpid(request["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                connection.close()
                return _run(**request)
        connection.send(json.dumps(answer).encode())
    return 0


def _run(argv: list[str], log: str, env: dict[str, str]) -> int:
    from shmetrics.cli import main

    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    output = os.open(log, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    return main(argv)


if __name__ == "__main__":
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1]))))
