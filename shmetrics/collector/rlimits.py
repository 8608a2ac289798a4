# SPDX-License-Identifier: Apache-2.0
"""Lanes need open files: as many of them as the system lets this process have."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

PER_LANE = 4  # its file, its mapping, its ledger, its process; in protocol 1 its kick as well
OWN = 64  # the store, logs, sockets, and what libraries open


def lanes_that_fit(wanted: int, connections: int) -> int:
    """Raises the limit of open files as far as it is needed; how many of these lanes fit.

    connections: how many others there may be.
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
