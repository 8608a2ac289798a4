# SPDX-License-Identifier: Apache-2.0
"""`with` blocks and decorators around an instrument: time(), track_inprogress(), ..."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

Function = TypeVar("Function", bound=Callable[..., Any])


class Block:
    """Calls enter() before and leave(exception class or None) after what it surrounds.

    As a decorator it makes a new block per call, so that recursion and threads do not meet.
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
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with Block(self._enter, self._leave):
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def timer(take_seconds: Callable[[float], None]) -> Block:
    """Gives the seconds that the block took."""
    return Block(perf_counter, lambda begun, kind: take_seconds(max(perf_counter() - begun, 0.0)))
