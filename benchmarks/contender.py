# SPDX-License-Identifier: Apache-2.0
"""The two nouns of a benchmark: contender and group."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

# Does the thing so many times, and returns how long that took in seconds (or how large it is).
Timer = Callable[[int], float]


@dataclass(frozen=True)
class Contender:
    """One way of doing one thing. open() sets the stage and gives the timer."""

    key: str
    title: str
    open: Callable[[], AbstractContextManager[Timer]]


@dataclass(frozen=True)
class Group:
    """Contenders that can be compared. Ratios are to the contender with the key `one`.

    A contender with the key `floor` does none of the work: what the others cost is above it.
    """

    key: str
    title: str
    note: str
    one: str
    contenders: tuple[Contender, ...]
    unit: Literal["second", "byte"] = "second"

    def __getitem__(self, key: str) -> Contender:
        return next(contender for contender in self.contenders if contender.key == key)
