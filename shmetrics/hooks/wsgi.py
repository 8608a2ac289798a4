# SPDX-License-Identifier: Apache-2.0
"""Traces that come to an API in the headers of a request.

A trace begins where its headers are signed with a key of ours, and stays in the thread or greenlet
until the last part of the response was taken: an application may do its work while it is iterated.

In a pipeline of PasteDeploy::

    [filter:traces]
    paste.filter_factory = shmetrics.hooks.wsgi:factory

OSProfiler's own middleware may be in the same pipeline, before or behind it, or alone. It keeps
query strings and what errors say, and does so no more than this one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from shmetrics.hooks.tracing import switches
from shmetrics.hooks.tracing.failures import failed

if TYPE_CHECKING:
    from shmetrics.hooks.tracing.span import TraceContext, TraceScope

__all__ = ["factory", "middleware"]

Environ: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

SOURCE = "wsgi"


def limit(arguments: bool) -> Callable[[], None]:
    """From now on OSProfiler's own middleware says no more than this one; what takes that back.
    *arguments*: whether query strings and what errors say are kept. Never raises."""
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


def middleware(application: Application, conf: Any = None) -> Application:
    """The *application* behind what takes traces from its requests, or itself if ``trace_wsgi`` of
    *conf* is off. Without one, oslo.config's own, of the process, is asked."""
    if conf is None:
        from oslo_config import cfg

        conf = cfg.CONF
    found = switches.setup(conf)
    return Middleware(application, found) if found.wsgi else application


def factory(global_conf: Any, **local_conf: str) -> Callable[[Application], Application]:
    """A filter for PasteDeploy. What a pipeline says is no matter: `[profiler]` says it."""
    return middleware


class Middleware:
    """An application whose requests may belong to traces."""

    def __init__(self, application: Application, found: switches.Switches) -> None:
        from shmetrics.hooks.tracing import headers

        self._application = application
        self._read = headers.read
        self._keys = found.hmac_keys
        self._arguments = found.arguments

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        context = None
        if "HTTP_X_TRACE_INFO" in environ and switches.is_set_up():
            signature = environ.get("HTTP_X_TRACE_HMAC")
            context = self._read(environ["HTTP_X_TRACE_INFO"], signature, self._keys, SOURCE)
        scope = context and self._scope(context, environ)
        if scope is None:
            return self._application(environ, start_response)
        try:
            body = self._application(environ, start_response)
        except BaseException as error:
            end(scope, error)
            raise
        if isinstance(body, (list, tuple)):  # all of it is there, and servers look at its length
            end(scope)
            return body
        return Body(body, scope)

    def _scope(self, context: TraceContext, environ: Environ) -> TraceScope | None:
        from osprofiler import profiler

        from shmetrics.hooks.tracing.span import TraceScope

        try:
            active = profiler.get()
            if active is not None and active.get_base_id() == context.base_id:
                return None  # a second middleware in one pipeline
            info = {"request": self._info(environ)}
            return TraceScope(SOURCE, context, SOURCE, info, self._arguments)
        except Exception as error:
            failed(SOURCE, error)
            return None

    def _info(self, environ: Environ) -> dict[str, str]:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        info = {
            "path": quote(path, encoding="latin-1"),
            "method": environ["REQUEST_METHOD"],
            "scheme": environ["wsgi.url_scheme"],
        }
        return info | ({"query": environ.get("QUERY_STRING", "")} if self._arguments else {})


class Body:
    """What an application answers, and with its end the scope's."""

    def __init__(self, body: Iterable[bytes], scope: TraceScope) -> None:
        self._body = body
        self._scope = scope
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        try:
            if self._parts is None:
                self._parts = iter(self._body)
            return next(self._parts)
        except StopIteration:
            end(self._scope)
            raise
        except BaseException as error:
            end(self._scope, error)
            raise

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            end(self._scope, error)
            raise
        end(self._scope)

    def __del__(self) -> None:
        end(self._scope)  # a server that neither finishes nor closes


def end(scope: TraceScope, error: BaseException | None = None) -> None:
    """End it; with *error*, if the application raised it. Never raises."""
    try:
        if error is not None:
            scope.span.fail_as(error)
        scope.end()
    except Exception as problem:
        failed(SOURCE, problem)
