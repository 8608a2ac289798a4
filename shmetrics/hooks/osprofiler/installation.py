# SPDX-License-Identifier: Apache-2.0
"""The installation of the compiled profiler in the place of OSProfiler's own."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any, Final

from shmetrics.binding import refusal

# The replaced names of osprofiler.profiler. The decorators of classes (trace_cls, TracedMeta) stay
# OSProfiler's own: they look up trace() by name there, once per method.
NAMES: Final = ("_Profiler", "Trace", "clean", "get", "init", "start", "stop", "trace")

_replaced: dict[str, Any] = {}
_has_warned = False


def install() -> bool:
    """Put the compiled profiler in the place of OSProfiler's own, under its public names.

    Call it when a service starts, before there is anything to trace.

    Returns:
        Whether the compiled profiler is there. If it cannot be loaded here, OSProfiler stays as it
        was, and one warning in the log says why.
    """
    global _has_warned
    if _replaced:
        return True
    try:
        if refusal:
            raise ImportError(refusal)
        from osprofiler import profiler as theirs

        from shmetrics.hooks.osprofiler import _profiler, idle
        from shmetrics.hooks.osprofiler.decorator import trace
    except Exception as error:
        if not _has_warned:
            _has_warned = True
            logging.getLogger("shmetrics").warning(
                "OSProfiler's own profiler is used: the compiled one cannot be loaded (%s)", error
            )
        return False
    ours = {name: getattr(_profiler, name, trace) for name in NAMES}
    _replaced.update({name: getattr(theirs, name) for name in NAMES})
    _put(theirs, ours)
    _profiler.give_calls_their_trace(True)
    _profiler.mark_after(idle.LONGEST_SECONDS)
    return True


def uninstall() -> None:
    """Put OSProfiler's own profiler back; functions decorated meanwhile use it from now on."""
    if not _replaced:
        return
    from osprofiler import profiler as theirs

    from shmetrics.hooks.osprofiler import _profiler

    _put(theirs, _replaced)
    _replaced.clear()
    _profiler.give_calls_their_trace(False)


# The names by which the switch `compiled_profiler` turns it on and off.
enable, disable = install, uninstall


def current_trace() -> dict[str, str] | None:
    """Return the trace and the span in which this code runs.

    Calls that shmetrics measures get them as their exemplar without this.

    Returns:
        An exemplar with `trace_id` and `span_id`, as `Counter.inc()` takes it; None if no trace is
        active, or the compiled profiler is not installed.
    """
    if not _replaced:
        return None
    from shmetrics.hooks.osprofiler import _profiler

    return _profiler.current_trace()


def _put(module: ModuleType, members: dict[str, Any]) -> None:
    for name, member in members.items():
        setattr(module, name, member)
