# SPDX-License-Identifier: Apache-2.0
"""Whether this thread is saying something to OSProfiler's notifier.

A notifier may do what spans are made of: with `connection_string = redis://` each start and each
stop is a command of Redis. A span of that would be said with another one, and so on; so what is
done while something is said is no part of a trace.
"""

from __future__ import annotations

import threading
from typing import Any

from shmetrics.hooks.patch import Patch

profiler: Any
try:
    from osprofiler import notifier, profiler
except ImportError:  # no traces, then; metrics need none
    profiler = None


class _Telling(threading.local):
    now = False


_telling = _Telling()
_sources: set[str] = set()
_patch: Patch | None = None


def current() -> Any | None:
    """OSProfiler's profiler of the caller, if a trace is active and the caller a part of it."""
    active = None if profiler is None else profiler.get()
    return None if active is None or _telling.now else active


def tell(info: dict[str, Any]) -> None:
    """Says it to the notifier. Raises what the notifier does."""
    _guarded(notifier.notify)(info)


def begin(source: str) -> None:
    """From now on current() also knows of what OSProfiler itself says; until end(source)."""
    global _patch
    _sources.add(source)
    if profiler is not None and _patch is None:
        _patch = Patch(notifier, "notify", _guarded)


def end(source: str) -> None:
    """What begin(source) did is undone."""
    global _patch
    _sources.discard(source)
    if _patch is not None and not _sources:
        _patch.undo()
        _patch = None


def _guarded(notify: Any) -> Any:
    def guarded(info: dict[str, Any]) -> None:
        before, _telling.now = _telling.now, True
        try:
            notify(info)
        finally:
            _telling.now = before

    return guarded
