# SPDX-License-Identifier: Apache-2.0
"""The `pid` label of a process: no two living processes have the same.

The kernel tells the collector the pid of a process as the collector sees it, but says 0 of every
process whose PID namespace the collector cannot see into, as in most containers. Such a process
itself says which pid it has there, and which namespace that is. It may say anything: a label that
another living process has is not given twice.
"""

from __future__ import annotations


def pid_label(pid: int, lane_id: int, own_pid: int = 0, namespace: int = 0) -> str:
    """Return the `pid` label of a process.

    Args:
        pid: its pid as the kernel says; 0 if the collector cannot see it.
        lane_id: the number of its lane.
        own_pid: its pid as it says; 0 if it does not.
        namespace: the inode of its PID namespace, as it says; 0 if it does not.

    Returns:
        The pid that the collector sees; else the process's own with its namespace; else the number
        of its lane.
    """
    if pid:
        return str(pid)
    if own_pid and namespace:
        return f"{own_pid}@{namespace}"
    return f"lane-{lane_id}"
