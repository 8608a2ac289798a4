# SPDX-License-Identifier: Apache-2.0
"""Disk quotas: what a user or a project has used of a file system, and may use.

The kernel is asked with quotactl_fd(2) (Linux 5.14) about the file system that a directory is on,
first for the project of the directory, if it has one (XFS, ext4), then for the user. The
structures and numbers are those of its headers for programs.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from typing import Final, NamedTuple, Protocol

USER: Final = 0
PROJECT: Final = 2

_QUOTACTL_FD: Final = 443  # of all machines
_GET_QUOTA: Final = 0x800007
_BLOCK_BYTES: Final = 1024  # in which limits of blocks are counted, on every file system
# struct if_dqblk: limits of blocks, bytes in use, limits of inodes, inodes in use, times, and which
# of them are valid.
_DQBLK: Final = struct.Struct("=8QI4x")
_GET_ATTRIBUTES: Final = 0x801C581F  # FS_IOC_FSGETXATTR
_ATTRIBUTES: Final = struct.Struct("=5I8x")  # struct fsxattr: the fourth is the project


class Usage(NamedTuple):
    """The use of a quota, and its limits. A limit of 0 is none.

    Attributes:
        device: major and minor number of the file system's device.
        used_bytes: on the disk.
        limit_bytes: most that may be used.
        inodes: files in use.
        inodes_limit: most files.
    """

    device: tuple[int, int]
    used_bytes: int
    limit_bytes: int
    inodes: int
    inodes_limit: int


class Quotas(Protocol):
    """The seam for what knows quotas: the kernel, or what stands in for it."""

    def of(self, directory: str, uid: int) -> Usage:
        """Return what a unit has used.

        Args:
            directory: its home.
            uid: its user.

        Raises:
            OSError: ENOSYS: the kernel has no quotas; ESRCH: none are switched on there; EPERM:
                they are not ours to read; or the directory cannot be opened.
        """


class KernelQuotas:
    """The quotas of this kernel."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def of(self, directory: str, uid: int) -> Usage:
        """Return what a unit has used, see Quotas."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            number = os.fstat(fd).st_dev
            device = os.major(number), os.minor(number)
            project = _project_of(fd)
            if project:
                try:
                    return parse(self._ask(fd, PROJECT, project), device)
                except OSError as error:
                    if error.errno != errno.ESRCH:  # quotas of projects are off: the user's count
                        raise
            return parse(self._ask(fd, USER, uid), device)
        finally:
            os.close(fd)

    def _ask(self, fd: int, kind: int, number: int) -> bytes:
        buffer = ctypes.create_string_buffer(_DQBLK.size)
        command = ctypes.c_uint(_GET_QUOTA << 8 | kind)
        result = self._libc.syscall(_QUOTACTL_FD, fd, command, ctypes.c_uint(number), buffer)
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return buffer.raw


def parse(block: bytes, device: tuple[int, int]) -> Usage:
    """Return the usage in a struct if_dqblk. A hard limit counts before a soft one."""
    hard, soft, used, inodes_hard, inodes_soft, inodes, *_ = _DQBLK.unpack(block)
    limit = (hard or soft) * _BLOCK_BYTES
    return Usage(device, used, limit, inodes, inodes_hard or inodes_soft)


def _project_of(fd: int) -> int:
    """Return the project of an open directory, 0 if it has none or the file system has none."""
    buffer = bytearray(_ATTRIBUTES.size)
    try:
        fcntl.ioctl(fd, _GET_ATTRIBUTES, buffer)
    except OSError:
        return 0
    return int(_ATTRIBUTES.unpack(buffer)[3])
