# SPDX-License-Identifier: Apache-2.0
"""The runtime directory, which emitters and the collector share: `register.sock`, lanes, the store.

A user who can put a socket there can act as every emitter's collector, and end these processes at
will. So only root and the directory's user may have made it, be able to write to it, or be able to
put another directory in its place. If only root can write to the parent directory, as to /run, that
user may be any user.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

VARIABLE = "SHMETRICS_RUNTIME_DIR"
SOCKET_NAME = "register.sock"
CONTROL_NAME = "control.sock"

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # the kernel's limit


class Distrusted(OSError):
    """Other users can interfere in a directory; the text names it, and says how."""


def candidates() -> list[str]:
    """Return the default places of the directory, the best first."""
    found = ["/run/shmetrics"]
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session:
        found.append(os.path.join(session, "shmetrics"))
    found.append(f"/tmp/shmetrics-{os.getuid()}")
    return found


def writable_by_others(path: str) -> str:
    """Return why others can write to a directory; "" if they cannot. Raises OSError."""
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        return "this is not a directory"
    if status.st_mode & _OTHERS_WRITE:
        return f"others may replace what is in it; chmod go-w {path}"
    return ""


def owned_by_another(path: str) -> str:
    """Return the owner of a directory, or of a link to it, if it is another user than root or ours.

    Returns:
        One line, or "" if the directory belongs to root or to the user of this process.

    Raises:
        OSError: the directory is not there.
    """
    link, target = os.lstat(path.rstrip("/") or "/"), os.stat(path)
    ours = os.geteuid()
    for status in (link, target):
        if status.st_uid not in (0, ours):
            a_link = "a link that " if stat.S_ISLNK(status.st_mode) else ""
            allowed = f"uid {ours} or root" if ours else "root"
            return f"{a_link}belongs to uid {status.st_uid}, not to {allowed}"
    return ""


def replaceable(path: str) -> str:
    """Return how others can put another directory in the place of one; "" if they cannot.

    A user who can write to a parent directory can rename its entries; if the parent is sticky, only
    the user's own entries. The check ends at the first part of the path that does not exist.

    Raises:
        OSError: a part of the path cannot be looked at.
    """
    trusted = {0, os.geteuid(), os.stat("/").st_uid}  # in some namespaces / has an unknown owner
    if os.path.exists(path):
        trusted.add(os.stat(path).st_uid)
    for folder, entry in _steps(path):
        within = os.stat(folder)
        if within.st_uid not in trusted:
            return f"uid {within.st_uid}, the owner of {folder}, can put another in its place"
        if within.st_mode & _OTHERS_WRITE:
            if not within.st_mode & stat.S_ISVTX:
                return f"others can put another in its place; chmod go-w {folder}"
            owner = os.lstat(entry).st_uid if os.path.lexists(entry) else 0
            if owner not in trusted:
                return f"uid {owner}, the owner of {entry}, can put another in its place"
    return ""


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """Yield each directory that is searched on the way to a path, and the entry looked up in it."""
    folder, links = "/", 0
    names = os.path.join(os.getcwd(), path).split("/")[::-1]
    while names:
        name = names.pop()
        if name == "..":
            folder = os.path.dirname(folder)
        elif name not in ("", "."):
            entry = os.path.join(folder, name)
            yield folder, entry
            if not os.path.lexists(entry):
                return
            if not os.path.islink(entry):
                folder = entry
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(entry)
            folder = "/" if target.startswith("/") else folder
            names += target.split("/")[::-1]


def _put_there_by_root(path: str) -> bool:
    parent = os.stat(os.path.dirname(path.rstrip("/")) or ".")
    return parent.st_uid == 0 and not parent.st_mode & _OTHERS_WRITE


def distrust(path: str) -> str:
    """Return why a directory at a default place may not be used; "" if it may. Raises OSError."""
    problem = writable_by_others(path)
    if not problem and not _put_there_by_root(path):
        problem = owned_by_another(path)
    return problem or replaceable(path)


def distrust_named(path: str) -> str:
    """Return why a configured directory may not be used; "" if it may. Its owner may be any user.

    Raises:
        OSError: the directory is not there.
    """
    return writable_by_others(path) or replaceable(path)


def find() -> str:
    """Return the directory for an emitter.

    It is the directory that the environment names, which may belong to any user, or the first
    default place that exists.

    Raises:
        Distrusted: other users can interfere in it.
    """
    named = os.environ.get(VARIABLE)
    for path in (named,) if named else candidates():
        try:
            problem = distrust_named(path) if named else distrust(path)
        except OSError:
            continue  # it does not exist
        if problem:
            raise Distrusted(f"{path}: {problem}")
        return path
    return named or candidates()[-1]


def choose() -> str:
    """Return the directory for a collector.

    It is the directory that the environment names, or the first default place that can be written
    to or made. Opening the directory checks whether it can be trusted.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return named
    for path in candidates():
        if os.access(path, os.W_OK) or os.access(os.path.dirname(path), os.W_OK):
            return path
    return candidates()[-1]
