# SPDX-License-Identifier: Apache-2.0
"""Span events for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shmetrics.traces.event import SpanEvent
from shmetrics.traces.reader import Reader
from shmetrics.traces.store import Limits, TraceStore


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def event(
    is_start: bool,
    id: int,
    trace: int = 1000,
    parent: int | None = None,
    at: int = 1,
    info: dict[str, Any] | None = None,
    lane: int = 1,
    **more: Any,
) -> SpanEvent:
    """Return an event of a span. parent None: the trace itself."""
    around = trace if parent is None else parent
    rest = {"name": "rpc", "service": "nova", "project": "p", "host": "h", "cut": "", **more}
    return SpanEvent(
        is_start=is_start,
        id=id_of(id),
        trace=id_of(trace),
        parent=id_of(around),
        unix_ns=at,
        info=info or {},
        lane=lane,
        **rest,
    )


def whole(id: int, **more: Any) -> list[SpanEvent]:
    """Return the start and the stop of a span, 10 ns later."""
    at = more.pop("at", 1)
    return [event(True, id, at=at, **more), event(False, id, at=at + 10, **more)]


Opened = Callable[..., tuple[TraceStore, Reader]]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Yield a function that opens a store and a reader of it."""
    made: list[TraceStore | Reader] = []

    def open(limits: Limits = Limits(), **more: Any) -> tuple[TraceStore, Reader]:  # noqa: B008
        path = tmp_path / f"traces{len(made)}.db"
        store = TraceStore(path, limits, **more)
        reader = Reader(path)
        made.extend((reader, store))
        return store, reader

    yield open
    for each in made:
        each.close()
