# SPDX-License-Identifier: Apache-2.0
"""The hook of the library `requests`: a span for each HTTP request, and the trace in its headers.

OSProfiler has an adapter for the same purpose. It keeps query strings, and does not end the span of
a request that fails, so that the next spans are below it. While this hook is on, that adapter is
silent, and a service that switches it on gets this hook instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from osprofiler import requests as theirs
from requests.adapters import HTTPAdapter

from shmetrics.hooks.tracing import http_status
from shmetrics.hooks.tracing.failures import failed
from shmetrics.hooks.tracing.headers import headers
from shmetrics.hooks.tracing.notifying import current
from shmetrics.hooks.tracing.profiler_patch import ProfilerPatch, SilentProfiler
from shmetrics.hooks.tracing.span import NestedSpan

__all__ = ["disable", "enable"]

SOURCE = "requests"
PORTS = {"http": 80, "https": 443}

_undo: list[Callable[[], None]] = []


def enable(arguments: bool) -> None:
    """Make requests of active traces spans, and send the trace along.

    Args:
        arguments: keep query strings, and the messages of errors.
    """
    if _undo:
        return
    before, their_send = HTTPAdapter.send, theirs.send
    on = threading.Event()
    on.set()
    traced = _traced(before, on, arguments)

    def undo() -> None:
        on.clear()  # for code that has kept the function
        theirs.send = their_send
        if HTTPAdapter.send is traced:
            HTTPAdapter.send = before  # type: ignore[method-assign]

    theirs.send = HTTPAdapter.send = traced  # type: ignore[method-assign]
    _undo.append(undo)
    _undo.append(ProfilerPatch(theirs, SilentProfiler()).undo)


def disable() -> None:
    """Undo what enable() has changed."""
    while _undo:
        _undo.pop()()


def _traced(plain: Any, on: threading.Event, arguments: bool) -> Any:
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        active = current() if on.is_set() else None
        if active is None:
            return plain(self, request, *args, **kwargs)
        name, info = _about(request, arguments)
        span = NestedSpan(SOURCE, active, name, {"requests": info}, arguments)
        said = headers()
        before = {name: request.headers.get(name) for name in said}
        request.headers.update(said)
        try:
            response = plain(self, request, *args, **kwargs)
        except BaseException as error:
            span.fail_as(error)
            raise
        finally:
            # The request may be sent again after this trace has ended.
            for name, value in before.items():
                if value is None:
                    request.headers.pop(name, None)
                else:
                    request.headers[name] = value
        span.stop(http_status.described("requests", response.status_code))
        return response

    return send


def _about(request: Any, arguments: bool) -> tuple[str, dict[str, Any]]:
    """Return the name and the info of a request's span."""
    try:
        url = urlsplit(request.url)
        info = {
            "method": request.method,
            "path": url.path,
            "hostname": url.hostname,
            "port": url.port or PORTS.get(url.scheme, ""),
            "scheme": url.scheme,
        }
        return url.scheme, info | ({"query": url.query} if arguments else {})
    except Exception as error:
        failed(SOURCE, error)
        return "http", {}
