# SPDX-License-Identifier: Apache-2.0
"""A process that emits until it is killed, or told by SIGTERM to end.

python -m tests.verify.soak.emitter BOOK TOPIC SEED PAUSE_SECONDS
"""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

from tests.verify.soak.book import FATE, Book, Fate
from tests.verify.soak.work import HOSTS, Work


class Told:
    """Tell whether SIGTERM has come."""

    def __init__(self) -> None:
        self.to_end = False
        signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, number: int, frame: object) -> None:
        self.to_end = True


def main() -> None:
    told = Told()
    book_path, topic, seed, pause = sys.argv[1:]
    book = Book(Path(book_path))
    # The others come when it has a lane, which they outgrow, however late it is.
    work = Work(book, topic, first_visits=len(HOSTS) // 4)
    columns = work.round(random.Random(seed))
    connected = False
    # Only a lane outlives the process: it ends when it has one.
    while not (told.to_end and connected):
        work.do_all(columns)
        connected = work.note()
        time.sleep(float(pause))
    book.cells[FATE] = Fate.ENDED


if __name__ == "__main__":
    main()
