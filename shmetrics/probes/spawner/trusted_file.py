# SPDX-License-Identifier: Apache-2.0
"""Trust in a program that is to run as a user: nobody else but root can change what would run.

The file belongs to the user or to root, and so does each directory and each link on the way to it,
from `/` on; none of them can be written to by a group or by others. A directory that is sticky, as
/tmp, may be, because the entry in it belongs to the user or to root. What can still change between
this check and the start is what the user, or root, changes, and these may run what they like.
"""

from __future__ import annotations

import errno
import os
import stat

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # the kernel's limit
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Untrusted(Exception):
    """A program may not be run as a user; the text names the path, what is wrong and the mend."""


def check(path: str, uid: int) -> os.stat_result:
    """Check a program that is to run as a user.

    Returns:
        The status of its file.

    Raises:
        Untrusted: others could have written it, or it cannot be looked at.
    """
    if not path.startswith("/"):
        raise Untrusted(f"{path}: this is no absolute path")
    try:
        return _walk(path, uid)
    except OSError as error:
        raise Untrusted(f"{path}: {error.strerror}") from None


def _walk(path: str, uid: int) -> os.stat_result:
    """Go from `/` to a file, by descriptors, so that each step is looked at once and then used."""
    folder, here = os.open("/", _LOOK | os.O_DIRECTORY), "/"
    try:
        root = os.fstat(folder)
        trusted = {0, uid, root.st_uid}  # in some namespaces / has an unknown owner
        _check_folder(here, root, trusted)
        names, links = path.split("/")[::-1], 0
        while names:
            name = names.pop()
            if name in ("", "."):
                continue
            entry, where = os.open(name, _LOOK, dir_fd=folder), os.path.join(here, name)
            status = os.fstat(entry)
            if stat.S_ISDIR(status.st_mode):
                os.close(folder)
                folder, here = entry, where
                _check_folder(where, status, trusted)
                continue
            try:
                _check_owner(where, status, trusted)
                if not stat.S_ISLNK(status.st_mode):
                    _check_file(where, status, names)
                    return status
                target = os.readlink("", dir_fd=entry)
            finally:
                os.close(entry)
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            names += target.split("/")[::-1]
            if target.startswith("/"):
                os.close(folder)
                folder, here = os.open("/", _LOOK | os.O_DIRECTORY), "/"
        raise Untrusted(f"{path}: this is a directory, not a program")
    finally:
        os.close(folder)


def _check_owner(where: str, status: os.stat_result, trusted: set[int]) -> None:
    if status.st_uid not in trusted:
        allowed = " or ".join(f"uid {uid}" for uid in sorted(trusted))
        raise Untrusted(f"{where}: belongs to uid {status.st_uid}, not to {allowed}")


def _check_folder(where: str, status: os.stat_result, trusted: set[int]) -> None:
    _check_owner(where, status, trusted)
    if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
        raise Untrusted(f"{where}: others may replace what is in it; chmod go-w {where}")


def _check_file(where: str, status: os.stat_result, rest: list[str]) -> None:
    if rest:  # even "" or ".": the kernel asks for a directory where a path ends in a slash
        raise Untrusted(f"{where}: this is no directory")
    if not stat.S_ISREG(status.st_mode):
        raise Untrusted(f"{where}: this is no file")
    if status.st_mode & _OTHERS_WRITE:
        raise Untrusted(f"{where}: others may write to it; chmod go-w {where}")
