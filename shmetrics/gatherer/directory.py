# SPDX-License-Identifier: Apache-2.0
"""The directory of a node's gatherer: its socket for lines is there, and a lock.

It is that of the systemd service, or else the collector's. Two gatherers would show everything
twice, so the second one ends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from shmetrics import pid_lock, runtime_dir
from shmetrics.errors import ShmetricsError
from shmetrics.push.client import SERVICE_DIRECTORY

LOCK_NAME: Final = "gather.lock"


def find() -> str:
    """Return the directory, which need not be there.

    Raises:
        ShmetricsError: other users can interfere in it.
    """
    try:
        return os.environ.get("RUNTIME_DIRECTORY") or runtime_dir.find()
    except runtime_dir.Distrusted as error:
        raise ShmetricsError(str(error)) from None


@contextlib.contextmanager
def locked(service: str = SERVICE_DIRECTORY) -> Iterator[None]:
    """Be the gatherer of this node.

    Args:
        service: the directory of a gatherer that systemd has started.

    Raises:
        ShmetricsError: another process is.
    """
    own = find()
    locks = [os.path.join(own, LOCK_NAME)]
    other = os.path.join(service, LOCK_NAME)
    if not os.environ.get(runtime_dir.VARIABLE) and own != service and os.path.exists(other):
        locks.append(other)  # it has the same collector
    with contextlib.ExitStack() as held:
        for path in locks:
            fd = _lock(path)
            if fd is not None:
                held.callback(os.close, fd)
        yield


def _lock(path: str) -> int | None:
    """Lock a file; return its descriptor, None if there cannot be such a file."""
    try:
        return pid_lock.take(path)
    except pid_lock.Held as error:
        raise ShmetricsError(
            f"{path}: another gatherer runs (pid {error.pid}), and two would count everything "
            "twice; stop it, or use --once"
        ) from None
    except OSError:
        return None  # there is no such directory, or it is not ours: nothing of ours is in it
