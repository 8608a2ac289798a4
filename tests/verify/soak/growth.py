# SPDX-License-Identifier: Apache-2.0
"""Growth: memory and descriptors of the processes that live long, the store, the directory."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from tests.verify.soak.account import Wrong

KIB = 1024
MIB = 1024 * KIB


class Limit(NamedTuple):
    """The allowance for growth from the warm-up to the end: noise of an allocator."""

    what: str
    most: float
    unit: str


LIMITS = (
    Limit("collector: anonymous memory as it comes up", 2 * MIB, "bytes"),
    Limit("collector: anonymous memory of the last one", 2 * MIB, "bytes"),
    Limit("emitter: anonymous memory", MIB, "bytes"),
    Limit("emitter: descriptors", 0, ""),
    Limit("store: bytes in use", 256 * KIB, "bytes"),
)


class Figure(NamedTuple):
    """One series of figures, in short: medians of the time after the warm-up, and of the end."""

    what: str
    n: int
    first: float
    last: float
    most: float
    unit: str

    @property
    def grown(self) -> float:
        return self.last - self.first


class Growth:
    """Figures by what they are of, with the seconds at which they were taken."""

    def __init__(self) -> None:
        self._figures: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def note(self, what: str, seconds: float, figure: float) -> None:
        self._figures[what].append((seconds, figure))

    def lacking(self, warm_seconds: float) -> list[str]:
        """Return what has no figure after the warm-up."""
        latest = {what: taken[-1][0] for what, taken in self._figures.items()}
        return [one.what for one in LIMITS if latest.get(one.what, -1.0) < warm_seconds]

    def figures(self, warm_seconds: float) -> list[Figure]:
        """Of each: the quarter after the warm-up against the last quarter, by their medians.

        The last collector's warm-up is a third of its own time.
        """
        found = []
        for limit in LIMITS:
            taken = self._figures[limit.what]
            if limit.what.endswith("the last one") and taken:
                warm_seconds = taken[0][0] + (taken[-1][0] - taken[0][0]) / 3
            figures = [figure for seconds, figure in taken if seconds >= warm_seconds]
            if not figures:
                raise Wrong(f"no figure after the warm-up: {limit.what}")
            quarter = max(1, len(figures) // 4)
            first, last = (
                statistics.median(part) for part in (figures[:quarter], figures[-quarter:])
            )
            found.append(Figure(limit.what, len(figures), first, last, limit.most, limit.unit))
        return found


def anonymous_bytes(pid: int) -> int:
    """Memory that is the process's own: not the lanes and the store that it maps."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * KIB
    raise ProcessLookupError(pid)


def descriptors(pid: int) -> list[str]:
    """Return what is open."""
    folder = f"/proc/{pid}/fd"
    found = []
    for number in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{number}"))
        except FileNotFoundError:
            continue
    return found
