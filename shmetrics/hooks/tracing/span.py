# SPDX-License-Identifier: Apache-2.0
"""Spans on OSProfiler's stack, and the scope of a trace that came from another service.

OSProfiler keeps a stack of spans, and its stop() ends the topmost, whichever that is. A NestedSpan
ends the right one: spans within it that an exception has left open end with it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from oslo_utils import reflection
from osprofiler import profiler

from shmetrics.hooks.tracing.failures import failed

__all__ = ["NestedSpan", "TraceContext", "TraceScope", "exemplar_of"]

#: Characters of an error's text that are worth keeping.
LONGEST_MESSAGE: Final = 1000

#: The most spans left open within one that are ended with it.
MOST_LEFT_OPEN: Final = 1000


class TraceContext(NamedTuple):
    """The context of a trace from another service, signed with *hmac_key*, a configured key."""

    hmac_key: str
    base_id: str
    parent_id: str


class NestedSpan:
    """A span on OSProfiler's stack, which begins when it is made. No method raises."""

    __slots__ = ("_active", "_id", "_quotes", "_source")

    def __init__(
        self, source: str, active: Any, name: str, info: dict[str, Any], quotes: bool
    ) -> None:
        """Begin a span.

        Args:
            source: the source of spans, for which failures are counted.
            active: the profiler of the trace.
            name: the name of the span.
            info: what is known about it.
            quotes: keep the message of an error, which often contains arguments.
        """
        self._source = source
        self._quotes = quotes
        self._active = active
        self._id = ""
        try:
            active.start(name, info=info)
            self._id = active.get_id()
        except Exception as error:
            failed(source, error)

    def stop(self, info: dict[str, Any] | None = None) -> None:
        """End the span, and the spans within it. Only the first call has an effect."""
        own, self._id = self._id, ""
        if not own:
            return
        active = self._active
        try:
            top = active.get_id()
            if top != own and own not in active._trace_stack:
                return  # other code has stopped it
            for _ in range(MOST_LEFT_OPEN):
                active.stop(info if top == own else None)
                if top == own:
                    break
                top = active.get_id()
        except Exception as error:
            failed(self._source, error)

    def fail(self, etype: str, message: str) -> None:
        """End the span with an error, given by the name of its class and its message."""
        says = {"message": message[:LONGEST_MESSAGE]} if self._quotes else {}
        self.stop({"etype": etype, **says})

    def fail_as(self, error: BaseException) -> None:
        """End the span with an exception, named as OSProfiler names it."""
        try:
            self.fail(reflection.get_class_name(error), str(error))
        except Exception:  # the error cannot be converted to text
            self.fail(type(error).__name__, "")


class TraceScope:
    """The time in which a trace is active in this thread or greenlet, with one span around it."""

    __slots__ = ("_active", "span")

    def __init__(
        self, source: str, context: TraceContext, name: str, info: dict[str, Any], quotes: bool
    ) -> None:
        leave_nothing()
        self._active: Any = profiler.init(
            context.hmac_key, base_id=context.base_id, parent_id=context.parent_id
        )
        self.span = NestedSpan(source, self._active, name, info, quotes)

    def end(self, info: dict[str, Any] | None = None) -> None:
        """End the span with this info, if it has not ended, and forget the trace in this thread."""
        self.span.stop(info)
        if profiler.get() is self._active:
            profiler.clean()


def leave_nothing() -> None:
    """Forget a trace that earlier work has left in this thread. Call it before new work."""
    if profiler.get() is not None:
        profiler.clean()


def exemplar_of(active: Any) -> dict[str, str]:
    """Return the innermost span of a profiler as an exemplar."""
    return exemplar(active.get_base_id(), active.get_id())


def exemplar(base_id: str, span_id: str) -> dict[str, str]:
    """Return a trace and a span of it, both UUIDs, as an exemplar."""
    return {"trace_id": base_id, "span_id": span_id.replace("-", "")[16:]}
