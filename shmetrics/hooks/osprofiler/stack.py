# SPDX-License-Identifier: Apache-2.0
"""The two stacks of a compiled profiler, for code that reaches into it like into OSProfiler's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any


class Stack(deque[Any]):
    """A copy of the stack. Appending and popping here changes the profiler as well."""

    def __init__(
        self, members: Iterable[Any], push: Callable[[Any], None], drop: Callable[[], None]
    ) -> None:
        super().__init__(members)
        self._push = push
        self._drop = drop

    def append(self, member: Any) -> None:
        self._push(member)
        super().append(member)

    def pop(self) -> Any:  # type: ignore[override]
        self._drop()
        return super().pop()
