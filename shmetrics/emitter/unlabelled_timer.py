# SPDX-License-Identifier: Apache-2.0
"""A timer of a family with labels, whose values are known only within its block."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

Function = TypeVar("Function", bound=Callable[..., Any])


class UnlabelledTimer:
    """Time a block that names its label values before it ends: `with h.time() as t: t.labels(…)`.

    Its seconds are the child's whose label values it has then. Without label values nothing is
    recorded, and they count as wrong labels.
    """

    def __init__(
        self,
        find: Callable[..., Any],
        method: str,
        wrong_labels: Callable[[], Any],
    ) -> None:
        """Begin before the block.

        Args:
            find: Returns the child of label values; it raises nothing, unless in strict mode.
            method: The name of the child's method that takes the seconds.
            wrong_labels: Counts wrong labels and returns a child that records nothing; raises in
                strict mode.
        """
        self._find = find
        self._method = method
        self._wrong_labels = wrong_labels
        self._child: Any = None
        self._begun_ns = 0

    def __enter__(self) -> Self:
        """Begin the block."""
        self._begun_ns = time.monotonic_ns()
        return self

    def labels(self, *values: object, **by_name: object) -> None:
        """Choose the child, once, as `labels()` of the family does."""
        if self._child is not None:
            self._wrong_labels()
        else:
            self._child = self._find(*values, **by_name)

    def __exit__(self, *_: object) -> None:
        """End the block, and record the seconds."""
        seconds = (time.monotonic_ns() - self._begun_ns) * 1e-9
        child = self._child if self._child is not None else self._wrong_labels()
        getattr(child, self._method)(seconds)

    def __call__(self, function: Function) -> Function:
        """Return the function as it is, and count wrong labels: its runs would have none."""
        self._wrong_labels()
        return function
