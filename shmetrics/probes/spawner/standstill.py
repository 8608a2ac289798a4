# SPDX-License-Identifier: Apache-2.0
"""The ending of late runs while the spawner's thread stands still.

To look at a program, and to start it, can take long: its disk may be that of a server which does
not answer. Meanwhile a second thread sees to the deadlines of the runs that there are. It has them
only in that time: a lock says whose they are, and the spawner's thread gives it away for nothing
else.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

LOOK_SECONDS: Final = 0.25


class Standstill:
    """The second thread, which ends with this process."""

    def __init__(self, advance: Callable[[], None]) -> None:
        """Start it; the runs are the caller's, whose thread this is.

        Args:
            advance: ends what is late. It is called in the second thread, never at the same time
                as anything that the caller does outside of `allowed`.
        """
        self._advance = advance
        self._has_runs = threading.Lock()
        self._has_runs.acquire()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standstill", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Let the caller wait for a disk, or whatever it may be, without touching the runs."""
        self._has_runs.release()
        try:
            yield
        finally:
            self._has_runs.acquire()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            if self._has_runs.acquire(blocking=False):
                try:
                    self._advance()
                finally:
                    self._has_runs.release()
