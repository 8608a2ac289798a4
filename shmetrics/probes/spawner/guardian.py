# SPDX-License-Identifier: Apache-2.0
"""The guardian: a parent of the spawner that does nothing, until the spawner ends.

A spawner that is killed cannot end what it has started. Its programs die with it, by
PR_SET_PDEATHSIG, but not what these have started: that becomes a child of the guardian, which ends
it. A guardian that is killed takes the spawner with it, which then ends in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from shmetrics.probes.spawner import _start, run_cgroups
from shmetrics.probes.spawner.orphans import children

#: What the guardian waits for; the spawner begins with these blocked.
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})

_LONGEST_END_SECONDS = 10.0
_LOOK_SECONDS = 0.1


def guard(spawn: Callable[[], int], begun: Callable[[], None]) -> int:
    """Run a spawner in a child, and end what it leaves behind.

    Args:
        spawn: runs the spawner, in the child; returns its exit status.
        begun: called in the guardian, which can be told to stop by then: it closes what is the
            spawner's alone.

    Returns:
        The exit status of the spawner; 128 and more if a signal ended it.
    """
    _start.take_in_orphans()
    # Blocked, a signal that comes before it can be taken is not lost: neither here, nor in the
    # spawner, which unblocks them.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    guardian = os.getpid()
    pid = os.fork()
    if pid == 0:
        _start.end_with_parent(signal.SIGTERM)
        if os.getppid() != guardian:
            return 1
        return spawn()
    begun()
    status = _wait(pid)
    _end_descendants()
    run_cgroups.remove_left_behind()
    return status if status >= 0 else 128 - status


def _wait(spawner: int) -> int:
    """Pass signals on until the spawner ends, and reap orphans; return the spawner's status."""
    while True:
        number = signal.sigwait(SIGNALS)
        if number != signal.SIGCHLD:
            os.kill(spawner, number)
            continue
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == spawner:
                return os.waitstatus_to_exitcode(ended[1])


def _end_descendants() -> None:
    """End all children, and theirs, which become ours then, until there is none.

    What the kernel does not let die, in the middle of a read from a dead disk, is left to die.
    """
    deadline = time.monotonic() + _LONGEST_END_SECONDS
    run_cgroups.remove_left_behind()
    while (pids := children()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, _LOOK_SECONDS)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
