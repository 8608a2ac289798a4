# SPDX-License-Identifier: Apache-2.0
"""Deaths: the collector learns at once when a process that has a lane ends.

An emitter keeps no connection whose end would tell. So the collector watches the process itself,
through a pidfd (pidfd_open(2)). Two kinds of process cannot be watched: one in a container that the
collector cannot look into, and one whose pid another process has by now. Their lanes are retired at
the next tick, which asks the lane's file whether any process still holds it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class Deaths:
    """Reports the end of processes. This class is the default, which never reports any."""

    def watch(self, lane_id: int, pid: int) -> None:
        """Report the lane's id once, when the process has ended."""

    def forget(self, lane_id: int) -> None:
        """Stop watching the process of a lane."""

    def close(self) -> None:
        """Stop watching all processes."""


class LoopDeaths(Deaths):
    """Deaths that an asyncio loop reports."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_death: Callable[[int], None]) -> None:
        """Begin without any process.

        Args:
            loop: the loop in which `on_death` is called.
            on_death: called with the id of the lane whose process has ended.
        """
        self._loop = loop
        self._on_death = on_death
        self._pidfds: dict[int, int] = {}  # by lane id

    def watch(self, lane_id: int, pid: int) -> None:
        if pid <= 0:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # the process is gone, or no more files may be open: a tick finds out
            return
        self._pidfds[lane_id] = pidfd
        self._loop.add_reader(pidfd, self._died, lane_id)

    def _died(self, lane_id: int) -> None:
        """Stop watching a process that has ended, and report it."""
        self.forget(lane_id)
        self._on_death(lane_id)

    def forget(self, lane_id: int) -> None:
        pidfd = self._pidfds.pop(lane_id, None)
        if pidfd is not None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)

    def close(self) -> None:
        for lane_id in list(self._pidfds):
            self.forget(lane_id)
