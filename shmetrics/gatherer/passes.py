# SPDX-License-Identifier: Apache-2.0
"""The passes over the units of this node: which there are, and what each has used so far."""

from __future__ import annotations

import logging
import resource
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from shmetrics.binding import ring
from shmetrics.gatherer.cgroup_series import CgroupSeries
from shmetrics.gatherer.instruments import Instruments
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.units.families import BY_NAME
from shmetrics.units.finder import Finder
from shmetrics.units.unit import Unit

log = logging.getLogger(__name__)

# A unit is asked in one of so many passes whether it has other controllers by now; they take turns.
_TURNS: Final = 10
_EVENTS: Final = 5  # of a touch


class Follower(Protocol):
    """A recorder of something else, called in each pass after the cgroups of all units.

    Attributes:
        part: what it records, in one word: the label `part` of shmetrics_gather_seconds.
    """

    part: str

    def record(self, units: Mapping[str, Unit]) -> None:
        """Record something of these units, by their ids. An exception ends this pass of it only."""


class Passes:
    """The passes over all units, and the series of those that are there.

    Attributes:
        units: the units of the last pass, by id.
    """

    def __init__(
        self,
        finder: Finder,
        instruments: Instruments,
        followers: Iterable[Follower] = (),
        most_files: int | None = None,
    ) -> None:
        """Begin without a unit.

        Args:
            finder: finds the units.
            instruments: where their numbers go.
            followers: record something else in each pass, in this order; see also follow().
            most_files: how many descriptors are kept from one pass to the next; None: three
                quarters of those that this process may have. The files of further units are opened
                in each pass.
        """
        self._finder = finder
        self._instruments = instruments
        self._followers = list(followers)
        self._rate_limited = RateLimitedLog(log)
        self._series: dict[str, CgroupSeries] = {}
        self._kinds: set[str] = set()
        self._most_files = _descriptors_to_keep() if most_files is None else most_files
        self._number = 0
        self._has_warned = False
        self.units: dict[str, Unit] = {}

    def follow(self, followers: Iterable[Follower]) -> None:
        """Have further followers record in each pass, after those that are there."""
        self._followers += followers

    def make(self) -> bool:
        """Find the units and record them; the series of one that has gone leave.

        Returns:
            Whether there are new units, and so new series: see touch().
        """
        start = time.perf_counter()
        self.units = self._finder.units()
        self._warn()
        for gone in self._series.keys() - self.units.keys():
            self._series.pop(gone).remove()
        has_new = bool(self.units.keys() - self._series.keys())
        found = time.perf_counter()
        left = self._most_files
        for turn, unit in enumerate(self.units.values()):
            try:
                left -= self._record(unit, (turn + self._number) % _TURNS == 0, left)
            except Exception as error:  # the others are recorded all the same
                self._fail(unit.name, error)
        self._count(self.units.values())
        self._number += 1
        self._instruments.seconds.labels("find").observe(found - start)
        self._instruments.seconds.labels("read").observe(time.perf_counter() - found)
        for follower in self._followers:
            self._run(follower)
        return has_new

    def touch(self) -> bool:
        """Record something once more, so that new series reach the collector now.

        While a process waits for a larger lane, they are in its own memory. Each event looks
        whether it has come, and then takes a part of it, see decision 33.

        Returns:
            Whether something waits still.
        """
        for _ in range(_EVENTS):
            self._count(self.units.values())
        return bool(ring.process_status()["waits"])

    def numbers(self, id: str) -> Iterator[tuple[str, float]]:
        """Yield the numbers of a unit's cgroups, by the names that they have in lines."""
        series = self._series.get(id)
        if series is not None:
            for slot, value in series.numbers():
                total = "_total" if BY_NAME[slot.family].is_counter else ""
                yield ".".join((f"{slot.family}{total}", *slot.labels)), value

    def close(self) -> None:
        """Close all files. The series leave with this process."""
        for series in self._series.values():
            series.close()
        self._series.clear()

    def _record(self, unit: Unit, has_turn: bool, left: int) -> int:
        """Record a unit; return how many descriptors it keeps, which are at most *left*."""
        series = self._series.get(unit.id)
        if series is None:
            is_new = self._number > 0
            series = self._series[unit.id] = CgroupSeries(unit, self._instruments, is_new)
        elif series.unit is not unit:
            series.renew(unit)
        elif has_turn:
            series.look_again()
        series.record()
        if series.n_files > left:
            series.rest()
            return 0
        return series.n_files

    def _run(self, follower: Follower) -> None:
        start = time.perf_counter()
        try:
            follower.record(self.units)
        except Exception as error:  # the others are recorded all the same
            self._fail(follower.part, error)
        self._instruments.seconds.labels(follower.part).observe(time.perf_counter() - start)

    def _fail(self, what: str, error: Exception) -> None:
        """Count and say what was not recorded in this pass."""
        self._instruments.failed.inc()
        kind = type(error).__name__
        self._rate_limited.warning(kind, f"{what} is not recorded in this pass: {kind}: {error}")

    def _count(self, units: Iterable[Unit]) -> None:
        counts = Counter(unit.kind for unit in units)
        for kind in self._kinds | counts.keys():
            self._instruments.units.labels(kind).set(counts[kind])
        self._kinds.update(counts)

    def _warn(self) -> None:
        if self._finder.has_left_out and not self._has_warned:
            self._has_warned = True
            log.warning(
                "some cgroups are not looked at: there are too many, or more than 32 levels of them"
            )


def _descriptors_to_keep() -> int:
    """Return three quarters of the number of files that this process may open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4
