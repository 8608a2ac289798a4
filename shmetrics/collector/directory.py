# SPDX-License-Identifier: Apache-2.0
"""The runtime directory, held by one collector at a time.

register.sock   the socket at which emitters ask for a lane
control.sock    the socket at which root, or the collector's user, tells it what to do
collector.json  the collector that holds the directory, and its URL, for the commands
lock            locked by that collector as long as it lives
store           the node's totals
traces.db       the node's traces, once there are any; beside it the number of unwritten events
lanes/          one file per emitting process
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
from pathlib import Path

from shmetrics import pid_lock, runtime_dir
from shmetrics.errors import ShmetricsError
from shmetrics.lanes import _drain
from shmetrics.unix_socket import give_to_group

log = logging.getLogger(__name__)


def half_of_file_system(path: Path) -> int:
    """Return half the size of the file system, in bytes.

    This is the default limit of lanes, because others use the file system, too.
    """
    status = os.statvfs(path)
    return status.f_blocks * status.f_frsize // 2


class DirectoryError(ShmetricsError):
    """An error: the runtime directory cannot be used. The message names it, and the remedy."""


class Directory:
    """A locked runtime directory."""

    def __init__(self, path: Path, search_mode: int = 0, group: int | None = None) -> None:
        """Make what is missing, and take the lock.

        Args:
            path: the directory.
            search_mode: the mode bits that let others reach files in it, as the socket. Only this
                user may list it; others can read nothing but collector.json.
            group: the group that the directory is given to, or None.

        Raises:
            DirectoryError: the directory cannot be used.
        """
        self.path = path
        self.lanes = path / "lanes"
        self.store = path / "store"
        self.traces = path / "traces.db"
        self.socket = path / runtime_dir.SOCKET_NAME
        self.control = path / runtime_dir.CONTROL_NAME
        self._info = path / "collector.json"
        self._search_mode = search_mode
        self._group = group
        try:
            self._make()
            self._make_lanes()
            self._fd = pid_lock.take(str(path / "lock"))
        except pid_lock.Held as error:
            raise DirectoryError(
                f"{path}: in use by another collector (pid {error.pid}); "
                "stop it or choose another --runtime-dir"
            ) from None
        except OSError as error:
            raise self._unusable(error) from None
        try:
            self._try_a_lease()
        except OSError as error:
            os.close(self._fd)
            raise self._unusable(error) from None
        except DirectoryError:
            os.close(self._fd)
            raise

    def _make(self) -> None:
        """Make the directory if it is missing.

        One that is there keeps its mode: others may use it, too.
        """
        self._refuse(runtime_dir.replaceable(str(self.path)))  # before making anything
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(0o700 if path == self.path else 0o755, exist_ok=True)
        self._examine()  # also a new directory: another program may have made it first
        if missing and self._search_mode:
            self._let_in(str(self.path), 0o700 | self._search_mode)
        elif self._search_mode & ~self.path.stat().st_mode:
            mode = stat.S_IMODE(self.path.stat().st_mode) | self._search_mode
            log.warning(
                "%s: not all who may register can reach the socket; chmod %o %s",
                *(self.path, mode, self.path),
            )

    def _examine(self) -> None:
        """Refuse a directory that another user could change. Raises DirectoryError."""
        path = str(self.path)
        self._refuse(
            runtime_dir.writable_by_others(path)
            or runtime_dir.owned_by_another(path)
            or runtime_dir.replaceable(path)
        )

    def _refuse(self, problem: str) -> None:
        """Raise DirectoryError if there is a problem."""
        if problem:
            raise DirectoryError(f"{self.path}: {problem}; choose another --runtime-dir")

    def _make_lanes(self) -> None:
        """Make the directory of lanes, which only this user may enter. Raises DirectoryError."""
        self.lanes.mkdir(mode=0o700, exist_ok=True)
        problem = runtime_dir.owned_by_another(str(self.lanes))
        if problem or self.lanes.is_symlink():
            raise DirectoryError(f"{self.lanes}: {problem or 'is a link'}; move it away")
        if stat.S_IMODE(self.lanes.stat().st_mode) != 0o700:
            self.lanes.chmod(0o700)

    def _let_in(self, path: str, mode: int) -> None:
        """Give a file to the group and set its mode. Raises OSError."""
        if self._group is not None:
            give_to_group(path, self._group)
        os.chmod(path, mode)

    def _try_a_lease(self) -> None:
        """Refuse a file system without leases: they tell whether a process still holds its lane.

        Raises:
            DirectoryError: the file system has no leases.
        """
        try:
            _drain.is_held(self._fd)
        except OSError as error:
            raise DirectoryError(
                f"{self.path}: no leases on files there ({error.strerror}); choose a --runtime-dir "
                "on tmpfs, and see fs.leases-enable"
            ) from None

    def _unusable(self, error: OSError) -> DirectoryError:
        """Return an error for people from an error of the system."""
        where = error.filename or self.path
        return DirectoryError(f"{where}: {error.strerror}; choose another --runtime-dir")

    def announce(self, url: str, version: str) -> None:
        """Write collector.json, which those who may register can read.

        Args:
            url: where the collector serves.
            version: its version.

        Raises:
            DirectoryError: it cannot be written.
        """
        text = json.dumps({"pid": os.getpid(), "url": url, "version": version})
        temporary = self._info.with_suffix(".new")
        try:
            temporary.unlink(missing_ok=True)
            temporary.touch(0o600, exist_ok=False)
            temporary.write_text(text + "\n", encoding="utf-8")
            self._let_in(str(temporary), 0o600 | self._search_mode << 2)
            temporary.replace(self._info)
        except OSError as error:
            raise self._unusable(error) from None

    def close(self) -> None:
        """Let another collector have the directory. Lanes and store stay."""
        with contextlib.suppress(OSError):  # then the file names a collector that is gone
            self._info.unlink(missing_ok=True)
        os.close(self._fd)
