# SPDX-License-Identifier: Apache-2.0
"""A span beside OSProfiler's stack, with an id of its own, below the span in which it began.

OSProfiler's stop() ends what began last in its thread. What is done on connections begins and ends
in another order: a transaction outlives the span around it, two connections take turns, one changes
threads, a task waits while another runs. So nothing of this is put on the stack; each span keeps
its ids, and its start and its stop are said to OSProfiler's notifier. The compiled profiler can do
that itself; OSProfiler's own is helped here.
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
    """From its making to stop()."""

    @property
    def exemplar(self) -> dict[str, str] | None:
        """What a metric of the same operation shows of it, if it has to be told."""
        ...

    def stop(self, info: dict[str, Any]) -> None:
        """It ends. A forked child says nothing of what its parent has begun."""
        ...


def begin(trace: Any, name: str, info: dict[str, Any], within: DetachedSpan | None) -> DetachedSpan:
    """A span. trace: the profiler of the caller. within: a span that contains this one, if it is of
    the same trace and nothing else began in between."""
    make: Callable[..., DetachedSpan] | None = getattr(trace, "detached_span", None)
    if make is None:
        return PlainDetachedSpan(trace, name, info, within)
    return make(name, info, within)


class PlainDetachedSpan:
    """One of a trace of OSProfiler's own profiler."""

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
