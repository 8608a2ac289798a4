# SPDX-License-Identifier: Apache-2.0
"""A sender to files, one of each unit.

Folders that a unit may write to are not trusted: below the first place that depends on the unit, no
link is followed.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Final

from shmetrics.delivery.log_file import LogFile, NotWritten
from shmetrics.delivery.message import Message
from shmetrics.errors import ConfigError
from shmetrics.forwarding.sender import Outcome, TryAgain

MOST_OPEN: Final = 64
_MOST_NAME: Final = 200
# Somebody has put something else where the file should be: it will not go away by itself.
_NEVER: Final = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO)
_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER_MODE = 0o750


class Files:
    """A sender to the files of all units, of which so many are open at a time."""

    def __init__(self, template: str, rotate_bytes: int, keep: int) -> None:
        """Check the folder.

        Args:
            template: the path of files, as `/var/log/units/{unit}.log`.
            rotate_bytes: the size of a file.
            keep: how many rotated files are kept.

        Raises:
            ConfigError: there is no folder for the files.
        """
        parts = template.split("/")
        first = next((n for n, part in enumerate(parts) if "{" in part), len(parts) - 1)
        self._root = "/".join(parts[:first]) or "/"
        self._below = parts[first:]
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._open: OrderedDict[tuple[str, ...], LogFile] = OrderedDict()
        if not os.path.isdir(self._root):
            raise ConfigError(
                f"{self._root}: no such directory; make one that the gatherer may write to"
            )

    def send(self, messages: Sequence[Message]) -> Outcome:
        """Append each message to the file of its unit; see Sender."""
        n_failed, why = 0, ""
        left: list[Message] = []
        for path, group in self._by_path(messages).items():
            try:
                self._file(path).append(map(_line, group))
                continue
            except NotWritten as problem:
                rest, error = group[problem.n_lines :], problem.error
            except OSError as problem:
                rest, error = group, problem
            self._close(path)
            why = f"{'/'.join((self._root, *path))}: {error.strerror}"
            if error.errno in _NEVER:
                n_failed += len(rest)
            else:
                left += rest
        if left:
            raise TryAgain(why, left=left, failed=n_failed)
        return Outcome(failed=n_failed, why=why)

    def close(self) -> None:
        """Close all files."""
        for path in list(self._open):
            self._close(path)

    def _by_path(self, messages: Sequence[Message]) -> dict[tuple[str, ...], list[Message]]:
        found: dict[tuple[str, ...], list[Message]] = {}
        for message in messages:
            places = {"unit": _name(message.unit), "kind": _name(message.kind)}
            path = tuple(part.format_map(places) for part in self._below)
            found.setdefault(path, []).append(message)
        return found

    def _file(self, path: tuple[str, ...]) -> LogFile:
        if path not in self._open:
            folder = self._folder(path[:-1])
            self._open[path] = LogFile(folder, path[-1], self._rotate_bytes, self._keep)
            if len(self._open) > MOST_OPEN:
                self._close(next(iter(self._open)))
        self._open.move_to_end(path)
        return self._open[path]

    def _folder(self, names: tuple[str, ...]) -> int:
        """Open the folder below the root with these names; what is missing is made."""
        folder = os.open(self._root, _FOLDER)
        for name in names:
            above = folder
            try:
                if not _is_there(name, above):
                    os.mkdir(name, _FOLDER_MODE, dir_fd=above)
                folder = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
            finally:
                os.close(above)
        return folder

    def _close(self, path: tuple[str, ...]) -> None:
        file = self._open.pop(path, None)
        if file is not None:
            file.close()


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _line(message: Message) -> bytes:
    seconds, rest_ns = divmod(message.time_ns, 10**9)
    at = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000_000:03}Z {message.text}\n".encode()


def _name(text: str) -> str:
    """Return what can be a part of a file's name, of the name of a unit."""
    name = "".join(c if c.isprintable() and c not in "/ " else "_" for c in text)
    name = name.encode()[:_MOST_NAME].decode(errors="ignore")
    return name if name.strip(".") else "_" * max(len(name), 1)
