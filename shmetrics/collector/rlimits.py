# SPDX-License-Identifier: Apache-2.0
"""Limits of the process: each lane needs open files, and the system limits these."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

PER_LANE = 4  # the lane's file, its mapping, its ledger, its process; in protocol 1 also its kick
OWN = 64  # the store, logs, sockets, and files that libraries open


def lanes_that_fit(wanted: int, connections: int) -> int:
    """Raise the limit of open files as far as needed and possible.

    Args:
        wanted: the number of lanes that the configuration allows.
        connections: the most connections that may be open beside them.

    Returns:
        The number of lanes for which files can be opened: `wanted`, or fewer with a warning.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = connections + OWN
    needed = wanted * PER_LANE + others
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    fit = max((soft - others) // PER_LANE, 1)
    log.warning(
        "room for %d lanes instead of registration.max_lanes = %d: this process may open %d files, "
        "and needs %d; raise LimitNOFILE, or ulimit -n",
        *(fit, wanted, soft, needed),
    )
    return fit
