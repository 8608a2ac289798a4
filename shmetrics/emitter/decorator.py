# SPDX-License-Identifier: Apache-2.0
"""A decorator: what a callable does runs within a block, whatever kind of callable it is.

The result is of the same kind: a coroutine function stays one, and so do generators of both sorts.
Each run has a block of its own, from its first step to its end. A coroutine or generator that is
closed, or that nobody needs any more, ends there; one that never began has no block.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from typing import Any

Function = Callable[..., Any]
Blocks = Callable[[], AbstractContextManager[Any]]  # gives a new one per run


def decorated(function: Any, blocks: Blocks) -> Any:
    """The same callable, within a block. Raises TypeError if it is none.

    Only what says that it is a coroutine function or a generator is known for one. A function that
    gives a coroutine which it got elsewhere is a function, and measured as that.
    """
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(decorated(function.__func__, blocks))
    if not callable(function):
        raise TypeError(f"{type(function).__name__} is not callable")
    made: Function
    if _is(inspect.isasyncgenfunction, function):
        made = _async_generator(function, blocks)
    elif _is(inspect.isgeneratorfunction, function):
        made = _generator(function, blocks)
        if _is(_gives_awaitables, function):
            made = types.coroutine(made)
    elif _is(_is_coroutine_function, function):
        made = _coroutine(function, blocks)
    else:
        made = _plain(function, blocks)
    return functools.wraps(function)(made)


# ---- kinds ----------------------------------------------------------------------------------


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    """Whether a callable is of a kind, or an object is whose class can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return kind(function) or kind(type(function).__call__)


def _is_coroutine_function(function: Any) -> bool:
    if inspect.iscoroutinefunction(function):
        return True
    # What asyncio marks, in whose name others do: it is loaded where anything has its mark.
    asyncio = sys.modules.get("asyncio.coroutines")
    mark = getattr(asyncio, "_is_coroutine", None)
    return mark is not None and getattr(function, "_is_coroutine", None) is mark


def _gives_awaitables(function: Any) -> bool:
    """Whether it is a generator function by types.coroutine()."""
    code = getattr(function, "__code__", None)
    return bool(getattr(code, "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE)


# ---- of each kind, the same within a block ----------------------------------------------------


def _plain(function: Function, blocks: Blocks) -> Function:
    def within(*args: Any, **kwargs: Any) -> Any:
        with blocks():
            return function(*args, **kwargs)

    return within


def _coroutine(function: Function, blocks: Blocks) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def within(*args: Any, **kwargs: Any) -> Any:
        with blocks():
            return await function(*args, **kwargs)

    return within


def _generator(function: Function, blocks: Blocks) -> Callable[..., Generator[Any, Any, Any]]:
    def within(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with blocks():
            return (yield from function(*args, **kwargs))

    return within


def _async_generator(function: Function, blocks: Blocks) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def within(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with blocks():
            generator = function(*args, **kwargs)
            step = _first_step(generator)
            try:
                while True:
                    value = await step
                    try:
                        sent = yield value
                    except GeneratorExit:
                        await generator.aclose()
                        raise
                    except BaseException as error:
                        step = generator.athrow(error)
                    else:
                        step = generator.asend(sent)
            except StopAsyncIteration:  # of a step: what was thrown in comes out as another
                return

    return within


def _first_step(generator: AsyncGenerator[Any, Any]) -> Any:
    """Its first step, of which an event loop is told nothing: it knows the one around it, which
    closes this one. At its end a loop closes all that it knows of, at once, and two would meet."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)
