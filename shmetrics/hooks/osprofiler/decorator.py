# SPDX-License-Identifier: Apache-2.0
"""OSProfiler's decorator of functions, for the compiled profiler.

It is Python, because its result has to be a function: trace_cls looks for functions. Outside a
trace it just calls the function, and does not look at its arguments.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from oslo_utils import reflection
from osprofiler import profiler as theirs

from shmetrics.hooks.osprofiler._profiler import is_resting, keeps_arguments

P = ParamSpec("P")
R = TypeVar("R")


def trace(
    name: str,
    info: dict[str, Any] | None = None,
    hide_args: bool = False,
    hide_result: bool = True,
    allow_multiple_trace: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that makes each call of a function a span.

    Args:
        name: the name of the span.
        info: added to the info of the span.
        hide_args: leave out the arguments of the call.
        hide_result: leave out the result of the call.
        allow_multiple_trace: accept a function that is traced already.

    Raises:
        ValueError: from the decorator, if the function is traced already and that is not allowed.
    """
    common: dict[str, Any] = dict(info or {})

    def decorator(function: Callable[P, R]) -> Callable[P, R]:
        times = getattr(function, "__traced__", 0)
        if times and not allow_multiple_trace:
            raise ValueError(f"Function '{function}' is traced already, {times} times")
        with contextlib.suppress(AttributeError):  # a bound method accepts no attributes
            function.__traced__ = times + 1  # type: ignore[attr-defined]
        its_name = functools.cache(functools.partial(reflection.get_callable_name, function))

        def said(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
            what = {"name": its_name()}
            if not hide_args and keeps_arguments():  # writing them may take long
                what |= {"args": str(args), "kwargs": str(kwargs)}
            return common | {"function": what}

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if is_resting():
                return function(*args, **kwargs)
            about = said(args, kwargs)
            end: dict[str, Any] | None = None
            try:
                theirs.start(name, info=about)
                result = function(*args, **kwargs)
            except Exception as error:
                end = {"etype": reflection.get_class_name(error), "message": str(error)}
                raise
            else:
                if not hide_result:
                    end = {"function": {"result": repr(result)}}
                return result
            finally:
                theirs.stop(info=end)

        return wrapper

    return decorator
