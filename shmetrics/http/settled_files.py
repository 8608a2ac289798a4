# SPDX-License-Identifier: Apache-2.0
"""Files that somebody may be writing: their state, and the time of its last change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

# By path, what stat says of each file. A change of the contents changes this.
FilesState = dict[str, tuple[int, ...]]


def state_of(paths: Iterable[str]) -> FilesState:
    """Return the state of some files now; for one that cannot be looked at, the errno."""
    found: FilesState = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            found[path] = (error.errno or 0,)
        else:
            times = status.st_mtime_ns, status.st_ctime_ns
            found[path] = (status.st_dev, status.st_ino, status.st_mode, status.st_size, *times)
    return found


def changed_ns(state: FilesState) -> int:
    """Return when the newest file was changed last, by the wall clock; 0 if there is none."""
    return max((status[-1] for status in state.values() if len(status) > 1), default=0)


class SettleTimer:
    """A timer of how long some files have not changed."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._state: FilesState = {}
        self._since = monotonic()

    def seconds(self, state: FilesState) -> float:
        """Return for how long every call was given this state; 0 for a new one."""
        now = self._monotonic()
        if state != self._state:
            self._state, self._since = state, now
        return now - self._since
