# SPDX-License-Identifier: Apache-2.0
"""The proportional memory (PSS) of processes: shared memory is divided among those that share it.

To read it, the kernel takes the lock of the process's memory (`mmap_lock`): the process waits
meanwhile if it wants more memory. So this is not read by default, and never for longer than its
budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

_MOST_BYTES: Final = 4096
_KIB: Final = 1024


class Pss:
    """The last readings of each process; those that were read longest ago come first."""

    def __init__(
        self,
        budget_seconds: float,
        proc: str = "/proc",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without a process.

        Args:
            budget_seconds: the time of one look(), after which no other process is read.
            proc: the directory that has the processes.
            clock: returns seconds that only rise.
        """
        self._budget_seconds = budget_seconds
        self._proc = proc
        self._clock = clock
        self._bytes: dict[int, int | None] = {}  # by pid, the one that was read longest ago first

    def look(self, pids: Iterable[int]) -> None:
        """Read processes until the budget is used up, and forget those that are not named."""
        living = set(pids)
        known = {pid: value for pid, value in self._bytes.items() if pid in living}
        new = [pid for pid in living if pid not in known]
        end = self._clock() + self._budget_seconds
        for pid in (*new, *list(known)):
            if self._clock() >= end:
                break
            known.pop(pid, None)
            known[pid] = self._read(pid)
        self._bytes = known

    def sum_bytes(self, pids: Iterable[int]) -> int | None:
        """Return the memory of some processes, None if one of them was not read yet or cannot be:
        a part of a sum is no sum."""
        values = [self._bytes.get(pid) for pid in pids]
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    def _read(self, pid: int) -> int | None:
        """Return the Pss of proc_pid_smaps_rollup(5), None if it is not ours to read."""
        try:
            with open(f"{self._proc}/{pid}/smaps_rollup", "rb") as file:
                for line in file.read(_MOST_BYTES).splitlines():
                    if line.startswith(b"Pss:"):
                        return int(line.split()[1]) * _KIB
        except (OSError, ValueError, IndexError):
            return None  # it has ended, or belongs to another user
        return 0  # a process without memory of its own
