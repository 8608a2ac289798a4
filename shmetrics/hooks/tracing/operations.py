# SPDX-License-Identifier: Apache-2.0
"""What a library does for its service, one operation after the other: each is a call of a metric,
and a span while a trace is active. Nothing of it is raised into the service."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from shmetrics import Calls
from shmetrics.emitter.process import process_name
from shmetrics.hooks.tracing import detached
from shmetrics.hooks.tracing.failures import failed
from shmetrics.hooks.tracing.notifying import current

P = ParamSpec("P")
R = TypeVar("R")


def harmless(source: str) -> Callable[[Callable[P, R]], Callable[P, R | None]]:
    """A decorator: what the function would raise is counted as *source*'s, and it returns None."""

    def decorate(function: Callable[P, R]) -> Callable[P, R | None]:
        @functools.wraps(function)
        def does_no_harm(*args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                failed(source, error)
                return None

        return does_no_harm

    return decorate


class Operations:
    """The operations of one library, or one kind of them.

    metric: what its families are called. labels: their names; each operation has the values, and
    `process` is added. span: the name of its spans. says_data: whether these may have what is not
    the service's own, such as the message of an error, which quotes values.
    """

    def __init__(
        self, metric: str, documentation: str, labels: tuple[str, ...], span: str, says_data: bool
    ) -> None:
        self.calls = Calls(metric, documentation, (*labels, "process"))
        self.process = (process_name(),)
        self.metric = metric
        self.span = span
        self.says_data = says_data


class Operation:
    """One of them, from its making to end(); or until it is forgotten, since then nobody can end
    it.

    labels: their values. info: what its span says, made of what is said here, if a trace is active.
    within: the operation that this one is a part of, unless that has ended. quotes: whether it may
    say what its error says; not if that quotes what is never said. A notifier that fails costs the
    span only.
    """

    __slots__ = ("_call", "_of", "_quotes", "_series", "_span")

    def __init__(
        self,
        of: Operations,
        labels: tuple[object, ...],
        info: Callable[..., dict[str, Any]],
        *said: object,
        within: Operation | None = None,
        quotes: bool = True,
    ) -> None:
        self._quotes = quotes and of.says_data
        self._series: Any = None
        self._of = of
        self._span: detached.DetachedSpan | None = None
        exemplar = None
        trace = current()
        if trace is not None:
            try:
                around = None if within is None else within._span
                self._span = span = detached.begin(trace, of.span, info(*said), around)
                exemplar = span.exemplar
            except Exception as error:
                failed(of.metric, error)
        series = of.calls.child(labels + of.process, "")
        self._call = series.start(exemplar)
        self._series = series

    def end(
        self, error: BaseException | str | None = None, info: dict[str, Any] | None = None
    ) -> None:
        """It is over, with this error, or one of which only the name of its class is known. info:
        what its span says. Never raises; the second time it does nothing."""
        series, self._series = self._series, None
        span, self._span = self._span, None  # nothing is within it any more
        if series is None:
            return
        try:
            if isinstance(error, BaseException):
                series.end(self._call, type(error).__name__)
            else:
                series.end(self._call, error)
            if span is not None:
                span.stop({**(info or {}), **described(error, self._quotes)})
        except Exception as problem:
            failed(self._of.metric, problem)

    def __del__(self) -> None:
        if self._series is not None:
            self.end()


def described(error: BaseException | str | None, says_data: bool) -> dict[str, Any]:
    """What OSProfiler says of an error; its message only if data may be said."""
    if error is None:
        return {}
    if isinstance(error, str):
        return {"etype": error}
    kind = type(error)
    of = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    said = {"etype": of + kind.__name__}
    return said | {"message": str(error)} if says_data else said
