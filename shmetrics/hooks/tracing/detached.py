# SPDX-License-Identifier: Apache-2.0
"""Spans beside OSProfiler's stack, each below the span in which it began.

OSProfiler's stop() ends the span that began last in its thread. Operations on connections begin and
end in another order: a transaction outlives the span around it, two connections take turns, one
changes threads, a task waits while another runs. So these spans are not on the stack. Each keeps
its ids, and sends its start and its stop to OSProfiler's notifier. The compiled profiler does that
itself; for OSProfiler's own profiler it is done here.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Protocol

from shmetrics.hooks.tracing.notifying import notify


class DetachedSpan(Protocol):
    """A span that has begun, until stop()."""

    @property
    def exemplar(self) -> dict[str, str] | None:
        """Return the exemplar for a metric of the same operation, or None if that knows it."""
        ...

    def stop(self, info: dict[str, Any]) -> None:
        """End the span. In a forked child of the process where it began, do nothing."""
        ...


def begin(trace: Any, name: str, info: dict[str, Any], within: DetachedSpan | None) -> DetachedSpan:
    """Begin a span.

    Args:
        trace: the profiler of the caller.
        name: the name of the span.
        info: what is known about it.
        within: the parent, if it is of the same trace and no other span began in between; otherwise
            the parent is the innermost span of the profiler.
    """
    make: Callable[..., DetachedSpan] | None = getattr(trace, "detached_span", None)
    if make is None:
        return PlainDetachedSpan(trace, name, info, within)
    return make(name, info, within)


class PlainDetachedSpan:
    """A detached span of OSProfiler's own profiler."""

    __slots__ = ("_base_id", "_id", "_name", "_parent_id", "_pid")

    def __init__(
        self, trace: Any, name: str, info: dict[str, Any], within: DetachedSpan | None = None
    ) -> None:
        self._name = name
        self._base_id: str = trace.get_base_id()
        self._parent_id: str = trace.get_id()
        self._id = str(uuid.uuid4())
        if isinstance(within, PlainDetachedSpan) and within._is_beside(self):
            self._parent_id = within._id
        self._pid = os.getpid()
        self._tell("start", info)

    @property
    def exemplar(self) -> dict[str, str]:
        return {"trace_id": self._base_id, "span_id": self._id.replace("-", "")[16:]}

    def stop(self, info: dict[str, Any]) -> None:
        if self._pid == os.getpid():
            self._tell("stop", info)

    def _is_beside(self, other: PlainDetachedSpan) -> bool:
        return (self._base_id, self._parent_id) == (other._base_id, other._parent_id)

    def _tell(self, what: str, info: dict[str, Any]) -> None:
        notify(
            {
                "name": f"{self._name}-{what}",
                "base_id": self._base_id,
                "trace_id": self._id,
                "parent_id": self._parent_id,
                "timestamp": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f"),
                "info": {**info, "host": socket.gethostname()},
            }
        )
