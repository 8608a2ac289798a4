# SPDX-License-Identifier: Apache-2.0
"""The count of pending starts and stops, which are in memory only, in a file that outlives a kill.

A killed process leaves the file behind, and the next one counts the number in it as lost. Events
that were written but not yet subtracted count as well: the number may be one batch too high, never
too low.
"""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path
from typing import Final

from shmetrics.rate_limited_log import RateLimitedLog

log = logging.getLogger(__name__)

_NUMBER: Final = struct.Struct("=Q")


class PendingCount:
    """The file with the number of pending events. One process at a time has it open."""

    def __init__(self, path: Path) -> None:
        """Read the number that a killed process has left, as `left_behind`, and set it to 0.

        Args:
            path: the file, which is made if it is missing.

        Raises:
            OSError: the file cannot be made, read or written.
        """
        self.path = path
        self._rate_limited = RateLimitedLog(log)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            raw = os.pread(self._fd, _NUMBER.size, 0)
            #: The events that were pending when the previous process was killed.
            self.left_behind = _NUMBER.unpack(raw)[0] if len(raw) == _NUMBER.size else 0
            os.pwrite(self._fd, _NUMBER.pack(0), 0)
        except OSError:
            os.close(self._fd)
            raise

    def note(self, n: int) -> None:
        """Write down how many events are pending now."""
        try:
            os.pwrite(self._fd, _NUMBER.pack(n), 0)
        except OSError as error:
            self._rate_limited.warning(
                "note", f"{self.path}: what a kill would lose is not noted: {error}"
            )

    def close(self) -> None:
        """Remove the file: nothing is pending any more."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self.path.unlink(missing_ok=True)
