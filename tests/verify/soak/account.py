# SPDX-License-Identifier: Apache-2.0
"""The account of the events of one process: bounds at first, exact counts in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.verify.soak import remains, totals
from tests.verify.soak.book import (
    COLUMNS,
    DROPPED,
    ERRORS,
    EVENTS,
    FATE,
    GAUGES,
    LANE,
    MOVES,
    SPILLED,
    SURE,
    VISITS,
    Book,
    Column,
    Counts,
    Fate,
)
from tests.verify.soak.remains import Remains
from tests.verify.soak.totals import Totals, jobs
from tests.verify.soak.work import COMMON, HOSTS


class Wrong(Exception):
    """A promise is broken: which, and where."""


class Account:
    """Of one process, whatever becomes of it."""

    def __init__(self, book: Book, topic: str) -> None:
        self.topic = topic
        self.path = book.path
        self.name = book.path.name
        self.exact: Counts | None = None
        self.killed = False
        self.spilled = 0
        self.has_moved = False  # a killed process, to a larger lane
        self.lost: Totals = Counter()  # visits that a killed process took along
        self._book = book

    @property
    def has_lane(self) -> bool:
        """Tell whether the process has said so."""
        return self._book.cells[LANE] != 0

    @property
    def is_in_larger_lane(self) -> bool:
        """Tell whether the process lives, and has said that it has moved."""
        return self.exact is None and self._book.cells[MOVES] != 0

    def condemn(self) -> None:
        """The process is about to be killed."""
        self._book.cells[FATE] = Fate.KILLED

    def least(self) -> Counts:
        """Return what a scrape that begins now has to show: the process has a lane and did this."""
        if self.exact is not None:
            return self.exact
        if not self.has_lane:
            return dict.fromkeys(COLUMNS, 0)
        return self._book.done() | {VISITS: self._book.cells[SURE]}

    def most(self) -> Counts:
        """Return what a scrape that has ended may have shown."""
        return self._book.begun() if self.exact is None else self.exact

    def settle(self, graves: Path) -> bool:
        """Makes the account exact, once its process is gone. False: its lane is not final yet."""
        if self.exact is not None:
            return True
        self.killed = self._book.cells[FATE] == Fate.KILLED
        files = sorted(graves.glob(f"{self.name}.*"))
        if not all(map(remains.are_final, files)):
            return False
        self.exact = self._exact(remains.of_process(files) if self.killed else [])
        for path in files:
            path.unlink()
        self._book.close()
        self.path.unlink()
        return True

    def _exact(self, found: Sequence[Remains]) -> Counts:
        cells = self._book.cells
        for what, at in (("dropped", DROPPED), ("registration errors", ERRORS)):
            if cells[at]:
                raise Wrong(f"{self.name}: {cells[at]} {what}")
        begun, done = self._book.begun(), self._book.done()
        under_way = [column for column in COLUMNS if begun[column] != done[column]]
        if self.killed and len(under_way) <= 1:
            return self._of_the_killed(found, begun, done)
        if under_way or cells[FATE] not in (Fate.ENDED, Fate.ALONE):
            raise Wrong(f"{self.name}: fate {cells[FATE]}, with {under_way} under way")
        if cells[FATE] == Fate.ALONE:
            return dict.fromkeys(COLUMNS, 0)
        self.spilled = cells[SPILLED]
        return done

    def _of_the_killed(self, found: Sequence[Remains], begun: Counts, done: Counts) -> Counts:
        """Of the event under way the lane says whether it counts; of all others, that they do."""
        published = sum(one.published for one in found)
        self.spilled = sum(one.spilled for one in found)
        visits = self._visits(found, begun, done)
        n_lost = self.lost.total()
        all_done, all_begun = (sum(counts[c] for c in EVENTS) - n_lost for counts in (done, begun))
        if published not in (all_done, all_begun, *(() if self.has_lane else (0,))):
            raise Wrong(
                f"{self.name}: its lane holds {published} events; "
                f"{all_begun} had begun, {all_done} were done, beside {n_lost} lost"
            )
        if published == all_begun:
            exact = dict(begun)
        else:
            exact = dict(done) if published == all_done else dict.fromkeys(COLUMNS, 0)
        for column in EVENTS:
            if column.kind == "job":
                exact[column] = self._jobs(column, found, begun, done)
        if published:
            exact[VISITS] = visits
        else:
            self.lost.clear()
        for column in GAUGES:
            exact[column] = self._gauge(column, found)
            if exact[column] not in (begun[column], done[column], *(() if self.has_lane else (0,))):
                raise Wrong(f"{self.name}: its {column} says {exact[column]}, not {done[column]}")
        return exact

    def _jobs(self, column: Column, found: Sequence[Remains], begun: Counts, done: Counts) -> int:
        """An add is in its total a moment before it is counted: the total decides."""
        label = self.topic if column.whose == "own" else COMMON
        taken = sum(one.taken.get(("soak_jobs", label), 0.0) for one in found)
        possible: tuple[int, ...] = (begun[column], done[column])
        for n in possible if self.has_lane else (*possible, 0):
            if taken == jobs(n):
                return n
        raise Wrong(f"{self.name}: {taken} was taken of its {column}, not {jobs(done[column])}")

    def _visits(self, found: Sequence[Remains], begun: Counts, done: Counts) -> int:
        """Return the number of visits that counts: that of those begun, or of those done.

        Visits of hosts for which the first lane has no room wait in the process's memory until it
        has moved, and are lost with it.
        """
        exact = done[VISITS]
        self.has_moved = any(one.moved_to for one in found)
        for host, name in enumerate(HOSTS):
            taken = sum(one.taken.get(("soak_visits", name), 0.0) for one in found)
            its_done, its_begun = (totals.visits(n[VISITS], host) for n in (done, begun))
            if taken == its_begun != its_done:
                exact = begun[VISITS]
            elif taken != its_done:
                if taken or (self.has_moved and self.has_lane):
                    raise Wrong(f"{self.name}: {taken} was taken of {its_done} visits of {host}")
                self.lost[totals.visit(host)] = its_done
        return exact

    def _gauge(self, column: Column, found: Sequence[Remains]) -> int:
        label = ""
        if column.kind == "level":
            label = self.topic if column.whose == "own" else COMMON
        key = f"soak_{column.kind}", label
        return int(sum(abs(one.gauges.get(key, 0.0)) for one in found))
