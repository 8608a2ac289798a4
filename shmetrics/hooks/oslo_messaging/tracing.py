# SPDX-License-Identifier: Apache-2.0
"""Traces of RPC: a span at the client, and the trace continues at the server.

A notification is a span at its sender. Its trace does not travel: nobody waits for what others make
of it.

The trace travels in the message, beside method and arguments, as one more key with the two headers
of HTTP. A dispatcher ignores keys that it does not know, so a server without this hook is not
disturbed. A server with this hook accepts the trace if it is signed with a configured key.

At the server the trace continues in the thread or greenlet that works on the message. It begins
when the RPC server acknowledges the message there, before the dispatch and the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from osprofiler import profiler

from shmetrics.hooks.oslo_messaging._messages import (
    Incoming,
    Recorder,
    client_timeout_seconds,
    end,
    traced_request,
)
from shmetrics.hooks.oslo_messaging.outcomes import Outcomes
from shmetrics.hooks.oslo_messaging.raised import name_of_raised
from shmetrics.hooks.oslo_messaging.sending import Send
from shmetrics.hooks.tracing import headers, routes, switches
from shmetrics.hooks.tracing.failures import failed, refused
from shmetrics.hooks.tracing.notifying import current
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

#: The name of the spans of notifications.
NOTIFICATION: Final = "notification"

#: The key of a message whose value `headers.read` understands.
KEY: Final = "shmetrics_trace"

#: Characters of a message's arguments that are kept, if the configuration asks for arguments.
LONGEST_ARGUMENTS: Final = 2000


class Tracing:
    """The work of a driver for traces, with the switches that are on."""

    def __init__(self, found: switches.Switches) -> None:
        self._keys = found.hmac_keys
        self._arguments = found.arguments

    # ---- the client -------------------------------------------------------------------------

    def sender(self, real: Any, calls: Recorder, plain: Send) -> Send:
        """Return a function that sends messages.

        Args:
            real: the real driver, used within a trace, with a span around its send().
            calls: the recorder of calls.
            plain: sends a message outside any trace.
        """

        def send(target: Any, ctxt: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
            active = profiler.get() if switches.is_set_up() else None
            if active is None:
                return plain(target, ctxt, message, *args, **kwargs)
            wait_for_reply = args[0] if args else kwargs.get("wait_for_reply")
            timeout = args[1] if len(args) > 1 else kwargs.get("timeout")
            info = self._sent(target, message, wait_for_reply)
            routes.count_rpc(active, target.topic, message.get("method"))
            span = NestedSpan(SOURCE, active, SOURCE, info, self._arguments)
            opened = calls.start_of(_here(active), None, target, message, wait_for_reply, timeout)
            try:
                reply = real.send(target, ctxt, _with_trace(message), *args, **kwargs)
            except BaseException as error:
                name = name_of_raised(error)
                end(opened, name)
                span.fail(name, _message_of(error))
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

    def notify(
        self, send: Send, target: Any, ctxt: Any, message: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Send a notification, which is a span if a trace is active.

        Args:
            send: sends it, with all arguments after this one.
            target: where it goes.
            ctxt: the context of the service.
            message: the notification.
            *args: passed on.
            **kwargs: passed on.
        """
        # A notifier of OSProfiler's may send each span as a notification.
        active = current() if switches.is_set_up() else None
        if active is None:
            return send(target, ctxt, message, *args, **kwargs)
        info = _notification(target, message)
        span = NestedSpan(SOURCE, active, NOTIFICATION, info, self._arguments)
        try:
            result = send(target, ctxt, message, *args, **kwargs)
        except BaseException as error:
            span.fail(name_of_raised(error), _message_of(error))
            raise
        span.stop()
        return result

    # ---- the server -------------------------------------------------------------------------

    def requests(
        self, calls: Recorder, outcomes: Outcomes, target: Any
    ) -> Callable[[Any], Incoming]:
        """Return a function that wraps a message for *target*, so that its trace continues."""

        def wrap(real: Any) -> Incoming:
            context = self._came(real)
            here = context and exemplar(context.base_id, context.parent_id)
            info = self._received(real, target) if context else {}
            work = Work(context, info, self._arguments)
            timeout_seconds = client_timeout_seconds(real)
            opened = calls.start_of(here, timeout_seconds, real)
            return traced_request(real, opened, outcomes, outcomes.dropped, work)

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
    """The work of a server for one message, which may belong to a trace. No method raises."""

    __slots__ = ("_context", "_info", "_quotes", "_scope")

    def __init__(self, context: TraceContext | None, info: dict[str, Any], quotes: bool) -> None:
        self._context = context
        self._info = info
        self._quotes = quotes
        self._scope: TraceScope | None = None

    def begin(self) -> None:
        """Make the message's trace the one of this thread, and forget one that was left here."""
        try:
            leave_nothing()
            if self._context is not None:
                self._scope = TraceScope(SOURCE, self._context, SOURCE, self._info, self._quotes)
        except Exception as error:
            failed(SOURCE, error)

    def end(self, exception: str | None, failure: Any = None) -> None:
        """End the work.

        Args:
            exception: the name of the class of the exception that was raised, or None.
            failure: the failure in the reply.
        """
        scope, self._scope = self._scope, None
        if scope is None:
            return
        try:
            if exception is not None:
                error = failure[1] if isinstance(failure, tuple) and len(failure) > 1 else failure
                scope.span.fail(exception, "" if error is None else str(error))
        except Exception as problem:  # the error cannot be converted to text
            failed(SOURCE, problem)
        try:
            scope.end()
        except Exception as problem:
            failed(SOURCE, problem)


def _notification(target: Any, message: Any) -> dict[str, Any]:
    try:
        about = {"topic": target.topic}
        about |= {key: message.get(key) for key in ("event_type", "priority")}
        return {"notification": {key: str(value) for key, value in about.items() if value}}
    except Exception as error:
        failed(SOURCE, error)
        return {}


def _here(active: Any) -> dict[str, str] | None:
    try:
        return exemplar_of(active)
    except Exception as error:
        failed(SOURCE, error)
        return None


def _with_trace(message: Any) -> Any:
    """Return a copy of the message with the active trace, or the message if there is none."""
    said = headers.headers()
    try:
        return {**message, KEY: said} if said else message
    except Exception as error:
        failed(SOURCE, error)
        return message


def _message_of(error: BaseException) -> str:
    """Return the message of an error, without the traceback that remote errors contain."""
    try:
        value = getattr(error, "value", None)  # of a RemoteError
        return str(error if value is None else value).partition("\n")[0]
    except Exception:
        return ""
