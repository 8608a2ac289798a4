# SPDX-License-Identifier: Apache-2.0
"""WSGI middleware that continues traces from the headers of requests to an API.

A trace continues here if its headers are signed with a configured key. It stays in the thread or
greenlet until the server has taken the last part of the response, because an application may work
while its response is iterated.

In a pipeline of PasteDeploy::

    [filter:traces]
    paste.filter_factory = shmetrics.hooks.wsgi:factory

OSProfiler's own middleware may be in the same pipeline, before or after this one, or alone: while
`trace_wsgi` is on it does what this one does (see `shmetrics.hooks.osprofiler.middleware`). The
outermost of all these makes the one span of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from shmetrics.hooks.tracing import http_status, switches
from shmetrics.hooks.tracing.failures import failed

if TYPE_CHECKING:
    from shmetrics.hooks.tracing.span import TraceContext, TraceScope

__all__ = ["RequestTracing", "factory", "middleware"]

Environ: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

SOURCE = "wsgi"

#: The key of an environment that tells the middlewares further in that the request has its span.
TRACED: Final = "shmetrics.is_traced"


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
        self._application = application
        self._tracing = RequestTracing(found.arguments, counts=found.rpc)
        self._keys = found.hmac_keys

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        return self._tracing.serve(self._application, environ, start_response, self._keys)


class RequestTracing:
    """Serves requests to an application, each with its trace, if it brings one."""

    def __init__(self, arguments: bool, counts: bool) -> None:
        """Make it.

        Args:
            arguments: keep query strings, and the messages of errors.
            counts: count requests, and the RPCs that they lead to, by route.
        """
        from shmetrics.hooks.tracing import headers, routes

        self._read = headers.read
        self._call = routes.serve if counts else _call
        self._arguments = arguments

    def serve(
        self, application: Application, environ: Environ, start_response: Any, keys: Sequence[str]
    ) -> Iterable[bytes]:
        """Call the application. A trace that is signed with one of the keys continues in it."""
        if "HTTP_X_TRACE_INFO" not in environ or TRACED in environ or not switches.is_set_up():
            return application(environ, start_response)
        signature = environ.get("HTTP_X_TRACE_HMAC")
        context = self._read(environ["HTTP_X_TRACE_INFO"], signature, keys, SOURCE)
        environ[TRACED] = True  # a refused request is refused, and counted, once as well
        scope = context and self._scope(context, environ)
        if scope is None:
            return application(environ, start_response)
        answer = Answer(scope, start_response)
        try:
            body = self._call(application, environ, answer.start_response)
        except BaseException as error:
            answer.end(error)
            raise
        if isinstance(body, (list, tuple)):  # complete, and servers look at its length
            answer.end()
            return body
        return Body(body, answer)

    def _scope(self, context: TraceContext, environ: Environ) -> TraceScope | None:
        from osprofiler import profiler

        from shmetrics.hooks.tracing.span import TraceScope

        try:
            active: Any = profiler.get()
            if active is not None and active.get_base_id() == context.base_id and active._name:
                return None  # the application sends itself a request, within its span
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


def _call(application: Application, environ: Environ, start_response: Any) -> Iterable[bytes]:
    return application(environ, start_response)


class Answer:
    """The answer to a request: its status, and the scope of the trace, which ends with it."""

    def __init__(self, scope: TraceScope, start_response: Any) -> None:
        self._scope = scope
        self._start_response = start_response
        self._status: object = ""

    def start_response(self, status: str, *args: Any, **kwargs: Any) -> Any:
        """Begin the response, as the server's function of this name does."""
        self._status = status
        return self._start_response(status, *args, **kwargs)

    def end(self, error: BaseException | None = None) -> None:
        """End the scope, with the *error* that the application raised, if any. Never raises."""
        try:
            if error is not None:
                self._scope.span.fail_as(error)
            self._scope.end(http_status.described("response", http_status.code_of(self._status)))
        except Exception as problem:
            failed(SOURCE, problem)


class Body:
    """The body of a response. The trace's scope ends when the body does."""

    def __init__(self, body: Iterable[bytes], answer: Answer) -> None:
        self._body = body
        self._answer = answer
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        try:
            if self._parts is None:
                self._parts = iter(self._body)
            return next(self._parts)
        except StopIteration:
            self._answer.end()
            raise
        except BaseException as error:
            self._answer.end(error)
            raise

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._answer.end(error)
            raise
        self._answer.end()

    def __del__(self) -> None:
        self._answer.end()  # a server that neither finishes nor closes
