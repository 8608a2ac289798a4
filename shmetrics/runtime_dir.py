# SPDX-License-Identifier: Apache-2.0
"""The directory in which emitters and collector meet: `register.sock`, the lanes, the store.

Whoever can put a socket there can be every emitter's collector, and end these processes at will. So
it has to be a directory that nobody but root and its user could have made, can write to, or can put
another in the place of; where its place says so, as /run does, its user may be any.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

VARIABLE = "SHMETRICS_RUNTIME_DIR"
SOCKET_NAME = "register.sock"

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # as the kernel follows


class Distrusted(OSError):
    """Others can interfere in this directory; the text names it, and says how."""


def candidates() -> list[str]:
    """Where it may be when nobody says so, the best first."""
    found = ["/run/shmetrics"]
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session:
        found.append(os.path.join(session, "shmetrics"))
    found.append(f"/tmp/shmetrics-{os.getuid()}")
    return found


def writable_by_others(path: str) -> str:
    """How others than its user can write to a directory; "" if they cannot. Raises OSError."""
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        return "this is no directory"
    if status.st_mode & _OTHERS_WRITE:
        return f"others may replace what is in it; chmod go-w {path}"
    return ""


def owned_by_another(path: str) -> str:
    """Whose a directory is, or a link to one, if neither root's nor this user's. Raises OSError."""
    link, target = os.lstat(path.rstrip("/") or "/"), os.stat(path)
    ours = os.geteuid()
    for status in (link, target):
        if status.st_uid not in (0, ours):
            a_link = "a link that " if stat.S_ISLNK(status.st_mode) else ""
            allowed = f"uid {ours} or root" if ours else "root"
            return f"{a_link}belongs to uid {status.st_uid}, not to {allowed}"
    return ""


def replaceable(path: str) -> str:
    """How others could put another directory in the place of one; "" if they cannot.

    Whoever can write to a directory on the way can rename what is in it; where it is sticky, only
    what belongs to him. The way ends where something is not there. Raises OSError.
    """
    trusted = {0, os.geteuid(), os.stat("/").st_uid}  # in some namespaces, / is nobody's we know
    if os.path.exists(path):
        trusted.add(os.stat(path).st_uid)
    for folder, entry in _steps(path):
        within = os.stat(folder)
        if within.st_uid not in trusted:
            return f"uid {within.st_uid}, to whom {folder} belongs, can put another in its place"
        if within.st_mode & _OTHERS_WRITE:
            if not within.st_mode & stat.S_ISVTX:
                return f"others can put another in its place; chmod go-w {folder}"
            owner = os.lstat(entry).st_uid if os.path.lexists(entry) else 0
            if owner not in trusted:
                return f"uid {owner}, to whom {entry} belongs, can put another in its place"
    return ""


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """Each directory that is searched on the way to path, and the entry that is looked for."""
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
    """Why a directory that nobody has named may not be used; "" if it may. Raises OSError."""
    problem = writable_by_others(path)
    if not problem and not _put_there_by_root(path):
        problem = owned_by_another(path)
    return problem or replaceable(path)


def distrust_named(path: str) -> str:
    """The same for one that somebody has named; its user may be any. Raises OSError."""
    return writable_by_others(path) or replaceable(path)


def find() -> str:
    """The emitter's view: what the environment names, or else the first candidate there is.

    Raises Distrusted. What is named is the choice of whoever started the process, and may belong
    to any user.
    """
    named = os.environ.get(VARIABLE)
    for path in (named,) if named else candidates():
        try:
            problem = distrust_named(path) if named else distrust(path)
        except OSError:
            continue  # it is not there
        if problem:
            raise Distrusted(f"{path}: {problem}")
        return path
    return named or candidates()[-1]


def choose() -> str:
    """The collector's view: the same, or else the first candidate that can be made. Whether it can
    be trusted is seen when it is opened."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    for path in candidates():
        if os.access(path, os.W_OK) or os.access(os.path.dirname(path), os.W_OK):
            return path
    return candidates()[-1]
