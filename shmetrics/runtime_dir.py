# SPDX-License-Identifier: Apache-2.0
"""The directory in which emitters and collector meet: `register.sock`, the lanes, the store."""

from __future__ import annotations

import os

VARIABLE = "SHMETRICS_RUNTIME_DIR"
SOCKET_NAME = "register.sock"


def candidates() -> list[str]:
    """Where it may be when nobody says so, the best first."""
    found = ["/run/shmetrics"]
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session:
        found.append(os.path.join(session, "shmetrics"))
    found.append(f"/tmp/shmetrics-{os.getuid()}")
    return found


def _trusted(path: str) -> bool:
    """A directory that nobody but root, its user or we could have put there."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_uid in (0, os.getuid()) or path.startswith("/run/")


def find() -> str:
    """The emitter's view: what the environment names, or else the first candidate there is."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    return next((path for path in candidates() if _trusted(path)), candidates()[-1])


def choose() -> str:
    """The collector's view: the same, or else the first candidate that can be made."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    for path in candidates():
        if _trusted(path) or os.access(os.path.dirname(path), os.W_OK):
            return path
    return candidates()[-1]
