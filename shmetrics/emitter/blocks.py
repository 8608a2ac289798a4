# SPDX-License-Identifier: Apache-2.0
"""`with` blocks and decorators around an instrument: time(), track_inprogress(), ..."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from shmetrics.binding import ring as _ring

if TYPE_CHECKING:
    from typing_extensions import Self

Function = TypeVar("Function", bound=Callable[..., Any])


class Block:
    """Calls enter() before and leave(exception class or None) after what it surrounds.

    As a decorator it makes a new block per run, so that recursion, threads and tasks do not meet.
    """

    def __init__(
        self, enter: Callable[[], Any], leave: Callable[[Any, type[BaseException] | None], None]
    ) -> None:
        self._enter = enter
        self._leave = leave
        self._state: Any = None

    def __enter__(self) -> Self:
        self._state = self._enter()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: object) -> None:
        self._leave(self._state, kind)

    def __call__(self, function: Function) -> Function:
        """The same callable, each run of it within a new block; what is none stays as it is, and
        is counted."""
        try:
            from shmetrics.emitter.decorator import decorated  # loads much that few need

            found: Function = decorated(function, lambda: Block(self._enter, self._leave))
        except Exception:
            _ring.process_count_drop(_ring.DROP_BAD_VALUE)
            return function
        return found


def timer(take_seconds: Callable[[float], None]) -> Block:
    """Gives the seconds that the block took."""
    return Block(perf_counter, lambda begun, kind: take_seconds(max(perf_counter() - begun, 0.0)))
