# SPDX-License-Identifier: Apache-2.0
"""A decorator that runs a callable of any kind within a block.

The result is of the same kind: a coroutine function stays one, and so do both sorts of generators.
Each run has its own block, from its first step to its end. The block of a coroutine or generator
ends when that is closed or collected as garbage; one that never began has no block.
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


def decorated(function: Any, block: Any) -> Any:
    """Return a callable of the same kind that runs the function within a block.

    The kind is the one that the function declares. A plain function that returns a coroutine made
    elsewhere is measured as a plain function.

    Args:
        function: a callable, a classmethod or a staticmethod.
        block: a block of a series. Each run is in another one like it.

    Raises:
        TypeError: the function is not callable.
    """
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(decorated(function.__func__, block))
    if not callable(function):
        raise TypeError(f"{type(function).__name__} is not callable")
    made: Function
    blocks: Blocks = block.anew
    if _is(inspect.isasyncgenfunction, function):
        made = _async_generator(function, blocks)
    elif _is(inspect.isgeneratorfunction, function):
        made = _generator(function, blocks)
        if _is(_gives_awaitables, function):
            made = types.coroutine(made)
    elif _is(_is_coroutine_function, function):
        made = _coroutine(function, blocks)
    else:
        made = _plain(block.around(function))
    return functools.wraps(function)(made)


# ---- kinds ----------------------------------------------------------------------------------


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    """Return whether a callable, or the __call__ of its class, is of a kind."""
    while isinstance(function, functools.partial):
        function = function.func
    return kind(function) or kind(type(function).__call__)


def _is_coroutine_function(function: Any) -> bool:
    if inspect.iscoroutinefunction(function):
        return True
    # Others use asyncio's mark too. A marked function can exist only where asyncio is loaded.
    asyncio = sys.modules.get("asyncio.coroutines")
    mark = getattr(asyncio, "_is_coroutine", None)
    return mark is not None and getattr(function, "_is_coroutine", None) is mark


def _gives_awaitables(function: Any) -> bool:
    """Return whether types.coroutine() made this generator function."""
    code = getattr(function, "__code__", None)
    return bool(getattr(code, "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE)


# ---- of each kind, the same within a block ----------------------------------------------------


def _plain(runs: Function) -> Function:
    # A function of Python, because frameworks ask whether it is one. It does as little as it can.
    def within(*args: Any, **kwargs: Any) -> Any:
        return runs(args, kwargs)

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
    """Return the first step of a generator, without registering it at the event loop.

    The loop knows the generator around this one, which closes this one. At its end a loop closes
    all registered generators at once: if it knew both, it would close this one twice.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)
