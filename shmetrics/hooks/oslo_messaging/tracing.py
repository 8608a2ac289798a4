# SPDX-License-Identifier: Apache-2.0
"""RPC of a trace: a span at the client, and the trace goes on at the server.

It travels in the message, beside method and arguments, as one more key that holds the two headers
of HTTP. A dispatcher does not look at keys that it does not know, so a server without this hook is
not disturbed; one with it takes the trace if it is signed with a key of its own.

At the server it goes on in the thread or greenlet that works on the message. That one tells the
message so: an RPC server acknowledges it there, dispatches it, and replies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from osprofiler import profiler

from shmetrics.hooks.oslo_messaging._messages import (
    Incoming,
    Recorder,
    end,
    traced_request,
)
from shmetrics.hooks.oslo_messaging.raised import name_of_raised
from shmetrics.hooks.oslo_messaging.sending import Send
from shmetrics.hooks.tracing import headers, switches
from shmetrics.hooks.tracing.failures import failed, refused
from shmetrics.hooks.tracing.span import (
    NestedSpan,
    TraceContext,
    TraceScope,
    exemplar,
    exemplar_of,
    leave_nothing,
)

__all__ = ["KEY", "Tracing"]

SOURCE: Final = "rpc"

#: Of the message; what it holds is for `headers.read`.
KEY: Final = "shmetrics_trace"

#: Characters of a message's arguments that are worth keeping, where they are asked for.
LONGEST_ARGUMENTS: Final = 2000


class Tracing:
    """What a driver does for traces, as these switches say."""

    def __init__(self, found: switches.Switches) -> None:
        self._keys = found.hmac_keys
        self._arguments = found.arguments

    # ---- the client -------------------------------------------------------------------------

    def sender(self, real: Any, calls: Recorder, plain: Send) -> Send:
        """What sends by *plain*, or, in a trace, through *real* with a span around it."""

        def send(target: Any, ctxt: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
            active = profiler.get() if switches.is_set_up() else None
            if active is None:
                return plain(target, ctxt, message, *args, **kwargs)
            wait_for_reply = args[0] if args else kwargs.get("wait_for_reply")
            timeout = args[1] if len(args) > 1 else kwargs.get("timeout")
            info = self._sent(target, message, wait_for_reply)
            span = NestedSpan(SOURCE, active, SOURCE, info, self._arguments)
            opened = calls.start_of(_here(active), target, message, wait_for_reply, timeout)
            try:
                reply = real.send(target, ctxt, _with_trace(message), *args, **kwargs)
            except BaseException as error:
                name = name_of_raised(error)
                end(opened, name)
                span.fail(name, _said(error))
                raise
            end(opened)
            span.stop()
            return reply

        return send

    def _sent(self, target: Any, message: Any, wait_for_reply: Any) -> dict[str, Any]:
        try:
            about = {
                "call_type": "call" if wait_for_reply else "cast",
                "topic": target.topic,
                "server": target.server,
            }
            return self._about(about, message)
        except Exception as error:
            failed(SOURCE, error)
            return {}

    # ---- the server -------------------------------------------------------------------------

    def requests(self, calls: Recorder, target: Any) -> Callable[[Any], Incoming]:
        """From a message that came in for *target* to one that goes on with its trace."""

        def wrap(real: Any) -> Incoming:
            context = self._came(real)
            here = context and exemplar(context.base_id, context.parent_id)
            info = self._received(real, target) if context else {}
            work = Work(context, info, self._arguments)
            return traced_request(real, calls.start_of(here, real), work)

        return wrap

    def _came(self, real: Any) -> TraceContext | None:
        try:
            said = real.message.get(KEY)
            if said is None or not switches.is_set_up():
                return None
            if not isinstance(said, Mapping):
                refused(SOURCE, "malformed")
                return None
            return headers.read(said.get(headers.INFO), said.get(headers.HMAC), self._keys, SOURCE)
        except Exception as error:
            failed(SOURCE, error)
            return None

    def _received(self, real: Any, target: Any) -> dict[str, Any]:
        try:
            return self._about({"topic": target.topic, "server": target.server}, real.message)
        except Exception as error:
            failed(SOURCE, error)
            return {}

    def _about(self, about: dict[str, Any], message: Any) -> dict[str, Any]:
        about |= {key: message.get(key) for key in ("method", "namespace", "version")}
        about = {key: value for key, value in about.items() if value is not None}
        if self._arguments:
            about["args"] = str(message.get("args"))[:LONGEST_ARGUMENTS]
        return {"rpc": about}


class Work:
    """What a server does for one message, if that belongs to a trace. Nothing of it raises."""

    __slots__ = ("_context", "_info", "_quotes", "_scope")

    def __init__(self, context: TraceContext | None, info: dict[str, Any], quotes: bool) -> None:
        self._context = context
        self._info = info
        self._quotes = quotes
        self._scope: TraceScope | None = None

    def begin(self) -> None:
        """This thread goes on with the message, and with no other trace than its own: who worked
        here before may have left one."""
        try:
            leave_nothing()
            if self._context is not None:
                self._scope = TraceScope(SOURCE, self._context, SOURCE, self._info, self._quotes)
        except Exception as error:
            failed(SOURCE, error)

    def end(self, exception: str | None, failure: Any = None) -> None:
        """It is done. *exception*: the name of its class, if it raised one; *failure*: what the
        reply says of that."""
        scope, self._scope = self._scope, None
        if scope is None:
            return
        try:
            if exception is not None:
                error = failure[1] if isinstance(failure, tuple) and len(failure) > 1 else failure
                scope.span.fail(exception, "" if error is None else str(error))
        except Exception as problem:  # an error that cannot be written
            failed(SOURCE, problem)
        try:
            scope.end()
        except Exception as problem:
            failed(SOURCE, problem)


def _here(active: Any) -> dict[str, str] | None:
    try:
        return exemplar_of(active)
    except Exception as error:
        failed(SOURCE, error)
        return None


def _with_trace(message: Any) -> Any:
    """The message with the trace that is active here: a new one, the caller's stays as it is."""
    said = headers.headers()
    try:
        return {**message, KEY: said} if said else message
    except Exception as error:
        failed(SOURCE, error)
        return message


def _said(error: BaseException) -> str:
    """What an error says, without the server's traceback, which follows in those that came from
    there."""
    try:
        value = getattr(error, "value", None)  # of a RemoteError
        return str(error if value is None else value).partition("\n")[0]
    except Exception:
        return ""
