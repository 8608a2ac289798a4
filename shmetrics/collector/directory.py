# SPDX-License-Identifier: Apache-2.0
"""The runtime directory, held by one collector at a time.

register.sock   where emitters ask for a lane
collector.json  who holds the directory, and where it serves: for the commands
lock            locked by that collector as long as it lives
store           the node's totals
lanes/          one file per emitting process
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from shmetrics import runtime_dir
from shmetrics.errors import ShmetricsError


def half_of_file_system(path: Path) -> int:
    """So much of it may be lanes, if nobody says how much: others live there too."""
    status = os.statvfs(path)
    return status.f_blocks * status.f_frsize // 2


class DirectoryError(ShmetricsError):
    """The runtime directory cannot be used; the message names it, and the mend."""


class Directory:
    """A locked runtime directory."""

    def __init__(self, path: Path) -> None:
        """Makes what is missing, and takes the lock. Raises DirectoryError."""
        self.path = path
        self.lanes = path / "lanes"
        self.store = path / "store"
        self.socket = path / runtime_dir.SOCKET_NAME
        self._info = path / "collector.json"
        try:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._check_owner()
            self.lanes.mkdir(mode=0o700, exist_ok=True)
            self._fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            self._lock()
        except OSError as error:
            os.close(self._fd)
            raise self._unusable(error) from None
        except DirectoryError:
            os.close(self._fd)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            raise DirectoryError(
                f"{self.path}: in use by another collector (pid {holder or 'unknown'}); "
                "stop it or choose another --runtime-dir"
            ) from None
        os.truncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def _unusable(self, error: OSError) -> DirectoryError:
        where = error.filename or self.path
        return DirectoryError(f"{where}: {error.strerror}; choose another --runtime-dir")

    def _check_owner(self) -> None:
        status = self.path.stat()
        if status.st_uid not in (0, os.geteuid()):
            raise DirectoryError(
                f"{self.path}: belongs to uid {status.st_uid}, not to this collector "
                f"(uid {os.geteuid()}); choose another --runtime-dir"
            )

    def announce(self, url: str, version: str) -> None:
        """Writes down where this collector serves. Raises DirectoryError."""
        text = json.dumps({"pid": os.getpid(), "url": url, "version": version})
        temporary = self._info.with_suffix(".new")
        try:
            temporary.write_text(text + "\n", encoding="utf-8")
            temporary.replace(self._info)
        except OSError as error:
            raise self._unusable(error) from None

    def close(self) -> None:
        """Lets another collector have it. Lanes and store stay."""
        self._info.unlink(missing_ok=True)
        os.close(self._fd)
