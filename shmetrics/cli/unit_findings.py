# SPDX-License-Identifier: Apache-2.0
"""The checks of `shmetrics check --gather-config`: what a gatherer needs, and what doubles it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shmetrics.cli.findings import Finding
from shmetrics.errors import ShmetricsError

if TYPE_CHECKING:
    from shmetrics.config.gather import Gather, GatherConfig
    from shmetrics.units.unit import Unit

SERIES_OF_A_UNIT: Final = 40
#: The default of store.max_series_per_lane.
MOST_SERIES: Final = 100_000
#: Processes that show the same families of the same units.
DOUBLES: Final = ("cadvisor", "kubelet")
_JOURNALD: Final = Path("/etc/systemd/journald.conf")
_PROC: Final = Path("/proc")


def check(config: GatherConfig) -> Iterator[Finding]:
    """Check everything that a gatherer with this configuration needs."""
    from shmetrics.gatherer.selection import finder_of
    from shmetrics.units.hierarchies import find

    gather = config.gather
    try:
        hierarchies = find(gather.cgroup_root)
        units = list(finder_of(gather).units().values())
    except ShmetricsError as error:
        yield Finding(False, str(error))
        return
    yield Finding(True, f"cgroups: {versions(each.keys for each in hierarchies)}")
    yield from room(units)
    yield from readable(units, config.spawner.socket)
    yield from static(units)
    yield from commands(gather)
    yield from textfiles(gather)
    yield from places(gather)
    yield from spawner(config)
    yield from rate_limits(gather)
    yield from doubles()


def versions(keys: Iterable[tuple[str, ...]]) -> str:
    """Return which controllers are in which version, for people."""
    names = [name for each in keys for name in each]
    v1 = ", ".join(name for name in names if name != "unified" and "=" not in name)
    found = [f"version 1: {v1}"] if v1 else []
    if "unified" in names:
        found.append("version 2: the others" if v1 else "version 2")
    return "; ".join(found) or "no controller that is read"


def room(units: list[Unit]) -> Iterator[Finding]:
    """Check whether a lane with the default limit has room for the series of all units."""
    wanted = len(units) * SERIES_OF_A_UNIT
    said = f"{len(units)} units, about {wanted} series"
    if not units:
        yield Finding(False, "no cgroup fits a rule; name units in [[gather.units]], or see kinds")
    elif wanted > MOST_SERIES:
        more = f"raise store.max_series_per_lane of the collector above {wanted}"
        yield Finding(False, f"{said}; unless that is done, {more}")
    else:
        yield Finding(True, said)


def readable(units: list[Unit], spawner_socket: str) -> Iterator[Finding]:
    """Check whether this user, or a spawner that listens somewhere, can read what units have."""
    closed = [
        directory
        for unit in units
        for directory in set(unit.directories.values())
        if not os.access(directory, os.R_OK | os.X_OK)
    ]
    if closed:
        yield Finding(False, f"{closed[0]}: not readable for uid {os.geteuid()}; run it as another")
    homes = [unit.home for unit in units if unit.home and unit.kind == "gear"]
    shut = [home for home in homes if not os.access(home, os.R_OK | os.X_OK)]
    if shut:
        yield Finding(
            os.path.exists(spawner_socket),
            f"{shut[0]}: not readable for uid {os.geteuid()}, as {len(shut)} of {len(homes)} "
            "gears; shmetrics-spawner, as root, lists their files",
        )


def commands(gather: Gather) -> Iterator[Finding]:
    """Check whether the spawner would run each command of the configuration."""
    from shmetrics.probes.spawner import trusted_file

    for probe in gather.probe:
        try:
            status = trusted_file.check(probe.command[0], probe.uid(os.geteuid()))
        except trusted_file.Untrusted as error:
            yield Finding(False, f"gather.probe {probe.name}: {error}")
            continue
        if not status.st_mode & 0o111:
            path = probe.command[0]
            yield Finding(
                False, f"gather.probe {probe.name}: {path}: not executable; chmod a+x {path}"
            )


def textfiles(gather: Gather) -> Iterator[Finding]:
    """Check whether the directories of text files can be read."""
    for directory in gather.textfile.directories:
        try:
            os.listdir(directory)
        except OSError as error:
            yield Finding(False, f"gather.textfile.directories: {directory}: {error.strerror}")


def places(gather: Gather) -> Iterator[Finding]:
    """Check whether lines can go to each place: without one of them, a gatherer does not start."""
    from shmetrics.delivery.deliveries import sender_of

    for place in gather.deliver:
        try:
            sender_of(place, socket.gethostname())
        except ShmetricsError as error:
            yield Finding(False, f"gather.deliver: {error}")


def static(units: Iterable[Unit]) -> Iterator[Finding]:
    """Say which units of the configuration have no cgroup now: they may come and go."""
    for unit in units:
        if unit.kind == "static" and not unit.directories:
            yield Finding(
                True,
                f"gather.units {unit.name}: there is no cgroup {unit.id} now; that is its path in "
                "/proc/PID/cgroup, without the directory of the mount",
            )


def spawner(config: GatherConfig) -> Iterator[Finding]:
    """Check whether a spawner listens, if there are commands to run."""
    path = config.spawner.socket
    if not config.gather.probe and not os.path.isdir(config.gather.gears):
        return
    if not os.path.exists(path):
        yield Finding(
            os.geteuid() == 0 or not os.path.isdir(config.gather.gears),
            f"{path}: no spawner listens there; the gatherer starts one of its own, which can run "
            "commands only as its user; for others, start shmetrics-spawner",
        )
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        try:
            sock.connect(path)
        except OSError as error:
            yield Finding(False, f"{path}: {error.strerror}; is shmetrics-spawner running?")
            return
    yield Finding(True, f"{path}: a spawner listens")


def rate_limits(gather: Gather, journald: Path = _JOURNALD) -> Iterator[Finding]:
    """Check whether the journal takes as many lines at once as a pass may deliver."""
    to_journal = [place for place in gather.deliver if place.destination.scheme == "journal"]
    if not to_journal:
        return
    burst = 10_000  # journald.conf(5)
    files = [journald, *sorted(journald.with_suffix(".conf.d").glob("*.conf"))]
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        for value in re.findall(r"^\s*RateLimitBurst\s*=\s*(\d+)\s*$", text, re.MULTILINE):
            burst = int(value)
    lines = 2 * len(gather.probe)
    if burst and burst < lines:
        yield Finding(
            False,
            f"{journald}: RateLimitBurst={burst}, and {len(gather.probe)} probes may print more "
            f"lines at once; raise it above {lines}, or lines are dropped",
        )
    else:
        yield Finding(True, f"journald: at most {burst or 'any number of'} lines at once")


def doubles(proc: Path = _PROC) -> Iterator[Finding]:
    """Check whether something else on this node shows the same families."""
    found = set()
    for path in proc.glob("[0-9]*/comm"):
        try:
            found.add(path.read_text(errors="replace").strip())
        except OSError:
            continue  # it has just ended
    for name in sorted(found & set(DOUBLES)):
        yield Finding(
            False,
            f"{name} runs here and shows container_* of the same units; scrape only one of the "
            "two, or sums are double",
        )
