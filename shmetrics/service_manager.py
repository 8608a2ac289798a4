# SPDX-License-Identifier: Apache-2.0
"""Notifications to the service manager (sd_notify(3)), if there is one."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)

BEATS = 3  # notifications within the time after which the manager restarts a silent service


def notify(state: str) -> None:
    """Tell the service manager a state: READY=1, WATCHDOG=1 or STOPPING=1."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError as error:
            log.warning("NOTIFY_SOCKET %s: %s", path, error.strerror)


def beat_seconds() -> float | None:
    """Return the seconds between two WATCHDOG=1, or None without a watchdog.

    It is a third (`BEATS`) of the time after which the manager restarts a silent service.
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for another process
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6 / BEATS
    except (KeyError, ValueError):
        return None
