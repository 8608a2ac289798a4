# SPDX-License-Identifier: Apache-2.0
"""A log file of whole lines, which is rotated by its size.

A kill at any moment loses no line that was written before, and leaves no half of one: what has no
end is cut off when the file is opened again. Somebody else may rotate it as well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MODE = 0o640
_LONGEST_LINE_BYTES = 64 * 1024


class LogFile:
    """A file that is open for more lines."""

    def __init__(self, folder: int, name: str, rotate_bytes: int, keep: int) -> None:
        """Open the file, or make it.

        Args:
            folder: the descriptor of its folder, which is closed at the end.
            name: its name there. It may not be a link.
            rotate_bytes: the size that it does not exceed, if no single line does.
            keep: how many rotated files are kept: name.1 is the newest of them.

        Raises:
            OSError: there can be no such file.
        """
        self._folder = folder
        self._name = name
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        try:
            self._fd, self._inode, self._size = _opened(folder, name)
        except OSError:
            os.close(folder)
            raise

    def append(self, lines: Iterable[bytes]) -> int:
        """Append lines, and return how many bytes that were.

        Args:
            lines: lines with their ends. They are written as far as there is room.

        Raises:
            NotWritten: some lines could not be written.
        """
        n_lines = 0
        try:
            self._follow()
            part: list[bytes] = []
            n_bytes = 0
            for line in lines:
                if self._size + n_bytes and self._size + n_bytes + len(line) > self._rotate_bytes:
                    self._write(part, n_bytes)
                    n_lines += len(part)
                    part, n_bytes = [], 0
                    self._rotate()
                part.append(line)
                n_bytes += len(line)
            self._write(part, n_bytes)
        except OSError as error:
            raise NotWritten(n_lines, error) from None
        return n_lines + len(part)

    def close(self) -> None:
        """Close the file and its folder."""
        os.close(self._fd)
        os.close(self._folder)

    def _open_anew(self) -> None:
        """Open what has the name now in the place of the file that is open."""
        old = self._fd
        self._fd, self._inode, self._size = _opened(self._folder, self._name)
        os.close(old)

    def _follow(self) -> None:
        """Open the file anew if another one, or none, has its name by now."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
            if status.st_ino == self._inode:
                return
        self._open_anew()

    def _write(self, lines: list[bytes], n_bytes: int) -> None:
        if os.write(self._fd, b"".join(lines)) != n_bytes:
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += n_bytes

    def _rotate(self) -> None:
        """Let each file have the name of the next older one, the oldest first."""
        names = [self._name, *(f"{self._name}.{number}" for number in range(1, self._keep + 1))]
        if self._keep == 0:
            os.unlink(self._name, dir_fd=self._folder)
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            with contextlib.suppress(FileNotFoundError):  # after a kill one may be missing
                os.rename(newer, older, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._open_anew()


class NotWritten(Exception):
    """Some lines could not be written.

    Attributes:
        n_lines: how many were written before.
        error: why.
    """

    def __init__(self, n_lines: int, error: OSError) -> None:
        """Set them."""
        super().__init__(str(error))
        self.n_lines = n_lines
        self.error = error


def _opened(folder: int, name: str) -> tuple[int, int, int]:
    """Open a file for more lines, or make it; return its descriptor, inode and size."""
    fd = os.open(name, _FLAGS, _MODE, dir_fd=folder)
    try:
        status = os.fstat(fd)
        # With another name of it, others could have chosen any file of this file system.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise OSError(errno.ELOOP, "not a file with one name", name)
        return fd, status.st_ino, _cut(fd, status.st_size)
    except OSError:
        os.close(fd)
        raise


def _cut(fd: int, size: int) -> int:
    """Cut off the begin of a line that was never ended, and return the size of the file then."""
    tail = os.pread(fd, _LONGEST_LINE_BYTES, max(size - _LONGEST_LINE_BYTES, 0))
    whole = size - len(tail) + tail.rfind(b"\n") + 1
    if whole != size:
        os.ftruncate(fd, whole)
    return whole
