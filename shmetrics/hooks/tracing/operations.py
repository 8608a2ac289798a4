# SPDX-License-Identifier: Apache-2.0
"""Operations that a library does for its service, such as commands to a database.

Each operation is a call of a metric, and also a span while a trace is active. Failures here are
not raised into the service.
"""

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
    """Return a decorator that counts the exceptions of a function as failures of *source*.

    The function returns None instead of raising.
    """

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
    """The operations of one library, or one kind of them."""

    def __init__(
        self, metric: str, documentation: str, labels: tuple[str, ...], span: str, says_data: bool
    ) -> None:
        """Make the metric of the operations.

        Args:
            metric: the prefix of its families.
            documentation: the help of its families.
            labels: the names of its labels; `process` is added.
            span: the name of its spans.
            says_data: put data of the service's users into spans, such as the messages of errors,
                which quote values.
        """
        self.calls = Calls(metric, documentation, (*labels, "process"))
        self.process = (process_name(),)
        self.metric = metric
        self.span = span
        self.says_data = says_data


class Operation:
    """One operation, which begins when it is made and ends with end().

    An operation that is collected as garbage ends then. If OSProfiler's notifier fails, only the
    span is lost.
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
        """Begin an operation.

        Args:
            of: the operations to which it belongs.
            labels: the values of its labels, without `process`.
            info: returns the info of the span from *said*; called only while a trace is active.
            *said: the arguments of *info*.
            within: the operation that contains this one, if that has not ended.
            quotes: put the message of an error into the span. Use False if the message may quote
                what must never be kept.
        """
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
        """End the operation. Never raises; a second call does nothing.

        Args:
            error: the exception of the operation, or the name of its class, or None.
            info: added to the info of the span.
        """
        series, self._series = self._series, None
        span, self._span = self._span, None  # no later operation is within this one
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
    """Return the info of an error in OSProfiler's form, with its message only if *says_data*."""
    if error is None:
        return {}
    if isinstance(error, str):
        return {"etype": error}
    kind = type(error)
    of = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    said = {"etype": of + kind.__name__}
    return said | {"message": str(error)} if says_data else said
