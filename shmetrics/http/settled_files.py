# SPDX-License-Identifier: Apache-2.0
"""Files that somebody may be writing: how they look, and since when they look like that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

# What tells one state of some files from another.
FilesState = dict[str, tuple[int, ...]]


def state_of(paths: Iterable[str]) -> FilesState:
    """How they look now; of one that cannot be looked at, why."""
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
    """When the newest of them was changed last, by the wall clock; 0 if none is there."""
    return max((look[-1] for look in state.values() if len(look) > 1), default=0)


class SettleTimer:
    """Knows since when some files have been left alone."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._state: FilesState = {}
        self._since = monotonic()

    def seconds(self, state: FilesState) -> float:
        """For how long every look has found this state; 0 at the first."""
        now = self._monotonic()
        if state != self._state:
            self._state, self._since = state, now
        return now - self._since
