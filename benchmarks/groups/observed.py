# SPDX-License-Identifier: Apache-2.0
"""A total that is kept elsewhere: set one by one, and many at once."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import floor, operations, world
from benchmarks.contender import Contender, Group, Timer

AT_ONCE = 1000


def a_total(library: Any) -> Timer:
    observed = library.ObservedCounter("pages", "Pages", ["unit"])
    return operations.totals(observed.labels("one").set_total)


def an_array(library: Any, n: int = AT_ONCE) -> Timer:
    observed = library.ObservedCounter("faults", "Faults", ["unit"])
    return operations.totals_at_once(observed.array(map(str, range(n))), array("d", range(n)))


@contextmanager
def one_by_one() -> Iterator[Timer]:
    with world.collector():
        import shmetrics

        timer = a_total(shmetrics)
        timer(100_000)
        yield timer


@contextmanager
def at_once() -> Iterator[Timer]:
    with world.collector():
        import shmetrics

        timer = an_array(shmetrics)
        timer(100_000)
        yield timer


@contextmanager
def nothing() -> Iterator[Timer]:
    yield operations.totals(floor.extension().Nothing().observe)


TOTALS = Group(
    "totals",
    "ObservedCounter.set_total(value)",
    f"Per value. *At once*: `set_totals` of an array of {AT_ONCE} label sets, from one buffer.",
    "one",
    (
        Contender("floor", "floor: a compiled method that does nothing", nothing),
        Contender("one", "shmetrics, one by one", one_by_one),
        Contender("at-once", "shmetrics, at once", at_once),
    ),
)
