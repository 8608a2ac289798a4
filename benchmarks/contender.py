# SPDX-License-Identifier: Apache-2.0
"""The nouns of a benchmark: contender, group, and the effort that a group is worth."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal

# Does the thing so many times, and returns how long that took in seconds. Of a group of sizes,
# shares or counts it is called once, with 1, and returns bytes, a part of one, or how many.
Timer = Callable[[int], float]
QUICK = "SHMETRICS_BENCHMARK_QUICK"  # in the environment of a quick look
Unit = Literal["second", "byte", "share", "count"]


def in_full(full: float, quick: float) -> float:
    """Return the first in a full run, and the second in a quick look."""
    return quick if QUICK in os.environ else full


@dataclass(frozen=True)
class Effort:
    """The effort of a measurement: processes per contender, values of each, and repetitions."""

    rounds: int = 5
    values: int = 6
    warmups: int = 2
    loops: int = 0  # 0: as many as take value_s
    value_s: float = 0.05

    def quick(self) -> Effort:
        """Enough to see that it runs. What takes seconds each time is done once."""
        if self.loops == 1:
            fewer = replace(self, rounds=1, values=1, warmups=0)
        else:
            values, warmups = min(2, self.values), min(1, self.warmups)
            fewer = replace(self, rounds=1, values=values, warmups=warmups)
        return replace(fewer, value_s=self.value_s / 5)


# For what takes seconds each time.
SLOW = Effort(rounds=3, values=1, warmups=1, loops=1)


@dataclass(frozen=True)
class Contender:
    """One way of doing one thing. open() sets the stage and gives the timer.

    lacking(): what keeps it from being measured here; it is left out then.
    """

    key: str
    title: str
    open: Callable[[], AbstractContextManager[Timer]]
    lacking: Callable[[], str] = str


def only_in_full() -> str:
    """Return why a quick look leaves out what takes long to set the stage for, or ""."""
    return "it takes long, and this is a quick look" if QUICK in os.environ else ""


@dataclass(frozen=True)
class Group:
    """Contenders that can be compared. Ratios are to the contender with the key `one`.

    The contender with the key `floor`, if there is one, does none of the work: the others are
    shown as so many times the floor. There may be lower floors among the contenders, which are
    rows like any other.

    together: for what takes long and varies by itself. All contenders live in one process, within
    this stage, and take turns, once each in an order that is drawn anew every time; a value is the
    median of `effort.loops` turns, values of one turn belong together, and their difference is
    shown with its interval.

    around: what all rounds of the group need, a broker say; entered once, before the processes
    start, which find it by the environment. lacking(): what keeps the group from running here.
    """

    key: str
    title: str
    note: str
    one: str
    contenders: tuple[Contender, ...]
    unit: Unit = "second"
    floor: str = "floor"
    effort: Effort = Effort()
    together: Callable[[], AbstractContextManager[object]] | None = None
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    lacking: Callable[[], str] = str

    def present(self) -> tuple[Contender, ...]:
        """Return the contenders that nothing keeps from being measured here."""
        return tuple(contender for contender in self.contenders if not contender.lacking())

    def __getitem__(self, key: str) -> Contender:
        return next(contender for contender in self.contenders if contender.key == key)
