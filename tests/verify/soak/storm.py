# SPDX-License-Identifier: Apache-2.0
"""A fork storm: a process that emits, and between its events forks children that emit a little.

    python -m tests.verify.soak.storm BOOK TOPIC SEED RUNTIME_DIR GRAVES CHILD_BOOK...

Some children are killed; the others end when they are done and have a lane, or after a while
without one.
"""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
from pathlib import Path

from tests.verify.soak import remains
from tests.verify.soak.book import FATE, Book, Fate
from tests.verify.soak.work import Work

ALONE_SECONDS = 2.0
ROUNDS = 3


def child(work: Work, book: Book, columns: list[int], doomed: bool) -> None:
    """Never returns."""
    status = 1
    try:
        parents = work.one_open()
        work.take(book)
        if parents is not None:
            work.end_in_vain(parents)
        give_up_at = time.monotonic() + ALONE_SECONDS
        rounds = 0
        is_whole = False
        while doomed or rounds < ROUNDS or not is_whole:
            rounds += 1
            work.do_all(columns)
            is_whole = work.note()  # of the doomed, too: a lane that it leaves is read as well
            if time.monotonic() > give_up_at and not doomed and not work.has_lane:
                break
            time.sleep(0.002)
        book.cells[FATE] = Fate.ENDED if work.note() else Fate.ALONE
        status = 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)


class Storm:
    """The parent, and its children."""

    def __init__(self, work: Work, rng: random.Random, lanes: Path, graves: Path) -> None:
        self._work = work
        self._rng = rng
        self._columns = work.round(rng)
        self._lanes = lanes
        self._graves = graves
        self._ending: list[int] = []
        self._doomed: list[tuple[int, Book]] = []

    def fork(self, book: Book) -> None:
        """A child with a book of its own, in the midst of the parent's events."""
        self._work.do_all(self._columns[: self._rng.randrange(len(self._columns))])
        doomed = self._rng.random() < 0.4
        pid = os.fork()
        if pid == 0:
            child(self._work, book, self._columns, doomed)
        if doomed:
            self._doomed.append((pid, book))
        else:
            self._ending.append(pid)
        if self._doomed and self._rng.random() < 0.5:
            self._kill(*self._doomed.pop(self._rng.randrange(len(self._doomed))))

    def _kill(self, pid: int, book: Book) -> None:
        book.cells[FATE] = Fate.KILLED
        remains.kill(pid, self._lanes, self._graves, book.path.name)
        _, status = os.waitpid(pid, 0)
        assert status == 9, f"a child ended with wait status {status} before it was killed"

    def end(self) -> None:
        """Every child's, and then, as soon as it has a lane, its own."""
        for one in self._doomed:
            time.sleep(self._rng.random() * 0.05)
            self._kill(*one)
        for pid in self._ending:
            _, status = os.waitpid(pid, 0)
            assert status == 0, f"a child ended with wait status {status}"
        while not self._work.note():
            self._work.do_all(self._columns)
            time.sleep(0.01)
        self._work.book.cells[FATE] = Fate.ENDED


def main() -> None:
    book, topic, seed, runtime_dir, graves, *children = sys.argv[1:]
    work = Work(Book(Path(book)), topic)
    storm = Storm(work, random.Random(seed), Path(runtime_dir) / "lanes", Path(graves))
    for path in children:
        storm.fork(Book(Path(path)))
    storm.end()


if __name__ == "__main__":
    main()
