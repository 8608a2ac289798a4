# SPDX-License-Identifier: Apache-2.0
"""A WSGI service that counts what it does twice: with shmetrics, and in a file, one byte each.

Run by the servers under test, never imported by the tests. Answers with its process's pid.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

import shmetrics

PATIENCE_SECONDS = 30

loads = shmetrics.Counter("loads", "Times that this module was loaded")
requests = shmetrics.Counter("requests", "Requests", ["path"])
took = shmetrics.Histogram("took", "Seconds per request")
handled = shmetrics.Gauge("handled", "Requests", multiprocess_mode="sum")
busy = shmetrics.Gauge("busy", "Requests that are being answered", multiprocess_mode="livesum")
calls = shmetrics.Calls("rpc", "Requests", ["method"])

ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def until_connected() -> None:
    """Wait for the collector: a process that is killed before it answers loses its events."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not shmetrics.status()["connected"] and time.monotonic() < deadline:
        requests.labels("/").inc(0)
        time.sleep(0.01)


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    until_connected()
    path = environ["PATH_INFO"]
    with calls.labels(path)(), took.time(), busy.track_inprogress():
        os.write(ledger, b"d" if path == "/die" else b"r")
        requests.labels(path).inc()
        handled.inc()
        if path == "/die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.001)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


until_connected()
os.write(ledger, b"l")
loads.inc()
