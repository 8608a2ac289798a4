# SPDX-License-Identifier: Apache-2.0
"""OSProfiler's notifier: a notification, and the check whether one is under way.

A notifier may itself do traced operations: with `connection_string = redis://` each start and each
stop of a span is a command of Redis. A span of that command would cause the next command, and so on
without end. So work of a notifier belongs to no trace. The check looks for OSProfiler's function
`notify` among the callers, which needs no wrapper around it that would slow every span down.
"""

from __future__ import annotations

import sys
from typing import Any

profiler: Any
try:
    from osprofiler import notifier, profiler

    from shmetrics.hooks.osprofiler.sink import sink_of
except ImportError:  # there are no traces then, and metrics work without
    profiler = None


def current() -> Any | None:
    """Return the profiler of the caller's trace.

    The result is None if no trace is active, or if the caller works for the notifier.
    """
    active = None if profiler is None else profiler.get()
    return None if active is None or _is_notifying() else active


def notify(info: dict[str, Any]) -> None:
    """Send an event of a span to the notifier. Raises what the notifier raises."""
    notifier.notify(info)


def _is_notifying() -> bool:
    sink = sink_of(notifier.get())
    if sink.is_deaf or sink.spans is not None:
        return False  # these do no traced operations
    code = getattr(notifier.notify, "__code__", None)
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
