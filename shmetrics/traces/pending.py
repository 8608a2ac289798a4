# SPDX-License-Identifier: Apache-2.0
"""How many starts and stops are in memory only, noted in a file that outlives a kill.

Who is killed leaves the file behind, and who comes next counts what it says as lost. A batch that
was written and not yet struck off counts as well: there may be one too many, and none too few.
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


class Pending:
    """The file. One process at a time has it."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if there can be no such file."""
        self.path = path
        self._rate_limited = RateLimitedLog(log)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            said = os.pread(self._fd, _NUMBER.size, 0)
            #: What was pending when the one before was killed.
            self.left_behind = _NUMBER.unpack(said)[0] if len(said) == _NUMBER.size else 0
            os.pwrite(self._fd, _NUMBER.pack(0), 0)
        except OSError:
            os.close(self._fd)
            raise

    def note(self, n: int) -> None:
        """So many are pending now."""
        try:
            os.pwrite(self._fd, _NUMBER.pack(n), 0)
        except OSError as error:
            self._rate_limited.warning(
                "note", f"{self.path}: what a kill would lose is not noted: {error}"
            )

    def close(self) -> None:
        """Nothing is pending any more."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self.path.unlink(missing_ok=True)
