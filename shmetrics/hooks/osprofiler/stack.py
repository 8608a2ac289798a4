# SPDX-License-Identifier: Apache-2.0
"""A profiler's two stacks, for those who reach into it as if it were OSProfiler's own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any


class Stack(deque[Any]):
    """The stack as it is now. What is appended or popped here is so in the profiler as well."""

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
