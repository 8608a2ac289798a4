# SPDX-License-Identifier: Apache-2.0
"""A span of the trace that is active here, and the stay of a trace that came from elsewhere.

OSProfiler keeps a stack of spans, and its stop() ends the topmost, whichever that is. Here each
span knows its own, so that what was left open within it, by a call that raised, ends with it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from oslo_utils import reflection
from osprofiler import profiler

from shmetrics.hooks.tracing.failures import failed

__all__ = ["NestedSpan", "TraceContext", "TraceScope", "exemplar_of"]

#: Characters of an error's text that are worth keeping.
LONGEST_MESSAGE: Final = 1000

#: Spans left open within one: more than that are not looked for.
MOST_LEFT_OPEN: Final = 1000


class TraceContext(NamedTuple):
    """A trace as it came from elsewhere: believed, and signed with *hmac_key*, one of ours."""

    hmac_key: str
    base_id: str
    parent_id: str


class NestedSpan:
    """A span of *source*, begun. Nothing of it raises."""

    __slots__ = ("_active", "_id", "_quotes", "_source")

    def __init__(
        self, source: str, active: Any, name: str, info: dict[str, Any], quotes: bool
    ) -> None:
        """quotes: whether it may say what its error says, which often has arguments in it."""
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
        """It ends, and with it what was begun in it. Only the first stop counts."""
        own, self._id = self._id, ""
        if not own:
            return
        active = self._active
        try:
            top = active.get_id()
            if top != own and own not in active._trace_stack:
                return  # somebody else has stopped it
            for _ in range(MOST_LEFT_OPEN):
                active.stop(info if top == own else None)
                if top == own:
                    break
                top = active.get_id()
        except Exception as error:
            failed(self._source, error)

    def fail(self, etype: str, message: str) -> None:
        """It ends with an error: the name of its class, and what it says if that is wanted."""
        says = {"message": message[:LONGEST_MESSAGE]} if self._quotes else {}
        self.stop({"etype": etype, **says})

    def fail_as(self, error: BaseException) -> None:
        """It ends with this error, as OSProfiler names it."""
        try:
            self.fail(reflection.get_class_name(error), str(error))
        except Exception:  # an error that cannot even be written
            self.fail(type(error).__name__, "")


class TraceScope:
    """The stay of a trace in this thread or greenlet, with one span around all of it."""

    __slots__ = ("_active", "span")

    def __init__(
        self, source: str, context: TraceContext, name: str, info: dict[str, Any], quotes: bool
    ) -> None:
        leave_nothing()
        self._active: Any = profiler.init(
            context.hmac_key, base_id=context.base_id, parent_id=context.parent_id
        )
        self.span = NestedSpan(source, self._active, name, info, quotes)

    def end(self) -> None:
        """The span ends if it has not, and this thread forgets the trace."""
        self.span.stop()
        if profiler.get() is self._active:
            profiler.clean()


def leave_nothing() -> None:
    """Forget a trace that somebody has left behind in this thread, where new work begins."""
    if profiler.get() is not None:
        profiler.clean()


def exemplar_of(active: Any) -> dict[str, str]:
    """The span that a profiler is at, as an event's exemplar."""
    return exemplar(active.get_base_id(), active.get_id())


def exemplar(base_id: str, span_id: str) -> dict[str, str]:
    """A trace and a span of it, both UUIDs, as an event's exemplar."""
    return {"trace_id": base_id, "span_id": span_id.replace("-", "")[16:]}
