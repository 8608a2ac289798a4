# SPDX-License-Identifier: Apache-2.0
"""List the public paths of a collector's HTTP server, and the fields of its JSON."""

from __future__ import annotations

import asyncio
import collections
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx

from shmetrics import Counter, _ring, rpc
from shmetrics.forwarding.report import Counts, Report
from shmetrics.traces.reader import Reader
from shmetrics.traces.store import TraceStore
from shmetrics.web.app import make_app
from tests.compatibility.traces import events, id_of
from tests.nodes.loopback import Loopback

_PATHS: Final = (
    *("/", "/metrics", "/-/healthy", "/-/ready", "/traces"),
    *("/api/v1/lanes", "/api/v1/left_out", "/api/v1/calls", "/api/v1/methods", "/api/v1/traces"),
    "/api/v1/destinations",
)
#: Objects whose keys are data.
_OPEN: Final = {"labels", "dropped", "dropped_by_cause", "refused", "start_info", "stop_info"}


def lines() -> list[str]:
    """Return a line for each path that answers, and for each field of its JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        store = TraceStore(path / "traces.db")
        store.add(events())
        store.close()
        node = Loopback(path)
        _ring.process_detach()
        node.attach()
        call = rpc.client_call(method="open")
        token = call.start()
        for name in ("left.out", "left_out"):
            Counter(name, "One of these is left out").inc()
        node.collector.tick()
        with closing(Reader(path / "traces.db")) as reader:
            counts = Counts(0, 0, 0, collections.Counter(), 0, 0)
            destinations = [Report("graphite://host", "series", counts, 1).plain()]
            app = make_app(node.collector, {}, traces=reader, destinations=lambda: destinations)
            trace = id_of(1)
            found = asyncio.run(_ask(app, [*_PATHS, *_of_trace(trace)]))
        call.end(token)
        _ring.process_detach()
        node.collector.tick()
        node.release()
    return [line.replace(_said(trace), "BASE_ID") for line in found]


def _said(trace: bytes) -> str:
    text = trace.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _of_trace(trace: bytes) -> tuple[str, str]:
    return f"/traces/{_said(trace)}", f"/api/v1/traces/{_said(trace)}"


async def _ask(app: Any, paths: list[str]) -> list[str]:
    found: list[str] = []
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
        for path in paths:
            answer = await client.get(path)
            assert answer.status_code == 200, f"{path}: {answer.text}"
            found.append(f"GET {path}")
            if answer.headers["content-type"] == "application/json":
                assert answer.json(), f"{path}: nothing to list"
                found += sorted({f"GET {path} {field}" for field in _fields("", answer.json())})
    return found


def _fields(prefix: str, value: Any) -> Iterator[str]:
    """Yield the names of the fields in a value, with those around them."""
    if isinstance(value, list):
        for one in value:
            yield from _fields(f"{prefix}[]", one)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield f"{prefix}.{name}"
            if name not in _OPEN:
                yield from _fields(f"{prefix}.{name}", inner)
