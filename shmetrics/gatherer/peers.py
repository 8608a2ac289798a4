# SPDX-License-Identifier: Apache-2.0
"""The unit of a process that sends lines, found by the cgroups that the process is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from shmetrics.lines.line import Refused
from shmetrics.lines.owner import Owner
from shmetrics.registration.peer import Peer
from shmetrics.units.unit import Unit

#: The kind of a program that is in no unit.
PROGRAM: Final = "program"


def owner_of(
    peer: Peer,
    claimed: str,
    units: Mapping[str, Unit],
    known_of: Callable[[Unit], Owner],
    proc: Path = Path("/proc"),
) -> Owner:
    """Return the unit of a process.

    Args:
        peer: the process, as it was when it connected.
        claimed: the name that it gives itself; "" for none.
        units: the units of the node, by the paths of their cgroups.
        known_of: returns the owner of the lines of a unit.
        proc: where the kernel tells of processes.

    Raises:
        Refused: it is not known which process this is, or it claims to be another unit.
    """
    if not peer.pid:
        raise Refused("unknown_peer", "the process is in another pid namespace")
    try:
        cgroups = (proc / str(peer.pid) / "cgroup").read_text(errors="surrogateescape")
    except OSError:
        raise Refused("unknown_peer", f"process {peer.pid} has gone") from None
    unit = _innermost(cgroups, units)
    if unit is None:
        return Owner(claimed or f"uid-{peer.uid}", PROGRAM)
    if claimed not in ("", unit.name):
        raise Refused(
            "forged",
            f"process {peer.pid} is in {unit.name}, not in {claimed[:60]}; it needs no name there",
        )
    return known_of(unit)


def _innermost(cgroups: str, units: Mapping[str, Unit]) -> Unit | None:
    """Return the unit that a process is in; of several, the one with the longest path.

    Args:
        cgroups: the contents of /proc/PID/cgroup, see cgroups(7): `4:memory:/docker/0123` a line.
        units: the units, by path.
    """
    found: Unit | None = None
    for line in cgroups.splitlines():
        path = line.split(":", 2)[-1]
        while path not in ("", "/") and path not in units:
            path = path.rpartition("/")[0]
        unit = units.get(path)
        if unit is not None and (found is None or len(unit.id) > len(found.id)):
            found = unit
    return found
