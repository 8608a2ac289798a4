# SPDX-License-Identifier: Apache-2.0
"""WSGI middleware that continues traces from the headers of requests to an API.

A trace continues here if its headers are signed with a configured key. It stays in the thread or
greenlet until the server has taken the last part of the response, because an application may work
while its response is iterated.

In a pipeline of PasteDeploy::

    [filter:traces]
    paste.filter_factory = shmetrics.hooks.wsgi:factory

OSProfiler's own middleware may be in the same pipeline, before or after this one, or alone. It
keeps query strings and the messages of errors only if this middleware does.
"""

from __future__ import annotations

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


def middleware(application: Application, conf: Any = None) -> Application:
    """Wrap an application so that the traces of its requests continue in it.

    Args:
        application: the WSGI application.
        conf: the configuration, of oslo.config; None: the process's own, ``cfg.CONF``.

    Returns:
        The middleware, or the application itself if ``trace_wsgi`` is off.
    """
    if conf is None:
        from oslo_config import cfg

        conf = cfg.CONF
    found = switches.setup(conf)
    return Middleware(application, found) if found.wsgi else application


def factory(global_conf: Any, **local_conf: str) -> Callable[[Application], Application]:
    """Return a filter for PasteDeploy. It ignores its options; `[profiler]` configures it."""
    return middleware


class Middleware:
    """A WSGI application around another, which continues the traces of requests."""

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
        if isinstance(body, (list, tuple)):  # complete, and servers look at its length
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
    """The body of a response. The trace's scope ends when the body does."""

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
    """End a scope, with the *error* that the application raised, if any. Never raises."""
    try:
        if error is not None:
            scope.span.fail_as(error)
        scope.end()
    except Exception as problem:
        failed(SOURCE, problem)
