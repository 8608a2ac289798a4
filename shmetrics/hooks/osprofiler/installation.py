# SPDX-License-Identifier: Apache-2.0
"""The compiled profiler in the place of OSProfiler's own, and that one back in it."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any, Final

from shmetrics.binding import refusal

# Of osprofiler.profiler. What decorates classes (trace_cls, TracedMeta) is OSProfiler's own in any
# case: it calls trace() by its name there, once per method.
NAMES: Final = ("_Profiler", "Trace", "clean", "get", "init", "start", "stop", "trace")

_replaced: dict[str, Any] = {}
_has_warned = False


def install() -> bool:
    """Puts the compiled profiler under the public names of osprofiler.profiler: to be called when
    a service starts, before there is anything to trace. False: it cannot be loaded here, which is
    said once, and OSProfiler is as it was."""
    global _has_warned
    if _replaced:
        return True
    try:
        if refusal:
            raise ImportError(refusal)
        from osprofiler import profiler as theirs

        from shmetrics.hooks.osprofiler import _profiler
        from shmetrics.hooks.osprofiler.decorator import trace
    except Exception as error:
        if not _has_warned:
            _has_warned = True
            logging.getLogger("shmetrics").warning(
                "OSProfiler's own profiler is used: the compiled one cannot be loaded (%s)", error
            )
        return False
    ours = {name: getattr(_profiler, name, trace) for name in NAMES}
    _replaced.update((name, getattr(theirs, name)) for name in NAMES)
    _put(theirs, ours)
    _profiler.give_calls_their_trace(True)
    return True


def uninstall() -> None:
    """Puts everything back. What was decorated meanwhile uses OSProfiler's own from now on."""
    if not _replaced:
        return
    from osprofiler import profiler as theirs

    from shmetrics.hooks.osprofiler import _profiler

    _put(theirs, _replaced)
    _replaced.clear()
    _profiler.give_calls_their_trace(False)


def current_trace() -> dict[str, str] | None:
    """The trace and the span that this code runs in, as an exemplar: `trace_id` and `span_id`.
    None: in none. Calls that shmetrics measures are told of it without this."""
    if not _replaced:
        return None
    from shmetrics.hooks.osprofiler import _profiler

    return _profiler.current_trace()


def _put(module: ModuleType, members: dict[str, Any]) -> None:
    for name, member in members.items():
        setattr(module, name, member)
