# SPDX-License-Identifier: Apache-2.0
"""Deaths: the kernel tells at once when a process that has a lane ends.

An emitter keeps no connection that could end with it. A process that the kernel cannot name to us
(of a container that we cannot look into), or whose number another one has by now, is found gone at
the next tick: that a lane is nobody's any more is for its file to say.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class Deaths:
    """Tells of the end of processes. The default never does."""

    def watch(self, lane_id: int, pid: int) -> None:
        """Tells once, by the lane's id, when the process has ended."""

    def forget(self, lane_id: int) -> None:
        """Does not tell any more."""

    def close(self) -> None:
        """Tells of nobody any more."""


class LoopDeaths(Deaths):
    """Deaths as an asyncio loop hears of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_death: Callable[[int], None]) -> None:
        self._loop = loop
        self._on_death = on_death
        self._processes: dict[int, int] = {}  # descriptors, by lane

    def watch(self, lane_id: int, pid: int) -> None:
        if pid <= 0:
            return
        try:
            found = os.pidfd_open(pid)
        except OSError:  # it is gone, or we may have no more files open: ticks find that out
            return
        self._processes[lane_id] = found
        self._loop.add_reader(found, self._died, lane_id)

    def _died(self, lane_id: int) -> None:
        self.forget(lane_id)
        self._on_death(lane_id)

    def forget(self, lane_id: int) -> None:
        found = self._processes.pop(lane_id, None)
        if found is not None:
            self._loop.remove_reader(found)
            os.close(found)

    def close(self) -> None:
        for lane_id in list(self._processes):
            self.forget(lane_id)
