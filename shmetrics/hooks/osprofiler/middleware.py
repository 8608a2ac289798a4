# SPDX-License-Identifier: Apache-2.0
"""OSProfiler's own WSGI middleware, made to do what ours does.

A service that has it in its pipeline, as Zaqar always has, needs no other one. OSProfiler's own
work there would be a second span beside ours, would end it before the response is taken, and would
keep query strings and the messages of errors. Whether requests are traced is for `trace_wsgi`
alone to say: OSProfiler's initializer switches this middleware on, whatever the service has set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from osprofiler import web

from shmetrics.hooks.tracing.switch import Switch
from shmetrics.hooks.wsgi import RequestTracing

__all__ = ["disable", "enable"]

_CALL: Final = "__call__"


def enable(arguments: bool, counts: bool, keys: Sequence[str] = ()) -> None:
    """Have every middleware of OSProfiler's serve requests as ours does, old or new.

    Args:
        arguments: keep query strings, and the messages of errors.
        counts: count requests, and the RPCs that they lead to, by route.
        keys: the keys of the service's configuration. They count where neither OSProfiler's
            initializer nor the pipeline's own file has given any, as in Ironic's API.
    """
    _switch.on(arguments, counts, keys)


def disable() -> None:
    """Give OSProfiler's middleware its own work back. Never raises."""
    _switch.off()


class _Instrumentation:
    """The method of OSProfiler's middleware that is replaced."""

    def __init__(self, arguments: bool, counts: bool, configured: Sequence[str]) -> None:
        self._before = before = vars(web.WsgiMiddleware)[_CALL]
        tracing = RequestTracing(arguments, counts)

        def serve(middleware: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs or len(args) != 2 or not isinstance(args[0], dict):
                # It may be called with a request of WebOb's, too.
                return before.__get__(middleware, type(middleware))(*args, **kwargs)
            # Keys of the pipeline's own file count only while the initializer has set none.
            keys = web._HMAC_KEYS or middleware.hmac_keys or configured
            return tracing.serve(middleware.application, *args, keys)

        self._now = serve
        setattr(web.WsgiMiddleware, _CALL, serve)

    def undo(self) -> None:
        """Put the method back, if the replacement is still there."""
        if vars(web.WsgiMiddleware).get(_CALL) is self._now:
            setattr(web.WsgiMiddleware, _CALL, self._before)


_switch: Final = Switch(_Instrumentation)
