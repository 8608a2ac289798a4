# SPDX-License-Identifier: Apache-2.0
"""Whether what runs here is the work of OSProfiler's notifier.

A notifier may do what spans are made of: with `connection_string = redis://` each start and each
stop is a command of Redis. A span of that would be said with another one, and so on; so what is
done while something is said is no part of a trace. It is seen in the stack, where all that is said
goes through one function: nothing has to be put around that, which would slow every span down.
"""

from __future__ import annotations

import sys
from typing import Any

profiler: Any
try:
    from osprofiler import notifier, profiler

    from shmetrics.hooks.osprofiler.sink import sink_of
except ImportError:  # no traces, then; metrics need none
    profiler = None


def current() -> Any | None:
    """OSProfiler's profiler of the caller, if a trace is active and the caller a part of it."""
    active = None if profiler is None else profiler.get()
    return None if active is None or _is_notifying() else active


def notify(info: dict[str, Any]) -> None:
    """Says it to the notifier. Raises what that does."""
    notifier.notify(info)


def _is_notifying() -> bool:
    ours, is_deaf = sink_of(notifier.get())
    if is_deaf or ours is not None:
        return False  # these do nothing of the sort
    code = getattr(notifier.notify, "__code__", None)
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
