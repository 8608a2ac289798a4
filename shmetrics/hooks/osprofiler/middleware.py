# SPDX-License-Identifier: Apache-2.0
"""The limit of OSProfiler's own WSGI middleware, which would keep query strings and errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from shmetrics.hooks.tracing.failures import failed

SOURCE = "wsgi"


def limit(arguments: bool) -> Callable[[], None]:
    """Have OSProfiler's own middleware keep no more than ours. Never raises.

    Args:
        arguments: keep query strings and the messages of errors.

    Returns:
        The function that undoes it.
    """
    if arguments:
        return lambda: None
    try:
        from osprofiler import profiler, web

        from shmetrics.hooks.tracing.profiler_patch import ProfilerPatch, SilentProfiler
        from shmetrics.hooks.tracing.span import NestedSpan
    except Exception as error:
        failed(SOURCE, error)
        return lambda: None

    class Discreet(SilentProfiler):
        @contextlib.contextmanager
        def Trace(self, name: str, info: Any = None) -> Iterator[None]:  # noqa: N802
            request = dict((info or {}).get("request") or {})
            request.pop("query", None)
            span = NestedSpan(SOURCE, profiler.get(), name, {"request": request}, quotes=False)
            try:
                yield
            except BaseException as error:
                span.fail_as(error)
                raise
            span.stop()

    return ProfilerPatch(web, Discreet()).undo
