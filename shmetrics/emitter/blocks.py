# SPDX-License-Identifier: Apache-2.0
"""Blocks and decorators that an instrument gives: time(), track_inprogress(), ..."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring

if TYPE_CHECKING:
    from typing_extensions import Self

Function = TypeVar("Function", bound=Callable[..., Any])


class Block:
    """A context manager that can also decorate a function.

    As a decorator it makes a new block for each run, so that recursion, threads and tasks do not
    share one.
    """

    def __init__(
        self, enter: Callable[[], Any], leave: Callable[[Any, type[BaseException] | None], None]
    ) -> None:
        """Keep what is called around the block.

        Args:
            enter: called first; its result is the state of the block.
            leave: called last, with the state and the class of the exception that leaves the
                block, or None.
        """
        self._enter = enter
        self._leave = leave
        self._state: Any = None

    def __enter__(self) -> Self:
        self._state = self._enter()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: object) -> None:
        self._leave(self._state, kind)

    def __call__(self, function: Function) -> Function:
        """Return the function with each of its runs in a new block. Never raises.

        An object that is not callable is returned unchanged, and counted as a bad value.
        """
        try:
            from shmetrics.emitter.decorator import decorated  # loads much that few need

            found: Function = decorated(function, lambda: Block(self._enter, self._leave))
        except Exception:
            _ring.process_count_drop(layout.DROP_BAD_VALUE)
            return function
        return found


def timer(take_seconds: Callable[[float], None]) -> Block:
    """Return a block that passes its duration, in seconds, to *take_seconds*."""
    return Block(perf_counter, lambda begun, kind: take_seconds(max(perf_counter() - begun, 0.0)))
