# SPDX-License-Identifier: Apache-2.0
"""Requests to an API, and the RPCs that they lead to, counted by the route of the request.

Only what is in a trace is counted: a request that brings one, and the RPCs of its own thread or
greenlet. So RPCs per request are the quotient of the two families.

A *route* is a path without what differs from one object to the next. Routes, which most services
use, puts its own into the environment (``routes.route``). Otherwise the parts of the path that have
a digit count as the same, and so do all routes beyond the first 500: names may be in a path, too.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, TypeAlias

from osprofiler import profiler

from shmetrics.hooks.tracing.failures import failed

__all__ = ["count_rpc", "route_of", "serve"]

SOURCE: Final = "wsgi"
#: The route or method of HTTP of all that are too many or unknown.
OTHER: Final = "__other__"
#: The most routes of a process, and the most characters of one.
MOST_ROUTES, LONGEST = 500, 200
METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

_DIGIT: Final = re.compile(r"\d")
_VERSION: Final = re.compile(r"v\d+(\.\d+)?")

Environ: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]


class _Request(NamedTuple):
    """The request that this thread or greenlet works on.

    Attributes:
        base_id: its trace.
        environ: its environment while the application has not answered; None: it has.
        labels: method and route, once it has answered.
    """

    base_id: str
    environ: Environ | None
    labels: tuple[str, str] = ("", "")


_current: Final[ContextVar[_Request | None]] = ContextVar("shmetrics_api_request", default=None)
_routes: Final[set[str]] = set()


def serve(application: Application, environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Call an application for a request, within its trace, and count the request."""
    _begin(environ)
    try:
        return application(environ, start_response)
    finally:
        _answered()


def count_rpc(active: Any, topic: object, method: object) -> None:
    """Count an RPC of the request that this thread works on, if there is one. Never raises.

    Args:
        active: the profiler of the trace.
        topic: the topic of the RPC's target.
        method: its method.
    """
    try:
        request = _current.get()
        if request is not None and request.base_id == active.get_base_id():
            labels = request.labels if request.environ is None else _labels(request.environ)
            rpcs, process = _families()[1:]
            rpcs.labels(*labels, str(topic or ""), str(method or ""), process).inc()
    except Exception as error:
        failed(SOURCE, error)


def route_of(environ: Environ) -> str:
    """Return the route of a request."""
    routed = getattr(environ.get("routes.route"), "routepath", None)
    path = environ.get("PATH_INFO", "") if routed is None else str(routed)
    parts = f"{environ.get('SCRIPT_NAME', '')}/{path.lstrip('/')}".split("/")
    route = "/".join([part if _is_fixed(part) else "{id}" for part in parts])[:LONGEST]
    if route not in _routes:
        if len(_routes) >= MOST_ROUTES:
            return OTHER
        _routes.add(route)
    return route


def _is_fixed(part: str) -> bool:
    is_variable = _DIGIT.search(part) is not None and part[:1] not in ("{", ":")
    return not is_variable or _VERSION.fullmatch(part) is not None


def _begin(environ: Environ) -> None:
    try:
        active: Any = profiler.get()
        _current.set(None if active is None else _Request(active.get_base_id(), environ))
    except Exception as error:
        failed(SOURCE, error)


def _answered() -> None:
    """Count a request. Its route is known by now, and its environment is not kept."""
    try:
        request = _current.get()
        if request is not None and request.environ is not None:
            labels = _labels(request.environ)
            _current.set(_Request(request.base_id, None, labels))
            requests, _, process = _families()
            requests.labels(*labels, process).inc()
    except Exception as error:
        failed(SOURCE, error)


def _labels(environ: Environ) -> tuple[str, str]:
    method = environ["REQUEST_METHOD"]
    return method if method in METHODS else OTHER, route_of(environ)


@functools.cache
def _families() -> tuple[Any, Any, str]:
    """Return the family of requests, that of RPCs, and the name of this process."""
    from shmetrics import Counter
    from shmetrics.emitter.process import process_name

    request = ("http_method", "route")
    return (
        Counter(
            "oslo_messaging_api_requests",
            "Requests to the API that are in a trace",
            [*request, "process"],
        ),
        Counter(
            "oslo_messaging_api_request_rpcs",
            "RPCs that these requests have led to",
            [*request, "topic", "method", "process"],
        ),
        process_name(),
    )
