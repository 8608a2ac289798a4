# SPDX-License-Identifier: Apache-2.0
"""A process that does with shmetrics what a test tells it: `python -m tests.verify.life.puppet`.

The first one records nothing: it only makes others, by fork. Each of them connects to the test's
socket, says its pid, and then answers one command after the other: a line of JSON each.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time
from typing import Any

import shmetrics
import shmetrics.emitter.process
from shmetrics import _ring

PATIENCE_SECONDS = 60
PR_SET_CHILD_SUBREAPER = 36
shmetrics.emitter.process.FIRST_WAIT_NS = 30_000_000_000  # a busy machine may need more than 50 ms
shmetrics.emitter.process.LAST_WAIT_NS = 30_000_000_000  # likewise

KINDS = {
    "counter": shmetrics.Counter,
    "gauge": shmetrics.Gauge,
    "histogram": shmetrics.Histogram,
    "calls": shmetrics.Calls,
}


class Puppet:
    """Instruments by name and open calls by number, of one process."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection = self._connect()
        self._instruments: dict[str, Any] = {}
        self._open: dict[int, Any] = {}
        self._beat = shmetrics.Counter("beat", "Looks whether there is a lane")

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._address)
        connection.sendall(f"{os.getpid()}\n".encode())
        return connection

    def run(self) -> None:
        while line := self._line():
            name, *arguments = json.loads(line)
            answer = getattr(self, name)(*arguments)
            self._connection.sendall(json.dumps(answer).encode() + b"\n")
        self._connection.close()

    def _line(self) -> bytes:
        found = b""
        while not found.endswith(b"\n"):
            part = self._connection.recv(65536)
            if not part:
                return b""
            found += part
        return found

    # ---- commands ---------------------------------------------------------------------------

    def fork(self) -> int:
        pid = os.fork()
        if pid == 0:
            self._connection.close()
            self._connection = self._connect()
            self.run()
            os._exit(0)
        return pid

    def define(self, kind: str, name: str, labels: list[str], more: dict[str, Any]) -> None:
        self._instruments[name] = KINDS[kind](name, "Of a test", labels, **more)

    def child(self, name: str, labels: list[str]) -> None:
        self._child(name, labels)

    def record(self, name: str, labels: list[str], value: float) -> None:
        child = self._child(name, labels)
        for method in ("observe", "set", "inc"):  # a gauge can inc, too
            if hasattr(child, method):
                getattr(child, method)(value)
                return

    def grow(self, name: str, before: str, n: int) -> None:
        for i in range(n):
            self._instruments[name].labels(f"{before}{i}").inc()

    def start(self, name: str, labels: list[str], number: int) -> None:
        self._open[number] = self._child(name, labels).start()

    def end(self, name: str, labels: list[str], number: int) -> None:
        self._child(name, labels).end(self._open.pop(number))

    def remove(self, name: str, labels: list[str]) -> None:
        self._instruments[name].remove(*labels)

    def clear(self, name: str) -> None:
        self._instruments[name].clear()

    def settle(self) -> dict[str, Any]:
        """Wait until nothing that was recorded is in private memory, and no lane is under way.

        It records at least once: what a process does in parts, it does at its events.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        self._beat.inc()
        while not self._is_settled():
            if time.monotonic() > deadline:
                break
            self._beat.inc()
            time.sleep(0.002)
        return shmetrics.status()

    @staticmethod
    def _is_settled() -> bool:
        status = _ring.process_status()
        return status["state"] == "registered" and not (status["waits"] or status["wants_larger"])

    def exit(self) -> None:
        self._connection.close()
        sys.exit(0)

    def _child(self, name: str, labels: list[str]) -> Any:
        instrument = self._instruments[name]
        return instrument.labels(*labels) if labels else instrument


if __name__ == "__main__":
    # Nobody waits for the others: the kernel forgets them when they end, as children of this one.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Puppet(sys.argv[1]).run()
